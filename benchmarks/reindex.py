"""How fast and how small a full reindex is: our path beside the engine's ceiling and the helpers of opensearch-py.

    ./dev bench reindex [--rows N] [--runs N] [--quick]
    ./dev bench reindex --rendering [--rows N] [--runs N]

The same rows go into a fresh index by (a) bodies rendered beforehand: what the engine can take at best, with nobody
else using the machine; (b) our path, in one process and, as the DAG does, in two; (c) ``streaming_bulk`` and
``parallel_bulk`` from a server-side cursor. Runs alternate; the ratios are medians over runs that followed each other.
After each run all documents are there, or the benchmark fails. With --rendering nothing is written: it tells what the
server takes to render and to compare with the hash of the document, and with that of the row, which was there before.
Prints a table, then one line of JSON.
"""

import argparse
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg

from benchmarks import _rendering
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import DSN, ENTITY, URL
from benchmarks._runs import Run, Servers, Table, Way, prepare, run
from local import sample_data
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes

CEILING, OURS = "bodies", "ours"
DAG_PROCESSES = 2
"""Slots of the pool that the DAG loads in."""

CHUNKS, THREADS = (500, 2_000, 5_000), (2, 4)
HELPER_RUNS = 3
WARM_UP = (Way(CEILING, 2), Way(OURS, 2))
OWNER_DSN, FOLDER = "SEARCHSYNC_POSTGRES_OWNER_DSN", "SEARCHSYNC_BENCH_DIR"


