"""How fast and how small a reindex of a DynamoDB table is: our path beside the engine's ceiling and boto3's.

    ./dev bench members [--items N] [--runs N] [--before CHECKOUT] [--quick]

Items of 6, 20 and 60 attributes, some of them nested, are recorded as pages of a scan, which a plain HTTP server of its
own process serves: an emulator would take longer than any client. The same items go into a fresh index by (a) bodies
made beforehand: what the engine can take at best, with nobody else using the machine; (b) our path, in one process and,
as the DAG does, in two; (c) with ``--before``, our path with the library of another commit; (d) ``Table.scan`` of
boto3's resource with ``parallel_bulk`` of opensearch-py, at its best settings. Runs alternate; the ratios are medians
over runs that followed each other. After each run all documents are there, or the benchmark fails. Prints a table, then
one line of JSON.

(c) needs a checkout of the commit to compare with, which stays as it is:

    git worktree add --detach ../searchsync-before HEAD~1
    ./dev bench members --before ../searchsync-before
    git worktree remove ../searchsync-before
"""

import argparse
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks import _members_data
from benchmarks._bars import Bar, conclude, say
from benchmarks._members_load import ENTITY, URL
from benchmarks._members_runs import Ground, Run, ground
from benchmarks._runs import Way
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes

PROCESSES = 2
"""Slots of the pool that the DAG loads in."""

CEILING, OURS, BEFORE = Way("bodies", PROCESSES), Way("ours", PROCESSES), Way("before", PROCESSES)
ONE = Way("ours")
CHUNKS, THREADS = (500, 2_000), (2, 4)
FOLDER = "SEARCHSYNC_BENCH_DIR"


