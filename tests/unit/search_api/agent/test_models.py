"""Which models may be the agent, and what a request to each may have: Bedrock refuses what a model does not take."""

import asyncio
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import bedrock_shapes as shapes
from search_api.agent.bedrock import Bedrock, ModelFailed
from search_api.agent.models import FAMILIES, Guardrail, Model
from search_api.agent.tools import specifications
from search_api.agent.turn import Turn
from search_api.deadline import Deadline
from search_api.settings import Settings
from tests.agent import recorded, standing_in, uses
from tests.search_requests import LOCATIONS, MEMBERS

REPO = Path(__file__).parents[4]
PAGE = REPO / "docs" / "decisions" / "011-agent.md"
REQUEST = {
    "system": [{"text": "Answer."}],
    "messages": [{"role": "user", "content": [{"text": "{}"}]}],
    "toolConfig": {"tools": specifications([LOCATIONS, MEMBERS]), "toolChoice": {"any": {}}},
    "inferenceConfig": {"maxTokens": 10},
}
MODELS = {
    "Claude 2 and Instant": "anthropic.claude-v2:1",
    "Claude 3": "anthropic.claude-3-haiku-20240307-v1:0",
    "Claude 4": "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    "Claude Haiku 5.5": "us.anthropic.claude-haiku-5-5",
    "Titan Text": "amazon.titan-text-express-v1",
}
GUARDRAIL = Guardrail("standin", "1")


def turn_of(model: Model) -> Turn:
    """What the stand-in answers to a request to a model."""
    with standing_in(recorded(uses("answer", statements=[]))) as (server, _):
        bedrock = Bedrock(model, GUARDRAIL, server.url)
        try:
            return asyncio.run(bedrock.turn(REQUEST, 1_000, Deadline(20)))
        finally:
            bedrock.close()


def test_the_page_has_the_table_of_the_code() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    said = {row[0].strip(): tuple(cell.strip().partition(",")[0] for cell in row[1:]) for row in rows[1:]}
    yes = {True: "yes", False: "no"}
    wanted = {
        one.name: tuple(
            yes[cell] for cell in (one.system, one.tools, one.choice, one.thinks, one.system and one.choice)
        )
        for one in FAMILIES
    }
    assert said == wanted
    assert MODELS.keys() == wanted.keys()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_is_asked_for_what_it_takes_or_refused_at_start(family: Any) -> None:
    """A model that takes no tools would fail at each question; one that thinks, too, unless it is told not to."""
    text = MODELS[family.name]
    if not family.choice:
        with pytest.raises(ValueError, match="cannot use tools"):
            Model.of(text)
        with pytest.raises(ModelFailed, match="model-refused-request"):
            turn_of(Model(text, "", text, family))
        return
    model = Model.of(text)
    assert model.family == family
    assert turn_of(model).calls[0].name == "answer"


def test_a_model_that_thinks_refuses_what_is_not_told() -> None:
    """It shows that the stand-in looks, and that the field is needed."""
    text = MODELS["Claude Haiku 5.5"]
    family = next(one for one in FAMILIES if one.name == "Claude 4")
    with pytest.raises(ModelFailed, match="model-refused-request"):
        turn_of(Model(text, "us", "anthropic.claude-haiku-5-5", family))


@pytest.mark.parametrize(
    "text", ["", "claude", "gpt", "anthropic.", "mars.anthropic.claude-3-haiku", "amazon.nova-lite-v1:0"]
)
def test_what_is_no_known_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be the id|no family that is known"):
        Model.of(text)


@pytest.mark.parametrize(
    ("text", "region", "fits"),
    [
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "eu-west-1", True),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "us-east-1", False),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us-gov-west-1", False),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "sa-east-1", True),
        ("anthropic.claude-3-haiku-20240307-v1:0", "us-east-1", True),
    ],
)
def test_a_profile_belongs_to_its_regions(text: str, region: str, *, fits: bool) -> None:
    """In another one each question would fail."""
    assert (Model.of(text).why_not_from(region) == "") == fits


@pytest.mark.parametrize("text", ["ab1cd2", "ab1cd2:DRAFT", "ab1cd2:0", ":1", "AB:1", "arn:aws:x:1"])
def test_a_guardrail_has_a_version_that_cannot_change(text: str) -> None:
    with pytest.raises(ValueError, match="must be ID:VERSION"):
        Guardrail.of(text)
    assert Guardrail.of("ab1cd2ef3gh4:12") == Guardrail("ab1cd2ef3gh4", "12")


def test_the_guardrail_of_the_manual_is_one_that_bedrock_takes() -> None:
    """And it looks for attacks in questions with its full strength, as the preflight asks."""
    policy = json.loads((REPO / "include" / "policies" / "guardrail.json").read_text(encoding="utf-8"))
    assert shapes.faults(shapes.operation("bedrock", "CreateGuardrail").input_shape, policy) == []
    filters = policy["contentPolicyConfig"]["filtersConfig"]
    assert {"type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "NONE"} in filters


def test_what_the_infrastructure_tells_the_service_is_what_it_reads() -> None:
    """The agent is off in each environment at first, so no plan shows a wrong name."""
    table = yaml.safe_load((REPO / "infra" / "environments.yaml").read_text(encoding="utf-8"))
    assert {Model.of(text).why_not_from("eu-west-1") for text in table["agent_model"].values()} == {""}
    told = re.findall(r"SEARCH_API_(AGENT_\w+)", (REPO / "infra" / "api.tf").read_text(encoding="utf-8"))
    assert (
        {name.lower() for name in told} == {"agent_model", "agent_guardrail"} <= {one.name for one in fields(Settings)}
    )
