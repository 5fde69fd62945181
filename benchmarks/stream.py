"""How fast changes become searchable: the function alone, the whole path, and a reindex under live writes.

    ./dev bench stream [--records N] [--runs N] [--members N] [--before CHECKOUT] [--quick]

(a) The handler of the members' stream with events made beforehand, by batch size, into one index and into two. (b) What
the compare-and-set costs: the same documents by bare ``index`` bulks in turn. (c) From a write into the table to the
search that shows it, through emulator, event source mapping and function. (d) A reindex while members are written,
deleted and written again: afterwards both indexes equal the table by key and content, or the benchmark fails. Prints a
table, then one line of JSON.
"""

import argparse
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import _stream_live, _stream_runs
from benchmarks._bars import Bar, conclude, say
from benchmarks._stream_live import Follower, Product
from benchmarks._stream_runs import Run
from local import airflow, members, stream_function, tables
from local.paths import ROOT
from searchsync.cluster.client import Client, connect

BATCHES = (100, 500, 1_000)
WRITTEN_BATCH = 500
"""Of the comparison with ``index``."""

SLOW, FAST = 1.0, 100.0
"""Writes per second at which the latency is measured."""

REINDEX_RATE = 150.0
"""Writes per second that are tried during a reindex; the emulator takes fewer beside a scan."""

URL, ENDPOINT, FOLDER = "SEARCHSYNC_OPENSEARCH_URL", "AWS_ENDPOINT_URL", "SEARCHSYNC_BENCH_DIR"


@dataclass(frozen=True)
class Latency:
    """From a write to the search that shows it, in seconds."""

    rate: float
    achieved: float
    followed: int
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True)
class Rebuild:
    """A reindex under writes; how long changes took to be found meanwhile.

    :ivar delivered: records per second of the stream that filled the first index
    """

    members: int
    delivered: float
    seconds: float
    latency: Latency


