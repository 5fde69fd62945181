"""The cases of ``./dev bench chaos``, and how one of them goes: load, fault, repair, and when all is well again."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks._chaos_world import DELIVERY, REINDEX, Chaos
from benchmarks._kills import until
from local import processes, search_api
from local.errors import LocalError

SLOW_SECONDS = 0.2
"""That each piece of up to 64 KiB is held back on a slow link."""

CLOCK_SECONDS = 90
"""By which the clock is stepped, forward and back: more than a minute of limits, less than the life of a token."""

PATIENCE_SECONDS = 300.0
_SEARCHES, _ITEMS, _RUN = "searches", "items", "run"
_WATERMARKS = [f"cluster.routing.allocation.disk.watermark.{name}" for name in ("low", "high", "flood_stage")]
_NO_ROOM, _ROOM = "9000tb", "1b"
_FULL = "12"
"""The block of an index whose disk is full: ``IndexMetadata.INDEX_READ_ONLY_ALLOW_DELETE_BLOCK`` of OpenSearch."""
_FAKETIME = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@dataclass(frozen=True)
class Case:
    """Something that goes wrong for a while, in the middle of a reindex.

    :ivar inflict: makes it happen while a block runs; what it does after the block is the repair of a person
    :ivar seconds: for which it lasts
    :ivar is_silent: whether requests may get no answer meanwhile: the service itself is away
    """

    name: str
    inflict: Callable[[Chaos, str], AbstractContextManager[None]]
    seconds: float = 10.0
    is_silent: bool = False


@dataclass
class Row:
    """What came of a case.

    :ivar answers: to searches, by status, from the fault to the end
    :ivar well: seconds until ``searches``, ``items`` and ``run`` are well, from the end of the fault, with the repair
    :ivar took: what brought the reindex to its end
    """

    case: str
    answers: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    well: dict[str, float] = field(default_factory=dict)
    took: str = ""
    problems: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        """For a table."""
        times = [f"{self.well[name]:.1f} s" if name in self.well else "" for name in (_SEARCHES, _ITEMS, _RUN)]
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(self.answers.items()))
        wrong = "; ".join(self.problems).replace("\n", " ")[:400]
        return [self.case, told, f"{self.slowest:.1f} s", *times, self.took, f"WRONG: {wrong}" if wrong else "holds"]


HEAD = ["what went wrong", "answers", "slowest", "searches well", "items well", "reindex ended", "by", "invariants"]


def _kill(name: str) -> Callable[[Chaos, str], AbstractContextManager[None]]:
    """A part gets SIGKILL, and is started again when the block ends."""

    @contextmanager
    def inflict(chaos: Chaos, _: str) -> Iterator[None]:
        processes.kill(chaos.function() if name == "function" else chaos.process(name))
        yield
        chaos.start_dead()

    return inflict


def _kill_worker(part: str) -> Callable[[Chaos, str], AbstractContextManager[None]]:
    """The process of a task of the run gets SIGKILL, or the worker that has started it."""

    @contextmanager
    def inflict(chaos: Chaos, run_id: str) -> Iterator[None]:
        victim = psutil.Process(_running(chaos, run_id)["pid"])
        victim = (victim.parent() or victim) if part == "worker" else victim
        processes.kill(processes.Process(victim.pid, victim.create_time()))
        yield
        chaos.start_dead()

    return inflict


def _hang(name: str) -> Callable[[Chaos, str], AbstractContextManager[None]]:
    return lambda chaos, _: chaos.hung(name)


def _link(name: str, how: str) -> Callable[[Chaos, str], AbstractContextManager[None]]:
    """The link to a server is cut, slow or silent; whoever ends of it is started again afterwards."""

    @contextmanager
    def inflict(chaos: Chaos, _: str) -> Iterator[None]:
        link = chaos.links[name]
        ways = {"cut": link.cut, "silent": link.silent}
        with link.slow(SLOW_SECONDS) if how == "slow" else ways[how]():
            yield
        chaos.start_dead()

    return inflict


@contextmanager
def _disk_full(chaos: Chaos, _: str) -> Iterator[None]:
    """OpenSearch believes that its disk is full, and forbids all indexes to be written, as it does by itself."""
    enabled, often = "cluster.routing.allocation.disk.threshold_enabled", "cluster.info.update.interval"

    def watch(**settings: Any) -> None:
        body = {"transient": {enabled: True, often: "10s", **settings}}
        chaos.world.search.request("PUT", "/_cluster/settings", body=body)

    def forbidden() -> bool:
        blocks = chaos.world.search.request("GET", "/_cluster/state/blocks")["blocks"]  # no new index, and no writes
        return bool(blocks.get("global") or any(_FULL in found for found in blocks.get("indices", {}).values()))

    watch(**dict.fromkeys(_WATERMARKS, _NO_ROOM))
    try:
        until("OpenSearch forbids writes", forbidden, seconds=60, pause=0.5)
        yield
    finally:
        watch(**dict.fromkeys(_WATERMARKS, _ROOM))
        until("OpenSearch allows writes", lambda: not forbidden(), seconds=90, pause=0.5)
        watch(**{enabled: None, often: None}, **dict.fromkeys(_WATERMARKS))


def clock(library: Path) -> Case:
    """Return the case in which the clock of the search API, of the delivery and of the function is stepped.

    :param library: libfaketime, which tells a process another time
    """

    @contextmanager
    def inflict(chaos: Chaos, _: str) -> Iterator[None]:
        said = chaos.stack.home.folder / "clock"
        said.write_text("+0")
        own = {**_FAKETIME, "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(said)}
        chaos.load.may_be_silent = True
        _restart(chaos, own)
        said.write_text(f"+{CLOCK_SECONDS}")
        yield
        said.write_text(f"-{CLOCK_SECONDS}")
        time.sleep(10.0)
        said.write_text("+0")
        _restart(chaos, {})

    return Case("clock of API and function stepped", inflict, is_silent=True)


def _restart(chaos: Chaos, own: dict[str, str]) -> None:
    """Start the search API and the function again with some variables."""
    for name in (search_api.PART, DELIVERY):
        processes.stop(chaos.process(name), patience=10.0)
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        chaos.start_dead()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


_SERVERS = {"opensearch": "OpenSearch", "postgres": "PostgreSQL", "redis": "Redis", "aws": "the emulator"}
CASES = (
    Case("search API killed", _kill(search_api.PART), is_silent=True),
    Case("function killed", _kill("function")),
    Case("delivery killed", _kill(DELIVERY)),
    Case("task killed", _kill_worker("task")),
    Case("worker killed", _kill_worker("worker")),
    *(Case(f"{name} killed", _kill(name)) for name in ("scheduler", "api-server", "dag-processor", "triggerer")),
    *(Case(f"{_SERVERS[name]} killed", _kill(name)) for name in ("opensearch", "postgres", "redis")),
    *(Case(f"{_SERVERS[name]} hung", _hang(name)) for name in ("opensearch", "aws", "redis")),
    *(Case(f"link to {_SERVERS[name]} {how}", _link(name, how)) for name in _SERVERS for how in ("slow", "cut")),
    Case("link to OpenSearch silent", _link("opensearch", "silent")),
    Case("OpenSearch's disk full", _disk_full),
)


def run(chaos: Chaos, case: Case, seed: str) -> Row:
    """Make a case happen, and look at everything afterwards."""
    row, load = Row(case.name), chaos.load
    chaos.world.prepare(REINDEX, random.Random(f"{seed} {case.name}"))
    load.answers.clear()
    load.violations.clear()
    load.slowest = 0.0
    with load.at_work():
        run_id = chaos.world.api.trigger(REINDEX, {"partitions": 2, "bulk_bytes": 100_000})
        _running(chaos, run_id)
        load.may_be_silent = case.is_silent
        with case.inflict(chaos, run_id):
            time.sleep(case.seconds)
            ended = time.monotonic()
        _recover(chaos, row, run_id, ended)
        load.may_be_silent = False
        row.answers, row.slowest = dict(load.answers), load.slowest
    try:
        chaos.settle()
    except TimeoutError as error:
        row.problems.append(f"{error}")
    row.problems += chaos.problems()
    return row


def _running(chaos: Chaos, run_id: str) -> dict[str, Any]:
    """Return the task ``load`` of a run, as soon as it has a process."""

    def found() -> dict[str, Any] | None:
        tasks = chaos.world.api.tasks(REINDEX, run_id)
        loads = (task for task in tasks if task["task_id"] == "load" and task["state"] == "running" and task["pid"])
        return next(loads, None)

    task: dict[str, Any] = until("load runs", found, seconds=PATIENCE_SECONDS)
    return task


def _recover(chaos: Chaos, row: Row, run_id: str, since: float) -> None:
    """Wait until a search, a change of an item and the reindex have each come through.

    :param since: when the fault was over and the repair began
    """
    marker, ended = chaos.load.mark(), _Ended(chaos, run_id)
    checks: dict[str, Callable[[], bool]] = {
        _SEARCHES: chaos.load.is_answered,
        _ITEMS: lambda: chaos.load.sees(marker),
        _RUN: ended.well,
    }
    while checks and time.monotonic() < since + PATIENCE_SECONDS:
        for name in [name for name, check in checks.items() if check()]:
            row.well[name] = time.monotonic() - since
            del checks[name]
        time.sleep(0.2)
    row.problems += [f"{name} not well after {PATIENCE_SECONDS:.0f} s" for name in checks]
    row.took = ended.took


class _Ended:
    """Whether a reindex has come to a good end; one that failed is run again once, as its message says."""

    def __init__(self, chaos: Chaos, run_id: str) -> None:
        self._chaos, self._run_id, self.took = chaos, run_id, ""

    def well(self) -> bool:
        """Return whether it has."""
        api = self._chaos.world.api
        try:
            state = api.run(REINDEX, self._run_id)["state"]
            if state == "failed" and not self.took:
                self.took, self._run_id = "run again", api.trigger(REINDEX, {"partitions": 2})
            if state == "success" and not self.took:
                again = any(task["try_number"] > 1 for task in api.tasks(REINDEX, self._run_id))
                self.took = "retried" if again else "went on"
        except LocalError:  # Airflow is not back yet
            return False
        return bool(state == "success")
