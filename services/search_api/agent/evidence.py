"""What the tools have returned for one question. Nothing else is evidence: not the question, not its history."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class DocumentId(NamedTuple):
    """Names a document."""

    entity: str
    id: str


@dataclass(frozen=True)
class Found:
    """A document that a tool returned.

    :ivar names: texts of its name fields: a statement about it has one of them
    :ivar values: its fields, as the model saw them
    """

    names: tuple[str, ...]
    values: Mapping[str, Any]

    def texts(self) -> Iterator[str]:
        """Yield each value in it as text."""
        yield from _texts(self.values)


@dataclass(frozen=True)
class Seen:
    """A document as a tool returns it.

    :ivar shown: what the model reads
    """

    id: DocumentId
    found: Found
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class Searched:
    """A search that was made.

    :ivar asked: its parameters, as the model gave them
    :ivar total: number of documents that match
    :ivar exact: whether there are no more than these
    """

    entity: str
    asked: Mapping[str, Any]
    total: int
    exact: bool


@dataclass
class Evidence:
    """What was returned so far.

    :ivar documents: in the order in which they were returned first
    :ivar searches: the first has number 1
    """

    documents: dict[DocumentId, Found] = field(default_factory=dict)
    searches: list[Searched] = field(default_factory=list)

    def add(self, seen: Iterable[Seen], searched: Searched | None) -> None:
        """Remember what the model has been shown."""
        self.documents |= {one.id: one.found for one in seen}
        if searched:
            self.searches.append(searched)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
