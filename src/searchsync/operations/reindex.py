"""A full, blue-green reindex from the source of truth, in steps that can each be repeated (docs/protocol.md, 6-11, 14).

The steps are the tasks of the DAG, and of ``operations.rebuild``; a step's result is the next one's argument.
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
"""Default size of a bulk. Managed domains refuse bodies over 10 MiB on small nodes."""

STEPS = ("check", "create_green", "load", "copy_tombstones", "make_searchable", "gate", "swap", "verify")
"""The order of a reindex, which its rules demand (docs/protocol.md, 6 to 10); in one process and as tasks of a DAG."""

CHECKPOINT_SECONDS = 10.0


class Checkpoint(Protocol):
    """How far a load has come, kept where its next attempt finds it; JSON values."""

    def get(self) -> dict[str, Any] | None:
        """What was kept; None at first."""

    def set(self, value: dict[str, Any]) -> None:
        """Keep this instead."""


@dataclass(frozen=True)
class Plan:
    """What a run decided before it wrote anything.

    :ivar build: the run, as ``_meta.build`` of its index
    :ivar blue: the index that was live then; the swap asserts it
    :ivar epoch: first part of all positions of this run
    :ivar identity: the source server that was seen; every later read asserts it
    :ivar fresh_epoch: the source is a new one: blue is not written any more
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
    """Refuse to begin what cannot end well. Sweeps what dead runs left; writes no document.

    :param force: go on although another run is building: one of the two will win, the other ends with ``StaleSwap``
    :param new_epoch: accept that the source is another server than before (restored, failed over)
    :raises AlreadyRunning: another build is under way
    :raises SourceChanged: the source's identity or history is not what the live index was built from
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
    """The index of this run, in the write set; made when there is none yet. Returns behind the fence (rule 6).

    PostgreSQL needs none: all its writes are reads at snapshots.

    :returns: its name
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
    """Fill one part of the source (rule 7). Run again, it finds what is there and counts it as stale.

    :param expected: documents that the part holds, about; for the progress in the log
    :param checkpoint: where a load that was interrupted goes on
    :raises GreenDiscarded: when the index is not this run's any more
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

    One that was forced to be live may have missed some: then those of all members. Those that a purge would delete have
    nothing left to keep out and are not copied (rule 12).
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
    """Serve green (rule 10), then note when blue stopped being served: its rollback window counts from there.

    Where green begins an epoch, the served indexes of the one before leave the write set in the same step: they are of
    another source, nobody may go back to them, and what is written to them would be neither's state.

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
    """Read back what the swap did and search through the alias; undo the swap when that is not as it has to be.

    :returns: documents served
    :raises Undone: the index that was live before serves again
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
    """Clean up after a run: delete its index unless it was ever served. Safe to repeat, and when there is nothing.

    :param keep: only leave the write set, so that the index can be looked at; ``index_retire`` deletes it after a day
    :returns: names of what was discarded
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
    """What a run did, for people and for the asset event."""
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
