"""The two ways back, measured: a snapshot that is restored and brought up to date, and an index built from its source.

Both are measured beside what is live, by one process that reads one part of the source after the other. Afterwards the
index is compared with its source by content, as a quality run does it; that is not part of the time.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from searchsync.cluster import creation
from searchsync.cluster.indexes import BuiltFrom, EntityIndexes, PhysicalIndex
from searchsync.cluster.snapshots import LONGEST_SECONDS, Repository
from searchsync.compare import differences, fingerprints, reconcile
from searchsync.compare.differences import DiffReport
from searchsync.compare.fingerprints import TooMany, Yardstick
from searchsync.compare.reconcile import Allowed
from searchsync.config import snapshots, thresholds
from searchsync.documents import transforms
from searchsync.documents.page import Rejection
from searchsync.documents.position import FENCE_SECONDS
from searchsync.errors import GateFailed, SnapshotFailed
from searchsync.operations import reindex, sync
from searchsync.recovery import drill
from searchsync.recovery.drill import DrillPlan
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.postgres import PostgresSource
from searchsync.stream.catch_up import catch_up as catch_up_with_stream
from searchsync.writing import writer

log = logging.getLogger(__name__)

MOST_KEYS: Final = 1_000_000
"""Number of keys that a catch-up may write: above, a reindex is no slower, and their names would fill the memory."""

CLOCKS_SECONDS: Final = 60
"""Seconds of the stream that are read again, because this machine's clock may be ahead of DynamoDB's."""

PARTITIONS: Final = 4
POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Connect:
    """What reaches the source of an entity.

    :ivar source: makes the source, whose database has to be the one that an index was built from
    :ivar streams: boto3's DynamoDB Streams client; None where there is no stream
    """

    source: Callable[[BuiltFrom | None], Source] = field(repr=False)
    streams: Any = field(repr=False, default=None)


@dataclass
class Measured:
    """One way back.

    :ivar seconds: what each part took, in the order of the parts; together they are the RTO
    :ivar documents: visible documents of the index afterwards
    :ivar changed: keys that the catch-up wrote
    :ivar different: documents that are not what the source has, with the kinds of differences
    :ivar loss_seconds: age of the oldest change that the index does not have (RPO); 0 when it has all
    """

    seconds: dict[str, float] = field(default_factory=dict)
    documents: int = 0
    changed: int = 0
    compared: int = 0
    different: dict[str, int] = field(default_factory=dict)
    keys_alone: bool = False
    loss_seconds: float = 0.0

    @property
    def total(self) -> float:
        """Seconds until the index could be live."""
        return sum(self.seconds.values())

    @property
    def documents_an_hour(self) -> int:
        """Return how many documents would be back within an hour, at the rate of these.

        It takes each part to grow with the number of documents, and the share of changed ones to stay what it was.
        """
        return int(self.documents * 3600 / self.total) if self.total else 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for XCom and for people."""
        return asdict(self) | {"total": round(self.total, 3), "documents_an_hour": self.documents_an_hour}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 3)
        log.info("%s: %.1f s", name, self.seconds[name])


def restore(indexes: EntityIndexes, plan: DrillPlan, connect: Connect) -> Measured:
    """Restore the index of the snapshot, bring it up to date, compare it, and delete it.

    Safe to repeat: it begins anew, or half of the time would be missing.

    :raises SnapshotFailed: when the snapshot cannot be restored
    :raises SourceChanged: when the source is another database than that of the snapshot
    """
    client, name, measured = indexes.client, plan.restored, Measured()
    drill.delete(client, name)
    try:
        with measured.part("restore"):
            _restore(indexes, plan)
        index = drill.open_copy(indexes, name)
        with closing(connect.source(index.built_from())) as source:
            since = datetime.fromisoformat(plan.saved_at)
            with measured.part("catch_up"):
                measured.changed = _catch_up(index, source, connect.streams, since)
            with measured.part("copies"):
                creation.make_searchable(indexes, name)
            _compare(index, source, connect.streams, measured)
    finally:
        drill.delete(client, name)
    return measured


def _restore(indexes: EntityIndexes, plan: DrillPlan) -> None:
    """Restore the index, and return when all its primary shards are there."""
    Repository(indexes.client, snapshots().repository).restore(plan.snapshot, plan.saved_index, plan.restored)
    began = time.monotonic()
    while True:
        health = indexes.client.request("GET", f"/_cluster/health/{plan.restored}")
        if health["active_primary_shards"] >= plan.shards:
            return
        if health["status"] == "red" and not health["initializing_shards"]:
            raise SnapshotFailed(
                f"{plan.saved_index} of {plan.snapshot} cannot be restored: see GET /_cluster/allocation/explain for "
                f"{plan.restored} while it is there, and POST /_snapshot/{snapshots().repository}/_verify. What is "
                "live was not touched; name an older snapshot"
            )
        if time.monotonic() - began > LONGEST_SECONDS:
            raise SnapshotFailed(f"{plan.saved_index} is not restored after {LONGEST_SECONDS / 60:.0f} minutes")
        time.sleep(POLL_SECONDS)


