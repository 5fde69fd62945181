"""What a statement of the model must pass before anybody sees it (docs/agent.md, What is checked).

No check can say whether a sentence is true. These say that it is about documents that were returned for this question,
names them, and has no number, identifier, address or tenant that stands in none of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from search_api.agent import words
from search_api.agent.evidence import DocumentId, Evidence, Found

LONGEST_STATEMENT: Final = 600
"""Characters of a statement."""

MOST_STATEMENTS: Final = 20
MOST_DOCUMENTS: Final = 20
"""Documents that one statement may cite."""

Reason = Literal[
    "malformed",
    "too-long",
    "hidden-characters",
    "uncited",
    "unknown-document",
    "unknown-search",
    "not-named",
    "number",
    "identifier",
    "link",
    "tenant",
]

MEANINGS: Final[dict[Reason, str]] = {
    "malformed": "The answer has another form than the tool asks for.",
    "too-long": f"A statement has more than {LONGEST_STATEMENT} characters or {MOST_DOCUMENTS} documents, "
    f"or there are more than {MOST_STATEMENTS} statements.",
    "hidden-characters": "A statement has characters that nobody sees.",
    "uncited": "A statement cites no document.",
    "unknown-document": "A statement cites a document that no tool returned for this question.",
    "unknown-search": "A statement cites a search that was not made for this question.",
    "not-named": "A statement does not name a document that it cites.",
    "number": "A statement has a number that stands neither in a cited document nor in the question.",
    "identifier": "A statement has an identifier that stands in no cited document.",
    "link": "A statement has an address that stands in no cited document.",
    "tenant": "A statement names a tenant that stands in no cited document and is not the caller's.",
}
"""What each reason means; the model is told this, too."""


@dataclass(frozen=True)
class Statement:
    """A statement that passed.

    :ivar text: of the model; None when it cites a search alone: then the service writes the sentence
    :ivar documents: that it cites
    :ivar search: number of the search that it cites
    """

    text: str | None
    documents: tuple[DocumentId, ...] = ()
    search: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of an answer.

    :ivar shown: statements that passed
    :ivar refused: the reason of each that did not
    """

    shown: tuple[Statement, ...]
    refused: tuple[Reason, ...]


class _Refused(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def judge(answer: Any, evidence: Evidence, question: str, tenant: str) -> Verdict:
    """Return which statements of an answer may be shown.

    :param answer: input of the tool ``answer``, as the model wrote it
    :param question: the question of now: a number in it may be repeated
    :param tenant: of the verified token
    """
    match answer:
        case {"statements": list(given)}:
            pass
        case _:
            return Verdict((), ("malformed",))
    if len(given) > MOST_STATEMENTS:
        return Verdict((), ("too-long",))
    shown, refused = [], []
    for one in given:
        try:
            shown.append(_checked(one, evidence, question, tenant))
        except _Refused as refusal:
            refused.append(refusal.reason)
    return Verdict(tuple(shown), tuple(refused))


def is_presentable(text: str, evidence: Evidence, question: str) -> bool:
    """Return whether a text that the model searched for may be shown as it is.

    Each of its words stands in the question, or in a document that was returned.
    """
    known = words.all_of([question, *_values(evidence.documents.values())])
    return len(text) <= LONGEST_STATEMENT and not words.has_hidden(text) and words.all_of([text]) <= known


def _checked(given: Any, evidence: Evidence, question: str, tenant: str) -> Statement:
    """Return a statement. Raise _Refused for the first reason for which it must not be shown."""
    match given:
        case {"search": int(number), **rest} if not isinstance(number, bool) and not rest.keys() - {
            "documents",
            "text",
        }:
            if rest.get("text") or rest.get("documents"):
                raise _Refused("malformed")
            if not 1 <= number <= len(evidence.searches):
                raise _Refused("unknown-search")
            return Statement(None, search=number)
        case {"text": str(text), **rest} if not rest.keys() - {"documents"}:
            cited = _cited(rest.get("documents") or [], evidence)
        case _:
            raise _Refused("malformed")
    _check_visible(text)
    documents = [evidence.documents[one] for one in cited]
    said, said_digits = words.plain(text).casefold(), words.digits([text])
    for found in documents:
        if not any(words.plain(name).casefold() in said for name in found.names):
            raise _Refused("not-named")
    _check_grounded(text, documents, tenant)
    known = words.digits([*(one.id for one in cited), *_values(documents)])
    if not said_digits.identifiers <= known.identifiers:
        raise _Refused("identifier")
    if not said_digits.numbers <= known.numbers | words.digits([question]).numbers | {str(len(cited))}:
        raise _Refused("number")
    return Statement(text, cited)


def _cited(given: Any, evidence: Evidence) -> tuple[DocumentId, ...]:
    if not isinstance(given, list):
        raise _Refused("malformed")
    if not given:
        raise _Refused("uncited")
    if len(given) > MOST_DOCUMENTS:
        raise _Refused("too-long")
    cited = []
    for one in given:
        match one:
            case {"entity": str(entity), "id": str(key)}:
                cited.append(DocumentId(entity, key))
            case _:
                raise _Refused("malformed")
    if any(one not in evidence.documents for one in cited):
        raise _Refused("unknown-document")
    return tuple(dict.fromkeys(cited))


def _check_visible(text: str) -> None:
    if len(text) > LONGEST_STATEMENT:
        raise _Refused("too-long")
    if words.has_hidden(text):
        raise _Refused("hidden-characters")


def _check_grounded(text: str, documents: Sequence[Found], tenant: str) -> None:
    """Raise _Refused when a text has an address or a tenant that stands in no document."""
    known = [words.plain(value).casefold() for value in _values(documents)]
    if any(not any(words.stands_in(link, value) for value in known) for link in words.links(text)):
        raise _Refused("link")
    names = {word for value in known for word in value.split()} | {tenant.casefold()}
    if any(named not in names for named in words.tenants(text)):
        raise _Refused("tenant")


def _values(documents: Iterable[Found]) -> list[str]:
    return [value for found in documents for value in found.texts()]
