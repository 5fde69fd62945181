"""Incremental sync from PostgreSQL: the rows that an interval changed, and the deletions that a count betrays.

Any two syncs may overlap, run at once, late or twice, and beside a reindex: positions keep order. What commits later
than the overlap, or changes without touching the column that says so, is found by a comparison.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import opensearchpy

from searchsync import comparison, indexes, reads, writer
from searchsync.comparison import Settled
from searchsync.entities import Entity
from searchsync.envelope import Page
from searchsync.errors import BadParams, IndexUnavailable, RequestRejected, SourceChanged
from searchsync.indexes import Index, Served
from searchsync.ledgers import Progress, Rejections
from searchsync.policies import policy
from searchsync.sources.postgres import Partition, PostgresSource
from searchsync.writer import Ledger

log = logging.getLogger(__name__)

BULK_BYTES = 2_000_000
"""Of a page that is written by compare-and-set, whose lines are longer by the script."""


def check(client: opensearchpy.OpenSearch, entity: Entity) -> Served:
    """The live index, and the source that it belongs to.

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
) -> dict[str, Any]:
    """Write what changed in ``[start - overlap, end)`` to the whole write set, then what is deleted.

    It begins earlier when an index was last synced before: after a pause the first run brings all that was missed.

    :param source: made for ``served``: it refuses any other server
    :param start: with a time zone, as ``end``
    :returns: the result: keys changed, deleted, written, stale, rejected
    :raises BadParams: when the interval is none
    :raises SourceChanged: when the source is another, or lost commits
    """
    began, entity, now = time.monotonic(), source.entity, datetime.now(UTC)
    start, end = start.astimezone(UTC), end.astimezone(UTC)  # sums in a zone with summer time are of the wall clock
    if start >= end:
        raise BadParams(f"the interval ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    if start > now:
        raise BadParams(f"the interval begins in the future: {start.isoformat()}; nothing can have changed in it yet")
    fed = _fed(client, source, served)
    start = min([start, *(index.synced for index in fed if index.synced < end)])
    overlap = timedelta(minutes=float(policy("thresholds")["overlap_minutes"]))
    changed = _write_changed(client, source, served, (start - overlap, end), rejections)
    result = {"changed": changed.read, "deleted": 0, "late": 0, "rejected": changed.rejected}
    result |= {"written": changed.written, "stale": changed.stale}
    for index in fed:
        try:
            found = _settle_deleted(client, source, index.name, rejections)
        except (RequestRejected, IndexUnavailable):
            if index.name == served.index or index.name in indexes.write_set(client, entity):
                raise
            log.info("%s was retired meanwhile", index.name)
            continue
        result["deleted"] += found.tombstoned
        result["late"] += found.written
        result["rejected"] += len(found.rejected)
        indexes.stamp_synced(client, index, min(end, now))
    return result | {
        "from": start.isoformat(),
        "to": end.isoformat(),
        "index": served.index,
        "seconds": round(time.monotonic() - began, 1),
    }


def _fed(client: opensearchpy.OpenSearch, source: PostgresSource, served: Served) -> list[Index]:
    """The indexes that a sync keeps true: a rollback candidate has to be as fresh as the live one.

    :raises SourceChanged: when the source lost commits that the live one has
    """
    entity = source.entity
    fed = [index for index in indexes.of_entity(client, entity) if index.writers and index.was_served]
    if served.index not in {index.name for index in fed}:
        raise _retired(served)
    highest = indexes.highest_position(client, served.index)
    if highest and (reason := source.lost_history(highest)):
        raise SourceChanged(
            f"{entity.name}: {reason}. Nothing was written; if this is the right database, run {entity.name}_reindex "
            'with {"new_epoch": true}'
        )
    return fed


def _settle_deleted(
    client: opensearchpy.OpenSearch, source: PostgresSource, name: str, rejections: Rejections
) -> Settled:
    """What an index has and the source has not, when their counts differ."""
    indexes.refresh(client, name)
    visible = reads.count(client, name, source.entity.visible)
    counted = source.count()
    if counted == visible:
        return Settled()
    log.info("source %d, %s %d: looking for what was deleted", counted, name, visible)
    everything = max(counted, visible)
    return comparison.settle(client, source, name, only=False, max_settled=everything, on_rejected=rejections.add)


def _write_changed(
    client: opensearchpy.OpenSearch,
    source: PostgresSource,
    served: Served,
    interval: tuple[datetime, datetime],
    rejections: Rejections,
) -> Ledger:
    """Rows by the column that says when they changed, in its order. The ledger is that of the live index."""
    entity = source.entity
    total, progress = Ledger(served.index), Progress(f"{entity.name} changed", 0)
    lower, upper = ((moment.isoformat(),) for moment in interval)
    by_change = source.of(replace(entity, key=(str(entity.changed), *entity.key)))
    try:
        for page in by_change.pages(Partition(lower, upper), page_bytes=BULK_BYTES):
            total += _write(client, entity, served, page, rejections)
            progress(total)
    finally:
        by_change.close()
    progress(total, last=True)
    return total.balanced()


def _write(
    client: opensearchpy.OpenSearch, entity: Entity, served: Served, page: Page, rejections: Rejections
) -> Ledger:
    ledgers = writer.apply(client, entity, [page], on_rejected=rejections.add)
    if served.index not in ledgers:
        raise _retired(served)
    return ledgers[served.index]


def _retired(served: Served) -> IndexUnavailable:
    return IndexUnavailable(f"{served.index} was retired meanwhile; run the sync again")
