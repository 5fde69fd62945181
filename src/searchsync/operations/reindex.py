"""A full, blue-green reindex from the source of truth, in steps that can be repeated (docs/protocol.md, 6-11, 14).

The DAG runs the steps as tasks; ``cli.workflows.rebuild`` runs them in one process. A step's result is the next step's
argument.
"""

import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from searchsync.cluster import aliases, auto_create, creation, shards
from searchsync.cluster.indexes import EntityIndexes, Running
from searchsync.config import thresholds
from searchsync.documents import transforms
from searchsync.documents.position import FENCE_SECONDS, FIRST_EPOCH
from searchsync.errors import AlreadyRunning, GreenDiscarded, Permanent, SourceChanged, Undone
from searchsync.operations import purge, rollback
from searchsync.sources.base import Source
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.sources.export_files import Export
from searchsync.sources.export_requests import INEXACT_SECONDS, changes_since, covers
from searchsync.stream import gaps
from searchsync.stream.catch_up import catch_up
from searchsync.writing import ledger, tombstones, writer
from searchsync.writing.item_outcome import IndexGone
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Progress, Rejections

log = logging.getLogger(__name__)

BULK_BYTES = 5_000_000
"""Default size of a bulk, in bytes. Managed domains refuse bodies over 10 MiB on small nodes."""

STEPS = ("check", "create_green", "export", "load", "copy_tombstones", "make_searchable", "gate", "swap", "verify")
"""The order of a reindex, in one process and as tasks of a DAG. Rules 6 to 10 of docs/protocol.md demand it.

Only an entity that is read from an export has the step ``export``.
"""

CHECKPOINT_SECONDS = 10.0


class Checkpoint(Protocol):
    """Keeps how far a load has come, as JSON values, where the next attempt of the load finds it."""

    def get(self) -> dict[str, Any] | None:
        """Return the value that was kept; None at first."""

    def set(self, value: dict[str, Any]) -> None:
        """Keep a new value instead."""


@dataclass(frozen=True)
class ReindexPlan:
    """What a run decided before it wrote anything.

    :ivar run_id: the run, as its index names it in ``_meta``
    :ivar blue: the index that was live then; the swap asserts that it still is
    :ivar epoch: the first part of all positions of this run
    :ivar identity: identity of the source server that was seen; every later read asserts it
    :ivar fresh_epoch: whether the run begins a new epoch: then blue is not written any more
    :ivar number_of_shards: primary shards of the new index; None for as many as its mapping file says
    """

    run_id: str
    blue: str | None
    epoch: int
    identity: str
    fresh_epoch: bool = False
    number_of_shards: int | None = None


