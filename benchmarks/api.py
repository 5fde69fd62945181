"""How fast the search API answers: beside OpenSearch alone, and beside an endpoint that only passes a query on.

    ./dev bench api [--requests N] [--runs N] [--quick]

The real places are in an index. All ways are asked for the same places by the same load process on the same two cores:
(a) ``direct``, the query sent to OpenSearch; (b) ``plain``, FastAPI with ``AsyncOpenSearch``; ``ours``, the search API,
with its tokens, limits, breaker, logs and cache. Not cached, each query is a new one; cached, all were asked before. A
search for a name costs OpenSearch most; one document costs it least, and shows what the ways themselves take.
Closed load tells how many requests a way takes; open load, at half of what (b) takes, tells how long an answer takes.
Then a mix in which few queries are frequent (Zipf), and 200,000 requests that the memory must not grow with.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import psycopg

from benchmarks._api_servers import TENANT, Servers, running
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import ENTITY, source_of
from benchmarks._runs import go, ready
from local import sample_data
from search_api.caller import OneTenant
from search_api.query.build import get_body, search_body
from search_api.query.parse import parse
from search_api.query.searchable import Searchable
from searchsync.cli import workflows
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes

URL, OWNER_DSN, FOLDER = "SEARCHSYNC_OPENSEARCH_URL", "SEARCHSYNC_POSTGRES_OWNER_DSN", "SEARCHSYNC_BENCH_DIR"
WAYS = ("direct", "plain", "ours")
CONNECTIONS = 16
CACHED = 200
"""Number of different queries that are asked again and again."""

ZIPF_QUERIES, ZIPF_EXPONENT = 5_000, 1.1
SEED = 20261130
SEARCHABLE = Searchable.of(ENTITY)

Figures = dict[str, Any]
Query = list[tuple[str, str]] | str
"""Parameters of a search, or the id of a document."""


@dataclass
class Benchmark:
    """The servers, the queries, and what was measured.

    :ivar index: the live index
    :ivar queries: parameters of searches, all different
    :ivar ids: of documents, all different
    """

    servers: Servers
    index: str
    queries: list[list[tuple[str, str]]]
    ids: list[str]
    folder: Path
    measured: dict[str, list[Figures]] = field(default_factory=dict)
    _used: int = 0

    def fresh(self, count: int) -> list[list[tuple[str, str]]]:
        """Return queries that nobody has asked yet."""
        taken = self.queries[self._used : self._used + count]
        self._used += count
        if len(taken) < count:
            raise RuntimeError(f"only {len(self.queries)} different queries: ask for fewer --requests or --runs")
        return taken

    def load(
        self,
        what: str,
        way: str,
        queries: Iterable[Query],
        *,
        count: int,
        connections: int = CONNECTIONS,
        rate: float | None = None,
    ) -> Figures:
        """Send requests one way, and keep the figures under a name."""
        recorded = self.folder / "requests"
        recorded.write_bytes(b"".join(self._request(way, query) + b"\0" for query in queries))
        job = {"host": "127.0.0.1", "port": self.servers.ports[way], "requests": str(recorded), "count": count}
        with ready("benchmarks._api_load", [{**job, "connections": connections, "rate": rate}]) as processes:
            before = self._cpu(way)
            (figures,) = go(processes)
            figures["cpu_us"] = (self._cpu(way) - before) / count * 1e6
        if any(not answer.startswith("200") for answer in figures["answers"]):
            raise RuntimeError(f"{way} answered {figures['answers']}")
        self.measured.setdefault(f"{what}: {way}", []).append(figures)
        say(f"  {what}: {way}: {figures['rate']:,.0f}/s, p50 {figures['p50']:.2f} ms, p99 {figures['p99']:.2f} ms")
        return figures

    def _cpu(self, way: str) -> float:
        """Return the seconds of processor time that a way's own process has taken."""
        process = self.servers.processes.get(way)
        return sum(process.cpu_times()[:2]) if process else 0.0

    def figure(self, what: str, way: str, name: str) -> float:
        """Return the median of a figure."""
        return float(median(one[name] for one in self.measured[f"{what}: {way}"]))

    def _request(self, way: str, query: Query) -> bytes:
        if way == "ours":
            head = f"GET /v1/{ENTITY.name}/{address_of(query)} HTTP/1.1\r\nhost: benchmark\r\n"
            return f"{head}authorization: Bearer {self.servers.token}\r\n\r\n".encode()
        if isinstance(query, str):
            body = get_body(SEARCHABLE, query, OneTenant(TENANT))
        else:
            body = search_body(SEARCHABLE, parse(SEARCHABLE, query), OneTenant(TENANT))
        path = f"/{self.index}/_search" if way == "direct" else f"/{self.index}/search"
        head = f"POST {path} HTTP/1.1\r\nhost: benchmark\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def address_of(query: Query) -> str:
    """Return what comes behind the entity's name in the address of a request."""
    if isinstance(query, str):
        return quote(query, safe="")
    return "search?" + "&".join(f"{name}={quote(value)}" for name, value in query)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit code: 0 when all bars are met."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    index, queries, ids = prepare()
    with tempfile.TemporaryDirectory() as folder, running(os.environ[URL], Path(os.environ[FOLDER]) / "api") as servers:
        benchmark = Benchmark(servers, index, queries, ids, Path(folder))
        figures = measure(benchmark, options.requests, options.runs, options.memory)
    told = {"benchmark": "api", **figures, "measured": benchmark.measured}
    return conclude(report(benchmark), told, [] if options.quick else bars(benchmark, figures))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench api", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=3_000, help="of each run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--memory", type=int, default=200_000, help="requests (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="300 requests, one run, no bars: only whether it works")
    options = parser.parse_args(arguments)
    if options.quick:
        options.requests, options.runs, options.memory = 300, 1, 2_000
    if options.requests < CACHED or options.runs < 1 or options.memory < 10:
        parser.error(f"at least {CACHED} requests, 1 run and 10 requests for the memory")
    return options


