"""What every document carries in ``sync``, and how documents travel: pages of NDJSON bytes.

A page is the body of one ``_bulk`` of ``create`` actions, two lines a document::

    {"create":{"_id":"42"}}
    {"sync":{"position":...,"deleted":false,"written_at":...,"bucket":...,"hash_high":...,"hash_low":...},"name":...}

That one form serves all writes: ``load`` sends it as it is, ``compare_and_set`` wraps the same bytes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_ID_BYTES = 512
"""A longer ``_id`` makes OpenSearch refuse the whole bulk request."""

NOT_DELETED = {"bool": {"must_not": {"term": {"sync.deleted": True}}}}
"""Filter of the read alias and of all comparisons: tombstones are not documents."""


class Line(NamedTuple):
    """One document of a page: its ``_id`` as JSON and its source, both bytes."""

    id: bytes
    source: bytes


@dataclass(frozen=True)
class Rejection:
    """A document that cannot be indexed as it is (poison).

    :ivar index: the index that refused it; empty when the source could not even render it
    """

    id: str
    type: str
    reason: str
    index: str = ""


@dataclass(frozen=True)
class Page:
    """Documents of one read, all live or all tombstones.

    :param body: NDJSON, ``create`` form
    :param count: documents in ``body``
    :param position: of the read (protocol.md, Position)
    :param deleted: whether these are tombstones
    :param rejected: rows that the source could not make a document of; they count as read
    """

    body: bytes
    count: int
    position: str
    deleted: bool = False
    rejected: tuple[Rejection, ...] = field(default=())

    def lines(self) -> Iterator[Line]:
        """The documents one by one."""
        rows = self.body.split(b"\n")
        for at in range(0, 2 * self.count, 2):
            yield Line(rows[at][len(_ACTION) : -len(_ACTION_END)], rows[at + 1])


_ACTION = b'{"create":{"_id":'
_ACTION_END = b"}}"


def create_body(lines: Iterable[Line]) -> bytes:
    """The ``create`` form of some documents."""
    return b"".join(b"%b%b%b\n%b\n" % (_ACTION, line.id, _ACTION_END, line.source) for line in lines)


def tombstone(key: str, *, position: str, bucket: int, written_at: str) -> Line:
    """A deleted document: id and ``sync`` only, so that late older writes meet something newer."""
    sync = {"position": position, "deleted": True, "written_at": written_at, "bucket": bucket}
    sync |= {"hash_high": 0, "hash_low": 0}
    return Line(json.dumps(key).encode(), json.dumps({"sync": sync}, separators=(",", ":")).encode())


def page_of(lines: list[Line], *, position: str, deleted: bool) -> Page:
    """A page of single documents, for the paths where there are few."""
    return Page(create_body(lines), len(lines), position, deleted)


def sync_of(line: Line) -> dict[str, Any]:
    """The ``sync`` object of a document."""
    sync: dict[str, Any] = json.loads(line.source)["sync"]
    return sync
