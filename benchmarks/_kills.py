"""The cases of the kill matrix, and how one of them goes: prepare, trigger, kill, wait, look."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from benchmarks._bars import say
from benchmarks._kills_world import World
from local import airflow, opensearch, processes
from local.errors import LocalError

TASK, WORKER, SCHEDULER, OPENSEARCH, POSTGRES = "task", "worker", "scheduler", "OpenSearch", "PostgreSQL"
TASKS = {
    "locations_reindex": (
        "check create_green partitions load copy_tombstones make_searchable gate approve gate_again canary warm swap "
        "verify announce discard_green completed"
    ),
    "members_reindex": "load copy_tombstones gate",
    "locations_sync": "sync announce",
    "locations_quality": "compare announce",
    "members_dlq_replay": "evict replay announce",
    "cluster_health": "look tell",
    "index_retire": "retire evidence announce",
    "freshness": "measure announce",
    "index_rollback": "choose compare approve reconcile swap verify announce",
    "index_snapshot": "save verify prune",
    "recovery_drill": "prepare restore build announce clean_up completed",
}
REPLAY = "members_dlq_replay"
ATTEMPTS = 5
"""At a kill: a task may have ended before its moment came."""

PATIENCE_SECONDS = 420.0
_POLL_SECONDS = 0.05
_ENDED = ("success", "failed", "skipped", "upstream_failed")
_USUAL_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """Who is killed while which task of which DAG runs."""

    dag: str
    task: str
    victim: str = TASK

    @property
    def name(self) -> str:
        """As ``--cases`` finds it."""
        return f"{self.dag}/{self.task}" + ("" if self.victim == TASK else f"/{self.victim}")


CASES = (
    *(Case(dag, task) for dag, tasks in TASKS.items() for task in tasks.split()),
    Case("locations_reindex", "load", WORKER),
    Case("locations_reindex", "load", SCHEDULER),
    *(
        Case("locations_reindex", task, server)
        for server in (OPENSEARCH, POSTGRES)
        for task in ("load", "gate", "swap")
    ),
)


@dataclass(frozen=True)
class Row:
    """What came of a case.

    :ivar after: seconds from the task's start to the kill
    :ivar took: what brought the run to its end
    :ivar different: what is not exact, a run that did not end well among it; empty when all is
    :ivar left: what was left over
    """

    case: str
    victim: str
    after: float
    took: str
    seconds: float
    different: list[str]
    left: list[str]

    @property
    def good(self) -> bool:
        """Ended well, exact, and nothing left over."""
        return not self.different and not self.left

    def cells(self) -> list[str]:
        """For a table."""
        exact = "; ".join(self.different)
        return [
            self.case,
            self.victim,
            f"{self.after:.1f} s",
            self.took,
            f"NOT exact: {exact}" if exact else "exact",
            "; ".join(self.left) or "nothing",
            f"{self.seconds:.0f} s",
        ]


HEAD = ["while this ran", "killed", "after", "it took", "indexes", "left over", "seconds"]


class Missed(Exception):
    """The task had ended before it could be killed."""


def run(world: World, case: Case, seed: int) -> Row:
    """One case, up to its kill as often as it takes to hit the task.

    :raises Missed: when it was never hit
    """
    choose = random.Random(f"{seed} {case.name}")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _Kill(world, case, choose, part=choose.uniform(0.05, 0.8) / attempt).run()
        except Missed:
            say(f"  {case.name}: ended before the kill, attempt {attempt}")
    raise Missed(f"{case.name}: ended before the kill {ATTEMPTS} times")


class _Kill:
    """One attempt at a case.

    :param part: of the task's usual time, after which the kill comes
    """

    def __init__(self, world: World, case: Case, choose: random.Random, *, part: float) -> None:
        self._world, self._api, self._case, self._choose, self._part = world, world.api, case, choose, part
        self._notes: list[str] = []
        self._failed: list[str] = []

    def run(self) -> Row:
        began, dag = time.monotonic(), self._case.dag
        self._quiet()
        self._world.prepare(dag, self._choose)
        loans: AbstractContextManager[None] = self._world.short_loans() if dag == REPLAY else nullcontext()
        try:
            with loans:
                after, took = self._kill_and_recover()
            until(f"{dag} is at rest", self._at_rest, seconds=PATIENCE_SECONDS)
            different, left = self._failed + self._world.different(dag), self._world.left_over(dag)
        finally:
            self._api.pause(dag)
        took = ", ".join([took, *self._notes])
        return Row(
            f"{dag}: {self._case.task}", self._case.victim, after, took, time.monotonic() - began, different, left
        )

    def _at_rest(self) -> bool:
        """Whether no run goes on, and none begins any more: the next hour may strike."""
        dag = self._case.dag
        if self._world.unfinished(dag):
            return False
        self._api.pause(dag)
        if not self._world.unfinished(dag):
            return True
        self._api.unpause(dag)
        return False

    def _quiet(self) -> None:
        """Only this DAG runs, and of it nothing yet: unpausing it may start the run of a time that has passed."""
        dag = self._case.dag
        for other in self._api.dags():
            if other["dag_id"] != dag and not other["is_paused"]:
                self._api.pause(other["dag_id"])
        self._api.forget_events(dag)
        self._api.unpause(dag)
        until(f"nothing of {dag} is due", self._nothing_due)

    def _nothing_due(self) -> bool:
        due = self._api.dag(self._case.dag).get("next_dagrun_run_after")
        return not self._world.unfinished(self._case.dag) and (due is None or _moment(due) > datetime.now(UTC))

    def _kill_and_recover(self) -> tuple[float, str]:
        dag = self._case.dag
        moment = self._part * self._usual_seconds()
        run_id = self._api.trigger(dag, _conf(self._case))
        try:
            after = self._kill(run_id, moment)
        except Missed:
            self._ended(run_id)
            raise
        state = self._ended(run_id)
        if state == "success":
            retried = {task["task_id"] for task in self._api.tasks(dag, run_id) if task["try_number"] > 1}
            if self._case.victim in (TASK, WORKER) and self._case.task not in retried:
                raise Missed  # it had said that it is done
            return after, "retried" if retried else "went on"
        until("no message is on loan", lambda: dag != REPLAY or not self._world.on_loan())
        took = self._choose.choice(["re-run", "cleared"]) if dag == REPLAY else "re-run"
        if took == "cleared":
            self._api.clear_failed(dag, run_id)
        else:
            run_id = self._api.trigger(dag, _conf(self._case))
        if (again := self._ended(run_id)) != "success":
            self._failed = [f"the run ended as {again}"]
        return after, took

    def _usual_seconds(self) -> float:
        """How long the task took at least in earlier runs that nobody disturbed."""
        runs = self._api.runs(self._case.dag, states=("success",))[:5]
        tasks = [task for run in runs for task in self._api.tasks(self._case.dag, run["dag_run_id"])]
        mine = [task for task in tasks if task["task_id"] == self._case.task and task["try_number"] == 1]
        return min((float(task["duration"]) for task in mine if task["duration"]), default=_USUAL_SECONDS)

    def _kill(self, run_id: str, moment: float) -> float:
        """Returns the seconds from the task's start to the kill."""
        task = until(f"{self._case.task} runs", lambda: self._running(run_id), seconds=PATIENCE_SECONDS)
        begun = _moment(task["start_date"])
        time.sleep(max(0.0, (begun + timedelta(seconds=moment) - datetime.now(UTC)).total_seconds()))
        return (self._strike(int(task["pid"])) - begun).total_seconds()

    def _running(self, run_id: str) -> dict[str, Any] | None:
        """The task, once it has a process.

        :raises Missed: when it has ended
        """
        found = [t for t in self._api.tasks(self._case.dag, run_id) if t["task_id"] == self._case.task]
        running = next((task for task in found if task["state"] == "running" and task["pid"]), None)
        if running is None and found and all(task["state"] in _ENDED for task in found):
            raise Missed
        return running

    def _strike(self, pid: int) -> datetime:
        """Kill who is to be killed, and start again what a person would. Returns when it was killed."""
        victim, stack = self._victim(pid), self._world.stack
        struck = datetime.now(UTC)
        processes.kill(victim)
        if self._case.victim == OPENSEARCH:
            opensearch.start(stack.home.part("opensearch"), port=stack.state.ports["opensearch"])
        elif self._case.victim in (SCHEDULER, POSTGRES):
            self._restart()
        return struck

    def _victim(self, pid: int) -> processes.Process:
        """Found at once: the task goes on meanwhile.

        :raises Missed: when it has ended
        """
        try:
            process = psutil.Process(pid)
            if self._case.victim == WORKER:
                process = process.parent() or process
            found = processes.Process(process.pid, process.create_time())
        except psutil.NoSuchProcess:
            raise Missed from None
        running, state = self._world.stack.running, self._world.stack.state
        if self._case.victim == SCHEDULER:
            return state.parts["scheduler"].process
        servers = {OPENSEARCH: "opensearch", POSTGRES: "postgres"}
        return running()[servers[self._case.victim]] if self._case.victim in servers else found

    def _restart(self) -> None:
        """As `./dev up` and a person do: what died is started, and the DAG is unpaused again."""
        stack = self._world.stack
        before = {name: part.process for name in airflow.PROGRAMS if (part := stack.state.running(name))}
        stack.up()
        self._api.unpause(self._case.dag)
        if before != {name: stack.state.parts[name].process for name in airflow.PROGRAMS}:
            self._notes = ["Airflow restarted"]

    def _ended(self, run_id: str) -> str:
        """The state in which a run ended; what of Airflow dies meanwhile is started again."""

        def state() -> str | None:
            try:
                found = str(self._api.run(self._case.dag, run_id)["state"])
            except LocalError:
                found = "unknown"
            if not set(airflow.PROGRAMS) <= self._world.stack.running().keys():
                self._restart()
            return found if found in ("success", "failed") else None

        return str(until(f"{run_id} of {self._case.dag} ends", state, seconds=PATIENCE_SECONDS, pause=0.5))


def until(what: str, condition: Callable[[], Any], *, seconds: float = 60.0, pause: float = _POLL_SECONDS) -> Any:
    """Wait for something that happens elsewhere, and return it.

    :raises TimeoutError: naming it
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
    return value


def _conf(case: Case) -> dict[str, Any]:
    """What a run is triggered with; a load that is killed has many small pages, so that it has a middle."""
    now = datetime.now(UTC)
    confs: dict[str, dict[str, Any]] = {
        "locations_reindex": {"partitions": 2, **({"bulk_bytes": 100_000} if case.task == "load" else {})},
        "members_reindex": {"partitions": 2},
        "locations_sync": {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()},
        "locations_quality": {"level": "full", "repair": "on"},
        "index_rollback": {"entity": "locations", "approve": False},
        "recovery_drill": {"entity": "locations"},  # a scan of the emulated members takes half a minute
    }
    return confs.get(case.dag, {})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
