"""What is sent while a question is answered: one event for each step, one with the answer, one at the end."""

from collections.abc import Container, Mapping
from typing import Any, Literal

import msgspec

from search_api.agent.budget import Name, Spent
from search_api.agent.checks import Reason, Statement, is_presentable
from search_api.agent.evidence import DocumentId, Evidence

Outcome = Literal["answered", "nothing", "limited", "withheld", "blocked", "unanswered", "failed"]
WITHHELD = "(withheld)"
_MOST_KNOWN = 10  # documents that are named when the model has said nothing about them
_ARRANGE = ("limit", "sort")

_TEXTS: Mapping[Outcome, str] = {
    "answered": "This is the answer.",
    "nothing": "Nothing that was found answers the question.",
    "withheld": "The model's answer did not pass the checks, so it is not shown.",
    "blocked": "The guardrail does not let this question, or what would answer it, pass.",
    "unanswered": "The model gave no answer that is made of what was found.",
    "failed": "The agent does not answer now. Ask again later.",
}
_BUDGETS: Mapping[Name, str] = {
    "turns": "turns",
    "tokens": "tokens",
    "tool_calls": "searches",
    "seconds": "time",
    "answer_bytes": "length of an answer",
    "context": "text that the model can read",
}


class Step(msgspec.Struct, tag_field="event", tag="step"):
    """A tool was used.

    :ivar asked: parameters; a text that stands neither in the question nor in a document is withheld
    :ivar found: number of documents that match; None when it failed
    :ivar problem: why it failed; empty when it did not
    """

    turn: int
    tool: str
    asked: dict[str, Any]
    found: int | None
    returned: int
    problem: str
    milliseconds: int


class Cited(msgspec.Struct):
    """A document that a statement is about."""

    entity: str
    id: str
    name: str


class Said(msgspec.Struct):
    """A statement, and what it stands on."""

    text: str
    documents: list[Cited] = []
    search: int | None = None


class Answer(msgspec.Struct, tag_field="event", tag="answer"):
    """What is known.

    :ivar by: who wrote the sentences: the model, or the service when the model did not come to an answer
    """

    by: Literal["model", "service"]
    statements: list[Said]


class End(msgspec.Struct, tag_field="event", tag="end"):
    """The last event.

    :ivar limited_by: the budget that was used up; None when none was
    :ivar code: why it failed; empty when it did not
    :ivar withheld: reasons of the statements of the last answer that are not shown
    """

    outcome: Outcome
    text: str
    limited_by: Name | None
    code: str
    withheld: list[Reason]
    turns: int
    tool_calls: int
    input_tokens: int
    output_tokens: int


Event = Step | Answer | End


def ending(
    outcome: Outcome, spent: Spent, *, limited_by: Name | None = None, code: str = "", withheld: tuple[Reason, ...] = ()
) -> End:
    """Return the last event, with a sentence for people."""
    text = f"The budget of this question is used up ({_BUDGETS[limited_by]}). " if limited_by else ""
    text += "This is what was known by then." if outcome == "limited" else _TEXTS[outcome]
    if withheld and outcome != "withheld":
        text += f" Statements that did not pass the checks, and are not shown: {len(withheld)}."
    counts = (spent.turns, spent.tool_calls, spent.input_tokens, spent.output_tokens)
    return End(outcome, text, limited_by, code, [*withheld], *counts)


def said(statement: Statement, evidence: Evidence, question: str) -> Said:
    """Return a statement as it is shown. The sentence about a search alone is the service's own."""
    if statement.text is None:
        return about_search(statement.search or 0, evidence, question)
    return Said(statement.text, [_cited(one, evidence) for one in statement.documents])


def known(evidence: Evidence, question: str) -> Answer:
    """Return what is known without the model: the searches, and the documents that were returned."""
    searches = [about_search(number, evidence, question) for number in range(1, len(evidence.searches) + 1)]
    documents = [_cited(one, evidence) for one in evidence.documents]
    found = [Said(f"{one.name} was found.", [one]) for one in documents[:_MOST_KNOWN]]
    return Answer("service", [*searches, *found])


def about_search(number: int, evidence: Evidence, question: str) -> Said:
    """Return the sentence about a search."""
    search = evidence.searches[number - 1]
    names = {*search.asked, "lat", "lon", "km"}  # the search was made, so they are parameters
    shown = presentable(search.asked, evidence, question, names)
    asked = ", ".join(f"{name} {_text(value)}" for name, value in shown.items())
    count = f"{search.total:,}" if search.exact else f"At least {search.total:,}"
    return Said(f"{count} of {search.entity} match{f': {asked}' if asked else ''}.", search=number)


def presentable(
    asked: Mapping[str, Any], evidence: Evidence, question: str, known_names: Container[str]
) -> dict[str, Any]:
    """Return the parameters of a tool as they may be shown; those that only arrange what is found are left out.

    :param known_names: of the parameters that tools have: any other is a text of the model
    """

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return value if is_presentable(value, evidence, question) else WITHHELD
        if isinstance(value, list):
            return [shown(one) for one in value]
        if isinstance(value, dict):
            return {name if name in known_names else WITHHELD: shown(one) for name, one in value.items()}
        return value

    found: dict[str, Any] = shown({name: one for name, one in asked.items() if name not in _ARRANGE})
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(map(_text, value))
    if isinstance(value, dict):
        return " ".join(f"{name} {_text(one)}" for name, one in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cited(one: DocumentId, evidence: Evidence) -> Cited:
    return Cited(one.entity, one.id, evidence.documents[one].names[0])
