"""The agent's model reaches the end of its life on a day that AWS names: the preflight is red before, not the users."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber

from searchsync.preflight import agent
from searchsync.preflight.checks import Outcome, Result
from searchsync.preflight.target import Target

MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = f"eu.{MODEL}"
BEGAN = datetime(2025, 10, 15, tzinfo=UTC)
ENDS = datetime(2026, 9, 10, tzinfo=UTC)
MODELS = [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{MODEL}"} for region in ("eu-west-1", "eu-north-1")]


class Environment:
    """An environment in which only the agent is looked at."""

    def __init__(self, model: str, guardrail: str = "ab1cd2ef3gh4:2") -> None:
        self.values = {"agent_model": model, "agent_guardrail": guardrail}

    @cached_property
    def client(self) -> Any:
        return boto3.client("bedrock", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")

    def aws(self, _: str) -> Any:
        return self.client


def details(status: str = "ACTIVE", *, streams: bool = True, ends: datetime | None = None) -> dict[str, Any]:
    lifecycle = {"status": status, "startOfLifeTime": BEGAN, **({"endOfLifeTime": ends} if ends else {})}
    arn = f"arn:aws:bedrock:eu-west-1::foundation-model/{MODEL}"
    found = {"modelArn": arn, "modelId": MODEL, "modelLifecycle": lifecycle, "responseStreamingSupported": streams}
    return {"modelDetails": {**found, "inferenceTypesSupported": ["INFERENCE_PROFILE"]}}


def profile(models: list[dict[str, str]]) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{PROFILE}"
    named = {"inferenceProfileName": "EU", "inferenceProfileId": PROFILE, "inferenceProfileArn": arn}
    return {**named, "models": models, "status": "ACTIVE", "type": "SYSTEM_DEFINED"}


def guardrail(status: str = "READY", strength: str = "HIGH") -> dict[str, Any]:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:guardrail/ab1cd2ef3gh4"
    filters = [{"type": "PROMPT_ATTACK", "inputStrength": strength, "outputStrength": "NONE"}]
    times = {"createdAt": BEGAN, "updatedAt": BEGAN}
    texts = {"blockedInputMessaging": "no", "blockedOutputsMessaging": "no"}
    named = {"name": "agent", "guardrailId": "ab1cd2ef3gh4", "guardrailArn": arn, "version": "2", "status": status}
    return {**named, **times, **texts, "contentPolicy": {"filters": filters}}


def looked(environment: Environment, **answers: dict[str, Any]) -> dict[str, Result]:
    stubber = Stubber(environment.client)
    for operation, answer in answers.items():
        stubber.add_response(operation, answer)
    with stubber:
        found = [check.run() for check in agent.checks(cast(Target, environment))]
        stubber.assert_no_pending_responses()
    return {result.check.removeprefix("agent's "): result for result in found}


def test_what_is_as_it_should_be_is_green() -> None:
    found = looked(
        Environment(PROFILE),
        get_foundation_model=details(),
        get_inference_profile=profile(MODELS),
        get_guardrail=guardrail(),
    )
    assert {result.outcome for result in found.values()} == {Outcome.PASSED}
    assert found["model"].subject == MODEL
    assert found["inference profile"].seen == "ACTIVE; answers come from eu-north-1, eu-west-1"
    assert found["guardrail"].seen == "agent, version 2, READY"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (details("LEGACY", ends=ENDS), "it is LEGACY; it ends on 2026-09-10"),
        (details(ends=ENDS), "it ends on 2026-09-10"),
        (details(streams=False), "it cannot stream"),
    ],
)
def test_a_model_that_ends_or_cannot_stream_is_red(answer: dict[str, Any], problem: str) -> None:
    answers = {"get_inference_profile": profile(MODELS), "get_guardrail": guardrail()}
    result = looked(Environment(PROFILE), get_foundation_model=answer, **answers)["model"]
    assert result.outcome is Outcome.FAILED
    assert problem in result.seen
    assert "agent_model" in result.fix


def test_a_model_that_has_no_on_demand_needs_a_profile() -> None:
    found = looked(Environment(MODEL), get_foundation_model=details(), get_guardrail=guardrail())
    assert "by an inference profile alone" in found["model"].seen
    assert found["inference profile"].outcome is Outcome.NOT_APPLICABLE


def test_a_profile_that_leads_elsewhere_is_red() -> None:
    other = [{"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-other-v1:0"}]
    answers = {"get_foundation_model": details(), "get_inference_profile": profile(other)}
    found = looked(Environment(PROFILE), **answers, get_guardrail=guardrail())
    assert found["inference profile"].outcome is Outcome.FAILED


@pytest.mark.parametrize("answer", [guardrail("UPDATING"), guardrail(strength="LOW")])
def test_a_guardrail_that_is_not_ready_or_does_not_look_is_red(answer: dict[str, Any]) -> None:
    answers = {"get_foundation_model": details(), "get_inference_profile": profile(MODELS)}
    assert looked(Environment(PROFILE), **answers, get_guardrail=answer)["guardrail"].outcome is Outcome.FAILED


def test_without_an_agent_nothing_is_asked() -> None:
    found = looked(Environment(PROFILE, ""))
    assert {result.outcome for result in found.values()} == {Outcome.NOT_APPLICABLE}