class Benchmark:
    """All runs so far, and what they say together."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.servers = Servers(folder)
        self.folder = folder / "bodies"
        self.runs: list[Run] = []

    def table(self, rows: int) -> Table:
        """Make the rows and their bodies, in place of those there were."""
        began = time.monotonic()
        self.fill(rows)
        shutil.rmtree(self.folder, ignore_errors=True)
        table = prepare(rows, self.folder)
        say(f"\n{rows:,} rows and their bodies made in {time.monotonic() - began:.0f} s")
        return table

    def fill(self, rows: int) -> None:
        """Make the rows, in place of those there were."""
        with psycopg.connect(os.environ[OWNER_DSN]) as connection:
            sample_data.generate(connection, rows)
            connection.autocommit = True
            connection.execute("VACUUM (FREEZE, ANALYZE) locations")  # else autovacuum does it in the middle of a run

    def measure(self, table: Table, ways: Sequence[Way], *, count: bool = True) -> None:
        """Run each way once.

        :param count: False for a warm-up
        """
        for way in ways:
            done = run(self.client, self.servers, table, way)
            if count:
                self.runs.append(done)
            say(f"  {'' if count else 'warm-up: '}{way}: {done.rate:,.0f} docs/s")

    def of(self, way: Way, rows: int) -> list[Run]:
        """The runs of one way, in order."""
        return [done for done in self.runs if done.way == str(way) and done.rows == rows]

    def ratio(self, way: Way, other: Way, rows: int) -> float:
        """Median of how many times as fast the one was as the other in the same round; NaN when never both."""
        pairs = zip(self.of(way, rows), self.of(other, rows), strict=False)
        ratios = [one.rate / two.rate for one, two in pairs]
        return median(ratios) if ratios else float("nan")

    def ways(self) -> Iterator[tuple[str, int]]:
        """Each way and number of rows that was measured, in order."""
        return iter(dict.fromkeys((done.way, done.rows) for done in self.runs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    options = _options(arguments)
    missing = {URL, DSN, OWNER_DSN, FOLDER} - os.environ.keys()
    if missing:
        print(f"{', '.join(sorted(missing))} not set: run it by ./dev bench reindex", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    client = connect(os.environ[URL])
    for left in EntityIndexes(client, ENTITY).all():  # by a run that was killed, or the live one of a comparison
        client.request("DELETE", f"/{left.name}")
    surroundings = environment(client)
    say("\n".join(f"{name:14} {value}" for name, value in surroundings.items()))
    benchmark = Benchmark(client, Path(os.environ[FOLDER]))
    if options.rendering:
        return render(benchmark, options.rows, options.runs, surroundings)
    try:
        parallel = measure(benchmark, options.rows, options.runs)
    finally:
        shutil.rmtree(benchmark.folder, ignore_errors=True)
    found = [] if options.quick else bars(benchmark, options.rows, parallel)
    told = figures(benchmark, options.rows, parallel) | {"environment": surroundings}
    return conclude(report(benchmark, options.rows, parallel), told, found)


def render(benchmark: Benchmark, rows: int, runs: int, surroundings: dict[str, Any]) -> int:
    benchmark.fill(rows)
    found, medians = _rendering.run(benchmark.servers, rows, runs)
    told = {"benchmark": "rendering", "rows": rows, "medians": medians, "environment": surroundings}
    return conclude("", told, found)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench reindex", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="also a fifth and a tenth (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each way; fewer of the helpers (default: %(default)s)")
    parser.add_argument("--rendering", action="store_true", help="only what rendering and comparing cost the server")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, one run, no bars: only whether it works")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.runs = 20_000, 1
    if options.rows < 10_000 or options.runs < 1:
        parser.error("at least 10000 rows and 1 run")
    return options


def measure(benchmark: Benchmark, rows: int, runs: int) -> Way:
    """All runs, smallest table first.

    :returns: ``parallel_bulk`` with the settings that were best for it
    """
    both = [Way(CEILING, DAG_PROCESSES), Way(OURS, DAG_PROCESSES)]
    single = [Way(CEILING), Way(OURS)]
    table = benchmark.table(rows // 10)
    benchmark.measure(table, WARM_UP * 2, count=False)
    _rounds(benchmark, table, [Way(OURS, DAG_PROCESSES), Way(OURS)], min(runs, 2))

    table = benchmark.table(rows // 5)
    _rounds(benchmark, table, both, runs)
    settings = [(("chunk", chunk), ("threads", threads)) for chunk in CHUNKS for threads in THREADS]
    tried = [Way("parallel_bulk", 1, setting) for setting in settings]
    _rounds(benchmark, table, tried, 1)
    parallel = max(tried, key=lambda way: benchmark.of(way, table.rows)[0].rate)

    table = benchmark.table(rows)
    helpers = [parallel, Way(parallel.name, DAG_PROCESSES, parallel.options)]
    streaming = Way("streaming_bulk", 1, parallel.options[:1])
    for number in range(runs):
        ways = both + single + (helpers if number < HELPER_RUNS else []) + ([streaming] if number == 0 else [])
        benchmark.measure(table, ways if number % 2 == 0 else ways[::-1])
    return parallel


def _rounds(benchmark: Benchmark, table: Table, ways: Sequence[Way], runs: int) -> None:
    for number in range(runs):  # to and fro, so that no way always runs in the wake of the same other one
        benchmark.measure(table, ways if number % 2 == 0 else ways[::-1])


def bars(benchmark: Benchmark, rows: int, parallel: Way) -> list[Bar]:
    """What was promised."""
    ceiling, ours = Way(CEILING, DAG_PROCESSES), Way(OURS, DAG_PROCESSES)
    ratio, small_ratio = benchmark.ratio(ours, ceiling, rows), benchmark.ratio(ours, ceiling, rows // 5)
    reach = benchmark.ratio(ceiling, parallel, rows)
    rss, small_rss = (peak_rss(benchmark, number) for number in (rows, rows // 10))
    return [
        Bar("ours / ceiling", ratio, least=0.85),
        # No loader can be faster than the engine: where bodies / parallel_bulk is below 1.8 / 0.85, that is the limit.
        Bar("ours / parallel_bulk", benchmark.ratio(ours, parallel, rows), least=min(1.8, 0.85 * reach)),
        Bar("peak memory, MB", rss / 1e6, most=300),
        Bar(f"peak memory at {rows:,} / at {rows // 10:,} rows", rss / small_rss, most=1.1),
        Bar(f"ours / ceiling at {rows:,} / at {rows // 5:,} rows", ratio / small_ratio, least=0.9, most=1.1),
    ]


def peak_rss(benchmark: Benchmark, rows: int) -> float:
    """The largest loading process of our path, in bytes."""
    return max(done.rss for way in (Way(OURS), Way(OURS, DAG_PROCESSES)) for done in benchmark.of(way, rows))


def environment(client: Client) -> dict[str, Any]:
    """What the figures depend on."""
    with psycopg.connect(os.environ[OWNER_DSN]) as connection:
        postgres = connection.info.parameter_status("server_version")
    nodes = client.request("GET", "/_nodes/jvm")["nodes"].values()
    return {
        "cores": psutil.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "load before": round(psutil.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": postgres,
        "opensearch": client.request("GET", "/")["version"]["number"],
        "heap": ", ".join(f"{node['jvm']['mem']['heap_max_in_bytes'] / 1e9:.1f} GB" for node in nodes),
        "psycopg": version("psycopg"),
        "opensearch-py": version("opensearch-py"),
    }


COLUMNS = ("rows", "runs", "docs/s", "client us", "engine us", "postgres us", "others us", "peak MB")


def rows_of(benchmark: Benchmark) -> dict[tuple[str, int], dict[str, float]]:
    """Per way and number of rows, the medians; of the memory, the largest."""
    lines = {}
    for way, rows in benchmark.ways():
        runs = [done for done in benchmark.runs if (done.way, done.rows) == (way, rows)]
        cpu = [
            median(getattr(done, f"{what}_cpu") for done in runs) / rows * 1e6
            for what in ("client", "engine", "postgres", "others")
        ]
        rate, memory = median(done.rate for done in runs), max(done.rss for done in runs) / 1e6
        lines[way, rows] = dict(zip(COLUMNS, (rows, len(runs), rate, *cpu, memory), strict=True))
    return lines


def report(benchmark: Benchmark, rows: int, parallel: Way) -> str:
    """The table for people."""
    lines = [f"\n{'medians':52}" + "".join(f"{name:>12}" for name in COLUMNS)]
    for (way, _), values in rows_of(benchmark).items():
        cells = (f"{value:>12,.{1 if name.endswith('us') else 0}f}" for name, value in values.items())
        lines.append(f"{way:52}{''.join(cells)}")
    lines.append("\nus: CPU time per document. Others are strangers on this machine: a quiet one has next to none.\n")
    lines += [f"{name:68}{value:>6.2f}" for name, value in ratios(benchmark, rows, parallel).items()]
    return "\n".join(lines)


def ratios(benchmark: Benchmark, rows: int, parallel: Way) -> dict[str, float]:
    """How many times as fast our path is as each other way, and what any way could reach at best."""
    found = {}
    for processes in (DAG_PROCESSES, 1):
        ours = Way(OURS, processes)
        for other in (Way(CEILING, processes), parallel, Way(parallel.name, DAG_PROCESSES, parallel.options)):
            found[f"ours, {processes} proc. / {other}"] = benchmark.ratio(ours, other, rows)
    found[f"bodies, {DAG_PROCESSES} proc. / {parallel}"] = benchmark.ratio(Way(CEILING, DAG_PROCESSES), parallel, rows)
    return found


def figures(benchmark: Benchmark, rows: int, parallel: Way) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "benchmark": "reindex",
        "rows": rows,
        "medians": [{"way": way, **values} for (way, _), values in rows_of(benchmark).items()],
        "ratios": ratios(benchmark, rows, parallel),
        "runs": [asdict(done) for done in benchmark.runs],
    }


if __name__ == "__main__":
    sys.exit(main())
