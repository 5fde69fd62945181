"""How a run is named in the indexes that it builds, and what all DAGs have in common."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, overload

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from search_ops.alerts import run_failed

LOAD_POOL = os.environ.get("SEARCHSYNC_LOAD_POOL") or "default_pool"
"""Limits the load tasks that run at once, over all runs: bulk requests are what a cluster can be overloaded with.

``default_pool`` is in every Airflow. Tasks of a pool that does not exist stay scheduled for ever, without a word.
"""

POLICY: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "on_failure_callback": run_failed,
    "default_args": {
        "owner": "search",
        "retries": 2,
        "retry_delay": timedelta(seconds=15),
        # What a person has to change does not get better by waiting.
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception="searchsync.errors.Permanent", action=RetryAction.FAIL, reason="needs a change first")]
        ),
    },
}
"""Keyword arguments of every DAG."""


def timezone() -> str:
    """Time zone of all schedules: ``SEARCHSYNC_TIMEZONE``, default UTC."""
    return os.environ.get("SEARCHSYNC_TIMEZONE") or "UTC"


def build_of(dag_run: Any) -> str:
    """The name of a run as ``_meta.build`` of its index: ``<dag id>/<run id>``."""
    return f"{dag_run.dag_id}/{dag_run.run_id}"


def running(build: str) -> bool | None:
    """Whether the run of a build is queued or under way; None when Airflow does not know it (a command line's)."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    dag_id, _, run_id = build.partition("/")
    if RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=["queued", "running"]):
        return True
    return False if RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id]) else None


def states_of(dag_run: Any, *task_ids: str) -> dict[str, str | None]:
    """What became of some tasks of a run that are not mapped, by name."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(dag_id=dag_run.dag_id, run_ids=[dag_run.run_id], task_ids=[*task_ids])
    states = found.get(dag_run.run_id, {})
    return {name: states.get(name) for name in task_ids}


@overload
def whole(value: float) -> int: ...


@overload
def whole(value: None) -> None: ...


def whole(value: float | None) -> int | None:
    """A parameter of the type integer, as one: Airflow takes 4.0 for it, too, and hands on a float."""
    return None if value is None else int(value)


def reports_root() -> Path:
    """Where all files for operators are: ``SEARCHSYNC_REPORTS``. Workers and API server have to share it."""
    return Path(os.environ.get("SEARCHSYNC_REPORTS") or "reports").absolute()


def reports_dir(build: str) -> Path:
    """Where a run's files for operators go: ``SEARCHSYNC_REPORTS``/<dag id>/<run id>."""
    return reports_root() / build


def check_conf(conf: dict[str, Any] | None, params: dict[str, Any]) -> None:
    """Refuse keys that no parameter has: Airflow itself takes them without a word.

    :raises BadParams: naming them and what there is
    """
    from searchsync.errors import BadParams

    unknown = sorted(set(conf or {}) - set(params))
    if unknown:
        known = ", ".join(sorted(params)) or "none"
        raise BadParams(f"unknown parameters: {', '.join(unknown)}; known: {known}. Nothing was changed")
