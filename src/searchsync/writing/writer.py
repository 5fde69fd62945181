"""The only place that writes documents (docs/protocol.md, rules 1-3, 7 and 13)."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.client import PATIENCE_SECONDS, Backoff, Overloaded, TooLarge, bulk, look_up
from searchsync.cluster.refusals import POISON
from searchsync.deadline import within
from searchsync.documents.page import Line, Page, Rejection, create_body
from searchsync.documents.position import covers
from searchsync.errors import IndexUnavailable, LedgerMismatch, RequestRejected, SearchSyncError
from searchsync.mapping import fitting
from searchsync.writing.item_outcome import IndexGone, Outcome, absent, outcome_of, reason_of

log = logging.getLogger(__name__)

IN_FLIGHT = 3
"""Bulk requests on their way at once; each holds one page in memory."""

MAX_BYTES = 10_000_000
"""Largest body of one bulk: small managed nodes refuse more than 10 MiB."""

MAX_DOCUMENTS = 5_000
"""Documents that are looked up at once before they are written."""

CONFLICTS_AT_ONCE = 3
"""How often a document that others are changing is looked at again without a pause."""

SICK_PATIENCE_SECONDS = 5.0
"""How long one write may take, first attempt included, into an index that is not live, where there is a detour around
it."""

OnRejected = Callable[[Rejection], None]

OnProgress = Callable[["Ledger", Any], None]
"""Called with what became of all pages up to one, and where the source goes on after it."""


class Detour(Protocol):
    """Around a member of the write set that takes no writes while the live index does."""

    def known(self, index: str) -> SearchSyncError | None:
        """Why this member is not even tried for the moment; None to try it."""

    def take(self, index: str, page: Page, error: SearchSyncError) -> None:
        """Keep it known that this member missed a page: it is not served before that is healed (rule 4)."""


@dataclass
class Ledger:
    """What became of each key read, for one index; counts of documents (rule 13).

    :ivar stale: something at least as new was there already: proven by the index, not assumed
    :ivar rejected: poison; each was handed to ``on_rejected`` with its reason
    :ivar dropped: values left out of what was read, by path
    """

    index: str
    read: int = 0
    written: int = 0
    stale: int = 0
    tombstoned: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Ledger") -> "Ledger":
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Ledger(self.index, **counts, dropped=fitting.total(self.dropped, other.dropped))

    def balanced(self) -> "Ledger":
        """This ledger.

        :raises LedgerMismatch: unless ``read = written + stale + tombstoned + rejected``, exactly
        """
        if self.read != self.written + self.stale + self.tombstoned + self.rejected:
            raise LedgerMismatch(f"{self.index}: keys read and keys accounted for differ: {asdict(self)}")
        return self


COUNTS = ("read", "written", "stale", "tombstoned", "rejected")
"""The numbers of a ledger."""


def load(
    client: opensearchpy.OpenSearch,
    index: str,
    pages: Iterable[Page],
    *,
    on_rejected: OnRejected,
    on_progress: OnProgress | None = None,
    in_flight: int = IN_FLIGHT,
    patience: float = PATIENCE_SECONDS,
) -> Ledger:
    """Fill an index that is being built (rule 7): plain ``create``; each 409 is sent again by compare-and-set.

    Pages are read by the caller's thread while up to ``in_flight`` bulks are on their way.

    :param on_rejected: called from several threads at once
    :param on_progress: called in the order of the pages, so that a load can be resumed after the last one
    """
    total = Ledger(index)
    pending: deque[tuple[Future[Ledger], Any]] = deque()  # in the order of the pages

    def collect() -> None:
        nonlocal total
        while pending and pending[0][0].done():
            future, resume = pending.popleft()
            total += future.result()
            if on_progress is not None:
                on_progress(total, resume)

    with ThreadPoolExecutor(in_flight, thread_name_prefix="bulk") as pool:
        running: set[Future[Ledger]] = set()
        try:
            for page in pages:
                if len(running) >= in_flight:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for failed in done:
                        failed.result()  # at once, whatever is before it in the order of the pages
                    collect()
                future = pool.submit(_write, client, index, page, _Mode.CREATE, on_rejected, patience)
                running.add(future)
                pending.append((future, page.resume))
                del page  # the reader renders the next one meanwhile: do not hold two
            wait(running)
            collect()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total.balanced()


def compare_and_set(
    client: opensearchpy.OpenSearch,
    index: str,
    page: Page,
    *,
    on_rejected: OnRejected,
    patience: float = PATIENCE_SECONDS,
) -> Ledger:
    """Write a page to one index by rule 1: a document is replaced only by one of a later position.

    :raises IndexGone: the index was deleted or does not take writes
    """
    return _write(client, index, page, _Mode.COMPARE_AND_SET, on_rejected, patience).balanced()


def apply(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    pages: Iterable[Page],
    *,
    on_rejected: OnRejected,
    detour: Detour | None = None,
    patience: float = PATIENCE_SECONDS,
) -> dict[str, Ledger]:
    """Write pages to every index of the write set, the live one first (rules 1-3).

    Each page was read before the write set is resolved; it is resolved again after the writes, until it has not grown.
    When this returns, the pages may be acknowledged.

    :param detour: so that a member that is not live holds up nothing; without it such a member's error is raised
    :returns: a ledger per index of the write set; one that joined during the call has only the pages since then (what
        came before is in the scan that follows its joining, rule 6)
    :raises EmptyWriteSet: there is nothing to write to; the page must not be acknowledged
    :raises AliasConflict: what is searched is not among what is written; the page must not be acknowledged
    """
    ledgers: dict[str, Ledger] = {}
    members: list[str] = []
    for page in pages:
        handled: set[str] = set()
        avoided: set[str] = set()
        while True:
            targets = indexes.targets_or_raise(client, entity)
            members, serving = targets.members, targets.live
            # One that was avoided and became live meanwhile is written after all: nobody looks for its gaps any more.
            todo = [index for index in members if index not in handled and (index not in avoided or index == serving)]
            if not todo:
                break
            for index in todo:
                if detour is not None and serving not in (None, index):
                    ledger = _write_or_detour(client, entity, index, page, on_rejected, patience, detour, avoided)
                else:
                    ledger = _write_member(client, entity, index, page, on_rejected, patience)
                if index not in avoided or index == serving:
                    handled.add(index)
                if ledger is not None:
                    ledgers[index] = ledgers.get(index, Ledger(index)) + ledger
    return {index: ledgers[index].balanced() for index in members if index in ledgers}


def _write_or_detour(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    index: str,
    page: Page,
    on_rejected: OnRejected,
    patience: float,
    detour: Detour,
    avoided: set[str],
) -> Ledger | None:
    """One page into a member that is not live; it is added to ``avoided`` when it took none of it, or not all."""
    error = detour.known(index)
    if error is None:
        seconds = min(patience, SICK_PATIENCE_SECONDS)
        try:
            with within(seconds):
                return _write_member(client, entity, index, page, on_rejected, seconds)
        except (IndexUnavailable, RequestRejected) as refused:
            error = refused
    detour.take(index, page, error)
    avoided.add(index)
    return None


def _write_member(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    index: str,
    page: Page,
    on_rejected: OnRejected,
    patience: float,
) -> Ledger | None:
    """One page into one member of the write set; None when it is a member no more (rule 2)."""
    backoff = Backoff(patience)
    while True:
        try:
            return compare_and_set(client, index, page, on_rejected=on_rejected, patience=patience)
        except IndexGone as error:
            if index not in indexes.write_set(client, entity):
                return None
            backoff.wait(str(error))


# -- one page into one index


class _Mode(Enum):
    CREATE = 1
    COMPARE_AND_SET = 2


class _Chunk(NamedTuple):
    """Documents that one request writes.

    :ivar conflicts: how often in a row somebody else changed them between the look at what is stored and the write
    """

    mode: _Mode
    lines: list[Line]
    conflicts: int = 0


def _write(
    client: opensearchpy.OpenSearch, index: str, page: Page, mode: _Mode, on_rejected: OnRejected, patience: float
) -> Ledger:
    refused = len(page.rejected)
    ledger = Ledger(index, read=page.count + refused, rejected=refused, dropped=dict(page.dropped))
    for rejection in page.rejected:
        on_rejected(rejection)
    for outcome, line, item in _Writing(client, index, Backoff(patience)).decide(page, mode):
        if line is None:
            ledger.written += page.count
        elif outcome is Outcome.STALE:
            ledger.stale += 1
        elif outcome is Outcome.WRITTEN:
            ledger.tombstoned += line.deleted
            ledger.written += not line.deleted
        else:
            ledger.rejected += 1
            error = item.get("error") or {}
            on_rejected(Rejection(json.loads(line.id), str(error.get("type")), reason_of(item), index))
    return ledger


_Decided = Iterator[tuple[Outcome, Line, dict[str, Any]]]


class _Writing:
    """One page on its way into one index."""

    def __init__(self, client: opensearchpy.OpenSearch, index: str, backoff: Backoff) -> None:
        self._client = client
        self._index = index
        self._backoff = backoff
        self._todo: list[_Chunk] = []

    def decide(self, page: Page, mode: _Mode) -> Iterator[tuple[Outcome, Line | None, dict[str, Any]]]:
        """The final outcome of each document. A None line stands for a page that was written as a whole."""
        if mode is _Mode.CREATE and 0 < len(page.body) <= MAX_BYTES:
            # The usual case costs nothing per document: the page goes out as it came.
            items = self._bulk(page.body, page.count)
            if items is not None and all(item["status"] == 201 for item in items):
                yield Outcome.WRITTEN, None, {}
                return
            yield from self._decided(_Chunk(mode, list(page.lines())), items)
        else:
            self._todo = [_Chunk(mode, lines) for lines in _bounded(page.lines())][::-1]
        while self._todo:
            chunk = self._todo.pop()
            if chunk.mode is _Mode.CREATE:
                yield from self._decided(chunk, self._bulk(create_body(chunk.lines), len(chunk.lines)))
            else:
                yield from self._compare_and_set(chunk)

    def _compare_and_set(self, chunk: _Chunk) -> _Decided:
        """Rule 1: look at what is stored; write what is later, where what was seen is there still."""
        items = self._ask(
            lambda: look_up(self._client, self._index, [line.id for line in chunk.lines]), len(chunk.lines)
        )
        if items is None:
            self._halve(chunk)
            return
        later: list[tuple[Line, bytes]] = []
        again: list[Line] = []
        cause = ""
        for line, item in zip(chunk.lines, items, strict=True):
            if absent(item):
                later.append((line, create_body([line])))
            elif "get" not in item:
                if outcome_of(self._index, item) is Outcome.REJECTED:
                    yield Outcome.REJECTED, line, item
                else:
                    again.append(line)
                    cause = f"{item['status']} {reason_of(item)}"
            elif _stale(line, item["get"]):
                yield Outcome.STALE, line, item
            else:
                later.append((line, _replacing(line, item["get"])))
        if len(later) + len(again) < len(items):
            self._backoff.progress()
        if later:
            body = b"".join(operation for _, operation in later)
            yield from self._decided(chunk._replace(lines=[line for line, _ in later]), self._bulk(body, len(later)))
        self._again(chunk, again, cause)

    def _decided(self, chunk: _Chunk, items: list[dict[str, Any]] | None) -> _Decided:
        """What a bulk has decided; the rest of the chunk is put back."""
        if items is None:
            self._halve(chunk)
            return
        conflicts: list[Line] = []
        again: list[Line] = []
        cause = ""
        for line, item in zip(chunk.lines, items, strict=True):
            outcome = outcome_of(self._index, item)
            if outcome is Outcome.CONFLICT:
                conflicts.append(line)
            elif outcome is Outcome.RETRY:
                again.append(line)
                cause = f"{item['status']} {reason_of(item)}"
            else:
                yield outcome, line, item
        if len(again) + len(conflicts) < len(chunk.lines):
            self._backoff.progress()
        self._again(chunk, again, cause)
        if conflicts:
            met = chunk.conflicts + (chunk.mode is _Mode.COMPARE_AND_SET)
            if met > CONFLICTS_AT_ONCE:
                self._backoff.wait(f"{self._index}: {len(conflicts)} documents are being written by others at once")
            self._todo += [_Chunk(_Mode.COMPARE_AND_SET, lines, met) for lines in _bounded(conflicts)]

    def _again(self, chunk: _Chunk, lines: list[Line], cause: str) -> None:
        """Put documents back that nothing is decided about, and wait."""
        if lines:
            self._todo.append(chunk._replace(lines=lines))
            self._backoff.wait(f"{len(lines)} of {len(chunk.lines)} documents: {self._index}: {cause}")

    def _bulk(self, body: bytes, count: int) -> list[dict[str, Any]] | None:
        return self._ask(lambda: bulk(self._client, self._index, body, count), count)

    def _ask(self, ask: Callable[[], list[dict[str, Any]]], count: int) -> list[dict[str, Any]] | None:
        """The answer's items, one for each document; None when the request as a whole has to be halved."""
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
        middle = len(chunk.lines) // 2
        self._todo += [chunk._replace(lines=half) for half in (chunk.lines[middle:], chunk.lines[:middle])]


def _bounded(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Documents in the amounts that one request may have."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        more = len(line.id) + len(line.source) + 100  # the action with its condition
        if chunk and (size + more > MAX_BYTES or len(chunk) == MAX_DOCUMENTS):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += more
    if chunk:
        yield chunk


def _stale(line: Line, stored: dict[str, Any]) -> bool:
    """Rule 1: whether what is stored is at least as new. A foreign document, of whatever shape, is not."""
    sync = stored.get("_source", {}).get("sync")
    return covers(sync.get("position") if isinstance(sync, dict) else None, line.position)


def _replacing(line: Line, stored: dict[str, Any]) -> bytes:
    """The source's own bytes, on the condition that what was seen is there still."""
    seen = (line.id, stored["_seq_no"], stored["_primary_term"])
    return b'{"index":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n%b\n' % (*seen, line.source)
