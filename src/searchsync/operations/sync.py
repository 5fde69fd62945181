"""Incremental sync from PostgreSQL: write the rows that changed in an interval, and the deletions that a count shows.

Any two syncs may overlap, run at once, late or twice, and beside a reindex: positions keep the order. A comparison
finds the rows that are committed later than the overlap, or change without touching the column that says so.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from searchsync.cluster.index import Index
from searchsync.cluster.indexes import BuiltFrom, EntityIndexes, PhysicalIndex
from searchsync.compare import reconcile
from searchsync.compare.absence import Guard, believed
from searchsync.compare.reconcile import Reconciled
from searchsync.config import thresholds
from searchsync.documents.page import Page
from searchsync.errors import BadParams, GateFailed, IndexUnavailable, RequestRejected, SearchSyncError, SourceChanged
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Progress, Rejections

log = logging.getLogger(__name__)

BULK_BYTES = 2_000_000
"""Size in bytes of a page that is written by compare-and-set: each document is looked up before it is written."""


class Interval(NamedTuple):
    """Changes in ``[start, end)``; both have a time zone."""

    start: datetime
    end: datetime


@dataclass
class SyncReport:
    """What a sync did; counts of keys.

    :ivar changed: rows that changed in the interval
    :ivar deleted: documents without a row, which were deleted
    :ivar late: rows without a document, which the interval did not have
    :ivar behind: indexes that are not equal to the source, with the reasons
    :ivar since: begin of what was read, in ISO 8601, without the overlap
    """

    index: str
    since: str
    until: str
    changed: int = 0
    deleted: int = 0
    late: int = 0
    written: int = 0
    stale: int = 0
    rejected: int = 0
    behind: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report for XCom and for people."""
        found = asdict(self)
        return {"from": found.pop("since"), "to": found.pop("until"), **found}


def check(indexes: EntityIndexes) -> BuiltFrom:
    """Return the live index, and the source that it belongs to.

    :raises BadParams: when the entity has no column that says when a row changed
    :raises EmptyWriteSet: when nothing is live yet
    """
    entity = indexes.entity
    if entity.changed is None:
        raise BadParams(f"{entity.name} has no column that says when a row changed; it cannot be synced by intervals")
    return indexes.built_from(indexes.live_or_raise())


def run(
    indexes: EntityIndexes,
    source: PostgresSource,
    live: BuiltFrom,
    interval: Interval,
    *,
    rejections: Rejections,
    allow_deletes: int | None = None,
) -> SyncReport:
    """Write what changed in the interval, and what is deleted, to the whole write set, the live one first.

    It begins before the interval: by the overlap, and earlier when an index was last synced before: after a pause the
    first run brings all that was missed. An index that is not live and takes no writes holds up nothing: it gets no
    stamp, so the next run brings it the rest.

    :param source: a source that was made for ``live`` and refuses any other server
    :param allow_deletes: number of documents that may be taken for deleted, as a person confirmed it; None for what is
        believed unasked (``absence.believed``)
    :raises BadParams: when it is no interval
    :raises SourceChanged: when the source is another one, or was put back
    :raises TooManyGone: when the live index has too many documents without a row; then none was deleted and nothing is
        stamped
    """
    began, now = time.monotonic(), datetime.now(UTC)
    start, end = _checked(interval, now)
    kept = _kept_in_sync(indexes, source, live)
    start = min([start, *(index.synced for index in kept if index.synced < end)])
    overlap = timedelta(minutes=thresholds(source.entity).overlap_minutes)
    syncing = _Syncing(indexes, source, live, rejections, allow_deletes)
    changed = syncing.write(changed_pages(source, start - overlap, end))
    report = SyncReport(live.index, start.isoformat(), end.isoformat(), changed=changed.read, rejected=changed.rejected)
    report.written, report.stale = changed.written, changed.stale
    for index in kept:
        found = syncing.delete(index)
        if found is not None:
            report.deleted += found.tombstoned
            report.late += found.written
            report.rejected += len(found.rejected)
            index.stamp_synced(min(end, now))
    members = indexes.write_set()
    report.behind = {name: str(error) for name, error in syncing.bypass.failures.items() if name in members}
    report.seconds = round(time.monotonic() - began, 1)
    return report


