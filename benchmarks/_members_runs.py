"""One measured run of members: a fresh index, fresh processes, all documents there afterwards."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import psutil

from benchmarks._members_data import SEGMENTS, Recorded
from benchmarks._members_load import ENTITY, KEY
from benchmarks._members_server import IDENTITY
from benchmarks._runs import Way, WrongResult, go, ready
from local import servers
from local.paths import ROOT
from searchsync.cluster import aliases, creation
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import reindex


@dataclass(frozen=True)
class Run:
    """What one run took.

    :ivar client_cpu: seconds, of the loading processes together
    :ivar engine_cpu: of OpenSearch
    :ivar server_cpu: of the server of the pages
    :ivar others_cpu: of everything else on the machine: much of it makes the run worthless
    :ivar rss: bytes, of the largest loading process
    """

    way: str
    items: int
    seconds: float
    client_cpu: float
    engine_cpu: float
    server_cpu: float
    others_cpu: float
    rss: int

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.items / self.seconds


@dataclass(frozen=True)
class Ground:
    """What all runs of a table share.

    :ivar pages: the process that serves the pages
    :ivar endpoint: its address
    :ivar engine: OpenSearch's process
    :ivar before: checkout of an earlier commit, whose library the way ``before`` uses
    """

    client: Client
    table: Recorded
    pages: psutil.Process
    endpoint: str
    engine: psutil.Process
    before: Path | None

    def run(self, way: Way) -> Run:
        """Load the table once, into an index made as a reindex makes its own, and check what arrived.

        :raises WrongResult: when documents are missing or differ
        """
        indexes = EntityIndexes(self.client, ENTITY)
        plan = reindex.ReindexPlan(f"benchmark-{time.time_ns()}", None, 1, IDENTITY)
        index = creation.find_or_create(indexes, run_id=plan.run_id, source={"identity": IDENTITY, "epoch": 1}).name
        aliases.join(indexes, index)  # without the fence: nothing else is written here
        env = self._library(way)
        try:
            with ready("benchmarks._members_load", self._jobs(way, index, plan), env) as processes:
                before, began = self._cpu(), time.perf_counter()
                results = go(processes)
                seconds = time.perf_counter() - began
                busy, engine, pages = (after - earlier for after, earlier in zip(self._cpu(), before, strict=True))
            self._verify(index, way, sum(result["documents"] for result in results))
        finally:
            reindex.discard(indexes, plan.run_id)
        loading = sum(result["cpu"] for result in results)
        others, rss = busy - engine - pages - loading, max(result["rss"] for result in results)
        return Run(str(way), self.table.items, seconds, loading, engine, pages, others, rss)

    def _library(self, way: Way) -> dict[str, str]:
        """Return the variable by which a loading process imports the library."""
        library = self.before / "src" if way.name == "before" and self.before else ROOT / "src"
        return {"PYTHONPATH": os.pathsep.join(map(str, (library, ROOT)))}

    def _jobs(self, way: Way, index: str, plan: reindex.ReindexPlan) -> list[dict[str, Any]]:
        parts = [range(number, SEGMENTS, way.processes) for number in range(way.processes)]
        fixed = {"way": way.name, "index": index, "plan": asdict(plan), "endpoint": self.endpoint, "of": SEGMENTS}
        bodies = self.table.bodies
        return [
            {**fixed, **dict(way.options), "segments": list(mine), "bodies": [str(bodies[at]) for at in mine]}
            for mine in parts
        ]

    def _cpu(self) -> tuple[float, float, float]:
        """Return the seconds so far: of the machine, of OpenSearch, of the server of the pages."""
        machine = psutil.cpu_times()
        busy = sum(getattr(machine, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        engine, pages = (sum(process.cpu_times()[:2]) for process in (self.engine, self.pages))
        return float(busy), float(engine), float(pages)

    def _verify(self, index: str, way: Way, reported: int) -> None:
        self.client.request("POST", f"/{index}/_refresh")
        found = self.client.request("GET", f"/{index}/_count")["count"]
        if not found == reported == self.table.items:
            raise WrongResult(f"{way}: {self.table.items} items, {reported} reported as written, {found} in the index")
        lines = min(self.table.bodies[0].iterdir()).read_bytes().splitlines()[1:60:2]
        for wanted in map(json.loads, lines):  # of all widths
            got = self.client.request("GET", f"/{index}/_doc/{wanted[KEY]}")["_source"]
            for document in (wanted, got):  # when it was read is the run's own; the helper takes no hash
                for name in ("position", "written_at", "hash_high", "hash_low"):
                    del document["sync"][name]
            if wanted != got:
                raise WrongResult(f"{way}: document {wanted[KEY]} is {got}, not {wanted}")


@contextmanager
def ground(client: Client, table: Recorded, folder: Path, before: Path | None) -> Iterator[Ground]:
    """Serve the pages of a table.

    :param folder: that ``./dev bench`` started OpenSearch in
    """
    engine = servers.running(folder / "opensearch")
    if engine is None:
        raise RuntimeError(f"no OpenSearch runs in {folder}")
    command = [sys.executable, "-m", "benchmarks._members_server", json.dumps({"pages": str(table.pages)})]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint = cast(IO[str], process.stdout).readline().strip()
            if not endpoint:
                raise RuntimeError("the server of the pages did not start; its error is above")
            pages = psutil.Process(process.pid)
            yield Ground(client, table, pages, endpoint, psutil.Process(engine.process.pid), before)
        finally:
            process.kill()
