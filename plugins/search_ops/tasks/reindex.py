"""Tasks of ``<entity>_reindex``: each calls one step of ``searchsync.operations.reindex`` and returns little."""

import logging
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, task

from search_ops import hook
from search_ops.approval import Approval
from search_ops.dag_policy import LOAD_POOL
from search_ops.reindex_params import parameters
from search_ops.runs import check_conf, reports_dir, run_id_of, running, states_of, whole

if TYPE_CHECKING:
    from searchsync.cluster.indexes import EntityIndexes
    from searchsync.operations.reindex import Reindex, ReindexPlan
    from searchsync.sources.dynamodb_export import ExportSource
    from searchsync.writing.ledger import Ledger

log = logging.getLogger(__name__)

NAME_LENGTH = 200
"""Characters of a partition's name; Airflow's database keeps 250."""


def served(entity: str) -> Asset:
    """The asset that a swap updates; its event says which index is live since then."""
    return Asset(f"{entity}_index")  # a URI would load every provider that has a scheme, at each parse


@task
def check(entity: str, *, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Refuse what cannot end well; decide what is replaced and from which source."""
    from dataclasses import asdict

    from searchsync.catalog import entity as lookup
    from searchsync.operations import reindex

    check_conf(dag_run.conf, parameters(lookup(entity)))
    plan = reindex.check(
        _indexes(entity),
        hook.connections().to_reindex(lookup(entity), export=params.get("export_arn", "")),
        run_id=run_id_of(dag_run),
        running=running,
        force=params["force"],
        new_epoch=params["new_epoch"],
        number_of_shards=whole(params["number_of_shards"]),
    )
    log.info("%s", plan)
    return asdict(plan)


@task
def create_green(entity: str, plan: dict[str, Any]) -> str:
    """The index of this run, in the write set."""
    from searchsync.operations import reindex

    return reindex.create_green(_indexes(entity), _plan(plan))


@task
def export(entity: str, plan: dict[str, Any], green: str, *, params: dict[str, Any]) -> dict[str, Any]:
    """The export of the table that is loaded: requested and waited for, or the chosen one, with what came since."""
    from dataclasses import asdict

    from searchsync.writing.progress import Rejections

    source = _export_source(entity, plan, export_arn=params["export_arn"])
    with Rejections(reports_dir(_plan(plan).run_id) / "rejected-export.ndjson") as rejections:
        return asdict(_run(entity, plan, green).export(source, rejections=rejections))


def _export_source(entity: str, plan: dict[str, Any], *, export_arn: str = "") -> "ExportSource":
    from searchsync.catalog import entity as lookup
    from searchsync.errors import BadParams
    from searchsync.sources.dynamodb_export import ExportSource

    source = hook.connections().to_reindex(lookup(entity), _plan(plan), export=export_arn)
    if not isinstance(source, ExportSource):
        raise BadParams(f"{entity} is not read from exports any more: its file was changed. Trigger a new run")
    return source


@task
def partitions(
    entity: str, plan: dict[str, Any], green: str, exported: dict[str, Any] | None, *, params: dict[str, Any]
) -> list[dict[str, Any]]:
    """Parts of the source, each naming the index that it is for: a load refuses any other."""
    from dataclasses import asdict

    from searchsync.catalog import entity as lookup
    from searchsync.sources.base import Source
    from searchsync.sources.export_files import Export

    source: Source
    if exported is None:
        source = hook.connections().source(lookup(entity), _plan(plan))
    else:
        source = _export_source(entity, plan)
        source.export = Export(**exported)
    ranges = source.partitions(whole(params["partitions"]))
    expected = (source.count() or 0) // len(ranges)
    return [{"name": _name(str(r)), "green": green, "range": asdict(r), "expected": expected} for r in ranges]


def _name(partition: str) -> str:
    """What Airflow shows a partition as. A name longer than it keeps would fail the task after its work was done."""
    if len(partition) <= NAME_LENGTH:
        return partition
    digest = sha256(partition.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{partition[: NAME_LENGTH - 10]}… {digest}"


@task(pool=LOAD_POOL, map_index_template="{{ task.op_kwargs['partition']['name'] }}")
def load(
    entity: str,
    plan: dict[str, Any],
    partition: dict[str, Any],
    *,
    params: dict[str, Any],
    ti: Any,
    task_state_store: Any,
) -> dict[str, Any]:
    """Fill one part; an attempt that was killed is gone on with."""
    from dataclasses import asdict

    from searchsync import config
    from searchsync.catalog import entity as lookup
    from searchsync.writing.progress import Rejections

    the_plan = _plan(plan)
    units = config.read_units(lookup(entity), params.get("read_units"))
    source = hook.connections().to_reindex(lookup(entity), the_plan, read_units=units and units / params["partitions"])
    path = reports_dir(the_plan.run_id) / f"rejected-{ti.map_index}.ndjson"
    with Rejections(path) as rejections:
        ledger = _run(entity, plan, partition["green"]).load(
            source,
            source.partition(partition["range"]),
            rejections=rejections,
            bulk_bytes=whole(params["bulk_bytes"]),
            expected=partition["expected"],
            checkpoint=_Checkpoint(task_state_store),
        )
    return {"partition": partition["name"], "map_index": ti.map_index, "ledger": asdict(ledger)}


def _loaded(ranges: list[dict[str, Any]], results: Any) -> "Ledger":
    """Return the sum of the ledgers of what this attempt of the run loaded.

    Airflow keeps results of map indexes that a cleared run has not any more, and hands them on with the others.

    :raises GateFailed: naming the partitions that were not loaded into the index that they are for
    """
    from searchsync.errors import GateFailed
    from searchsync.writing.ledger import Ledger

    found = {(result["map_index"], result["partition"], result["ledger"]["index"]): result for result in results}
    wanted = [(at, partition["name"], partition["green"]) for at, partition in enumerate(ranges)]
    missing = [f"{name} (map index {at})" for at, name, green in wanted if (at, name, green) not in found]
    if missing:
        raise GateFailed(
            f"{ranges[0]['green']}: not loaded in this attempt: {', '.join(missing)}. Was the task marked success by "
            "hand? The live index goes on serving; clear load with downstream"
        )
    return sum((Ledger(**found[each]["ledger"]) for each in wanted), start=Ledger(ranges[0]["green"]))


@task
def copy_tombstones(
    entity: str, plan: dict[str, Any], green: str, ranges: list[dict[str, Any]], loaded: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was deleted stays deleted. Refuses to go on when a part of the source was not loaded."""
    from dataclasses import asdict

    _loaded(ranges, loaded)
    return asdict(_run(entity, plan, green).copy_tombstones())


@task
def make_searchable(entity: str, green: str) -> None:
    """Refresh and replicas as in the mapping file; wait for all copies."""
    from searchsync.cluster import creation

    creation.make_searchable(_indexes(entity), green)


@task
def gate(entity: str, plan: dict[str, Any], green: str, *, params: dict[str, Any]) -> dict[str, Any]:
    """All that must hold before an index is live; fails the run otherwise."""
    from dataclasses import asdict

    from searchsync.catalog import entity as lookup
    from searchsync.operations import gate as checks
    from searchsync.writing.progress import Rejections

    the_plan = _plan(plan)
    source = hook.connections().source(lookup(entity), the_plan, read_units=params.get("read_units"))
    with Rejections(reports_dir(the_plan.run_id) / "rejected-gate.ndjson") as rejections:
        found = checks.gate(
            _run(entity, plan, green),
            source,
            rejections=rejections,
            max_rejected=whole(params["max_rejected"]),
            allow_shrink=params["allow_shrink"],
        )
    ask = (
        checks.why_ask(lookup(entity), found.live_documents, found.documents, params["approve"])
        if params["swap"]
        else ""
    )
    return asdict(found) | {"ask": ask}


def approve() -> Approval:
    """Waits for a person where the gate found a reason to."""
    return Approval(
        task_id="approve",
        because="{{ ti.xcom_pull('gate')['ask'] }}",
        subject="Serve {{ ti.xcom_pull('create_green') }}?",
        body="{{ ti.xcom_pull('gate')['ask'] }}. All checks of the gate passed; they are made again after the answer.",
    )


@task
def gate_again(
    entity: str, plan: dict[str, Any], green: str, gated: dict[str, Any], *, params: dict[str, Any]
) -> dict[str, Any]:
    """The gate once more, for what came during the wait; what it found before when nobody was asked."""
    if not gated["ask"]:
        return gated
    from searchsync.catalog import entity as lookup
    from searchsync.operations import gate as checks

    found: dict[str, Any] = gate.function(entity, plan, green, params=params)
    checks.check_as_approved(lookup(entity), gated["documents"], found["documents"])
    return found


@task
def canary(entity: str, green: str, *, params: dict[str, Any]) -> str:
    """Compare the searches of the new index with those of the live one, where it was asked for."""
    from search_ops import warming
    from searchsync.canary import searches
    from searchsync.canary.policy import policy
    from searchsync.errors import GateFailed

    if not params["canary"]:
        return "not compared: canary is off"
    verdict, why = searches.judge(policy().searches, warming.compare(entity, green))
    log.info("%s: %s", verdict, why)
    if verdict != searches.PASS:
        raise GateFailed(
            f"{green}: the comparison of searches is {verdict}: {why}. The live index goes on serving. If the answers "
            "are meant to differ, look at some yourself and run the reindex without canary"
        )
    return f"{verdict}: {why}"


@task
def warm(entity: str, green: str, *, params: dict[str, Any]) -> str:
    """Let the search API keep the answers of frequent queries before the swap. It never fails and skips nothing."""
    from search_ops import warming

    return warming.warm(entity, green) if params["swap"] else "not warmed: swap is off"


@task
def swap(entity: str, plan: dict[str, Any], green: str, *, params: dict[str, Any]) -> bool:
    """Serve the new index. Skipped when the run only builds and checks."""
    from airflow.sdk.exceptions import AirflowSkipException

    if not params["swap"]:
        raise AirflowSkipException("swap is off: the index was built and checked only")
    _run(entity, plan, green).swap()
    return True


@task
def verify(entity: str, plan: dict[str, Any], green: str, *, outlet_events: Any) -> int:
    """Read the aliases back, search through them, and tell the DAGs that wait for it."""
    run = _run(entity, plan, green)
    documents = run.verify()
    extra = {"index": green, "documents": documents, "previous": run.plan.blue}
    outlet_events[served(entity)].extra = extra
    return documents


@task(trigger_rule="none_failed")
def announce(
    plan: dict[str, Any],
    ranges: list[dict[str, Any]],
    loaded: list[dict[str, Any]],
    tombstones: dict[str, Any],
    gated: dict[str, Any],
    passed_again: dict[str, Any] | None,
    *,
    dag_run: Any,
) -> dict[str, Any]:
    """The run's result: what was read, written and found, and how fast."""
    from dataclasses import asdict

    from searchsync.operations import reindex

    seconds = (datetime.now(UTC) - dag_run.start_date).total_seconds()
    # A task that is not started again after a clear keeps its earlier result: what it did now, its state says.
    done = states_of(dag_run, "gate_again", "swap")
    found = passed_again if passed_again and done["gate_again"] == "success" else gated
    swapped = done["swap"] == "success"
    report = reindex.report(
        _plan(plan),
        _loaded(ranges, loaded),
        tombstones=tombstones["read"],
        gate=found,
        seconds=seconds,
        swapped=swapped,
    )
    log.info("%s", report)
    return asdict(report)


@task
def discard_green(entity: str, *, params: dict[str, Any], dag_run: Any) -> list[str]:
    """Teardown: whatever this run built and did not serve goes."""
    from searchsync.operations import reindex

    keep = params["keep_green"] and params["swap"]
    return reindex.discard(_indexes(entity), run_id_of(dag_run), keep=keep)


@task
def completed(*, dag_run: Any) -> None:
    """Teardown that decides the run: red when a person ended it. Skipped when a task failed, which is red already.

    Airflow skips what is left of a run that is marked failed, and calls it a success once its teardowns are through.
    """
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

    state = states_of(dag_run, "announce")["announce"]
    if state == "skipped":
        raise AirflowFailException(
            "this run was ended by hand before it was complete. Unless swap is green, it changed nothing that is "
            "served, and what it built is deleted. Trigger a new run"
        )
    if state != "success":
        raise AirflowSkipException("a task before has failed: see its log")


class _Checkpoint:
    """A load's progress, kept by Airflow through retries and clears of its task until it succeeds."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self) -> Any:
        return self._store.get("loaded")

    def set(self, value: dict[str, Any]) -> None:
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            self._store.set("loaded", value)
        except AirflowRuntimeError as error:  # Airflow's API is away: a load goes on without being kept
            log.warning("how far the load has come could not be kept: %s", error)


def _indexes(entity: str) -> "EntityIndexes":
    from searchsync.catalog import entity as lookup

    return hook.connections().indexes(lookup(entity))


def _run(entity: str, plan: dict[str, Any], green: str) -> "Reindex":
    from searchsync.operations.reindex import Reindex

    return Reindex(_indexes(entity), _plan(plan), green)


def _plan(plan: dict[str, Any]) -> "ReindexPlan":
    """Return a plan as XCom keeps it. A run that an earlier version began calls its id ``build``."""
    from searchsync.operations.reindex import ReindexPlan

    return ReindexPlan(**{"run_id" if name == "build" else name: value for name, value in plan.items()})
