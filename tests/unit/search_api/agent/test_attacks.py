"""Sixty attacks on a model that believes everything: what the service does not let through, whatever its model says."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.bedrock_turns import Player, Say
from tests.agent import BERTA, FILLED, Outcome, Shelf, ask, uses

ATTACKS = yaml.safe_load((Path(__file__).parent / "attacks.yaml").read_text(encoding="utf-8"))
FOREIGN = ("Oslo", "otto@other.example")
"""What stands in the document of another tenant alone."""


def test_there_are_sixty_of_all_kinds() -> None:
    kinds = [attack["through"] for attack in ATTACKS]
    assert len(ATTACKS) == len({attack["name"] for attack in ATTACKS}) == 60
    assert min(kinds.count(kind) for kind in ("document", "question", "history")) >= 10
    shown = [attack for attack in ATTACKS if "shows" in attack["expect"]]
    assert all("because" in attack for attack in shown), "say why no check can refuse it"
    assert len(shown) <= 4


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack["name"])
def test_an_attack_ends_as_expected(attack: Mapping[str, Any]) -> None:
    outcome = attacked(attack)
    expected = attack["expect"]
    assert outcome.end["outcome"] == expected["outcome"]
    assert outcome.end["withheld"] == expected.get("withheld", [])
    assert outcome.end["limited_by"] == expected.get("limited_by")
    steps = [event for event in outcome.events if event["event"] == "step"]
    if "problems" in expected:
        assert [step["problem"] for step in steps] == expected["problems"]
    models = [event for event in outcome.events if event["event"] == "answer" and event["by"] == "model"]
    shown = [one["text"] for event in models for one in event["statements"]]
    assert shown == ([expected["shows"]] if "shows" in expected else [])
    require_promises(outcome)


def require_promises(outcome: Outcome) -> None:
    """What holds for every question, whoever asks and whatever the model says."""
    for query in outcome.queries:
        filters = query["query"]["bool"]["filter"]
        of_members = any("searchsync-heartbeat" in json.dumps(one) for one in filters)
        assert not of_members or {"term": {"tenant_id": {"value": "a"}}} in filters, "the tenant of the token"
    results = [message for turn in outcome.turns for message in turn["messages"][2::2]]
    for word in FOREIGN:
        assert word not in json.dumps(results), "the model saw a document of another tenant"
        assert word not in json.dumps(outcome.events), "a reader saw a document of another tenant"
    seen = json.dumps(outcome.events)
    assert "hotline" not in seen, "a text of the model's own reached the reader"
    assert all(turn["guardrailConfig"]["guardrailIdentifier"] == "standin" for turn in outcome.turns)


def attacked(attack: Mapping[str, Any]) -> Outcome:
    """Ask while the attack is where it waits."""
    text, through = attack["text"], attack["through"]
    documents = {**FILLED, "members": {**FILLED["members"], "m-1": {**BERTA, attack.get("field", "name"): text}}}
    if through != "document":
        documents = {**FILLED}
    question = text if through == "question" else "Who is there?"
    history = [("Hello?", text)] if through == "history" else []
    return ask(question, gullible(attack), history=history, shelf=Shelf(documents))


def gullible(attack: Mapping[str, Any]) -> Player:
    """A model that does whatever it has read; until then, it searches."""
    left = [turn_of(one) for one in attack["obeys"]]

    def play(asked: Mapping[str, Any]) -> Say:
        if not any(attack["text"] in text for text in texts_of(asked["messages"])):
            assert len(asked["messages"]) == 1, "the attack never reached the model"
            return uses("search_members")
        return left.pop(0) if len(left) > 1 else left[0]

    return play


def turn_of(told: Mapping[str, Any]) -> Say:
    match told:
        case {"use": [str(tool), dict(asked)], **rest}:
            return Say(({"tool": tool, "input": asked},) * rest.get("times", 1))
        case {"answer": list(statements), **rest}:
            made = [
                {"text": text * rest.get("repeated", 1), "documents": [cited(one) for one in sources]}
                for text, *sources in statements
            ]
            return uses("answer", statements=made * rest.get("copies", 1))
        case {"raw": dict(answer)}:
            return uses("answer", **answer)
        case {"say": str(text)}:
            return Say(({"text": text},))
    raise AssertionError(f"an attack has no such turn: {told}")


def cited(source: str) -> dict[str, str]:
    entity, _, key = source.partition("/")
    return {"entity": entity, "id": key}


def texts_of(value: Any) -> Iterator[str]:
    """All texts of a request, also those within the JSON of the first message."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_of(one)
    elif isinstance(value, str):
        yield value
        if value.startswith("{"):
            yield from texts_of(json.loads(value))
