"""The only place that writes documents (docs/protocol.md, rules 1-3, 7 and 13)."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from searchsync.cluster.client import PATIENCE_SECONDS, Backoff
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
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

    def why_skip(self, name: str) -> SearchSyncError | None:
        """Return why this member is not even tried for the moment; None to try it."""

    def note(self, indexes: EntityIndexes, name: str, page: Page, error: SearchSyncError) -> None:
        """Note durably that this member missed a page: it is not live before it has got what it missed (rule 4)."""


def load(
    index: Index,
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
    total = Ledger(index.name)
    pending: deque[tuple[Future[Ledger], Any]] = deque()  # in the order of the pages

    def collect() -> None:
        nonlocal total
        while pending and pending[0][0].done():
            future, resume = pending.popleft()
            total += future.result()
            if on_progress is not None:
                on_progress(total, resume)

    write = partial(bulk.write, mode=Mode.CREATE, on_rejected=on_rejected, patience=patience)
    with ThreadPoolExecutor(in_flight, thread_name_prefix="bulk") as pool:
        running: set[Future[Ledger]] = set()
        try:
            for page in pages:
                if len(running) >= in_flight:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for failed in done:
                        failed.result()  # at once, whatever is before it in the order of the pages
                    collect()
                future = pool.submit(copy_context().run, write, index, page)  # its log and trace are this thread's
                running.add(future)
                pending.append((future, page.resume))
                del page  # the reader renders the next one meanwhile: do not hold two
            wait(running)
            collect()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total.balanced()


def compare_and_set(index: Index, page: Page, *, on_rejected: OnRejected, patience: float = PATIENCE_SECONDS) -> Ledger:
    """Write a page to one index by rule 1: a document is replaced only by one of a later position.

    :raises IndexGone: when the index was deleted or does not take writes
    """
    return bulk.write(index, page, Mode.COMPARE_AND_SET, on_rejected=on_rejected, patience=patience).balanced()


def apply(
    indexes: EntityIndexes,
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
        writing = _Writing(indexes, page, on_rejected, bypass, patience)
        members = writing.all()
        for name, ledger in writing.ledgers.items():
            ledgers[name] = ledgers.get(name, Ledger(name)) + ledger
    return {name: ledgers[name].balanced() for name in members if name in ledgers}


@dataclass
class _Writing:
    """One page on its way into the write set.

    :ivar handled: members that have the page, or left the write set
    :ivar avoided: members that are not live and did not take all of the page
    """

    indexes: EntityIndexes
    page: Page
    on_rejected: OnRejected
    bypass: Bypass | None
    patience: float
    handled: set[str] = field(default_factory=set)
    avoided: set[str] = field(default_factory=set)
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    def all(self) -> list[str]:
        """Write the page to every member, until the write set has not grown. Return the members."""
        while True:
            targets = self.indexes.targets_or_raise()
            members, live = targets.members, targets.live
            # One that was avoided and became live meanwhile is written after all: nobody looks for its gaps any more.
            done = self.handled | (self.avoided - {live})
            todo = [name for name in members if name not in done]
            if not todo:
                return members
            for name in todo:
                if self.bypass is not None and live not in (None, name):
                    ledger = self._write_or_bypass(name, self.bypass)
                else:
                    ledger = self._write(self.indexes, name, self.patience)
                if name not in self.avoided or name == live:
                    self.handled.add(name)
                if ledger is not None:
                    self.ledgers[name] = self.ledgers.get(name, Ledger(name)) + ledger

    def _write_or_bypass(self, name: str, bypass: Bypass) -> Ledger | None:
        """Write the page to a member that is not live. Avoid the member when it does not take all of it in time."""
        error = bypass.why_skip(name)
        if error is None:
            seconds = min(self.patience, UNWRITABLE_PATIENCE_SECONDS)
            try:
                return self._write(self.indexes.until(Deadline.within(seconds)), name, seconds)
            except (IndexUnavailable, RequestRejected) as refused:
                error = refused
        bypass.note(self.indexes, name, self.page, error)
        self.avoided.add(name)
        return None

    def _write(self, indexes: EntityIndexes, name: str, patience: float) -> Ledger | None:
        """Write the page to one member. Return None when it is a member no longer (rule 2)."""
        backoff = Backoff(patience, deadline=indexes.client.deadline)
        index = indexes.index(name)
        while True:
            try:
                return compare_and_set(index, self.page, on_rejected=self.on_rejected, patience=patience)
            except IndexGone as error:
                if name not in indexes.write_set():
                    return None
                backoff.wait(str(error))