def check(
    indexes: EntityIndexes,
    source: Source,
    *,
    run_id: str,
    running: Running,
    force: bool = False,
    new_epoch: bool = False,
    number_of_shards: int | None = None,
) -> ReindexPlan:
    """Refuse to begin a reindex that cannot end well. Delete what dead runs left; write no document.

    :param force: go on although another run is building: one of the two wins, the other ends with ``StaleSwap``
    :param new_epoch: accept that the source is another server than before (restored, failed over)
    :param number_of_shards: primary shards of the new index; None to go on as before (``cluster.shards``)
    :raises AlreadyRunning: when another run is building an index
    :raises SourceChanged: when the source has another identity or history than the one of the live index
    """
    entity = source.entity
    _ = entity.index_body, entity.smoke_queries, thresholds(entity)  # now, not after the load
    transform = transforms.present(entity)
    purge.cutoff(datetime.now(UTC))
    blue = indexes.targets().live
    auto_create.check(indexes)
    found = indexes.all()
    meta = next((index.meta for index in found if index.name == blue), {})
    number = shards.chosen(entity, number_of_shards, meta)
    for index in found:
        if index.run_id != run_id and index.abandoned(running):
            log.warning("deleting %s: its run %s ended without making it live", index.name, index.run_id)
            aliases.delete(indexes, index.name)
        elif index.role == "building" and index.in_write_set and index.run_id != run_id and not force:
            raise AlreadyRunning(
                f"{entity.name}: {index.name} is being built by {index.run_id}. Wait for it, or stop that run; one "
                f"that was built without a swap: `searchsync swap` or `searchsync indexes abandon {index.name}`. With "
                '{"force": true} both run and one of them wins'
            )
    source.check()
    highest = indexes.index(blue).highest_position() if blue else ""
    origin = source.origin()  # after it: live writers go on, and what they write is of the past by now
    before = meta.get("source") or {}
    epoch = int(before.get("epoch", FIRST_EPOCH))
    reason = _why_not_comparable(source, blue, before, origin, highest) if blue else ""
    own = bool(blue) and meta.get("build") == run_id  # a run that is repeated after its swap: its epoch has begun
    if reason and (own or not new_epoch):
        raise SourceChanged(
            f"{entity.name}: {reason}. Nothing was written and {blue} goes on serving. If this is the right "
            "database now (restored or failed over), run the reindex again "
            'with {"new_epoch": true}'
        )
    if blue:
        transforms.check_raised(entity, blue, meta)
        if transforms.of_index(meta) != transform:
            log.info("%s is of another transform; this run brings %d", blue, transform.version)
    fresh = bool(blue) and not own and bool(reason or new_epoch)
    return ReindexPlan(run_id, blue, epoch + 1 if fresh else epoch, origin, fresh, number)


def _why_not_comparable(source: Source, blue: str, before: dict[str, Any], origin: str, highest: str) -> str:
    if not before.get("identity"):
        return f"{blue} does not say which source it was built from, so positions cannot be compared"
    if before["identity"] != origin:
        return f"the source is {origin}, but {blue} was built from {before['identity']}"
    return source.lost_history(highest) if highest else ""


def create_green(indexes: EntityIndexes, plan: ReindexPlan) -> str:
    """Create the index of this run, unless it exists, and add it to the write set. Wait for the fence (rule 6).

    PostgreSQL needs no fence: all its writes are reads at snapshots.

    :returns: name of the index
    """
    source = {"identity": plan.identity, "epoch": plan.epoch}
    number = plan.number_of_shards
    green = creation.find_or_create(indexes, run_id=plan.run_id, source=source, number_of_shards=number).name
    aliases.join(indexes, green)
    log.info("%s is in the write set of %s", green, indexes.entity.name)
    if indexes.entity.source == "dynamodb":
        log.info("waiting %d s for what was on its way before it joined", FENCE_SECONDS)
        time.sleep(FENCE_SECONDS)
    return green


