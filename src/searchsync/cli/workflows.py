"""A whole reindex, swap or rollback in one process, as a shell runs it; the DAGs take the same steps one by one."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.indexes import Served
from searchsync.errors import BadParams, SearchSyncError, SourceChanged
from searchsync.operations import gate, reindex, rollback
from searchsync.sources.base import Source
from searchsync.stream.lag import Lag
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)


def rebuild(
    client: opensearchpy.OpenSearch,
    connect_source: Callable[[reindex.Plan | None], Source],
    *,
    build: str,
    reports: Path,
    partitions: int = 1,
    force: bool = False,
    new_epoch: bool = False,
    allow_shrink: bool = False,
    max_rejected: int | None = None,
    bulk_bytes: int = reindex.BULK_BYTES,
    swapping: bool = True,
) -> dict[str, Any]:
    """All steps in one process, one partition after the other: the command line's reindex.

    :param swapping: off leaves the new index in the write set, fed, for ``serve``
    :param connect_source: makes a source for a plan; for None, one that accepts any server
    :returns: the report
    """
    began = time.monotonic()
    with closing(connect_source(None)) as first:
        entity = first.entity
        plan = reindex.check(client, first, build=build, running=lambda _: None, force=force, new_epoch=new_epoch)
    try:
        with closing(connect_source(plan)) as source:
            green = reindex.create_green(client, entity, plan)
            ledger = Ledger(green)
            with Rejections(reports / build / "rejected-load.ndjson") as rejections:
                for partition in source.partitions(partitions):
                    ledger += reindex.load(
                        client, source, plan, green, partition, rejections=rejections, bulk_bytes=bulk_bytes
                    )
            tombstones = reindex.copy_tombstones(client, entity, plan, green)
            indexes.make_searchable(client, entity, green)
            with Rejections(reports / build / "rejected-gate.ndjson") as rejections:
                gated = gate.gate(
                    client,
                    source,
                    plan,
                    green,
                    rejections=rejections,
                    max_rejected=max_rejected,
                    allow_shrink=allow_shrink,
                )
        if swapping:
            reindex.swap(client, entity, plan, green)
            reindex.verify(client, entity, plan, green)
    except BaseException:
        try:
            reindex.discard(client, entity, build)
        except SearchSyncError:  # the first error is the one to tell; a later run sweeps what is left
            log.exception("the index of %s could not be discarded", build)
        raise
    return reindex.report(
        plan, green, [asdict(ledger)], asdict(tombstones), gated, time.monotonic() - began, swapped=swapping
    )


def serve(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    connect_source: Callable[[reindex.Plan], Source],
    name: str,
    *,
    rejections: Rejections,
    max_rejected: int | None = None,
    allow_shrink: bool = False,
) -> dict[str, Any]:
    """Gate and swap in an index that was built and not served yet.

    :returns: what the gate found
    :raises BadParams: when it was served before, or is not fed
    """
    index = indexes.get(client, entity, name)
    if index.was_served or not index.writers:
        why = (
            "was served before: roll back to it" if index.was_served else "is not in the write set: it gets no changes"
        )
        raise BadParams(f"{name} {why}. Nothing was changed")
    ours, blue = indexes.served(client, entity, name), indexes.live(client, entity)
    theirs = indexes.served(client, entity, blue) if blue else ours
    if ours.epoch < theirs.epoch:
        raise SourceChanged(
            f"{name} is of epoch {ours.epoch}, {blue} of {theirs.epoch}: run {entity.name}_reindex instead"
        )
    if ours.epoch == theirs.epoch and ours.identity != theirs.identity:
        raise SourceChanged(
            f"{name} was built from {ours.identity}, {blue} from {theirs.identity}, in one epoch: their positions "
            f"cannot be compared. Nothing was changed; run {entity.name}_reindex instead"
        )
    fresh = ours.epoch > theirs.epoch
    plan = reindex.Plan(index.build, blue, ours.epoch, ours.identity, fresh)
    with closing(connect_source(plan)) as source:
        gated = gate.gate(
            client, source, plan, name, rejections=rejections, max_rejected=max_rejected, allow_shrink=allow_shrink
        )
    reindex.swap(client, entity, plan, name)
    reindex.verify(client, entity, plan, name)
    return gated


def roll_back(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    connect_source: Callable[[Served], Source],
    *,
    name: str | None,
    rejections: Rejections,
    behind: Callable[[str], Callable[[], Lag] | None],
    force: str = "",
) -> dict[str, Any]:
    """All steps in one process: the command line's rollback.

    :param connect_source: makes the source of what is live
    :param behind: tells how to ask how far an index is behind its stream
    :param force: why an index is served that is not proven fresh; the source is not asked then
    """
    chosen = rollback.plan(client, entity, name)
    if force:
        log.warning("%s is served unproven: %s", chosen.target, force)
    else:
        with closing(connect_source(indexes.served(client, entity, chosen.live))) as source:
            rollback.check_fresh(rollback.prove(client, source, chosen, behind=behind(chosen.target)))
            rollback.reconcile(client, source, chosen, rejections=rejections)
    rollback.swap(client, entity, chosen)
    documents = rollback.verify(client, entity, chosen)
    return {"index": chosen.target, "previous": chosen.live, "documents": documents, "forced": force}
