"""Go back to an index that was live before, or forward again (docs/protocol.md, rule 10).

The index got all writes meanwhile.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from searchsync.cluster import aliases
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.compare import differences, fingerprints
from searchsync.compare.absence import believed
from searchsync.compare.differences import DiffReport
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed, Reconciled, make_equal, to_all
from searchsync.config import thresholds
from searchsync.errors import BadParams, GateFailed, SourceChanged, StaleSwap
from searchsync.sources.base import Source
from searchsync.stream import gaps
from searchsync.stream.lag import Lag
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)

_CONFIRM = "bring the live index to it first, by a sync or a repair, and roll back then"


@dataclass(frozen=True)
class RollbackPlan:
    """What a run decided before it compared anything: ``target`` is to be live instead of ``live``."""

    live: str
    target: str


def candidates(indexes: EntityIndexes) -> list[PhysicalIndex]:
    """Return the rollback candidates, the one that was live last first."""
    found = [index for index in indexes.all() if index.role == "rollback candidate"]
    return sorted(found, key=lambda index: index.left_read_at or datetime.now(UTC), reverse=True)


def plan(indexes: EntityIndexes, name: str | None = None, *, since: datetime | None = None) -> RollbackPlan:
    """Return which index to go back to.

    :param name: a rollback candidate; None for the one that was live last
    :param since: when the rollback was asked for: a run that is repeated after its swap must not swap back
    :raises BadParams: when the name is not a rollback candidate's, or there is no candidate
    :raises StaleSwap: when another index became live since then
    :raises SourceChanged: when the candidate belongs to another source: it lacks what was written since
    """
    entity = indexes.entity
    live = indexes.live_or_raise()
    found = candidates(indexes)
    names = [index.name for index in found]
    if not found or (name and name not in names):
        which = name or entity.name
        why = (
            "is live already"
            if name == live
            else "was never live, or is not in the write set any more"
            if name
            else "has none"
        )
        known = ", ".join(names) or "none"
        raise BadParams(f"{which} {why}: rollback candidates of {entity.name}: {known}. Nothing was changed")
    left = found[0].left_read_at
    if since is not None and left is not None and left >= since:
        raise StaleSwap(
            f"{entity.name}: {found[0].name} stopped being live after this run was triggered, and {live} is live. "
            "Nothing was changed. If that swap was this run's, clear only what failed after it; to swap once more, "
            "trigger a new run"
        )
    target = name or names[0]
    ours, theirs = (indexes.built_from(index) for index in (target, live))
    if (ours.identity, ours.epoch) != (theirs.identity, theirs.epoch):
        raise SourceChanged(
            f"{target} was built from {ours.identity} in epoch {ours.epoch}, {live} from {theirs.identity} in epoch "
            f"{theirs.epoch}: it has got nothing since. Run {entity.name}_reindex instead"
        )
    return RollbackPlan(live, target)


def prove(
    indexes: EntityIndexes, source: Source, plan: RollbackPlan, *, behind: Callable[[], Lag] | None = None
) -> DiffReport:
    """Compare the candidate with the source. Change nothing.

    What the next sync has to bring is pending: the live index lacks it, too, and it is brought before the swap.
    """
    target = indexes.get(plan.target)
    since = target.synced if source.entity.changed else None
    return differences.find(target, source, since=since, behind=behind)


def check_fresh(report: DiffReport) -> None:
    """Refuse a candidate that missed something.

    :raises GateFailed: when it did; the message names what it missed
    """
    if report.not_looked_at:
        raise GateFailed(
            f"{report.index} is not what its source is: at least {report.not_looked_at} documents differ, more than "
            "can be looked at. Nothing was changed. Say as force why it is made live all the same"
        )
    if report.findings:
        repair = f'{{"index": "{report.index}", "repair": "on"}}'
        raise GateFailed(
            f"{report.index} is not what its source is: {report.kinds}. Nothing was changed. Repair it by a "
            f"comparison ({repair}) and roll back then; or say as force why it is made live all the same (a row that "
            "no index takes is missing here, too)"
        )


def reconcile(indexes: EntityIndexes, source: Source, plan: RollbackPlan, *, rejections: Rejections) -> Reconciled:
    """Bring the candidate the changes since it was compared, and prove it equal to the source (rule 9).

    :raises GateFailed: when the candidate cannot hold what the source has now, because its mapping is too old; or when
        it took no writes meanwhile
    """
    limits, began = thresholds(source.entity), datetime.now(UTC)
    target = indexes.get(plan.target)
    known_gaps = gaps.of_index(target)
    with fingerprints.renderings(source, target.meta) as renderings:
        reconciled = make_equal(
            target,
            Yardstick(source, renderings),
            write=to_all(indexes, plan.target),
            allowed=Allowed(limits.reconciled, _CONFIRM, deletes=_deletes(indexes, plan)),
            on_rejected=rejections.add,
        )
    if len(reconciled.rejected) > limits.rejected:
        raise GateFailed(
            f"{plan.target} refuses {len(reconciled.rejected)} documents that {plan.live} has: see {rejections.path}. "
            "Its mapping is too old; nothing was changed"
        )
    gaps.close(indexes, plan.target, known_gaps)
    gaps.refuse(target)
    target.stamp_synced(began)
    return reconciled


def _deletes(indexes: EntityIndexes, plan: RollbackPlan) -> int:
    """Return how many documents of the candidate may be taken for deleted.

    All that the live index lacks, too, are gone. Of the rest, as many as are believed unasked.
    """
    live, target = (indexes.index(name).count(indexes.entity.visible) for name in (plan.live, plan.target))
    return believed(indexes.entity, min(live, target)) + max(0, target - live)


def swap(indexes: EntityIndexes, plan: RollbackPlan, *, forget: bool = False) -> None:
    """Make the candidate live, and note since when the other index is not live. Safe to repeat.

    :param forget: take the index that was live out of the served alias, so that nobody goes forward to it again
    :raises StaleSwap: when another index is live by now, or the candidate is not in the write set any more
    """
    began = time.monotonic()
    aliases.swap(indexes, blue=plan.live, green=plan.target, served=True, forget=forget)
    seconds = time.monotonic() - began
    indexes.index(plan.target).stamp_left_read(None)
    indexes.index(plan.live).stamp_left_read(datetime.now(UTC))
    log.info("%s serves %s instead of %s; that took %.2f s", indexes.entity.name, plan.target, plan.live, seconds)


def verify(indexes: EntityIndexes, plan: RollbackPlan) -> int:
    """Read the aliases back, and search through them.

    :returns: number of documents that are searched
    :raises AliasConflict: when the aliases are not as the swap left them
    """
    aliases.verify(indexes, plan.target)
    return indexes.index(indexes.entity.read_alias).count()
