"""Start a DAG run, show how it gets on, and say what came of it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.airflow_api import AirflowApi, Refused
from local.errors import LocalError

RESULT_TASK = "announce"
_ACTIVE = ("queued", "running")
_GONE_SECONDS = 15.0
"""How long a run waits for its DAG before that is said: a busy machine reads files late."""

_DONE = {"success", "failed", "skipped", "upstream_failed", "removed"}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    :param seconds: from the run's start to its end, as Airflow recorded them.
    :param result: what the task `announce` returned, if there is one.
    """

    dag_id: str
    run_id: str
    state: str
    seconds: float
    result: Any
    link: str

    @property
    def succeeded(self) -> bool:
        return self.state == "success"


def await_dag(api: AirflowApi, dag_id: str, *, parsed_since: datetime, patience: float = 60.0) -> dict[str, Any]:
    """The DAG as Airflow has read it after `parsed_since`: an older reading may hold a due date that is no longer true.

    :raises LocalError: naming the files that can not be read, when the DAG does not appear.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        dag = _dag(api, dag_id)
        parsed = dag.get("last_parsed_time") if dag else None
        if dag and parsed and _moment(parsed) >= parsed_since:
            return dag
        time.sleep(0.25)
    known = ", ".join(sorted(dag["dag_id"] for dag in api.dags())) or "none"
    raise LocalError(f"Airflow has no DAG {dag_id}; it has: {known}{_not_readable(api)}")


def _dag(api: AirflowApi, dag_id: str) -> dict[str, Any] | None:
    """A DAG that its file still makes; None when there is none."""
    try:
        dag = api.dag(dag_id)
    except Refused as error:
        if error.status != 404:
            raise
        return None
    return None if dag.get("is_stale") else dag


def _not_readable(api: AirflowApi) -> str:
    return "".join(f"\n  not readable: {line}" for line in api.import_errors())


def start_once(api: AirflowApi, dag: Mapping[str, Any]) -> str:
    """Start one run of a DAG that is paused, such that exactly one comes of it. Returns the run's id.

    A paused DAG's run stays queued, so the DAG has to be unpaused for it; and unpausing a DAG whose last scheduled
    time has passed without a run (the stack was down, or the DAG is new and its hour was just now) makes the scheduler
    create that run at once. When it would, that run is taken for ours, and none is started by hand.
    """
    dag_id = dag["dag_id"]
    due = dag.get("next_dagrun_run_after")
    if not dag["is_paused"] or due is None or _moment(due) > datetime.now(UTC):
        run_id = api.trigger(dag_id)
        api.unpause(dag_id)
        return run_id
    before = {run["dag_run_id"] for run in api.runs(dag_id)}
    api.unpause(dag_id)
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        new = [run["dag_run_id"] for run in api.runs(dag_id) if run["dag_run_id"] not in before]
        if new:
            return str(new[-1])
        time.sleep(0.25)
    raise LocalError(
        f"the scheduler did not create the run of {dag_id} that was due at {due}: see `./dev logs scheduler`"
    )


def fail_unfinished(api: AirflowApi, dag_id: str, *, before: datetime) -> int:
    """Mark runs failed that an earlier stop cut off: where one at a time is allowed they would hold up the next."""
    unfinished = [
        run for run in api.runs(dag_id, states=_ACTIVE) if _moment(run["queued_at"] or run["run_after"]) < before
    ]
    for run in unfinished:
        api.fail(dag_id, run["dag_run_id"])
    return len(unfinished)


def unpause_scheduled(api: AirflowApi) -> list[str]:
    """Unpause every DAG that has a schedule. Returns their ids."""
    paused = [
        dag["dag_id"] for dag in api.dags() if dag["is_paused"] and dag.get("timetable_summary") not in (None, "None")
    ]
    for dag_id in paused:
        api.unpause(dag_id)
    return paused


def follow(api: AirflowApi, dag_id: str, run_id: str, say: Say, *, patience: float = 3600.0) -> Outcome:
    """Wait for the end of a run, with a line for each task that gets further."""
    began = there = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        run = api.run(dag_id, run_id)
        tasks = api.tasks(dag_id, run_id)
        for name, text in summary(tasks).items():
            if shown.get(name) != text:
                shown[name] = text
                say(f"{time.monotonic() - began:6.1f} s  {name}{text}")
        if run["state"] not in _ACTIVE:
            break
        if any(task["state"] == "running" for task in tasks) or _dag(api, dag_id) is not None:
            there = time.monotonic()
        elif time.monotonic() - there > _GONE_SECONDS:
            raise LocalError(
                f"Airflow has no DAG {dag_id} any more, so this run waits: {link(api, dag_id, run_id)}. It goes on "
                f"when the file that makes the DAG is there and right again{_not_readable(api)}"
            )
        if time.monotonic() - began > patience:
            raise LocalError(
                f"{dag_id} has been {run['state']} for {patience:.0f} s; it goes on: {link(api, dag_id, run_id)}"
            )
        time.sleep(0.5)
    seconds = (
        (_moment(run["end_date"]) - _moment(run["start_date"])).total_seconds()
        if run["end_date"] and run["start_date"]
        else 0.0
    )
    result = api.result(dag_id, run_id, RESULT_TASK) if any(task["task_id"] == RESULT_TASK for task in tasks) else None
    return Outcome(dag_id, run_id, run["state"], seconds, result, link(api, dag_id, run_id))


def summary(tasks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What is worth a line about each task that has begun: ` 2/4` for a mapped one, a state that is not simply done."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for task in sorted(tasks, key=lambda task: (task["start_date"] is None, task["start_date"] or "")):
        groups.setdefault(task["task_id"], []).append(task)
    lines = {}
    for name, group in groups.items():
        states = Counter(str(task["state"]) for task in group)
        done = sum(states[state] for state in _DONE)
        unusual = [state for state in ("failed", "up_for_retry", "skipped") if states[state]]
        if done > states["upstream_failed"] or unusual:
            count = f" {done}/{len(group)}" if len(group) > 1 or group[0]["map_index"] >= 0 else ""
            lines[name] = count + (f" ({', '.join(unusual)})" if unusual else "")
    return lines


def explain_failure(api: AirflowApi, outcome: Outcome) -> list[str]:
    """Which tasks failed, the end of their logs, and where to look."""
    lines = [f"{outcome.dag_id} ended as {outcome.state}: {outcome.link}"]
    for task in api.tasks(outcome.dag_id, outcome.run_id):
        if task["state"] == "failed":
            part = f"[{task['rendered_map_index'] or task['map_index']}]" if task["map_index"] >= 0 else ""
            lines.append(f"  failed: {task['task_id']}{part}, attempt {task['try_number']}")
            lines.extend(f"    | {line}" for line in api.log(task))
    return lines


def link(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """The page of a run."""
    return f"{api.url}/dags/{dag_id}/runs/{run_id}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