class Benchmark:
    """All figures so far.

    :param env: of the processes that it starts
    :param before: checkout of an earlier commit, whose library the way ``before`` uses
    """

    def __init__(
        self, client: Client, endpoint: str, folder: Path, env: Mapping[str, str], before: Path | None = None
    ) -> None:
        self.before = before
        self.client = client
        self.endpoint = endpoint
        self.folder = folder
        self.env = env
        self.dynamodb = tables.client("dynamodb", endpoint)
        self.runs: list[Run] = []

    def throughput(self, records: int, runs: int) -> None:
        """Run each way in turn (a, b), to and fro, so that none always runs in the wake of the same other one."""
        ways = [("handler", batch, 1) for batch in BATCHES] + [("handler", max(BATCHES), 2)]
        ways += [(way, WRITTEN_BATCH, 1) for way in ("compare_and_set", "index")]
        ways += [("before", batch, 1) for batch in BATCHES] if self.before else []
        for way, batch, count in [ways[2], ways[4], ways[5]]:  # a cold server is slow
            self._run(way, batch, count, records)
        for number in range(runs):
            for way, batch, count in ways if number % 2 == 0 else ways[::-1]:
                self.runs.append(self._run(way, batch, count, records))

    def _run(self, way: str, batch: int, count: int, records: int) -> Run:
        library = self.before if way == "before" and self.before else ROOT
        env = {**self.env, "PYTHONPATH": os.pathsep.join(map(str, (library / "src", ROOT)))}
        done = _stream_runs.run(self.client, env, way, records=records, batch=batch, count=count)
        say(f"  {name_of(done)}: {done.rate:,.0f} records/s")
        return done

    def latency(self, rate: float, seconds: float, every: int) -> Latency:
        """Of changes at a steady rate (c)."""
        found = self._under_writes(rate, every, lambda: time.sleep(seconds))
        say(f"  {rate:g} writes/s: p50 {found.p50:.2f} s, p99 {found.p99:.2f} s")
        return found

    def rebuild(self, count: int) -> Rebuild:
        """Fill an index by the stream, and build the next one while writes go on (d)."""
        delivered = _stream_live.fill(self.client, self.dynamodb, count)
        say(f"  {count:,} members made and delivered: {delivered:,.0f} records/s")
        took: list[float] = []

        def reindex() -> None:
            began = time.monotonic()
            _stream_live.rebuild(self.env, self.folder / "reports")
            took.append(time.monotonic() - began)

        latency = self._under_writes(REINDEX_RATE, 25, reindex)
        _stream_live.drain(self.client, self.dynamodb)
        total = _stream_live.compare(self.client, self.dynamodb)
        say(f"  reindexed in {took[0]:.0f} s; both indexes equal the table of {total:,} members")
        return Rebuild(total, delivered, took[0], latency)

    def _under_writes(self, rate: float, every: int, what: Callable[[], None]) -> Latency:
        follower = Follower(self.client)
        product = Product(self.dynamodb, follower, rate=rate, every=every)
        with follower.at_work(), product.at_work():
            what()
        taken = sorted(follower.seconds)
        p50, p99 = (taken[math.ceil(share * len(taken)) - 1] for share in (0.5, 0.99))
        return Latency(rate, product.achieved, len(taken), p50, p99, taken[-1])

    def rate(self, way: str, batch: int, count: int = 1) -> float:
        """Median records per second."""
        return median(done.rate for done in self.runs if (done.way, done.batch, done.indexes) == (way, batch, count))

    def best(self) -> float:
        """Of the handler with one index, at the batch size that is best for it."""
        return max(self.rate("handler", batch) for batch in BATCHES)

    def gain(self, batch: int) -> float:
        """How many times as many records per second as the library of before: median over runs of the same round."""
        ours, before = (
            [done.rate for done in self.runs if (done.way, done.batch, done.indexes) == (way, batch, 1)]
            for way in ("handler", "before")
        )
        return median(one / two for one, two in zip(ours, before, strict=True))

    def cost(self) -> float:
        """How many times as long as a bare ``index`` the compare-and-set takes."""
        return self.rate("index", WRITTEN_BATCH) / self.rate("compare_and_set", WRITTEN_BATCH)


