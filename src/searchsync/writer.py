"""The only place that writes documents (docs/protocol.md, rules 1-3, 7 and 13)."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Protocol

import opensearchpy

from searchsync import indexes
from searchsync.deadline import within
from searchsync.entities import Entity
from searchsync.envelope import Line, Page, Rejection, create_body
from searchsync.errors import IndexUnavailable, LedgerMismatch, RequestRejected, SearchSyncError
from searchsync.opensearch import PATIENCE_SECONDS, Backoff, TooLarge, bulk, flood_stage

log = logging.getLogger(__name__)

IN_FLIGHT = 3
"""Bulk requests on their way at once; each holds one page in memory."""

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


class IndexGone(RequestRejected):
    """The index does not take writes: deleted (404) or blocked (403). Whether that matters, the write set says."""


@dataclass
class Ledger:
    """What became of each key read, for one index; counts of documents (rule 13).

    :ivar stale: something at least as new was there already: proven by the index, not assumed
    :ivar rejected: poison; each was handed to ``on_rejected`` with its reason
    """

    index: str
    read: int = 0
    written: int = 0
    stale: int = 0
    tombstoned: int = 0
    rejected: int = 0

    def __add__(self, other: "Ledger") -> "Ledger":
        counts = {name: getattr(self, name) + getattr(other, name) for name in asdict(self) if name != "index"}
        return Ledger(self.index, **counts)

    def balanced(self) -> "Ledger":
        """This ledger.

        :raises LedgerMismatch: unless ``read = written + stale + tombstoned + rejected``, exactly
        """
        if self.read != self.written + self.stale + self.tombstoned + self.rejected:
            raise LedgerMismatch(f"{self.index}: keys read and keys accounted for differ: {asdict(self)}")
        return self


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
    """
    ledgers: dict[str, Ledger] = {}
    members: list[str] = []
    for page in pages:
        handled: set[str] = set()
        avoided: set[str] = set()
        while True:
            members = indexes.write_set_or_raise(client, entity)
            serving = indexes.live(client, entity) if detour is not None else None
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


_SCRIPT = (
    "if (ctx.op != 'create') { def p = ctx._source.sync?.position;"
    " if (p != null && p.compareTo(params.d.sync.position) >= 0) { ctx.op = 'none'; return } }"
    " ctx._source = params.d"
)


class _Mode(Enum):
    CREATE = 1
    COMPARE_AND_SET = 2


class Outcome(Enum):
    """What became of one item of a bulk (rule 2)."""

    WRITTEN = 1
    STALE = 2
    CONFLICT = 3
    REJECTED = 4
    RETRY = 5


def _body(mode: _Mode, lines: list[Line]) -> bytes:
    if mode is _Mode.CREATE:
        return create_body(lines)
    return b"".join(
        b'{"update":{"_id":%b,"retry_on_conflict":3}}\n'
        b'{"scripted_upsert":true,"upsert":{},"script":{"lang":"painless","source":"%b","params":{"d":%b}}}\n'
        % (line.id, _SCRIPT.encode(), line.source)
        for line in lines
    )


# What a document itself is to blame for. Anything else with status 400 is a mistake of ours.
_POISON = {
    "mapper_parsing_exception",
    "strict_dynamic_mapping_exception",
    "document_parsing_exception",
    "illegal_argument_exception",
    "max_bytes_length_exceeded_exception",
}
# These come under the type of a poisonous document, and are not.
_OURS = ("failed to execute script", "no write index is defined")


def outcome_of(index: str, item: dict[str, Any]) -> Outcome:
    """Rule 2, for one item of a bulk answer.

    :raises RequestRejected: our own fault, or a full disk
    :raises IndexGone: 403 or 404 of the index
    """
    status = item["status"]
    error = item.get("error")
    if status in (200, 201) and error is None:
        return Outcome.STALE if item.get("result") == "noop" else Outcome.WRITTEN
    kind = str((error or {}).get("type", ""))
    reason = reason_of(item)
    if status == 409:
        return Outcome.CONFLICT
    if "refused_alone" in item or (status == 400 and kind in _POISON and not any(ours in reason for ours in _OURS)):
        return Outcome.REJECTED
    if status == 429 and kind == "cluster_block_exception":
        raise RequestRejected(f"{index}: {flood_stage(reason)}", status=status, error_type=kind)
    if status in (403, 404):
        raise IndexGone(f"{index} does not take writes: {kind}: {reason}", status=status, error_type=kind)
    if status == 429 or status >= 500:
        return Outcome.RETRY
    raise RequestRejected(f"{index}: unexpected answer {status} {kind}: {reason}", status=status, error_type=kind)


