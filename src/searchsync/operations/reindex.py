"""A full, blue-green reindex from the source of truth, in steps that can be repeated (docs/protocol.md, 6-11, 14).

The DAG runs the steps as tasks; ``cli.workflows.rebuild`` runs them in one process. A step's result is the next step's
argument.
"""

import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import aliases, auto_create, indexes, reads
from searchsync.cluster.indexes import Running
from searchsync.config import thresholds
from searchsync.documents import transforms
from searchsync.documents.position import FENCE_SECONDS, FIRST_EPOCH
from searchsync.errors import AlreadyRunning, GreenDiscarded, Permanent, SourceChanged, Undone
from searchsync.mapping import fitting
from searchsync.operations import purge, rollback
from searchsync.sources.base import Source
from searchsync.stream import gaps
from searchsync.writing import ledger, tombstones, writer
from searchsync.writing.item_outcome import IndexGone
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Progress, Rejections

log = logging.getLogger(__name__)

BULK_BYTES = 5_000_000
"""Default size of a bulk, in bytes. Managed domains refuse bodies over 10 MiB on small nodes."""

STEPS = ("check", "create_green", "load", "copy_tombstones", "make_searchable", "gate", "swap", "verify")
"""The order of a reindex, in one process and as tasks of a DAG. Rules 6 to 10 of docs/protocol.md demand it."""

CHECKPOINT_SECONDS = 10.0


class Checkpoint(Protocol):
    """Keeps how far a load has come, as JSON values, where the next attempt of the load finds it."""

    def get(self) -> dict[str, Any] | None:
        """Return the value that was kept; None at first."""

    def set(self, value: dict[str, Any]) -> None:
        """Keep a new value instead."""


@dataclass(frozen=True)
class Plan:
    """What a run decided before it wrote anything.

    :ivar build: the run, as ``_meta.build`` of its index names it
    :ivar blue: the index that was live then; the swap asserts that it still is
    :ivar epoch: the first part of all positions of this run
    :ivar identity: identity of the source server that was seen; every later read asserts it
    :ivar fresh_epoch: whether the run begins a new epoch: then blue is not written any more
    """

    build: str
    blue: str | None
    epoch: int
    identity: str
    fresh_epoch: bool = False


def check(
    client: opensearchpy.OpenSearch,
    source: Source,
    *,
    build: str,
    running: Running,
    force: bool = False,
    new_epoch: bool = False,
) -> Plan:
    """Refuse to begin a reindex that cannot end well. Delete what dead runs left; write no document.

    :param force: go on although another run is building: one of the two wins, the other ends with ``StaleSwap``
    :param new_epoch: accept that the source is another server than before (restored, failed over)
    :raises AlreadyRunning: when another build is under way
    :raises SourceChanged: when the source has another identity or history than the one of the live index
    """
    entity = source.entity
    _ = entity.index_body, entity.smoke_queries, thresholds()  # now, not after the load
    transform = transforms.present(entity)
    purge.cutoff(datetime.now(UTC))
    blue = indexes.targets(client, entity).live
    auto_create.check(client, entity)
    found = indexes.of_entity(client, entity)
    for index in found:
        if index.build != build and indexes.abandoned(index, running):
            log.warning("deleting %s: its run %s ended without serving or discarding it", index.name, index.build)
            aliases.delete(client, entity, index.name)
        elif index.role == "building" and index.writers and index.build != build and not force:
            raise AlreadyRunning(
                f"{entity.name}: {index.name} is being built by {index.build}. Wait for it, or stop that run; one that "
                f"was built without a swap: `searchsync swap` or `searchsync indexes abandon {index.name}`. With "
                '{"force": true} both run and one of them wins'
            )
    source.check()
    highest = indexes.highest_position(client, blue) if blue else ""
    origin = source.origin()  # after it: live writers go on, and what they write is of the past by now
    meta = next((index.meta for index in found if index.name == blue), {})
    before = meta.get("source") or {}
    epoch = int(before.get("epoch", FIRST_EPOCH))
    reason = _why_not_comparable(source, blue, before, origin, highest) if blue else ""
    own = bool(blue) and meta.get("build") == build  # a run that is repeated after its swap: its epoch has begun
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
    return Plan(build, blue, epoch + 1 if fresh else epoch, origin, fresh)


def _why_not_comparable(source: Source, blue: str, before: dict[str, Any], origin: str, highest: str) -> str:
    if not before.get("identity"):
        return f"{blue} does not say which source it was built from, so positions cannot be compared"
    if before["identity"] != origin:
        return f"the source is {origin}, but {blue} was built from {before['identity']}"
    return source.lost_history(highest) if highest else ""


def create_green(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan) -> str:
    """Create the index of this run, unless it exists, and add it to the write set. Wait for the fence (rule 6).

    PostgreSQL needs no fence: all its writes are reads at snapshots.

    :returns: name of the index
    """
    source = {"identity": plan.identity, "epoch": plan.epoch}
    green = indexes.find_or_create(client, entity, build=plan.build, source=source).name
    aliases.join(client, entity, green)
    log.info("%s is in the write set of %s", green, entity.name)
    if entity.source == "dynamodb":
        log.info("waiting %d s for what was on its way before it joined", FENCE_SECONDS)
        time.sleep(FENCE_SECONDS)
    return green


