"""What every document has in ``sync``, and how documents travel: in pages of NDJSON bytes.

A page is the body of one ``_bulk`` of ``create`` actions, with two lines for each document::

    {"create":{"_id":"42"}}
    {"sync":{"position":...,"deleted":false,"written_at":...,"bucket":...,"hash_high":...,"hash_low":...},"name":...}

This one form is enough for all writes: ``load`` sends it as it is, ``compare_and_set`` sends the same bytes of each
document.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from searchsync.documents.position import known

MAX_ID_BYTES = 512
"""Largest number of bytes in an ``_id``. OpenSearch refuses a whole bulk request in which one is longer."""


class Document(NamedTuple):
    """One document on its way from source to index.

    :ivar id: ``_id`` as JSON, in bytes
    :ivar source: ``_source`` in bytes; ``sync`` comes first in it
    :ivar position: ``sync.position``
    :ivar deleted: whether this is a tombstone
    """

    id: bytes
    source: bytes
    position: str
    deleted: bool

    @property
    def key(self) -> str:
        """Return the ``_id`` as text."""
        return str(json.loads(self.id))


def read_document(key: bytes, source: bytes) -> Document:
    """Return one document of a page of bytes.

    ``sync`` comes first in every document, and ``position`` comes first in ``sync``. A position contains no quote. So
    no JSON is parsed.

    :param key: ``_id`` as JSON
    :raises ValueError: when the document does not begin with ``sync.position``
    """
    found = _POSITION.match(source)
    if found is None:
        raise ValueError(f"document {key.decode()} does not begin with sync.position: nothing was written")
    return Document(key, source, found[1].decode(), source.startswith(b"true", source.find(_DELETED) + len(_DELETED)))


@dataclass(frozen=True)
class Rejection:
    """A document that cannot be indexed as it is (poison).

    :ivar index: the index that refused it; empty when the source could not even make it
    """

    id: str
    type: str
    reason: str
    index: str = ""


@dataclass(frozen=True)
class Page:
    """Some documents; tombstones may be among them.

    :param content: the documents, or their NDJSON bytes in the ``create`` form; the page makes the other form when it
        is asked for it
    :param count: number of documents
    :param position: position of the read (protocol.md, Position); the earliest one of several reads or events
    :param rejected: rows or items that the source could not make a document of; they count as read
    :param resume: where the source goes on reading after this page, in values that JSON can hold; None when the source
        does not say it
    :param dropped: how many values were left out of the documents, by path (``searchsync.mapping.fitting``)
    """

    content: bytes | tuple[Document, ...]
    count: int
    position: str
    rejected: tuple[Rejection, ...] = field(default=())
    resume: Any = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """Return the documents as NDJSON in the ``create`` form."""
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
    """Return the ``create`` form of some documents."""
    return b"".join(b"%b%b%b\n%b\n" % (_ACTION, document.id, _ACTION_END, document.source) for document in documents)


def written_now() -> str:
    """Return the present time in the form of ``sync.written_at``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tombstone(key: str, *, position: str, bucket: int, written_at: str) -> Document:
    """Return a tombstone. It has only id and ``sync``: older writes that come late find something newer there."""
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
    """Return a page of these documents."""
    return Page(tuple(documents), len(documents), position, rejected, resume, dropped or {})


def with_position(document: Document, *, at_least: str) -> Document:
    """Return the document with a position that is at least the given one (rule 5).

    :param at_least: any text; text that is no position of ours changes nothing: somebody may have edited the message
    """
    position = document.position
    if position >= at_least or not known(at_least):
        return document
    source = document.source.replace(b'"%b"' % position.encode(), b'"%b"' % at_least.encode(), 1)
    return document._replace(source=source, position=at_least)


def sync_of(document: Document) -> dict[str, Any]:
    """Return the ``sync`` object of a document."""
    sync: dict[str, Any] = json.loads(document.source)["sync"]
    return sync


def sync_in(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``sync`` of a stored document; an empty object if it is no object, because somebody else wrote it."""
    sync = document.get("sync")
    return sync if isinstance(sync, dict) else {}


def is_ours(sync: dict[str, Any]) -> bool:
    """Return whether ``sync`` has the form that our writer gives it. If not, the document is foreign."""
    numbers = [sync.get(name) for name in ("bucket", "hash_high", "hash_low")]
    return (
        known(sync.get("position"))
        and isinstance(sync.get("deleted"), bool)
        and isinstance(sync.get("written_at"), str)
        and all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    )
