"""What every document carries in ``sync``, and how documents travel: pages of NDJSON bytes.

A page is the body of one ``_bulk`` of ``create`` actions, two lines a document::

    {"create":{"_id":"42"}}
    {"sync":{"position":...,"deleted":false,"written_at":...,"bucket":...,"hash_high":...,"hash_low":...},"name":...}

That one form serves all writes: ``load`` sends it as it is, ``compare_and_set`` sends the same bytes of each document.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from searchsync.documents.position import known

MAX_ID_BYTES = 512
"""A longer ``_id`` makes OpenSearch refuse the whole bulk request."""


class Document(NamedTuple):
    """One document on its way.

    :ivar id: ``_id`` as JSON, in bytes
    :ivar source: ``_source`` in bytes, ``sync`` first
    :ivar position: ``sync.position``
    :ivar deleted: whether this is a tombstone
    """

    id: bytes
    source: bytes
    position: str
    deleted: bool

    @property
    def key(self) -> str:
        """The ``_id``."""
        return str(json.loads(self.id))


def read_document(key: bytes, source: bytes) -> Document:
    """Return the document that a page of bytes holds.

    ``sync`` comes first in every document, and ``position`` in it, which holds no quote: nothing is parsed for them.

    :param key: ``_id`` as JSON
    :raises ValueError: when ``sync.position`` does not stand there
    """
    found = _POSITION.match(source)
    if found is None:
        raise ValueError(f"document {key.decode()} does not begin with sync.position: nothing was written")
    return Document(key, source, found[1].decode(), source.startswith(b"true", source.find(_DELETED) + len(_DELETED)))


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
    """Some documents, live ones and tombstones.

    :param content: the documents, or NDJSON bytes of them in the ``create`` form, whichever is there: the one is made
        of the other when it is asked for
    :param count: documents in it
    :param position: of the read (protocol.md, Position); of several reads or events, the earliest
    :param rejected: rows that the source could not make a document of; they count as read
    :param resume: where the source goes on reading after this page, as JSON's values; None when it does not say
    :param dropped: values left out of its documents, by path (``searchsync.mapping.fitting``)
    """

    content: bytes | tuple[Document, ...]
    count: int
    position: str
    rejected: tuple[Rejection, ...] = field(default=())
    resume: Any = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The documents as NDJSON in the ``create`` form."""
        return self.content if isinstance(self.content, bytes) else create_body(self.content)

    def documents(self) -> Iterator[Document]:
        """Return the documents one by one."""
        if not isinstance(self.content, bytes):
            yield from self.content
            return
        rows = self.content.split(b"\n")
        for at in range(0, 2 * self.count, 2):
            yield read_document(rows[at][len(_ACTION) : -len(_ACTION_END)], rows[at + 1])


_DELETED = b'"deleted":'
_POSITION = re.compile(rb'\s*\{\s*"sync"\s*:\s*\{\s*"position"\s*:\s*"([^"\\]*)"')
_ACTION = b'{"create":{"_id":'
_ACTION_END = b"}}"


def create_body(documents: Iterable[Document]) -> bytes:
    """The ``create`` form of some documents."""
    return b"".join(b"%b%b%b\n%b\n" % (_ACTION, document.id, _ACTION_END, document.source) for document in documents)


def written_now() -> str:
    """``sync.written_at`` of what is rendered here and now."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tombstone(key: str, *, position: str, bucket: int, written_at: str) -> Document:
    """A deleted document: id and ``sync`` only, so that late older writes meet something newer."""
    sync = {"position": position, "deleted": True, "written_at": written_at, "bucket": bucket}
    sync |= {"hash_high": 0, "hash_low": 0}
    source = json.dumps({"sync": sync}, separators=(",", ":")).encode()
    return Document(json.dumps(key).encode(), source, position, deleted=True)


def page_of(
    documents: list[Document],
    *,
    position: str,
    rejected: tuple[Rejection, ...] = (),
    resume: Any = None,
    dropped: Mapping[str, int] | None = None,
) -> Page:
    """A page of single documents."""
    return Page(tuple(documents), len(documents), position, rejected, resume, dropped or {})


def with_position(document: Document, *, at_least: str) -> Document:
    """The document under a position that is not lower than the one given (rule 5).

    :param at_least: any text; what is no position of ours, from a message that somebody edited, raises nothing
    """
    position = document.position
    if position >= at_least or not known(at_least):
        return document
    source = document.source.replace(b'"%b"' % position.encode(), b'"%b"' % at_least.encode(), 1)
    return document._replace(source=source, position=at_least)


def sync_of(document: Document) -> dict[str, Any]:
    """The ``sync`` object of a document."""
    sync: dict[str, Any] = json.loads(document.source)["sync"]
    return sync


def sync_in(document: dict[str, Any]) -> dict[str, Any]:
    """What a stored document carries of ours; nothing where somebody else wrote something of another form."""
    sync = document.get("sync")
    return sync if isinstance(sync, dict) else {}


def is_ours(sync: dict[str, Any]) -> bool:
    """Whether all that a document carries has the form that the writer gives it; else the document is foreign."""
    numbers = [sync.get(name) for name in ("bucket", "hash_high", "hash_low")]
    return (
        known(sync.get("position"))
        and isinstance(sync.get("deleted"), bool)
        and isinstance(sync.get("written_at"), str)
        and all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    )