def load(
    client: opensearchpy.OpenSearch,
    source: Source,
    plan: Plan,
    green: str,
    partition: Any,
    *,
    rejections: Rejections,
    bulk_bytes: int = BULK_BYTES,
    expected: int = 0,
    checkpoint: Checkpoint | None = None,
) -> Ledger:
    """Load one part of the source into the index (rule 7). When run again, it counts what is there already as stale.

    :param expected: number of documents in the part, about; for the progress in the log
    :param checkpoint: keeps where an interrupted load goes on
    :raises GreenDiscarded: when the index does not belong to this run any more
    """
    entity = source.entity
    indexes.check_own(client, entity, green, build=plan.build)
    done = checkpoint.get() if checkpoint is not None else None
    before, after = Ledger(green), None
    if done is not None and (done["green"], done["partition"]) == (green, str(partition)):
        before, after = Ledger(green, **done["ledger"]), done["resume"]
        log.info("%s [%s]: %d documents were loaded by an earlier attempt", green, partition, before.read)
    progress = Progress(f"{green} [{partition}]", expected)
    kept = time.monotonic()

    def on_progress(ledger: Ledger, resume: Any) -> None:
        nonlocal kept
        progress(before + ledger)
        # Not behind a rejection: the next attempt lists all of them.
        due = time.monotonic() - kept >= CHECKPOINT_SECONDS
        if checkpoint is not None and resume is not None and due and not rejections.count:
            counts = {name: count for name, count in asdict(before + ledger).items() if name != "index"}
            checkpoint.set({"green": green, "partition": str(partition), "resume": resume, "ledger": counts})
            kept = time.monotonic()

    pages = source.pages(partition, page_bytes=bulk_bytes, after=after)
    try:
        ledger = writer.load(client, green, pages, on_rejected=rejections.add, on_progress=on_progress)
    except IndexGone as error:
        indexes.check_own(client, entity, green, build=plan.build)
        raise GreenDiscarded(
            f"{green} does not take writes ({error}). Find out who blocked it, then clear this run from create_green, "
            "with downstream"
        ) from error
    progress(before + ledger, last=True)
    return before + ledger


def copy_tombstones(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan, green: str) -> Ledger:
    """Write blue's tombstones to green by compare-and-set (rule 8): what was deleted stays deleted.

    An index that was forced to be live may have missed some tombstones: then those of all members are copied.
    Tombstones that a purge would delete have nothing left to keep out and are not copied (rule 12).
    """
    indexes.check_own(client, entity, green, build=plan.build)
    copied, before = Ledger(green), purge.cutoff(datetime.now(UTC))
    if plan.blue is not None and plan.blue != green:
        others = indexes.write_set(client, entity) if gaps.of_index(client, plan.blue) else []
        for name in dict.fromkeys([plan.blue, *others]):
            if name != green:
                copied += tombstones.copy(client, name, green, before=before)
    return copied


def swap(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan, green: str) -> None:
    """Serve green (rule 10), then note when blue stopped being served: its rollback window counts from this moment.

    When green begins a new epoch, the served indexes of the epoch before leave the write set in the same step. They
    belong to another source, nobody may go back to them, and writes would leave them in the state of neither source.

    :raises GateFailed: when green missed changes since its gate
    """
    if indexes.live(client, entity) != green:
        gaps.refuse(client, green)
    aliases.swap(client, entity, blue=plan.blue, green=green, leaving=_of_other_epochs(client, entity, plan, green))
    indexes.stamp_left_read(client, green, None)
    if plan.blue is not None and plan.blue != green:
        indexes.stamp_left_read(client, plan.blue, datetime.now(UTC))


def _of_other_epochs(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan, green: str) -> list[str]:
    if not plan.fresh_epoch:
        return []
    found = indexes.of_entity(client, entity)
    return [index.name for index in found if index.name != green and index.was_served and index.writers]


def verify(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan, green: str) -> int:
    """Read back what the swap did and search through the alias. Undo the swap when the result is not as it has to be.

    :returns: number of documents served
    :raises Undone: when the swap was undone; the index that was live before serves again
    """
    try:
        aliases.verify_served(client, entity, green)
        gaps.refuse(client, green)  # noted between the look before the swap and the swap itself
        return reads.count(client, entity.name)
    except Permanent as error:
        if plan.blue is None or plan.fresh_epoch or indexes.live(client, entity) != green:
            raise  # nothing to go back to, or nothing to undo
        rollback.swap(client, entity, rollback.Plan(live=green, target=plan.blue), forget=True)
        raise Undone(
            f"{entity.name}: {green} was swapped in and does not serve ({error}); {plan.blue} serves again. Find the "
            "cause, then run the reindex again"
        ) from error


def discard(client: opensearchpy.OpenSearch, entity: Entity, build: str, *, keep: bool = False) -> list[str]:
    """Clean up after a run: delete its index unless it was ever served. Safe to repeat, also when there is no index.

    :param keep: only take the index out of the write set, so that it can be looked at; ``index_retire`` deletes it
        after a day
    :returns: names of the indexes that were discarded
    """
    discarded = []
    for index in indexes.of_entity(client, entity):
        if index.build == build and not index.read and not index.was_served:
            if keep:
                aliases.leave(client, entity, index.name)
            else:
                aliases.delete(client, entity, index.name)
            discarded.append(index.name)
    return discarded


def report(
    plan: Plan,
    green: str,
    ledgers: list[dict[str, Any]],
    tombstones: dict[str, Any],
    gated: dict[str, Any],
    seconds: float,
    *,
    swapped: bool,
) -> dict[str, Any]:
    """Return what a run did, for people and for the asset event."""
    total = {name: sum(ledger[name] for ledger in ledgers) for name in ledger.COUNTS}
    return {
        "index": green,
        "previous": plan.blue,
        "swapped": swapped,
        "documents": gated["documents"],
        "seconds": round(seconds, 1),
        "documents_per_second": round(total.get("read", 0) / max(seconds, 0.001)),
        "ledger": total,
        "dropped": fitting.total(*(ledger["dropped"] for ledger in ledgers)),
        "tombstones": tombstones["read"],
        "gate": gated,
    }
