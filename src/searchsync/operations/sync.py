"""Incremental sync from PostgreSQL: write the rows that changed in an interval, and the deletions that a count shows.

Any two syncs may overlap, run at once, late or twice, and beside a reindex: positions keep the order. A comparison
finds the rows that are committed later than the overlap, or change without touching the column that says so.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes, reads
from searchsync.cluster.indexes import Index, Served
from searchsync.compare import reconcile
from searchsync.compare.absence import Guard, believed
from searchsync.compare.reconcile import Reconciled
from searchsync.config import thresholds
from searchsync.documents.page import Page
from searchsync.errors import BadParams, GateFailed, IndexUnavailable, RequestRejected, SearchSyncError, SourceChanged
from searchsync.sources.postgres import Partition, PostgresSource
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Progress, Rejections

log = logging.getLogger(__name__)

BULK_BYTES = 2_000_000
"""Size in bytes of a page that is written by compare-and-set: each document is looked up before it is written."""


def check(client: opensearchpy.OpenSearch, entity: Entity) -> Served:
    """Return the live index, and the source that it belongs to.

    :raises BadParams: when the entity has no column that says when a row changed
    :raises EmptyWriteSet: when nothing is live yet
    """
    if entity.changed is None:
        raise BadParams(f"{entity.name} has no column that says when a row changed; it cannot be synced by intervals")
    return indexes.served(client, entity, indexes.live_or_raise(client, entity))


def run(
    client: opensearchpy.OpenSearch,
    source: PostgresSource,
    served: Served,
    start: datetime,
    end: datetime,
    *,
    rejections: Rejections,
    allow_deletes: int | None = None,
) -> dict[str, Any]:
    """Write what changed in ``[start - overlap, end)`` and what is deleted to the whole write set, the live one first.

    It begins earlier when an index was last synced before the interval: after a pause the first run brings all that was
    missed. An index that is not live and takes no writes holds up nothing: it gets no stamp, so the next run brings it
    the rest.

    :param source: a source that was made for ``served`` and refuses any other server
    :param start: with a time zone, like ``end``
    :param allow_deletes: number of documents that may be taken for deleted, as a person confirmed it; None for what is
        believed unasked (``absence.believed``)
    :returns: the result: numbers of keys changed, deleted, written, stale, rejected; and ``behind``, the indexes that
        are not equal to the source, with the reasons
    :raises BadParams: when start and end are no interval
    :raises SourceChanged: when the source is another one, or was put back
    :raises TooManyGone: when the live index has too many documents without a row; then none was deleted and nothing is
        stamped
    """
    began, entity, now = time.monotonic(), source.entity, datetime.now(UTC)
    start, end = start.astimezone(UTC), end.astimezone(UTC)  # sums in a zone with summer time are of the wall clock
    if start >= end:
        raise BadParams(f"the interval ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    if start > now:
        raise BadParams(f"the interval begins in the future: {start.isoformat()}; nothing can have changed in it yet")
    fed = _fed(client, source, served)
    start = min([start, *(index.synced for index in fed if index.synced < end)])
    overlap = timedelta(minutes=thresholds().overlap_minutes)
    bypass = _Bypass()
    pages = changed_pages(source, start - overlap, end)
    changed = _write_changed(client, source, served, pages, rejections, bypass)
    result = {"changed": changed.read, "deleted": 0, "late": 0, "rejected": changed.rejected}
    result |= {"written": changed.written, "stale": changed.stale}
    deletions = _Deletions(client, source, served, rejections, bypass, allow_deletes)
    for index in fed:
        found = deletions.reconcile(index)
        if found is not None:
            result["deleted"] += found.tombstoned
            result["late"] += found.written
            result["rejected"] += len(found.rejected)
            indexes.stamp_synced(client, index, min(end, now))
    members = indexes.write_set(client, entity)
    return result | {
        "behind": {name: str(error) for name, error in bypass.failures.items() if name in members},
        "from": start.isoformat(),
        "to": end.isoformat(),
        "index": served.index,
        "seconds": round(time.monotonic() - began, 1),
    }


def _fed(client: opensearchpy.OpenSearch, source: PostgresSource, served: Served) -> list[Index]:
    """Return the indexes that a sync keeps true, the live one first. A rollback candidate must be as fresh as that one.

    :raises SourceChanged: when the source was put back to a state before that of the live index
    """
    entity = source.entity
    members = indexes.targets_or_raise(client, entity).members  # or a sync that has nothing to write would end well
    fed = [index for index in indexes.of_entity(client, entity) if index.name in members and index.role != "building"]
    if served.index not in {index.name for index in fed}:
        raise _retired(served)
    highest = indexes.highest_position(client, served.index)
    if highest and (reason := source.lost_history(highest)):
        raise SourceChanged(
            f"{entity.name}: {reason}. Nothing was written; if this is the right database, run {entity.name}_reindex "
            'with {"new_epoch": true}'
        )
    return sorted(fed, key=lambda index: index.name != served.index)


@dataclass
class _Bypass:
    """Lets the live index go on when another member takes no writes. The next sync brings that member what it lacks.

    :ivar failures: members that are not equal to the source, with the reasons
    """

    failures: dict[str, SearchSyncError] = field(default_factory=dict)

    def why_skip(self, index: str) -> SearchSyncError | None:
        return self.failures.get(index)

    def note(self, index: str, _: Page, error: SearchSyncError) -> None:
        if index not in self.failures:
            log.error("%s takes no writes: %s; the others go on", index, error)
            self.failures[index] = error


@dataclass
class _Deletions:
    """Reconciles the keys that indexes have and the source does not have, where their counts differ."""

    client: opensearchpy.OpenSearch
    source: PostgresSource
    served: Served
    rejections: Rejections
    bypass: _Bypass
    allow_deletes: int | None
    live_documents: int = 0

    def reconcile(self, index: Index) -> Reconciled | None:
        """Reconcile one index. Return None when it is not equal to the source, because it left or takes no writes.

        :raises SearchSyncError: when this is the live index
        """
        if index.name == self.served.index:
            found = self._reconcile(index.name)
            self.live_documents = reads.count(self.client, index.name, self.source.entity.visible)
            return found
        if index.name in self.bypass.failures:
            return None
        try:
            return self._reconcile(index.name)
        except (RequestRejected, IndexUnavailable, GateFailed) as error:
            if index.name not in indexes.write_set(self.client, self.source.entity):
                log.info("%s was retired meanwhile", index.name)
            else:
                log.error("%s is behind: %s; the others go on", index.name, error)
                self.bypass.failures[index.name] = error
            return None

    def _reconcile(self, name: str) -> Reconciled:
        entity = self.source.entity
        indexes.refresh(self.client, name)
        visible, counted = reads.count(self.client, name, entity.visible), self.source.count()
        if counted == visible:
            return Reconciled()
        log.info("source %d, %s %d: looking for what was deleted", counted, name, visible)
        return reconcile.make_keys_equal(
            self.client,
            self.source,
            name,
            write=reconcile.to_all(self.client, entity, name, self.bypass),
            guard=Guard(name, visible, self._allowed(name, visible), _CONFIRM),
            on_rejected=self.rejections.add,
        )

    def _allowed(self, name: str, visible: int) -> int:
        # What the live index has not either is gone: somebody let it be served so.
        known_gone = 0 if name == self.served.index else max(0, visible - self.live_documents)
        asked = self.allow_deletes if self.allow_deletes is not None else believed(visible - known_gone)
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


def _write_changed(
    client: opensearchpy.OpenSearch,
    source: PostgresSource,
    served: Served,
    pages: Iterator[Page],
    rejections: Rejections,
    bypass: _Bypass,
) -> Ledger:
    """Write pages to the whole write set. Return the ledger of the live index."""
    total, progress = Ledger(served.index), Progress(f"{source.entity.name} changed", 0)
    for page in pages:
        ledgers = writer.apply(client, source.entity, [page], on_rejected=rejections.add, bypass=bypass)
        if served.index not in ledgers:
            raise _retired(served)
        total += ledgers[served.index]
        progress(total)
    progress(total, last=True)
    return total.balanced()


def _retired(served: Served) -> IndexUnavailable:
    return IndexUnavailable(f"{served.index} was retired meanwhile; run the sync again")
