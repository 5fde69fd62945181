"""One measured run: a fresh index, fresh processes, all documents there afterwards."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import psutil

from benchmarks._loads import ENTITY, source_of
from local import servers
from local.airflow import MALLOC
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import reindex
from searchsync.sources.postgres_sql import Partition

PARTITIONS = 4
"""As many as the DAG has by default; its pool loads two at a time."""


class WrongResult(Exception):
    """A run that lost, doubled or changed documents: its speed means nothing."""


@dataclass(frozen=True)
class Way:
    """How to load.

    :ivar name: one of ``benchmarks._loads.WAYS``
    :ivar processes: that share the partitions
    :ivar options: ``chunk`` and ``threads`` of the helpers
    """

    name: str
    processes: int = 1
    options: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        settings = [f"{value} {name}" for name, value in self.options]
        return ", ".join([self.name, f"{self.processes} process{'es' if self.processes > 1 else ''}", *settings])


@dataclass(frozen=True)
class Table:
    """The rows that are loaded, and per partition the folder with the same rows as bodies."""

    rows: int
    identity: str
    partitions: list[Partition]
    bodies: list[Path]


@dataclass(frozen=True)
class Run:
    """What one run took.

    :ivar client_cpu: seconds, of the loading processes together
    :ivar engine_cpu: of OpenSearch
    :ivar postgres_cpu: of PostgreSQL, all its processes
    :ivar others_cpu: of everything else on the machine: much of it makes the run worthless
    :ivar rss: bytes, of the largest loading process
    """

    way: str
    rows: int
    seconds: float
    client_cpu: float
    engine_cpu: float
    postgres_cpu: float
    others_cpu: float
    rss: int
    began: float = field(default_factory=time.time)

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.rows / self.seconds


def prepare(rows: int, folder: Path) -> Table:
    """Cut the table into partitions and write its rows to files, as the bodies that our path would send."""
    source = source_of()
    identity = source.snapshot().identity
    partitions = source.partitions(PARTITIONS)
    bodies = [folder / str(number) for number in range(len(partitions))]
    for partition, part in zip(partitions, bodies, strict=True):
        part.mkdir(parents=True)
        for at, page in enumerate(source.pages(partition, page_bytes=reindex.BULK_BYTES)):
            (part / f"{at:06d}-{page.count}.ndjson").write_bytes(page.body)
    source.close()
    return Table(rows, identity, partitions, bodies)


def run(client: Client, machine: "Servers", table: Table, way: Way) -> Run:
    """Load the table once, into an index made as a reindex makes its own, and check what arrived.

    :raises WrongResult: when documents are missing or differ
    """
    plan = reindex.ReindexPlan(f"benchmark-{time.time_ns()}", None, 1, table.identity)
    index = reindex.create_green(EntityIndexes(client, ENTITY), plan)
    try:
        with ready("benchmarks._loads", _jobs(table, way, index, plan)) as processes:
            before, began = machine.cpu(), time.perf_counter()
            results = go(processes)
            seconds = time.perf_counter() - began
            busy, engine, postgres = (after - earlier for after, earlier in zip(machine.cpu(), before, strict=True))
        _verify(client, index, table, way, sum(result["documents"] for result in results))
    finally:
        reindex.discard(EntityIndexes(client, ENTITY), plan.run_id)
    loading = sum(result["cpu"] for result in results)
    return Run(
        way=str(way),
        rows=table.rows,
        seconds=seconds,
        client_cpu=loading,
        engine_cpu=engine,
        postgres_cpu=postgres,
        others_cpu=busy - engine - postgres - loading,
        rss=max(result["rss"] for result in results),
    )


Process = subprocess.Popen[str]


def _jobs(table: Table, way: Way, index: str, plan: reindex.ReindexPlan) -> list[dict[str, Any]]:
    """What each loading process does."""
    parts = [range(number, len(table.partitions), way.processes) for number in range(way.processes)]
    return [
        {
            "way": way.name, "index": index, "plan": asdict(plan), **dict(way.options),
            "partitions": [(table.partitions[at].lower, table.partitions[at].upper) for at in mine],
            "bodies": [str(table.bodies[at]) for at in mine],
        }
        for mine in parts
    ]  # fmt: skip


@contextmanager
def ready(module: str, jobs: Sequence[dict[str, Any]], env: Mapping[str, str] | None = None) -> Iterator[list[Process]]:
    """Processes that each have a job, and wait for the word; none is left behind.

    :param module: what they run
    :param env: more variables of their environment
    """
    processes: list[Process] = []
    try:
        for job in jobs:
            command = [sys.executable, "-m", module, json.dumps(job)]
            variables = os.environ | MALLOC | dict(env or {})
            processes.append(
                subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for process in processes:
            if cast(IO[str], process.stdout).readline() != "ready\n":
                raise RuntimeError(f"{module}: a process did not start; its error is above")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def go(processes: Sequence[Process]) -> list[dict[str, Any]]:
    """Give the word, and wait for what they say of themselves."""
    for process in processes:
        stdin = cast(IO[str], process.stdin)
        stdin.write("go\n")
        stdin.flush()
    answers = [cast(IO[str], process.stdout).readline() for process in processes]
    if not all(answers):
        raise RuntimeError("a loading process failed; its error is above")
    return [json.loads(answer) for answer in answers]


def _verify(client: Client, index: str, table: Table, way: Way, reported: int) -> None:
    client.request("POST", f"/{index}/_refresh")
    found = client.request("GET", f"/{index}/_count")["count"]
    if not found == reported == table.rows:
        raise WrongResult(f"{way}: {table.rows} rows, {reported} reported as written, {found} documents in the index")
    first = min(table.bodies[0].iterdir()).read_bytes().split(b"\n", 2)
    key = json.loads(first[0])["create"]["_id"]
    wanted, got = json.loads(first[1]), client.request("GET", f"/{index}/_doc/{key}")["_source"]
    for document in (wanted, got):  # when it was read is the run's own, and so is the hash that a helper takes
        for name in ("position", "written_at", "hash_high", "hash_low"):
            del document["sync"][name]
    if wanted != got:
        raise WrongResult(f"{way}: document {key} is {got}, not {wanted}")


class Servers:
    """Both servers as processes, for the CPU that they use.

    :param folder: that ``./dev bench`` started them in
    """

    def __init__(self, folder: Path) -> None:
        self._opensearch, self._postgres = (self._process(folder / name) for name in ("opensearch", "postgres"))

    def cpu(self) -> tuple[float, float, float]:
        """Seconds so far: of the machine, of OpenSearch, of PostgreSQL with its sessions, also those that ended."""
        machine = psutil.cpu_times()
        busy = sum(getattr(machine, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        ended = self._postgres.cpu_times()
        sessions = ended.children_user + ended.children_system + ended.user + ended.system
        for child in self._postgres.children():
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                sessions += times.user + times.system
        search = self._opensearch.cpu_times()
        return float(busy), float(search.user + search.system), float(sessions)

    def _process(self, folder: Path) -> psutil.Process:
        record = servers.running(folder)
        if record is None:
            raise RuntimeError(f"no server runs in {folder}")
        return psutil.Process(record.process.pid)
