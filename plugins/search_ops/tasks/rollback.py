"""Tasks of ``index_rollback``: each calls one step of ``searchsync.operations.rollback``, returns little."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, Param, task

from search_ops import alerts, hook
from search_ops.runs import check_conf, reports_dir, run_id_of
from searchsync.catalog import CATALOG

if TYPE_CHECKING:
    from searchsync.operations.rollback import RollbackPlan

log = logging.getLogger(__name__)

PARAMS = {
    "entity": Param(
        type="string", enum=sorted(CATALOG), title="Entity",
        description="Of which another index is to be live.",
    ),
    "index": Param(
        None, type=["null", "string"], title="Index",
        description="A rollback candidate (`searchsync indexes`). Empty: the one that was live last.",
    ),
    "approve": Param(
        True, type="boolean", title="Ask before the swap",
        description="Off: swap without waiting for a person. The log says so.",
    ),
    "force": Param(
        "", type="string", maxLength=500, title="Serve it unproven, because",
        description="A reason, to serve an index that is not proven fresh, also when the source does not answer.",
    ),
    "read_units": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Read capacity units a second",
        description="What all reads of a DynamoDB table may use, together. Empty: as thresholds.yaml has it.",
    ),
}  # fmt: skip

SERVED = AssetAlias("served_index")
"""Stands for the asset of the entity that a run is about."""


@task
def choose(*, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Which index is to be live instead of which, and what is known of it."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import rollback

    check_conf(dag_run.conf, PARAMS)
    indexes = hook.connections().indexes(lookup(params["entity"]))
    plan = rollback.plan(indexes, params["index"], since=dag_run.run_after)
    if not params["approve"]:
        log.warning("nobody is asked before the swap: approve is off")
    target = indexes.get(plan.target)
    left = target.left_read_at.isoformat() if target.left_read_at else "unknown"
    return {
        "live": plan.live,
        "target": plan.target,
        "created": target.created.isoformat(),
        "left_read_at": left,
        "synced": target.synced.isoformat(),
    }


@task
def compare(chosen: dict[str, Any], *, params: dict[str, Any]) -> dict[str, Any]:
    """Prove that the candidate is what its source is, and refuse it otherwise; not when it is forced."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import rollback

    if params["force"]:
        log.warning("not proven, but forced: %s", params["force"])
        return {"unproven": params["force"]}
    connections, entity, plan = hook.connections(), lookup(params["entity"]), _plan(chosen)
    indexes = connections.indexes(entity)
    source = connections.source(entity, indexes.built_from(plan.live), read_units=params["read_units"])
    report = rollback.prove(indexes, source, plan, behind=connections.behind(indexes, plan.target))
    found = {name: value for name, value in report.as_dict().items() if name != "findings"}
    log.info("%s: %s", plan.target, found)
    rollback.check_fresh(report)
    return found


@task
def reconcile(chosen: dict[str, Any], *, params: dict[str, Any], dag_run: Any) -> int | None:
    """Bring the candidate what came since, and prove it equal; not when it is forced."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import rollback
    from searchsync.writing.progress import Rejections

    if params["force"]:
        log.warning("made live unproven: %s", params["force"])
        return None
    connections, entity, plan = hook.connections(), lookup(params["entity"]), _plan(chosen)
    indexes = connections.indexes(entity)
    source = connections.source(entity, indexes.built_from(plan.live), read_units=params["read_units"])
    with Rejections(reports_dir(run_id_of(dag_run)) / "rejected.ndjson") as rejections:
        return rollback.reconcile(indexes, source, plan, rejections=rejections).unequal


@task
def swap(chosen: dict[str, Any], *, params: dict[str, Any]) -> None:
    """Serve the candidate."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import rollback

    rollback.swap(hook.connections().indexes(lookup(params["entity"])), _plan(chosen))


@task(outlets=[SERVED])
def verify(chosen: dict[str, Any], *, params: dict[str, Any], outlet_events: Any) -> int:
    """Read the aliases back, search through them, and tell the DAGs that wait for it."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import rollback

    plan = _plan(chosen)
    documents = rollback.verify(hook.connections().indexes(lookup(params["entity"])), plan)
    extra = {"index": plan.target, "documents": documents, "previous": plan.live}
    outlet_events[SERVED].add(Asset(f"{params['entity']}_index"), extra=extra)
    return documents


@task
def announce(
    chosen: dict[str, Any],
    compared: dict[str, Any],
    reconciled: int | None,
    documents: int,
    *,
    params: dict[str, Any],
    dag_run: Any,
) -> dict[str, Any]:
    """The run's result, also in Slack."""
    result = {
        "index": chosen["target"],
        "previous": chosen["live"],
        "documents": documents,
        "reconciled": reconciled,
        "compared": compared,
        "forced": params["force"],
        "asked": params["approve"],
    }
    alerts.rolled_back(dag_run, params["entity"], result)
    return result


def _plan(chosen: dict[str, Any]) -> "RollbackPlan":
    from searchsync.operations.rollback import RollbackPlan

    return RollbackPlan(chosen["live"], chosen["target"])
