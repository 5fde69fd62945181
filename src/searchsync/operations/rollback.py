"""Go back to an index that was served before, or forward again (docs/protocol.md, rule 10).

The index got all writes meanwhile.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import aliases, indexes, reads
from searchsync.cluster.indexes import Index
from searchsync.compare import differences, fingerprints
from searchsync.compare.absence import believed
from searchsync.compare.differences import Report
from searchsync.compare.reconcile import Reconciled, make_equal, to_all
from searchsync.config import thresholds
from searchsync.errors import BadParams, GateFailed, SourceChanged, StaleSwap
from searchsync.sources.base import Source
from searchsync.stream import gaps
from searchsync.stream.lag import Lag
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a run decided before it compared anything: ``target`` is to be served instead of ``live``."""

    live: str
    target: str


def candidates(client: opensearchpy.OpenSearch, entity: Entity) -> list[Index]:
    """Return the rollback candidates, the one that was live last first: served before, and still in the write set."""
    found = [index for index in indexes.of_entity(client, entity) if index.role == "rollback candidate"]
    return sorted(found, key=lambda index: index.left_read_at or datetime.now(UTC), reverse=True)


def plan(
    client: opensearchpy.OpenSearch, entity: Entity, name: str | None = None, *, since: datetime | None = None
) -> Plan:
    """Return which index to go back to.

    :param name: a rollback candidate; None for the one that was live last
    :param since: when the rollback was asked for: a run that is repeated after its swap must not swap back
    :raises BadParams: when the name is not a rollback candidate's, or there is no candidate
    :raises StaleSwap: when another index became live since then
    :raises SourceChanged: when the candidate belongs to another source: it lacks what was written since
    """
    live = indexes.live_or_raise(client, entity)
    found = candidates(client, entity)
    names = [index.name for index in found]
    if not found or (name and name not in names):
        which = name or entity.name
        why = "is live already" if name == live else "was never served, or is not fed any more" if name else "has none"
        known = ", ".join(names) or "none"
        raise BadParams(f"{which} {why}: rollback candidates of {entity.name}: {known}. Nothing was changed")
    left = found[0].left_read_at
    if since is not None and left is not None and left >= since:
        raise StaleSwap(
            f"{entity.name}: {found[0].name} stopped being served after this run was triggered, and {live} is live. "
            "Nothing was changed. If that swap was this run's, clear only what failed after it; to swap once more, "
            "trigger a new run"
        )
    target = name or names[0]
    ours, theirs = (indexes.served(client, entity, index) for index in (target, live))
    if (ours.identity, ours.epoch) != (theirs.identity, theirs.epoch):
        raise SourceChanged(
            f"{target} was built from {ours.identity} in epoch {ours.epoch}, {live} from {theirs.identity} in epoch "
            f"{theirs.epoch}: it has got nothing since. Run {entity.name}_reindex instead"
        )
    return Plan(live, target)


def prove(
    client: opensearchpy.OpenSearch,
    source: Source,
    plan: Plan,
    *,
    sample: int = 100,
    behind: Callable[[], Lag] | None = None,
) -> Report:
    """Compare the candidate with the source. Change nothing.

    What the next sync has to bring is pending: the live index lacks it, too, and it is brought before the swap.
    """
    entity = source.entity
    since = indexes.get(client, entity, plan.target).synced if entity.changed else None
    return differences.find(client, source, plan.target, sample=sample, since=since, behind=behind)


def check_fresh(report: Report) -> None:
    """Refuse a candidate that missed something.

    :raises GateFailed: when it did; the message names what it missed
    """
    if report.not_looked_at:
        raise GateFailed(
            f"{report.index} is not what its source is: at least {report.not_looked_at} documents differ, more than "
            "can be looked at. Nothing was changed. Say as force why it is served all the same"
        )
    if report.findings:
        repair = f'{{"index": "{report.index}", "repair": "on"}}'
        raise GateFailed(
            f"{report.index} is not what its source is: {report.kinds}. Nothing was changed. Repair it by a "
            f"comparison ({repair}) and roll back then; or say as force why it is served all the same (a row that no "
            "index takes is missing here, too)"
        )


def reconcile(client: opensearchpy.OpenSearch, source: Source, plan: Plan, *, rejections: Rejections) -> Reconciled:
    """Bring the candidate the changes since it was compared, and prove it equal to the source (rule 9).

    :raises GateFailed: when the candidate cannot hold what the source has now, because its mapping is too old; or when
        it took no writes meanwhile
    """
    limits, began = thresholds(), datetime.now(UTC)
    known_gaps = gaps.of_index(client, plan.target)
    with fingerprints.renderings(source, indexes.get(client, source.entity, plan.target).meta) as renderings:
        reconciled = make_equal(
            client,
            source,
            plan.target,
            write=to_all(client, source.entity, plan.target),
            renderings=renderings,
            max_reconciled=limits.reconciled,
            deletes=_deletes(client, source.entity, plan),
            confirm="bring the live index to it first, by a sync or a repair, and roll back then",
            on_rejected=rejections.add,
        )
    if len(reconciled.rejected) > limits.rejected:
        raise GateFailed(
            f"{plan.target} refuses {len(reconciled.rejected)} documents that {plan.live} has: see {rejections.path}. "
            "Its mapping is too old; nothing was changed"
        )
    gaps.close(client, source.entity, plan.target, known_gaps)
    gaps.refuse(client, plan.target)
    indexes.stamp_synced(client, indexes.get(client, source.entity, plan.target), began)
    return reconciled


def _deletes(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan) -> int:
    """Return how many documents of the candidate may be taken for deleted.

    All that the live index lacks, too, are gone. Of the rest, as many as are believed unasked.
    """
    live, target = (reads.count(client, name, entity.visible) for name in (plan.live, plan.target))
    return believed(min(live, target)) + max(0, target - live)


def swap(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan, *, forget: bool = False) -> None:
    """Serve the candidate, and note since when the other index is not served. Safe to repeat.

    :param forget: take the index that was live out of the served indexes, so that nobody goes forward to it again
    :raises StaleSwap: when another index is live by now, or the candidate is not in the write set any more
    """
    began = time.monotonic()
    aliases.swap(client, entity, blue=plan.live, green=plan.target, served=True, forget=forget)
    seconds = time.monotonic() - began
    indexes.stamp_left_read(client, plan.target, None)
    indexes.stamp_left_read(client, plan.live, datetime.now(UTC))
    log.info("%s serves %s instead of %s; that took %.2f s", entity.name, plan.target, plan.live, seconds)


def verify(client: opensearchpy.OpenSearch, entity: Entity, plan: Plan) -> int:
    """Read the aliases back, and search through them.

    :returns: number of documents served
    :raises AliasConflict: when the aliases are not as the swap left them
    """
    aliases.verify_served(client, entity, plan.target)
    return reads.count(client, entity.name)