@dataclass(frozen=True)
class Reindex:
    """The steps of a run once its index is there.

    :ivar green: name of the index that the run builds
    """

    indexes: EntityIndexes
    plan: ReindexPlan
    green: str

    def export(self, source: ExportSource, *, rejections: Rejections) -> Export:
        """Return the export that ``load`` reads: one of this run, or the one that a person chose (rule 6).

        It is requested once everything reaches the index that an export of that time may lack. An export that is older
        is taken only with what the stream says since its time. Safe to repeat: it finds the export that it requested.

        :raises BadSource: when the export cannot be used, or the stream has forgotten changes since its time
        """
        index = self.indexes.check_own(self.green, run_id=self.plan.run_id)
        exports = source.exports
        fenced = index.stamp_fenced(exports.now())
        arn = exports.access.chosen
        if not arn:
            time.sleep(max(0, fenced + INEXACT_SECONDS + 1 - exports.now()))
            arn = exports.request(f"{self.green} {fenced}")
        export = exports.wait(arn)
        if not covers(export, fenced):
            exports.check_age(export)
            missing, streams = range(changes_since(export), fenced + 1), exports.access.streams
            catch_up(index, source.entity, streams, source.stream(), seconds=missing, on_rejected=rejections.add)
        return export

    def load(
        self,
        source: Source,
        partition: Any,
        *,
        rejections: Rejections,
        bulk_bytes: int = BULK_BYTES,
        expected: int = 0,
        checkpoint: Checkpoint | None = None,
    ) -> Ledger:
        """Load one part of the source into the index (rule 7). When run again, it counts what is there as stale.

        :param expected: number of documents in the part, about; for the progress in the log
        :param checkpoint: keeps where an interrupted load goes on
        :raises GreenDiscarded: when the index does not belong to this run any more
        """
        self._check_own()
        loading = _Loading(self.green, str(partition), checkpoint, rejections, expected)
        pages = source.pages(partition, page_bytes=bulk_bytes, after=loading.resume)
        index = self.indexes.index(self.green)
        try:
            ledger = writer.load(index, pages, on_rejected=rejections.add, on_progress=loading.on_progress)
        except IndexGone as error:
            self._check_own()
            raise GreenDiscarded(
                f"{self.green} does not take writes ({error}). Find out who blocked it, then clear this run from "
                "create_green, with downstream"
            ) from error
        return loading.end(ledger)

    def copy_tombstones(self) -> Ledger:
        """Write blue's tombstones to green by compare-and-set (rule 8): what was deleted stays deleted.

        An index that was forced to be live may have missed some tombstones: then those of all members are copied.
        Tombstones that a purge would delete have nothing left to keep out and are not copied (rule 12).
        """
        self._check_own()
        blue, green = self.plan.blue, self.indexes.index(self.green)
        copied, before = Ledger(self.green), purge.cutoff(datetime.now(UTC))
        if blue is not None and blue != self.green:
            others = self.indexes.write_set() if gaps.of_index(self.indexes.index(blue)) else []
            for name in dict.fromkeys([blue, *others]):
                if name != self.green:
                    copied += tombstones.copy(self.indexes.index(name), green, before=before)
        return copied

    def make_searchable(self) -> None:
        """Give the index its refreshes and copies; wait until they are there."""
        creation.make_searchable(self.indexes, self.green)

    def swap(self) -> None:
        """Make green live (rule 10), then note when blue stopped being live: its rollback window counts from then.

        When green begins a new epoch, the indexes of the epoch before that were live leave the write set in the same
        step. They belong to another source, nobody may go back to them, and writes would leave them in the state of
        neither source.

        :raises GateFailed: when green missed changes since its gate
        """
        blue, green = self.plan.blue, self.indexes.index(self.green)
        if self.indexes.live() != self.green:
            gaps.refuse(green)
        aliases.swap(self.indexes, blue=blue, green=self.green, leaving=self._of_other_epochs())
        green.stamp_left_read(None)
        if blue is not None and blue != self.green:
            self.indexes.index(blue).stamp_left_read(datetime.now(UTC))

    def _of_other_epochs(self) -> list[str]:
        if not self.plan.fresh_epoch:
            return []
        found = [index for index in self.indexes.all() if index.was_served and index.in_write_set]
        return [index.name for index in found if index.name != self.green]

    def verify(self) -> int:
        """Read back what the swap did and search through the alias. Undo the swap when the result is wrong.

        :returns: number of documents that are searched
        :raises Undone: when the swap was undone; the index that was live before is live again
        """
        plan, entity = self.plan, self.indexes.entity
        try:
            aliases.verify(self.indexes, self.green)
            gaps.refuse(self.indexes.index(self.green))  # noted between the look before the swap and the swap itself
            return self.indexes.index(entity.read_alias).count()
        except Permanent as error:
            if plan.blue is None or plan.fresh_epoch or self.indexes.live() != self.green:
                raise  # nothing to go back to, or nothing to undo
            rollback.swap(self.indexes, rollback.RollbackPlan(live=self.green, target=plan.blue), forget=True)
            raise Undone(
                f"{entity.name}: {self.green} was swapped in and does not serve ({error}); {plan.blue} serves again. "
                "Find the cause, then run the reindex again"
            ) from error

    def _check_own(self) -> None:
        self.indexes.check_own(self.green, run_id=self.plan.run_id)