def build(indexes: EntityIndexes, plan: DrillPlan, connect: Connect) -> Measured:
    """Build an index from the source as a reindex does, but beside the write set; compare it, and delete it.

    What a reindex does besides takes seconds: tombstones, smoke queries, the swap. Safe to repeat: it begins anew.
    """
    client, entity, measured = indexes.client, indexes.entity, Measured()
    drill.delete(client, plan.built)
    try:
        of = indexes.built_from(plan.live) if plan.live else None
        with closing(connect.source(of)) as source:
            if isinstance(source, DynamoSource):
                measured.seconds["fence"] = float(FENCE_SECONDS)  # a drill need not wait for it
            since = datetime.now(UTC)
            with measured.part("load"):
                index = _create(indexes, plan, {"identity": source.origin(), "epoch": of.epoch if of else 1})
                for partition in source.partitions(PARTITIONS):
                    pages = source.pages(partition, page_bytes=reindex.BULK_BYTES)
                    writer.load(index, pages, on_rejected=_log_rejected)
            with measured.part("copies"):
                creation.make_searchable(indexes, plan.built)
            with measured.part("catch_up"):
                measured.changed = _catch_up(index, source, connect.streams, since)
            _compare(index, source, connect.streams, measured)
    finally:
        drill.delete(client, plan.built)
    log.info("%s: %s", entity.name, measured)
    return measured


def _create(indexes: EntityIndexes, plan: DrillPlan, source: dict[str, Any]) -> PhysicalIndex:
    entity = indexes.entity
    meta = {"entity": entity.name, "build": plan.run, "source": source, **transforms.present(entity).as_meta()}
    body = entity.index_body
    creation.create_hidden(indexes.client, plan.built, body["settings"], {**body["mappings"], "_meta": meta})
    return drill.open_copy(indexes, plan.built)


def _catch_up(index: PhysicalIndex, source: Source, streams: Any, since: datetime) -> int:
    """Bring an index everything that its source has: by position, newer wins, deletions too. Prove it by content.

    :param since: what the source had before, the index has
    :returns: number of keys that were written
    :raises GateFailed: when too many keys differ, or keys stay different
    """
    entity, changed, began = source.entity, 0, int(time.time())
    index.refresh()
    if entity.changed is not None and isinstance(source, PostgresSource):
        overlap = timedelta(minutes=thresholds(entity).overlap_minutes)
        for page in sync.changed_pages(source, since - overlap, datetime.now(UTC)):
            changed += writer.compare_and_set(index, page, on_rejected=_log_rejected).written
        index.refresh()
    allowed = Allowed(MOST_KEYS, "", deletes=MOST_KEYS)
    with fingerprints.renderings(source, index.meta) as renderings:
        yardstick, write = Yardstick(source, renderings), reconcile.to_one(index)
        try:
            found = reconcile.make_equal(index, yardstick, write=write, allowed=allowed, on_rejected=_log_rejected)
        except TooMany as error:
            raise GateFailed(
                f"{index.name}: {error.count:,} keys at least are not what the source has: a reindex is the faster way "
                "back. What is live was not touched"
            ) from error
    changed += found.written + found.tombstoned
    if isinstance(source, DynamoSource):  # no stream writes to this index: what changed since the scan began
        seconds = range(began - CLOCKS_SECONDS, int(time.time()) + 1)
        stream = source.stream()
        changed += catch_up_with_stream(
            index, entity, streams, stream, seconds=seconds, on_rejected=_log_rejected
        ).written
        index.refresh()
    return changed


def _compare(index: PhysicalIndex, source: Source, streams: Any, measured: Measured) -> None:
    """Compare an index with its source by content.

    The source goes on changing, and nobody writes to the index. So what differs is caught up with once more and
    compared again. What was different before and still is the same is no change on its way.
    """
    began = datetime.now(UTC)
    report = differences.find(index, source)
    if not report.good:
        _catch_up(index, source, streams, began)
        again = differences.find(index, source)
        stuck = {(one.key, one.kind, one.index) for one in report.findings}
        again.findings = [one for one in again.findings if (one.key, one.kind, one.index) in stuck]
        report = again
    measured.documents, measured.compared = report.index_count or index.count(source.entity.visible), report.sampled
    measured.keys_alone, measured.different = report.keys_alone, dict(report.kinds)
    if report.not_looked_at:
        measured.different["not looked at"] = report.not_looked_at
    measured.loss_seconds = _loss(report)


def _loss(report: DiffReport) -> float:
    stamps = [datetime.fromisoformat(one.since) for one in report.findings if one.since]
    oldest = min((one if one.tzinfo else one.replace(tzinfo=UTC) for one in stamps), default=None)
    return round((datetime.now(UTC) - oldest).total_seconds(), 1) if oldest else 0.0


def _log_rejected(refused: Rejection) -> None:
    log.warning("%s: %s: %s", refused.id, refused.type, refused.reason)
