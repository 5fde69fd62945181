"""What the log of a task says beside its lines: which run and entity they are of, metrics, and how the task ended.

A listener of Airflow, so it holds for every task of every DAG. Airflow calls it in the process of the task, and goes on
whatever happens here. ``search_ops.cloudwatch_logs`` says which way the lines go.
"""

import logging
import time
from typing import Any

from airflow.listeners import hookimpl

_began = 0.0
"""When the task of this process began, in seconds of a clock that does not go back."""


@hookimpl
def on_task_instance_running(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001
    """Give all lines that follow the task's run and entity; write the library's DEBUG lines of a tenth of the runs."""
    from searchsync.sampling import is_sampled
    from searchsync.telemetry import fields, metrics

    global _began  # noqa: PLW0603 - a process has one task
    _began = time.monotonic()
    run = f"{task_instance.dag_id}/{task_instance.run_id}"
    fields.begin(run=run, entity=_entity(task_instance))
    metrics.write_with(_write)
    if is_sampled(run):
        logging.getLogger("searchsync").setLevel(logging.DEBUG)
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.DEBUG)  # other loggers have levels of their own, and send it no more than before


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001
    """Write how long the task took."""
    _ended(logging.INFO, "task succeeded")


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
    """Write how long the task took, and why it failed; also of an attempt that is followed by another."""
    _ended(logging.ERROR, "task failed", error=f"{type(error).__name__}: {error}")


def _ended(level: int, message: str, **more: str) -> None:
    """Write the line with the time of a task, unless a person set its state: then this is not the task's process."""
    if _began:
        took = round((time.monotonic() - _began) * 1000)
        _log().log(level, message, duration_ms=took, **more)


def _log() -> Any:
    import structlog  # what Airflow logs by: only so are the fields of a line its own

    return structlog.get_logger("searchsync.task")


def _write(document: dict[str, Any]) -> None:
    _log().info("metric", **document)


def _entity(task_instance: Any) -> str:
    """Return the entity of the task's DAG: the one that the DAG or its parameter names; else nothing."""
    from searchsync.catalog import CATALOG

    tagged = [tag for tag in task_instance.task.dag.tags if tag in CATALOG]
    if len(tagged) == 1:
        return str(tagged[0])
    named: str | None = task_instance.get_template_context()["params"].get("entity")
    return named or ""