def reason_of(item: dict[str, Any]) -> str:
    """Why an item of a bulk failed, with the cause."""
    error = item.get("error") or {}
    cause = (error.get("caused_by") or {}).get("reason")
    return "; ".join(str(part) for part in dict.fromkeys((error.get("reason"), cause)) if part)


def _write(
    client: opensearchpy.OpenSearch, index: str, page: Page, mode: _Mode, on_rejected: OnRejected, patience: float
) -> Ledger:
    ledger = Ledger(index, read=page.count + len(page.rejected), rejected=len(page.rejected))
    for rejection in page.rejected:
        on_rejected(rejection)
    for outcome, line, item in _decide(client, index, page, mode, Backoff(patience)):
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


def _decide(
    client: opensearchpy.OpenSearch, index: str, page: Page, mode: _Mode, backoff: Backoff
) -> Iterator[tuple[Outcome, Line | None, dict[str, Any]]]:
    """The final outcome of each document of a page. A None line stands for a page that was written as a whole."""
    todo: list[tuple[_Mode, list[Line]]] = []
    if mode is _Mode.CREATE and page.count:
        # The usual case costs nothing per document: the source's bytes go out as they came.
        items = _send(client, index, page.body, page.count, backoff)
        if items is not None and all(item["status"] == 201 for item in items):
            yield Outcome.WRITTEN, None, {}
            return
        lines = list(page.lines())
        if items is None:
            todo = [(mode, half) for half in _halves(lines)]
        else:
            yield from _sort(index, mode, lines, items, todo, backoff)
    elif page.count:
        todo = [(mode, list(page.lines()))]
    while todo:
        mode, lines = todo.pop()
        items = _send(client, index, _body(mode, lines), len(lines), backoff)
        if items is None:
            todo += [(mode, half) for half in _halves(lines)]
        else:
            yield from _sort(index, mode, lines, items, todo, backoff)


def _sort(
    index: str,
    mode: _Mode,
    lines: list[Line],
    items: list[dict[str, Any]],
    todo: list[tuple[_Mode, list[Line]]],
    backoff: Backoff,
) -> Iterator[tuple[Outcome, Line, dict[str, Any]]]:
    conflicts: list[Line] = []
    again: list[Line] = []
    cause = ""
    for line, item in zip(lines, items, strict=True):
        outcome = outcome_of(index, item)
        if outcome is Outcome.CONFLICT:
            conflicts.append(line)
        elif outcome is Outcome.RETRY:
            again.append(line)
            cause = f"{index}: {item['status']} {reason_of(item)}"
        else:
            yield outcome, line, item
    if len(again) + len(conflicts) < len(lines):
        backoff.progress()
    if again:
        todo.append((mode, again))
        backoff.wait(f"{len(again)} of {len(lines)} documents: {cause}")
    if conflicts:
        if mode is _Mode.COMPARE_AND_SET:
            backoff.wait(f"{index}: {len(conflicts)} documents are being written by others at once")
        todo.append((_Mode.COMPARE_AND_SET, conflicts))


def _send(
    client: opensearchpy.OpenSearch, index: str, body: bytes, count: int, backoff: Backoff
) -> list[dict[str, Any]] | None:
    """The items of one bulk; None when the request as a whole is refused and has to be halved."""
    while True:
        try:
            return bulk(client, index, body, count)
        except IndexUnavailable as error:
            backoff.wait(f"{index}: {error}")
        except (TooLarge, RequestRejected) as error:
            if isinstance(error, RequestRejected) and error.status != 400:
                raise
            if count > 1:
                log.warning("%s: a bulk of %d documents was refused (%s); halving it", index, count, error)
                return None
            kind = error.error_type if isinstance(error, RequestRejected) else "content_too_long"
            return [{"status": 400, "refused_alone": True, "error": {"type": kind, "reason": str(error)}}]


def _halves(lines: list[Line]) -> list[list[Line]]:
    middle = len(lines) // 2
    return [half for half in (lines[middle:], lines[:middle]) if half]
