"""Write one page into one index: bulk requests, the outcome of each item, what is sent again (rules 1 and 2)."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from searchsync.cluster.client import Backoff, Overloaded, TooLarge
from searchsync.cluster.index import Index
from searchsync.cluster.refusals import POISON
from searchsync.documents.page import Document, Page, Rejection, create_body
from searchsync.documents.position import covers
from searchsync.errors import IndexUnavailable, RequestRejected
from searchsync.telemetry import fields
from searchsync.writing.item_outcome import Outcome, absent, outcome_of, reason_of
from searchsync.writing.ledger import Ledger, OnRejected

log = logging.getLogger(__name__)

MAX_BYTES = 10_000_000
"""Largest body of one bulk, in bytes: small managed nodes refuse more than 10 MiB."""


MAX_DOCUMENTS = 5_000
"""Number of documents that are looked up at once, at most, before they are written."""


CONFLICTS_AT_ONCE = 3
"""How often a document that others are changing is looked at again without a pause."""


class Mode(Enum):
    """How documents are written: into an index that is being built, or over what may be there (rules 1 and 7)."""

    CREATE = 1
    COMPARE_AND_SET = 2


class _Chunk(NamedTuple):
    """Documents that one request writes.

    :ivar conflicts: how often in a row somebody else changed them between the look-up and the write
    """

    mode: Mode
    documents: list[Document]
    conflicts: int = 0


def write(index: Index, page: Page, mode: Mode, *, on_rejected: OnRejected, patience: float) -> Ledger:
    """Write a page to an index, and account for each document of the page.

    :param patience: seconds without success after which an index that is away counts as unavailable
    :raises IndexUnavailable: when patience has run out; some documents may be written
    :raises IndexGone: when the index was deleted or does not take writes
    """
    refused = len(page.rejected)
    ledger = Ledger(index.name, read=page.count + refused, rejected=refused, dropped=dict(page.dropped))
    for rejection in page.rejected:
        on_rejected(rejection)
    with fields.within(index=index.name):
        for outcome, document, item in _Writing(index, patience).decide(page, mode):
            if document is None:
                ledger.written += page.count
            elif outcome is Outcome.STALE:
                ledger.stale += 1
            elif outcome is Outcome.WRITTEN:
                ledger.tombstoned += document.deleted
                ledger.written += not document.deleted
            else:
                ledger.rejected += 1
                error = item.get("error") or {}
                on_rejected(Rejection(json.loads(document.id), str(error.get("type")), reason_of(item), index.name))
    return ledger


_Decided = Iterator[tuple[Outcome, Document, dict[str, Any]]]


class _Writing:
    """One page on its way into one index."""

    def __init__(self, index: Index, patience: float) -> None:
        self._client = index.client
        self._index = index.name
        self._backoff = Backoff(patience, deadline=index.client.deadline)
        self._todo: list[_Chunk] = []

    def decide(self, page: Page, mode: Mode) -> Iterator[tuple[Outcome, Document | None, dict[str, Any]]]:
        """Yield the final outcome of each document; None in place of the document stands for the whole page."""
        if mode is Mode.CREATE and 0 < len(body := page.body) <= MAX_BYTES:
            # The usual case costs nothing per document: the page goes out as it came.
            items = self._bulk(body, page.count)
            if items is not None and all(item["status"] == 201 for item in items):
                yield Outcome.WRITTEN, None, {}
                return
            yield from self._decided(_Chunk(mode, list(page.documents())), items)
        else:
            self._todo = [_Chunk(mode, documents) for documents in _bounded(page.documents())][::-1]
        while self._todo:
            chunk = self._todo.pop()
            if chunk.mode is Mode.CREATE:
                yield from self._decided(chunk, self._bulk(create_body(chunk.documents), len(chunk.documents)))
            else:
                yield from self._compare_and_set(chunk)

    def _compare_and_set(self, chunk: _Chunk) -> _Decided:
        """Look at what is stored; write a later document if what was seen is still there (rule 1)."""
        items = self._ask(
            lambda: self._client.look_up(self._index, [document.id for document in chunk.documents]),
            len(chunk.documents),
        )
        if items is None:
            self._halve(chunk)
            return
        later: list[tuple[Document, bytes]] = []
        again: list[Document] = []
        cause = ""
        for document, item in zip(chunk.documents, items, strict=True):
            if absent(item):
                later.append((document, create_body([document])))
            elif "get" not in item:
                if outcome_of(self._index, item) is Outcome.REJECTED:
                    yield Outcome.REJECTED, document, item
                else:
                    again.append(document)
                    cause = f"{item['status']} {reason_of(item)}"
            elif _stale(document, item["get"]):
                yield Outcome.STALE, document, item
            else:
                later.append((document, _replacing(document, item["get"])))
        if len(later) + len(again) < len(items):
            self._backoff.progress()
        if later:
            body = b"".join(operation for _, operation in later)
            yield from self._decided(
                chunk._replace(documents=[document for document, _ in later]), self._bulk(body, len(later))
            )
        self._again(chunk, again, cause)

    def _decided(self, chunk: _Chunk, items: list[dict[str, Any]] | None) -> _Decided:
        """Yield what a bulk has decided. Put the rest of the chunk back."""
        if items is None:
            self._halve(chunk)
            return
        conflicts: list[Document] = []
        again: list[Document] = []
        cause = ""
        for document, item in zip(chunk.documents, items, strict=True):
            outcome = outcome_of(self._index, item)
            if outcome is Outcome.CONFLICT:
                conflicts.append(document)
            elif outcome is Outcome.RETRY:
                again.append(document)
                cause = f"{item['status']} {reason_of(item)}"
            else:
                yield outcome, document, item
        if len(again) + len(conflicts) < len(chunk.documents):
            self._backoff.progress()
        self._again(chunk, again, cause)
        if conflicts:
            met = chunk.conflicts + (chunk.mode is Mode.COMPARE_AND_SET)
            if met > CONFLICTS_AT_ONCE:
                self._backoff.wait(f"{self._index}: {len(conflicts)} documents are being written by others at once")
            self._todo += [_Chunk(Mode.COMPARE_AND_SET, documents, met) for documents in _bounded(conflicts)]

    def _again(self, chunk: _Chunk, documents: list[Document], cause: str) -> None:
        """Put documents back about which nothing is decided, and wait."""
        if documents:
            self._todo.append(chunk._replace(documents=documents))
            self._backoff.wait(f"{len(documents)} of {len(chunk.documents)} documents: {self._index}: {cause}")

    def _bulk(self, body: bytes, count: int) -> list[dict[str, Any]] | None:
        return self._ask(lambda: self._client.send_bulk(self._index, body, count), count)

    def _ask(self, ask: Callable[[], list[dict[str, Any]]], count: int) -> list[dict[str, Any]] | None:
        """Return the answer's items, one for each document; None when the request must be sent again in halves."""
        while True:
            try:
                return ask()
            except IndexUnavailable as error:
                self._backoff.wait(f"{self._index}: {error}")
                if isinstance(error, Overloaded) and count > 1:
                    return None
            except (TooLarge, RequestRejected) as error:
                if isinstance(error, RequestRejected) and error.status != 400 and error.error_type not in POISON:
                    raise
                if count > 1:
                    log.warning("%s: %d documents at once were refused (%s); halving", self._index, count, error)
                    return None
                kind = error.error_type if isinstance(error, RequestRejected) else "content_too_long"
                return [{"status": 400, "refused_alone": True, "error": {"type": kind, "reason": str(error)}}]

    def _halve(self, chunk: _Chunk) -> None:
        middle = len(chunk.documents) // 2
        self._todo += [chunk._replace(documents=half) for half in (chunk.documents[middle:], chunk.documents[:middle])]


def _bounded(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield the documents in portions that one request may have."""
    chunk: list[Document] = []
    size = 0
    for document in documents:
        more = len(document.id) + len(document.source) + 100  # the action with its condition
        if chunk and (size + more > MAX_BYTES or len(chunk) == MAX_DOCUMENTS):
            yield chunk
            chunk, size = [], 0
        chunk.append(document)
        size += more
    if chunk:
        yield chunk


def _stale(document: Document, stored: dict[str, Any]) -> bool:
    """Return whether what is stored is at least as new (rule 1). A foreign document, of whatever shape, is not."""
    sync = stored.get("_source", {}).get("sync")
    return covers(sync.get("position") if isinstance(sync, dict) else None, document.position)


def _replacing(document: Document, stored: dict[str, Any]) -> bytes:
    """Return the action that writes the source's own bytes, on the condition that what was seen is still there."""
    seen = (document.id, stored["_seq_no"], stored["_primary_term"])
    return b'{"index":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n%b\n' % (*seen, document.source)