class _Loading:
    """How far the load of one part has come, over all its attempts.

    :ivar resume: where the source goes on; None to begin
    """

    def __init__(
        self, green: str, partition: str, checkpoint: Checkpoint | None, rejections: Rejections, expected: int
    ) -> None:
        self.resume: Any = None
        self._green, self._partition = green, partition
        self._checkpoint, self._rejections = checkpoint, rejections
        self._progress = Progress(f"{green} [{partition}]", expected)
        self._kept = time.monotonic()
        self._before = Ledger(green)
        done = checkpoint.get() if checkpoint is not None else None
        if done is not None and (done["green"], done["partition"]) == (green, partition):
            self._before, self.resume = Ledger(green, **done["ledger"]), done["resume"]
            log.info("%s [%s]: %d documents were loaded by an earlier attempt", green, partition, self._before.read)

    def on_progress(self, ledger: Ledger, resume: Any) -> None:
        """Log the progress, and keep it from time to time."""
        total = self._before + ledger
        self._progress(total)
        # Not behind a rejection: the next attempt lists all of them.
        due = time.monotonic() - self._kept >= CHECKPOINT_SECONDS
        if self._checkpoint is not None and resume is not None and due and not self._rejections.count:
            counts = {name: count for name, count in asdict(total).items() if name != "index"}
            kept = {"green": self._green, "partition": self._partition, "resume": resume, "ledger": counts}
            self._checkpoint.set(kept)
            self._kept = time.monotonic()

    def end(self, ledger: Ledger) -> Ledger:
        """Return the ledger of all attempts."""
        total = self._before + ledger
        self._progress(total, last=True)
        return total


def discard(indexes: EntityIndexes, run_id: str, *, keep: bool = False) -> list[str]:
    """Clean up after a run: delete its index unless it was ever live. Safe to repeat, also when there is no index.

    :param keep: only take the index out of the write set, so that it can be looked at; ``index_retire`` deletes it
        after a day
    :returns: names of the indexes that were discarded
    """
    discarded = []
    for index in indexes.all():
        if index.run_id == run_id and not index.is_live and not index.was_served:
            if keep:
                index.forget_fenced()
                aliases.leave(indexes, index.name)
            else:
                aliases.delete(indexes, index.name)
            discarded.append(index.name)
    return discarded


@dataclass(frozen=True)
class ReindexReport:
    """What a run did, for people and for the asset event.

    :ivar previous: the index that was live before
    :ivar documents: number of documents that the gate saw
    :ivar ledger: counts of keys, by outcome, over all parts
    :ivar dropped: values left out of what was read, by path
    :ivar tombstones: number of tombstones copied
    :ivar gate: the figures of the gate
    """

    index: str
    previous: str | None
    swapped: bool
    documents: int
    seconds: float
    documents_per_second: int
    ledger: dict[str, int]
    dropped: dict[str, int]
    tombstones: int
    gate: dict[str, Any]


def report(
    plan: ReindexPlan, loaded: Ledger, *, tombstones: int, gate: dict[str, Any], seconds: float, swapped: bool
) -> ReindexReport:
    """Return what a run did.

    :param loaded: the sum of the ledgers of all parts
    """
    return ReindexReport(
        index=loaded.index,
        previous=plan.blue,
        swapped=swapped,
        documents=gate["documents"],
        seconds=round(seconds, 1),
        documents_per_second=round(loaded.read / max(seconds, 0.001)),
        ledger={name: getattr(loaded, name) for name in ledger.COUNTS},
        dropped=loaded.dropped,
        tombstones=tombstones,
        gate=gate,
    )
