"""Tasks of ``recovery_drill``: one entity after the other, or they would be measured together."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, task

from search_ops import hook
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of, running, states_of
from searchsync.catalog import CATALOG

if TYPE_CHECKING:
    from searchsync.cluster.indexes import EntityIndexes
    from searchsync.recovery.drill import DrillPlan
    from searchsync.recovery.measure import Connect

log = logging.getLogger(__name__)

PARAMS = {
    "entity": Param(
        None, type=["null", "string"], enum=[None, *sorted(CATALOG)], title="Entity",
        description="What is recovered. Empty: every entity, one after the other.",
    ),
    "snapshot": Param(
        None, type=["null", "string"], title="Snapshot",
        description="Name of a complete snapshot that has the entity. Empty: the newest good one of index_snapshot.",
    ),
    "read_units": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Read capacity units a second",
        description="What all reads of a DynamoDB table may use, together. Empty: as thresholds.yaml has it.",
    ),
}  # fmt: skip


@task
def prepare(*, params: dict[str, Any], dag_run: Any) -> list[dict[str, Any]]:
    """Delete what dead drills left; choose a snapshot for each entity. Nothing is made yet."""
    from searchsync.catalog import entity as lookup
    from searchsync.errors import BadParams, SnapshotFailed
    from searchsync.recovery import drill

    check_conf(dag_run.conf, PARAMS)
    if params["snapshot"] and not params["entity"]:
        raise BadParams("snapshot needs entity: say whose index of the snapshot is restored. Nothing was made")
    connections, run, plans = hook.connections(), run_id_of(dag_run), []
    for name in _wanted(params):
        try:
            indexes = connections.indexes(lookup(name))
            plans.append(drill.prepare(indexes, run, running, snapshot=params["snapshot"] or ""))
        except SnapshotFailed as error:  # the others are tried all the same; announce tells of this one
            log.error("%s: %s", name, error)
            failed = error
    if not plans:
        raise failed
    return [drill.as_json(plan) for plan in plans]


def _wanted(params: dict[str, Any]) -> list[str]:
    return [params["entity"]] if params["entity"] else sorted(CATALOG)


@task(max_active_tis_per_dagrun=1, map_index_template="{{ task.op_kwargs['plan']['entity'] }}")
def restore(plan: dict[str, Any], *, params: dict[str, Any]) -> dict[str, Any]:
    """The way back by a snapshot: restored, brought up to date, compared, and deleted."""
    from searchsync.recovery import measure

    indexes, the_plan, connect = _of(plan, params)
    return {"entity": the_plan.entity, **measure.restore(indexes, the_plan, connect).as_dict()}


@task(
    max_active_tis_per_dagrun=1,
    trigger_rule="all_done",
    map_index_template="{{ task.op_kwargs['plan']['entity'] }}",
)
def build(plan: dict[str, Any], *, params: dict[str, Any]) -> dict[str, Any]:
    """The way back by the source, measured also when no snapshot could be restored: then it is the only one."""
    from searchsync.recovery import measure

    indexes, the_plan, connect = _of(plan, params)
    return {"entity": the_plan.entity, **measure.build(indexes, the_plan, connect).as_dict()}


@task_with_evidence(trigger_rule="all_done")
def announce(plans: list[dict[str, Any]], *, params: dict[str, Any], dag_run: Any, ti: Any) -> list[dict[str, Any]]:
    """What was measured, in files, in OpenSearch and as metrics; the run fails when a recovery did not succeed."""
    from searchsync.errors import DrillFailed
    from searchsync.recovery import drill, report

    if not plans:
        raise DrillFailed("nothing was tried: see the log of prepare")
    connections, records, folder = hook.connections(), [], reports_dir(run_id_of(dag_run))
    ways = {way: _measured(ti, task_id) for way, task_id in (("restore", "restore"), ("reindex", "build"))}
    for plan in plans:
        the_plan = drill.DrillPlan(**plan)
        found = {way: measured[plan["entity"]] for way, measured in ways.items() if plan["entity"] in measured}
        records.append(report.judge(connections.indexes(CATALOG[the_plan.entity]), the_plan, found))
    report.publish(connections.opensearch(), records, folder)
    log.info("the evidence is in %s", folder)
    bad = [f"{record['entity']}: {record['why']}" for record in records if record["why"]]
    tried = {record["entity"] for record in records}
    bad += [f"{name}: no snapshot of it: see the log of prepare" for name in _wanted(params) if name not in tried]
    if bad:
        raise DrillFailed(f"{'. '.join(bad)}. What is live was not touched; the evidence is in {folder}")
    return records


@task
def clean_up(*, dag_run: Any) -> list[str]:
    """Teardown: whatever this run made goes."""
    from searchsync.recovery import drill

    return drill.clean_up(hook.opensearch(), run_id_of(dag_run))


@task
def completed(*, dag_run: Any) -> None:
    """Teardown that makes a run red that a person ended: Airflow would call it a success."""
    from airflow.sdk.exceptions import AirflowFailException

    if states_of(dag_run, "announce")["announce"] == "skipped":
        raise AirflowFailException("this run was ended by hand before it was complete. It left nothing behind")


def _measured(ti: Any, task_id: str) -> dict[str, dict[str, Any]]:
    """Return what the instances of a task found, by entity; those that failed are not there."""
    results = ti.xcom_pull(task_ids=[task_id])  # a list: by its name alone, the result of a single instance is none
    return {one["entity"]: one for one in results if one}


def _of(plan: dict[str, Any], params: dict[str, Any]) -> tuple["EntityIndexes", "DrillPlan", "Connect"]:
    from searchsync.catalog import entity as lookup
    from searchsync.recovery.drill import DrillPlan
    from searchsync.recovery.measure import Connect

    connections, entity = hook.connections(), lookup(plan["entity"])
    streams = connections.streams(entity) if entity.source == "dynamodb" else None

    def source(of: Any) -> Any:
        return connections.source(entity, of, read_units=params["read_units"])

    return connections.indexes(entity), DrillPlan(**plan), Connect(source, streams)
