"""Rules by which the stand-in for Bedrock plays a model: a few kinds of questions, and nothing that is clever.

They ask for one entity, for a name in it, for bounds of a number, and for what lies near a named place. Then they
answer with what was found.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from local.bedrock_turns import Fail, Say

_PEOPLE = re.compile(r"\b(members?|people|persons?|who|someone|anybody)\b", re.IGNORECASE)
_BOUND = re.compile(
    r"(?P<field>rate|population)\s+(?:is\s+|of\s+)?"
    r"(?P<how>below|under|at most|above|over|at least)\s+(?P<number>\d+(?:\.\d+)?)"
)
_NEAR = re.compile(r"\b(?:like|near|around|close to)\s+(?P<name>[^\W\d_][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_NAME = re.compile(r"(?:\b(?:in|from|called|named|about|is|of)\s+)(?P<name>[A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_LEAST = ("above", "over", "at least")
_KM = 300


def play(asked: Mapping[str, Any]) -> Say | Fail:
    """The next turn of a conversation."""
    messages = asked["messages"]
    question = json.loads(messages[0]["content"][0]["text"])["question"]
    found = [_result(message) for message in messages[2::2]]
    entity = "members" if _PEOPLE.search(question) else "locations"
    near = _NEAR.search(question) if entity == "locations" else None
    bounds = {
        f"{one['field']}_{'min' if one['how'] in _LEAST else 'max'}": _number(one["number"])
        for one in _BOUND.finditer(question)
    }
    if not found:
        named = near or _NAME.search(question)
        name = named["name"] if named else ""
        if near:
            return _search(entity, {"q": name, "limit": 1})
        return _search(entity, {"q": name, **bounds} if name else bounds)
    if near and len(found) == 1 and (documents := found[0].get("documents")):
        place = documents[0]["document"]["coordinates"]
        return _search(entity, {"near": {**place, "km": _KM}, "sort": "relevance", **bounds})
    return _answer(found[-1], without=near["name"] if near else "")


def _result(message: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = message["content"][0]["toolResult"]["content"][0]["json"]
    data: dict[str, Any] = content.get("untrusted_data", {})
    return data


def _search(entity: str, asked: Mapping[str, Any]) -> Say:
    return Say(({"tool": f"search_{entity}", "input": dict(asked)},))


def _answer(found: Mapping[str, Any], without: str) -> Say:
    """A statement of the search, and one of each document that is not the one that was named."""
    statements: list[dict[str, Any]] = [{"search": found["search"]}] if "search" in found else []
    documents: Sequence[Mapping[str, Any]] = found.get("documents", [])
    for one in documents:
        document = one["document"]
        if document["name"] != without:
            cited = [{"entity": one["entity"], "id": one["id"]}]
            statements.append({"text": _sentence(document), "documents": cited})
    return Say(({"tool": "answer", "input": {"statements": statements}},))


def _sentence(document: Mapping[str, Any]) -> str:
    known = [
        (word, document[field]) for field, word in (("rate", "a rate of"), ("city", "the city")) if field in document
    ]
    return f"{document['name']} has {known[0][0]} {known[0][1]}." if known else f"{document['name']} is one of them."


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number