def prepare() -> tuple[str, list[list[tuple[str, str]]], list[str]]:
    """Index the real places. Return the live index, searches for their names, all different, and their ids."""
    client = connect(os.environ[URL])
    for left in EntityIndexes(client, ENTITY).all():
        client.request("DELETE", f"/{left.name}")
    sample_data.load(os.environ[OWNER_DSN])
    with tempfile.TemporaryDirectory() as folder:
        indexes, options = EntityIndexes(client, ENTITY), workflows.Options(partitions=2)
        made = workflows.rebuild(indexes, source_of, "bench/api", Path(folder), options)
    with psycopg.connect(os.environ[OWNER_DSN]) as connection:
        found = connection.execute("SELECT DISTINCT name FROM locations WHERE population > 1000 ORDER BY name")
        names = [name for (name,) in found]
        ids = [str(key) for (key,) in connection.execute("SELECT location_id FROM locations ORDER BY location_id")]
    for shuffled in (names, ids):
        random.Random(SEED).shuffle(shuffled)
    return made.index, [[("q", name), ("limit", "10")] for name in names], ids


def measure(benchmark: Benchmark, requests: int, runs: int, memory: int) -> Figures:
    """Make all runs. Return what is no median of runs."""
    for way in WAYS:  # so that no way pays for what OpenSearch and Python learn at first
        benchmark.load("warm-up", way, benchmark.fresh(requests // 2), count=requests // 2)
    for number in range(runs):
        queries = benchmark.fresh(requests)
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            benchmark.load("not cached", way, queries, count=requests)
    for number in range(runs):
        ids = benchmark.ids[number * requests : (number + 1) * requests]
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            benchmark.load("one document", way, ids, count=requests)
    half = benchmark.figure("not cached", "plain", "rate") / 2
    for number in range(runs):
        queries = benchmark.fresh(requests // 2)
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            benchmark.load("not cached, open", way, queries, count=requests // 2, rate=half, connections=64)
    few = benchmark.fresh(CACHED)
    benchmark.load("fill", "ours", few, count=CACHED)
    for _ in range(runs):
        benchmark.load("cached", "ours", few, count=requests * 4)
    rate = benchmark.figure("cached", "ours", "rate") / 2
    for _ in range(runs):
        benchmark.load("cached, open", "ours", few, count=requests * 4, rate=rate, connections=64)
    return {"hit_ratio": _zipf(benchmark, requests * 4), "memory": _memory(benchmark, few, memory)}


def _zipf(benchmark: Benchmark, count: int) -> float:
    """Return the part of the answers that come from the cache when few queries are frequent and many are rare."""
    choose = random.Random(SEED)
    queries = benchmark.fresh(ZIPF_QUERIES)
    weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, len(queries) + 1)]
    answers = benchmark.load("Zipf", "ours", choose.choices(queries, weights, k=count), count=count)["answers"]
    return float(answers.get("200 hit", 0) / count)


def _memory(benchmark: Benchmark, few: list[list[tuple[str, str]]], count: int) -> float:
    """Return how much larger the process is after many requests than after the first tenth of them."""
    mixed = few + benchmark.fresh(CACHED)
    benchmark.load("memory", "ours", mixed, count=count // 10)
    before = benchmark.servers.processes["ours"].memory_info().rss
    benchmark.load("memory", "ours", mixed, count=count - count // 10)
    after = benchmark.servers.processes["ours"].memory_info().rss
    say(f"  memory: {before / 1e6:.0f} MB after {count // 10:,} more requests, {after / 1e6:.0f} MB after {count:,}")
    return float(after / before)


def bars(benchmark: Benchmark, figures: Figures) -> list[Bar]:
    """Return what was promised."""
    figure = benchmark.figure
    plain = figure("not cached", "plain", "rate")
    open_ours, open_direct = (figure("not cached, open", way, "p50") for way in ("ours", "direct"))
    return [
        Bar("not cached: ours / direct, p50 at equal load", open_ours / open_direct, most=1.3),
        Bar("not cached: ours / plain, requests/s", figure("not cached", "ours", "rate") / plain, least=1.5),
        Bar(
            "one document, not cached: ours / plain, requests/s",
            figure("one document", "ours", "rate") / figure("one document", "plain", "rate"),
            least=1.5,
        ),
        Bar("cached: ours / plain, requests/s", figure("cached", "ours", "rate") / plain, least=8),
        Bar("cached: p99 at half of the saturation, ms", figure("cached, open", "ours", "p99"), most=10),
        Bar("hit ratio of the Zipf mix", figures["hit_ratio"], least=0.8),
        Bar("memory after all requests / after a tenth", figures["memory"], most=1.1),
    ]


def report(benchmark: Benchmark) -> str:
    """Return the table for people."""
    columns = {"rate": "req/s", "p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms", "cpu_us": "CPU µs"}
    lines = [f"\n{'medians':32}" + "".join(f"{name:>10}" for name in columns.values())]
    for name, runs in benchmark.measured.items():
        cells = (f"{median(run[column] for run in runs):>10,.2f}" for column in columns)
        lines.append(f"{name:32}{''.join(cells)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