@dataclass
class Benchmark:
    """All runs so far, and what they say together."""

    client: Client
    folder: Path
    before: Path | None
    runs: list[Run] = field(default_factory=list)
    attributes: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def table(self, items: int) -> Iterator[Ground]:
        """Record a table and serve its pages; delete it afterwards."""
        recorded, began = self.folder / "members", time.monotonic()
        shutil.rmtree(recorded, ignore_errors=True)
        try:
            table = _members_data.record(ENTITY, items, recorded)
            self.attributes[items] = table.attributes
            say(f"\n{items:,} items, their pages and their bodies made in {time.monotonic() - began:.0f} s")
            with ground(self.client, table, self.folder, self.before) as served:
                yield served
        finally:
            shutil.rmtree(recorded, ignore_errors=True)

    def measure(self, on: Ground, ways: Sequence[Way], *, count: bool = True) -> None:
        """Run each way once.

        :param count: False for a warm-up
        """
        for way in ways:
            done = on.run(way)
            if count:
                self.runs.append(done)
            cpu = done.client_cpu / done.items * 1e6
            say(f"  {'' if count else 'warm-up: '}{way}: {done.rate:,.0f} docs/s, client {cpu:,.1f} us")

    def rounds(self, on: Ground, ways: Sequence[Way], runs: int) -> None:
        """Run each way some times, to and fro, so that no way always runs in the wake of the same other one."""
        for number in range(runs):
            self.measure(on, ways if number % 2 == 0 else ways[::-1])

    def of(self, way: Way, items: int) -> list[Run]:
        """Return the runs of one way, in order."""
        return [done for done in self.runs if done.way == str(way) and done.items == items]

    def ratio(self, what: str, way: Way, other: Way, items: int) -> float:
        """Return the median of one run's figure divided by another's of the same round; NaN when never both."""
        pairs = zip(self.of(way, items), self.of(other, items), strict=False)
        ratios = [getattr(one, what) / getattr(two, what) for one, two in pairs]
        return median(ratios) if ratios else float("nan")

    def memory(self, items: int) -> float:
        """Return the bytes of the largest loading process of our path."""
        return max(done.rss for way in (ONE, OURS) for done in self.of(way, items))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit code: 0 when all bars are met."""
    options = _options(arguments)
    if missing := {URL, FOLDER} - os.environ.keys():
        print(f"{', '.join(sorted(missing))} not set: run it by ./dev bench members", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    folder = Path(os.environ[FOLDER])
    _members_data.mapping(folder / "include")
    os.environ["SEARCHSYNC_INCLUDE"] = str(folder / "include")
    client = connect(os.environ[URL])
    for left in EntityIndexes(client, ENTITY).all():  # by a run that was killed
        client.request("DELETE", f"/{left.name}")
    surroundings = environment(client)
    say("\n".join(f"{name:14} {value}" for name, value in surroundings.items()))
    benchmark = Benchmark(client, folder, options.before)
    helper = measure(benchmark, options.items, options.runs)
    found = [] if options.quick else bars(benchmark, options.items, helper)
    told = figures(benchmark, options.items, helper) | {"environment": surroundings}
    return conclude(report(benchmark, options.items, helper), told, found)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench members", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", type=int, default=200_000, help="also a tenth (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each way (default: %(default)s)")
    parser.add_argument("--before", type=Path, help="checkout of another commit, to measure beside this one")
    parser.add_argument("--quick", action="store_true", help="4,000 items, one run, no bars: only whether it works")
    options = parser.parse_args(arguments)
    if options.quick:
        options.items, options.runs = 4_000, 1
    if options.items < 4_000 or options.runs < 1:
        parser.error("at least 4000 items and 1 run")
    if options.before is not None:
        options.before = options.before.resolve()
        if not (options.before / "src" / "searchsync").is_dir():
            parser.error(f"{options.before} is no checkout of this project")
    return options


def measure(benchmark: Benchmark, items: int, runs: int) -> Way:
    """Make all runs, the small table first.

    :returns: ``parallel_bulk`` with the settings that were best for it
    """
    before = [BEFORE] if benchmark.before else []
    with benchmark.table(items // 10) as small:
        benchmark.measure(small, [CEILING, OURS] * 2, count=False)
        benchmark.rounds(small, [OURS, ONE], min(runs, 2))
        settings = [(("chunk", chunk), ("threads", threads)) for chunk in CHUNKS for threads in THREADS]
        tried = [Way("parallel_bulk", number, one) for number in (1, PROCESSES) for one in settings]
        benchmark.measure(small, tried)
        helper = max(tried, key=lambda way: benchmark.of(way, small.table.items)[0].rate)
    with benchmark.table(items) as table:
        benchmark.rounds(table, [CEILING, OURS, *before, helper, ONE], runs)
    return helper


def bars(benchmark: Benchmark, items: int, helper: Way) -> list[Bar]:
    """Return what was promised."""
    small = items // 10
    found = [
        Bar("ours / ceiling, docs/s", benchmark.ratio("rate", OURS, CEILING, items), least=0.85),
        Bar("ours / boto3 + parallel_bulk, client CPU", benchmark.ratio("client_cpu", OURS, helper, items), most=1 / 8),
        Bar("peak memory, MB", benchmark.memory(items) / 1e6, most=150),
        Bar(f"peak memory at {items:,} / at {small:,}", benchmark.memory(items) / benchmark.memory(small), most=1.1),
    ]
    if benchmark.before:
        found.append(Bar("ours / before, client CPU", benchmark.ratio("client_cpu", OURS, BEFORE, items), most=1 / 4))
    return found


def environment(client: Client) -> dict[str, Any]:
    """Return what the figures depend on."""
    nodes = client.request("GET", "/_nodes/jvm")["nodes"].values()
    return {
        "cores": psutil.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "load before": round(psutil.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "opensearch": client.request("GET", "/")["version"]["number"],
        "heap": ", ".join(f"{node['jvm']['mem']['heap_max_in_bytes'] / 1e9:.1f} GB" for node in nodes),
        "botocore": version("botocore"),
        "opensearch-py": version("opensearch-py"),
    }


COLUMNS = ("items", "runs", "docs/s", "client us", "engine us", "server us", "others us", "peak MB")


def rows_of(benchmark: Benchmark) -> dict[tuple[str, int], dict[str, float]]:
    """Return per way and number of items the medians; of the memory, the largest."""
    lines = {}
    for way, items in dict.fromkeys((done.way, done.items) for done in benchmark.runs):
        runs = [done for done in benchmark.runs if (done.way, done.items) == (way, items)]
        cpu = [
            median(getattr(done, f"{what}_cpu") for done in runs) / items * 1e6
            for what in ("client", "engine", "server", "others")
        ]
        rate, memory = median(done.rate for done in runs), max(done.rss for done in runs) / 1e6
        lines[way, items] = dict(zip(COLUMNS, (items, len(runs), rate, *cpu, memory), strict=True))
    return lines


def report(benchmark: Benchmark, items: int, helper: Way) -> str:
    """Return the table for people."""
    lines = [f"\n{'medians':52}" + "".join(f"{name:>12}" for name in COLUMNS)]
    for (way, _), values in rows_of(benchmark).items():
        cells = (f"{value:>12,.{1 if name.endswith('us') else 0}f}" for name, value in values.items())
        lines.append(f"{way:52}{''.join(cells)}")
    lines.append("\nus: CPU time per item. Others are strangers on this machine: a quiet one has next to none.")
    lines.append(f"An item has {benchmark.attributes[items] / items:.1f} attributes on average.\n")
    lines += [f"{name:80}{value:>6.2f}" for name, value in ratios(benchmark, items, helper).items()]
    return "\n".join(lines)


def ratios(benchmark: Benchmark, items: int, helper: Way) -> dict[str, float]:
    """Return how our path compares with each other way, in runs that followed each other."""
    others = [CEILING, helper, *([BEFORE] if benchmark.before else [])]
    found = {f"docs/s: ours / {other}": benchmark.ratio("rate", OURS, other, items) for other in others}
    return found | {
        f"client CPU: {other} / ours": benchmark.ratio("client_cpu", other, OURS, items) for other in others
    }


def figures(benchmark: Benchmark, items: int, helper: Way) -> dict[str, Any]:
    """Return everything, for programs."""
    return {
        "benchmark": "members",
        "items": items,
        "medians": [{"way": way, **values} for (way, _), values in rows_of(benchmark).items()],
        "ratios": ratios(benchmark, items, helper),
        "runs": [asdict(done) for done in benchmark.runs],
    }


if __name__ == "__main__":
    sys.exit(main())