def name_of(run: Run) -> str:
    """What a run did, in a line of the table."""
    return f"{run.way}, batches of {run.batch:,}, {run.indexes} index{'es' if run.indexes > 1 else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    options = _options(arguments)
    if missing := {URL, ENDPOINT, FOLDER} - os.environ.keys():
        print(f"{', '.join(sorted(missing))} not set: run it by ./dev bench stream", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    client, endpoint = connect(os.environ[URL]), os.environ[ENDPOINT]
    function = {**tables.variables(endpoint), **stream_function.environment(members.ENTITY)}
    env = airflow.environment({**airflow.aws_environment(endpoint), **function, URL: os.environ[URL]})
    surroundings = environment(client)
    say("\n".join(f"{name:14} {value}" for name, value in surroundings.items()))
    benchmark = Benchmark(client, endpoint, Path(os.environ[FOLDER]) / "stream", env, options.before)
    _stream_runs.sweep(client)
    try:
        benchmark.throughput(options.records, options.runs)
        latencies, rebuild = live(benchmark, options)
    finally:
        _stream_runs.sweep(client)
    found = [] if options.quick else bars(benchmark, latencies)
    told = figures(benchmark, latencies, rebuild) | {"environment": surroundings}
    return conclude(report(benchmark, latencies, rebuild), told, found)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench stream", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=50_000, help="of each run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--members", type=int, default=100_000, help="that are reindexed (default: %(default)s)")
    parser.add_argument("--before", type=Path, help="checkout of another commit, to measure (a) beside this one")
    parser.add_argument("--quick", action="store_true", help="a minute, no bars: only whether it works")
    options = parser.parse_args(arguments)
    options.before = options.before and options.before.resolve()
    options.slow_seconds, options.fast_seconds = (5, 5) if options.quick else (30, 20)
    if options.quick:
        options.records, options.runs, options.members = 2_000, 1, 2_000
    if options.records < 1_000 or options.members < 1_000 or options.runs < 1:
        parser.error("at least 1000 records and members, and 1 run")
    return options


def live(benchmark: Benchmark, options: argparse.Namespace) -> tuple[list[Latency], Rebuild]:
    """(c) and (d), with one index that is served from the start."""
    _stream_runs.serve(benchmark.client, benchmark.endpoint)
    with _stream_live.delivery(benchmark.folder, benchmark.env):
        benchmark.latency(FAST, 5, 20)  # a function's first calls are its slowest
        latencies = [
            benchmark.latency(SLOW, options.slow_seconds, 1),
            benchmark.latency(FAST, options.fast_seconds, 10),
        ]
        return latencies, benchmark.rebuild(options.members)


def bars(benchmark: Benchmark, latencies: Sequence[Latency]) -> list[Bar]:
    """What was promised; that a reindex under writes equals the table is no bar: the benchmark fails."""
    return [
        Bar("records/s of the handler, one index", benchmark.best(), least=5_000),
        *(Bar(f"p99 at {found.rate:g} writes/s, s", found.p99, most=2.0) for found in latencies),
    ]


def environment(client: Client) -> dict[str, Any]:
    """What the figures depend on."""
    nodes = client.request("GET", "/_nodes/jvm")["nodes"].values()
    return {
        "cores": psutil.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "load before": round(psutil.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "opensearch": client.request("GET", "/")["version"]["number"],
        "heap": ", ".join(f"{node['jvm']['mem']['heap_max_in_bytes'] / 1e9:.1f} GB" for node in nodes),
        "moto": version("moto"),
        "opensearch-py": version("opensearch-py"),
    }


def report(benchmark: Benchmark, latencies: Sequence[Latency], rebuild: Rebuild) -> str:
    """The table for people."""
    lines = [f"\n{'medians':52}{'records/s':>12}{'client us':>12}"]
    for name in dict.fromkeys(map(name_of, benchmark.runs)):
        runs = [done for done in benchmark.runs if name_of(done) == name]
        cpu = median(done.client_cpu / done.records for done in runs) * 1e6
        lines.append(f"{name:52}{median(done.rate for done in runs):>12,.0f}{cpu:>12,.1f}")
    if benchmark.before:
        lines += [""] + [f"handler / before, batches of {batch:,}: {benchmark.gain(batch):.2f}" for batch in BATCHES]
    lines.append(f"\ncompare_and_set takes {benchmark.cost():.2f} times as long as index\n")
    lines.append(f"{'from a write to the search that shows it':52}" + "".join(f"{name:>12}" for name in COLUMNS))
    names = [f"{latency.rate:g} writes/s tried" for latency in latencies] + ["during the reindex"]
    for name, latency in zip(names, [*latencies, rebuild.latency], strict=True):
        values = (latency.achieved, latency.p50, latency.p99, latency.worst)
        lines.append(f"{name:52}{latency.followed:>12,}" + "".join(f"{value:>12,.2f}" for value in values))
    lines.append(
        f"\n{rebuild.members:,} members reindexed in {rebuild.seconds:.0f} s; equal to the table, both indexes"
    )
    lines.append(f"the stream had filled the first of them with {rebuild.delivered:,.0f} records/s\n")
    return "\n".join(lines)


COLUMNS = ("followed", "writes/s", "p50 s", "p99 s", "worst s")


def figures(benchmark: Benchmark, latencies: Sequence[Latency], rebuild: Rebuild) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "benchmark": "stream",
        "records_per_second": benchmark.best(),
        "compare_and_set_cost": benchmark.cost(),
        "latencies": [asdict(latency) for latency in latencies],
        "reindex": asdict(rebuild),
        "runs": [asdict(done) for done in benchmark.runs],
    }


if __name__ == "__main__":
    sys.exit(main())
