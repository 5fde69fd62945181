"""Runs: how one is named in the indexes that it builds, what became of its tasks, where its files are."""

import os
from pathlib import Path
from typing import Any, overload


def run_id_of(dag_run: Any) -> str:
    """Return the id of a run as the library knows it, unique over all DAGs: ``<dag id>/<Airflow's run id>``."""
    return f"{dag_run.dag_id}/{dag_run.run_id}"


def running(run_id: str) -> bool | None:
    """Return whether a run is queued or under way; None when Airflow does not know it (a command line's)."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    dag_id, _, run = run_id.partition("/")
    if RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run], states=["queued", "running"]):
        return True
    return False if RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run]) else None


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
