"""How the tasks ask Airflow for its own health: by the API server's report, and by what a task may ask for.

The connection ``airflow_api`` (type http, login and password of a user who may view) may be missing: then nobody looks
at files that cannot be read, and at pools.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from searchsync.health.airflow import Api, DagSeen
    from searchsync.health.run import Airflow

AIRFLOW_API = "airflow_api"

OF_ALL = ("capacity", "freshness", "index_retire", "index_snapshot", "recovery_drill", "slo_report")
"""Ids of the DAGs with a schedule that no entity has of its own, without ``cluster_health``: who looks does not see
itself."""

MOST_FAILED = 20
"""Runs in a row without success that are looked at."""


def airflow() -> "Airflow":
    """Return how Airflow is asked."""
    from searchsync.health.run import Airflow

    return Airflow(_api(), {dag_id: _seen(dag_id) for dag_id in scheduled()})


def scheduled() -> "Iterator[str]":
    """Yield the ids of the DAGs with a schedule."""
    from searchsync.catalog import CATALOG, DEFAULT_SCHEDULES

    for name, entity in CATALOG.items():
        for operation in DEFAULT_SCHEDULES[entity.source]:
            yield f"{name}_{'dlq_replay' if operation == 'replay' else operation}"
    yield from OF_ALL


def _seen(dag_id: str) -> "DagSeen | str":
    """Return what Airflow knows of the scheduled runs of a DAG, or why it does not say."""
    try:
        return see(dag_id)
    except Exception as error:
        return f"Airflow does not tell of {dag_id}: {type(error).__name__}: {error}"


def see(dag_id: str) -> "DagSeen":
    """Return what Airflow knows of the scheduled runs of a DAG."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    from searchsync.health.airflow import DagSeen

    dag = RuntimeTaskInstance.get_dag(dag_id)
    last = _before(dag_id, datetime.now(UTC) + timedelta(days=1))
    if last is None:
        return DagSeen(dag.is_paused)
    run, first = last, last
    failed: list[datetime] = []
    while run is not None and run.state != "success" and len(failed) < MOST_FAILED:
        first = run
        failed += [run.end_date] if run.state == "failed" and run.end_date else []
        run = _before(dag_id, run.logical_date)
    interval = dag.next_dagrun - last.logical_date if dag.next_dagrun else None
    succeeded = run.run_after if run is not None and run.state == "success" else None
    return DagSeen(dag.is_paused, succeeded, first.run_after, interval, failed)


def _before(dag_id: str, moment: datetime) -> Any:
    """Return the scheduled run that was due last before a moment; None when there is none."""
    from airflow.sdk.execution_time.comms import GetPreviousDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer: Any = SUPERVISOR_COMMS.send(GetPreviousDagRun(dag_id=dag_id, logical_date=moment))
    return answer.dag_run


def _api() -> "Api":
    from airflow.sdk import BaseHook
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowNotFoundException

    from searchsync.health.airflow import Api

    base = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    execution = conf.get("core", "execution_api_server_url", fallback="") or ""
    url = execution.rstrip("/").removesuffix("/execution") or base.rstrip("/")
    try:
        connection = BaseHook.get_connection(AIRFLOW_API)
    except AirflowNotFoundException:
        return Api(url)
    return Api(url, connection.login or "", connection.password or "")
