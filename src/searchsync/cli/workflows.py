"""A whole reindex, swap or rollback in one process, as a shell runs it; the DAGs take the same steps one by one."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from searchsync.cluster.indexes import BuiltFrom, EntityIndexes
from searchsync.errors import BadParams, SearchSyncError, SourceChanged
from searchsync.operations import gate, reindex, rollback
from searchsync.operations.gate import Gated
from searchsync.operations.reindex import Reindex, ReindexPlan, ReindexReport
from searchsync.sources.base import Source
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.stream.lag import Lag
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a person may ask of a reindex, beside its entity.

    :ivar partitions: number of key ranges, loaded one after the other
    :ivar force: as for ``reindex.check``
    :ivar new_epoch: as for ``reindex.check``
    :ivar allow_shrink: as for ``gate.gate``
    :ivar max_rejected: as for ``gate.gate``
    :ivar number_of_shards: as for ``reindex.check``
    :ivar swap: off leaves the new index in the write set, for ``serve``
    """

    partitions: int = 1
    force: bool = False
    new_epoch: bool = False
    allow_shrink: bool = False
    max_rejected: int | None = None
    number_of_shards: int | None = None
    bulk_bytes: int = reindex.BULK_BYTES
    swap: bool = True


def rebuild(
    indexes: EntityIndexes,
    connect_source: Callable[[ReindexPlan | None], Source],
    run_id: str,
    reports: Path,
    options: Options,
) -> ReindexReport:
    """Take all steps of a reindex in one process, one partition after the other.

    :param connect_source: makes a source for a plan; for None, one that accepts any server
    :param reports: folder for the lists of rejected documents
    """
    began = time.monotonic()
    with closing(connect_source(None)) as first:
        plan = reindex.check(
            indexes,
            first,
            run_id=run_id,
            running=lambda _: None,
            force=options.force,
            new_epoch=options.new_epoch,
            number_of_shards=options.number_of_shards,
        )
    try:
        with closing(connect_source(plan)) as source:
            run = Reindex(indexes, plan, reindex.create_green(indexes, plan))
            if isinstance(source, ExportSource):
                with Rejections(reports / run_id / "rejected-export.ndjson") as rejections:
                    source.export = run.export(source, rejections=rejections)
            ledger = Ledger(run.green)
            with Rejections(reports / run_id / "rejected-load.ndjson") as rejections:
                for partition in source.partitions(options.partitions):
                    ledger += run.load(source, partition, rejections=rejections, bulk_bytes=options.bulk_bytes)
            tombstones = run.copy_tombstones().read
            run.make_searchable()
            with Rejections(reports / run_id / "rejected-gate.ndjson") as rejections:
                gated = gate.gate(
                    run,
                    source,
                    rejections=rejections,
                    max_rejected=options.max_rejected,
                    allow_shrink=options.allow_shrink,
                )
        if options.swap:
            run.swap()
            run.verify()
    except BaseException:
        try:
            reindex.discard(indexes, run_id)
        except SearchSyncError:  # the first error is the one to tell; a later run sweeps what is left
            log.exception("the index of %s could not be discarded", run_id)
        raise
    seconds = time.monotonic() - began
    return reindex.report(
        plan, ledger, tombstones=tombstones, gate=asdict(gated), seconds=seconds, swapped=options.swap
    )


def serve(
    indexes: EntityIndexes,
    connect_source: Callable[[ReindexPlan], Source],
    name: str,
    *,
    rejections: Rejections,
    max_rejected: int | None = None,
    allow_shrink: bool = False,
) -> Gated:
    """Gate an index that was built and never live, and make it live.

    :returns: what the gate found
    :raises BadParams: when it was live before, or is not in the write set
    """
    entity, index = indexes.entity, indexes.get(name)
    if index.was_served or not index.in_write_set:
        why = "was live before: roll back to it" if index.was_served else "is not in the write set: it gets no changes"
        raise BadParams(f"{name} {why}. Nothing was changed")
    ours, blue = indexes.built_from(name), indexes.live()
    theirs = indexes.built_from(blue) if blue else ours
    if ours.epoch < theirs.epoch:
        raise SourceChanged(
            f"{name} is of epoch {ours.epoch}, {blue} of {theirs.epoch}: run {entity.name}_reindex instead"
        )
    if ours.epoch == theirs.epoch and ours.identity != theirs.identity:
        raise SourceChanged(
            f"{name} was built from {ours.identity}, {blue} from {theirs.identity}, in one epoch: their positions "
            f"cannot be compared. Nothing was changed; run {entity.name}_reindex instead"
        )
    plan = ReindexPlan(index.run_id, blue, ours.epoch, ours.identity, ours.epoch > theirs.epoch)
    run = Reindex(indexes, plan, name)
    with closing(connect_source(plan)) as source:
        gated = gate.gate(run, source, rejections=rejections, max_rejected=max_rejected, allow_shrink=allow_shrink)
    run.swap()
    run.verify()
    return gated


def roll_back(
    indexes: EntityIndexes,
    connect_source: Callable[[BuiltFrom], Source],
    *,
    name: str | None,
    rejections: Rejections,
    behind: Callable[[str], Callable[[], Lag] | None],
    force: str = "",
) -> dict[str, Any]:
    """Take all steps of a rollback in one process.

    :param connect_source: makes the source of what is live
    :param behind: tells how to ask how far an index is behind its stream
    :param force: why an index is made live that is not proven fresh; the source is not asked then
    """
    chosen = rollback.plan(indexes, name)
    if force:
        log.warning("%s is made live unproven: %s", chosen.target, force)
    else:
        with closing(connect_source(indexes.built_from(chosen.live))) as source:
            rollback.check_fresh(rollback.prove(indexes, source, chosen, behind=behind(chosen.target)))
            rollback.reconcile(indexes, source, chosen, rejections=rejections)
    rollback.swap(indexes, chosen)
    documents = rollback.verify(indexes, chosen)
    return {"index": chosen.target, "previous": chosen.live, "documents": documents, "forced": force}