def _checked(interval: Interval, now: datetime) -> Interval:
    """Return an interval in UTC: sums in a zone with summer time are of the wall clock.

    :raises BadParams: when it is no interval
    """
    start, end = (moment.astimezone(UTC) for moment in interval)
    if start >= end:
        raise BadParams(f"the interval ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    if start > now:
        raise BadParams(f"the interval begins in the future: {start.isoformat()}; nothing can have changed in it yet")
    return Interval(start, end)


def _kept_in_sync(indexes: EntityIndexes, source: PostgresSource, live: BuiltFrom) -> list[PhysicalIndex]:
    """Return the indexes that a sync keeps true, the live one first. A rollback candidate must be as fresh as that one.

    :raises SourceChanged: when the source was put back to a state before that of the live index
    """
    entity = source.entity
    members = indexes.targets_or_raise().members  # or a sync that has nothing to write would end well
    kept = [index for index in indexes.all() if index.name in members and index.role != "building"]
    if live.index not in {index.name for index in kept}:
        raise _retired(live)
    highest = indexes.index(live.index).highest_position()
    if highest and (reason := source.lost_history(highest)):
        raise SourceChanged(
            f"{entity.name}: {reason}. Nothing was written; if this is the right database, run {entity.name}_reindex "
            'with {"new_epoch": true}'
        )
    return sorted(kept, key=lambda index: index.name != live.index)


@dataclass
class _Bypass:
    """Lets the live index go on when another member takes no writes. The next sync brings that member what it lacks.

    :ivar failures: members that are not equal to the source, with the reasons
    """

    failures: dict[str, SearchSyncError] = field(default_factory=dict)

    def why_skip(self, name: str) -> SearchSyncError | None:
        return self.failures.get(name)

    def note(self, _: EntityIndexes, name: str, page: Page, error: SearchSyncError) -> None:
        del page  # the next sync reads it again
        if name not in self.failures:
            log.error("%s takes no writes: %s; the others go on", name, error)
            self.failures[name] = error


@dataclass
class _Syncing:
    """One sync: it writes rows, then deletes where the counts of an index and of the source differ."""

    indexes: EntityIndexes
    source: PostgresSource
    live: BuiltFrom
    rejections: Rejections
    allow_deletes: int | None
    live_documents: int = 0
    bypass: _Bypass = field(default_factory=_Bypass)

    def write(self, pages: Iterator[Page]) -> Ledger:
        """Write pages to the whole write set. Return the ledger of the live index."""
        live = self.live.index
        total, progress = Ledger(live), Progress(f"{self.source.entity.name} changed", 0)
        for page in pages:
            ledgers = writer.apply(self.indexes, [page], on_rejected=self.rejections.add, bypass=self.bypass)
            if live not in ledgers:
                raise _retired(self.live)
            total += ledgers[live]
            progress(total)
        progress(total, last=True)
        return total.balanced()

    def delete(self, index: Index) -> Reconciled | None:
        """Reconcile the keys of one index. Return None when it is not equal to the source: it left, or takes no writes.

        :raises SearchSyncError: when this is the live index
        """
        if index.name == self.live.index:
            found = self._reconcile(index)
            self.live_documents = index.count(self.source.entity.visible)
            return found
        if index.name in self.bypass.failures:
            return None
        try:
            return self._reconcile(index)
        except (RequestRejected, IndexUnavailable, GateFailed) as error:
            if index.name not in self.indexes.write_set():
                log.info("%s was retired meanwhile", index.name)
            else:
                log.error("%s is behind: %s; the others go on", index.name, error)
                self.bypass.failures[index.name] = error
            return None

    def _reconcile(self, index: Index) -> Reconciled:
        index.refresh()
        visible, counted = index.count(self.source.entity.visible), self.source.count()
        if counted == visible:
            return Reconciled()
        log.info("source %d, %s %d: looking for what was deleted", counted, index.name, visible)
        return reconcile.make_keys_equal(
            index,
            self.source,
            write=reconcile.to_all(self.indexes, index.name, self.bypass),
            guard=Guard(index.name, visible, self._allowed(index.name, visible), _CONFIRM),
            on_rejected=self.rejections.add,
        )

    def _allowed(self, name: str, visible: int) -> int:
        # What the live index has not either is gone: somebody let it be live so.
        known_gone = 0 if name == self.live.index else max(0, visible - self.live_documents)
        asked = self.allow_deletes
        if asked is None:
            asked = believed(self.source.entity, visible - known_gone)
        return asked + known_gone


_CONFIRM = 'run the sync with {{"allow_deletes": {gone}}}'


def changed_pages(source: PostgresSource, start: datetime, end: datetime) -> Iterator[Page]:
    """Yield the rows whose column says that they changed in ``[start, end)``, in the order of this column."""
    entity = source.entity
    lower, upper = ((moment.isoformat(),) for moment in (start, end))
    by_change = source.of(replace(entity, key=(str(entity.changed), *entity.key)))
    try:
        yield from by_change.pages(Partition(lower, upper), page_bytes=BULK_BYTES)
    finally:
        by_change.close()


def _retired(live: BuiltFrom) -> IndexUnavailable:
    return IndexUnavailable(f"{live.index} was retired meanwhile; run the sync again")
