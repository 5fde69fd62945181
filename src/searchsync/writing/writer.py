"""The only place that writes documents (docs/protocol.md, rules 1-3, 7 and 13)."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.client import PATIENCE_SECONDS, Backoff
from searchsync.deadline import within
from searchsync.documents.page import Page
from searchsync.errors import IndexUnavailable, RequestRejected, SearchSyncError
from searchsync.writing import bulk
from searchsync.writing.bulk import Mode
from searchsync.writing.item_outcome import IndexGone
from searchsync.writing.ledger import Ledger, OnRejected

log = logging.getLogger(__name__)

IN_FLIGHT = 3
"""Number of bulk requests that are on their way at once; each holds one page in memory."""


UNWRITABLE_PATIENCE_SECONDS = 5.0
"""Seconds that one write into an index that is not live may take, first attempt included, when there is a bypass."""

OnProgress = Callable[["Ledger", Any], None]
"""Called with the ledger of all pages up to one page, and with the place where the source goes on after this page."""


class Bypass(Protocol):
    """A way around a member of the write set that takes no writes while the live index does."""

    def why_skip(self, index: str) -> SearchSyncError | None:
        """Return why this member is not even tried for the moment; None to try it."""

    def note(self, index: str, page: Page, error: SearchSyncError) -> None:
        """Note durably that this member missed a page: it is not served before it has got what it missed (rule 4)."""


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
    """Fill an index that is building (rule 7) by plain ``create``; send each 409 again by compare-and-set.

    The caller's thread reads pages while up to ``in_flight`` bulks are on their way.

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
                future = pool.submit(bulk.write, client, index, page, Mode.CREATE, on_rejected, patience)
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

    :raises IndexGone: when the index was deleted or does not take writes
    """
    return bulk.write(client, index, page, Mode.COMPARE_AND_SET, on_rejected, patience).balanced()


def apply(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    pages: Iterable[Page],
    *,
    on_rejected: OnRejected,
    bypass: Bypass | None = None,
    patience: float = PATIENCE_SECONDS,
) -> dict[str, Ledger]:
    """Write pages to every index of the write set, the live one first (rules 1-3).

    Each page is read before the write set is resolved. The write set is resolved again after the writes, until it has
    not grown. When this returns, the pages may be acknowledged.

    :param bypass: lets the others go on when a member that is not live takes no writes; without it such a member's
        error is raised
    :returns: a ledger for each index of the write set. The ledger of an index that joined during the call has only the
        pages since then; what came before is in the scan that follows its joining (rule 6)
    :raises EmptyWriteSet: when there is nothing to write to; the page must not be acknowledged
    :raises AliasConflict: when the index that is searched is not written; the page must not be acknowledged
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
                if bypass is not None and serving not in (None, index):
                    ledger = _write_or_bypass(client, entity, index, page, on_rejected, patience, bypass, avoided)
                else:
                    ledger = _write_member(client, entity, index, page, on_rejected, patience)
                if index not in avoided or index == serving:
                    handled.add(index)
                if ledger is not None:
                    ledgers[index] = ledgers.get(index, Ledger(index)) + ledger
    return {index: ledgers[index].balanced() for index in members if index in ledgers}


def _write_or_bypass(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    index: str,
    page: Page,
    on_rejected: OnRejected,
    patience: float,
    bypass: Bypass,
    avoided: set[str],
) -> Ledger | None:
    """Write one page into a member that is not live. Add the member to ``avoided`` when it did not take all of it."""
    error = bypass.why_skip(index)
    if error is None:
        seconds = min(patience, UNWRITABLE_PATIENCE_SECONDS)
        try:
            with within(seconds):
                return _write_member(client, entity, index, page, on_rejected, seconds)
        except (IndexUnavailable, RequestRejected) as refused:
            error = refused
    bypass.note(index, page, error)
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
    """Write one page into one member of the write set. Return None when it is no longer a member (rule 2)."""
    backoff = Backoff(patience)
    while True:
        try:
            return compare_and_set(client, index, page, on_rejected=on_rejected, patience=patience)
        except IndexGone as error:
            if index not in indexes.write_set(client, entity):
                return None
            backoff.wait(str(error))


# -- one page into one index
