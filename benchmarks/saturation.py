"""What the search API does when more is asked than it can answer, and how soon it is well again.

    ./dev bench saturation [--seconds N] [--seed N]

The real places are in an index. Four tenants ask for them, half of the time for what was asked before, half for what
nobody has asked. Closed load finds how much is answered: the capacity. Then open load, which does not wait for answers,
arrives at a quarter of the capacity up to three times as much. For each step: how much was answered, how late, what was
refused and why. Then: how soon half of the capacity is answered as before; one tenant that asks far too much beside
others; one that passes its limit; and half of the capacity beside a reindex and beside a sync. Load, service,
OpenSearch, Redis and PostgreSQL share the machine. Prints a table and one line of JSON.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import _saturation_work as work
from benchmarks._api_servers import Issuer, issuing, search_api
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import ENTITY, URL
from benchmarks._runs import go, ready
from benchmarks.api import FOLDER, address_of, prepare
from local import redis

STEPS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
"""Parts of the capacity that arrive."""

CALM = 0.5
TENANTS = ("acme", "globex", "initech", "umbrella")
GREEDY, POLITE = TENANTS[0], TENANTS[1:]
POLITE_RATE = 10.0
"""Searches per second of those who ask beside the greedy one."""

LIMIT = 600
"""Requests of a tenant in a minute, where a limit is tried."""

REPEATED = 200
"""Number of different searches that are asked again and again."""

CONNECTIONS, CLOSED_CONNECTIONS, CLOSED_REQUESTS, CLOSED_RUNS = 512, 32, 4_000, 4
REFUSED = ("429", "503")
WELL = 2.0
"""Times the p99 of before, at which all is well again."""

Query = list[tuple[str, str]]
Figures = dict[str, Any]


@dataclass
class Asked:
    """Searches that nobody has made yet, some that are repeated, and who makes them.

    :ivar fresh: all different
    """

    fresh: Iterator[Query]
    repeated: Sequence[Query]
    tokens: dict[str, str]
    chance: random.Random

    def mixed(self, count: int) -> bytes:
        """Return requests of all tenants, half of them repeated."""
        tenants = cycle(TENANTS)
        queries = (self.chance.choice(self.repeated) if self.chance.random() < 0.5 else None for _ in range(count))
        return b"".join(self._request(next(tenants), query or next(self.fresh)) for query in queries)

    def new(self, tenants: Sequence[str], count: int) -> bytes:
        """Return requests that nobody has made yet."""
        return b"".join(self._request(tenant, next(self.fresh)) for tenant in islice(cycle(tenants), count))

    def _request(self, tenant: str, query: Query) -> bytes:
        head = f"GET /v1/{ENTITY.name}/{address_of(query)} HTTP/1.1\r\nhost: benchmark\r\n"
        return f"{head}authorization: Bearer {self.tokens[tenant]}\r\n\r\n".encode() + b"\0"


@dataclass
class Load:
    """Sends requests to one process of the service, and keeps what came of them.

    :ivar seconds: for which open load lasts
    """

    port: int
    asked: Asked
    folder: Path
    seconds: float
    measured: dict[str, Figures] = field(default_factory=dict)

    def closed(self) -> float:
        """Return the answers per second of callers that each wait for theirs: the most of some runs, the first cold."""
        runs = [self._send([(self.asked.mixed(CLOSED_REQUESTS), CLOSED_REQUESTS, None)]) for _ in range(CLOSED_RUNS)]
        return max(float(figures["rate"]) for (figures,) in runs)

    def open(self, what: str, rate: float, *, seconds: float | None = None) -> Figures:
        """Send the mix at a rate. Return the figures, which are kept under a name."""
        count = int(rate * (seconds or self.seconds))
        (figures,) = self._send([(self.asked.mixed(count), count, rate)])
        return self._keep(what, rate, figures)

    def beside(self, what: str, greedy_rate: float, seconds: float) -> tuple[Figures, Figures]:
        """Let one tenant ask at a rate, others at theirs. Return the figures of the one, and of the others."""
        jobs = [
            (self.asked.new(who, int(rate * seconds)), int(rate * seconds), rate)
            for who, rate in (((GREEDY,), greedy_rate), (POLITE, POLITE_RATE))
        ]
        greedy, polite = self._send(jobs)
        return self._keep(f"{what}: the one", greedy_rate, greedy), self._keep(f"{what}: others", POLITE_RATE, polite)

    def _send(self, jobs: Sequence[tuple[bytes, int, float | None]]) -> list[Figures]:
        told = []
        for number, (requests, count, rate) in enumerate(jobs):
            recorded = self.folder / f"requests-{number}"
            recorded.write_bytes(requests)
            connections = CLOSED_CONNECTIONS if rate is None else CONNECTIONS // len(jobs)
            where = {"host": "127.0.0.1", "port": self.port, "requests": str(recorded)}
            told.append({**where, "count": count, "connections": connections, "rate": rate})
        with ready("benchmarks._api_load", told) as processes:
            return go(processes)

    def _keep(self, what: str, rate: float, figures: Figures) -> Figures:
        self.measured[what] = {"arrived": rate, **figures}
        say(line(what, self.measured[what]))
        return figures


def part(figures: Figures, *starts: str) -> float:
    """Return the part of the requests whose answer begins so."""
    count = sum(number for kind, number in figures["answers"].items() if kind.startswith(starts))
    return float(count / sum(figures["answers"].values()))


def answered(figures: Figures) -> float:
    """Return the searches per second that were answered."""
    return float(part(figures, "200") * figures["rate"])


def line(what: str, figures: Figures) -> str:
    """Return a row of the table for people."""
    p99 = {kind: figures["kinds"].get(f"200 {kind}", {}).get("p99", float("nan")) for kind in ("hit", "miss")}
    reasons = {kind: count for kind, count in figures["answers"].items() if not kind.startswith("200")}
    cells = f"{figures['arrived']:>9,.0f}{answered(figures):>10,.0f}{figures['p50']:>9,.1f}"
    return f"{what:26}{cells}{p99['hit']:>9,.1f}{p99['miss']:>9,.1f}{part(figures, '200 stale'):>7.2f}  {reasons or ''}"


HEAD = f"{'':26}{'arrive/s':>9}{'answer/s':>10}{'p50 ms':>9}{'hit p99':>9}{'miss p99':>9}{'stale':>7}  refused"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit code: 0 when all bars are met."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    say(f"seed {options.seed}")
    _, queries, _ = prepare()
    random.Random(options.seed).shuffle(queries)
    folder = Path(os.environ[FOLDER]) / "saturation"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cache = redis.start(folder / "redis")
        stack.callback(cache.stop)
        issuer: Issuer = stack.enter_context(issuing())
        tokens = {tenant: issuer.token(tenant, "tenant_user") for tenant in TENANTS}
        asked = Asked(iter(queries[REPEATED:]), queries[:REPEATED], tokens, random.Random(options.seed))
        _, port = stack.enter_context(search_api(os.environ[URL], cache.url, issuer, folder / "api.log"))
        load = Load(port, asked, temporary, options.seconds)
        figures = measure(load)
        own = redis.start(folder / "redis-of-limits")  # the other one has counted all that was asked until now
        stack.callback(own.stop)
        limited = search_api(os.environ[URL], own.url, issuer, folder / "limited.log", tenant_limit=str(LIMIT))
        _, load.port = stack.enter_context(limited)
        seconds = 30.0 - time.time() % 30 + 25.0  # a minute by the clock begins in it at most once
        figures["limit"] = load.beside("a tenant passes its limit", 2 * LIMIT / 60, min(seconds, 30.0))
    told = {"benchmark": "saturation", "seed": options.seed, "measured": load.measured}
    told |= {name: value for name, value in figures.items() if isinstance(value, float)}
    return conclude(report(load, figures), told, bars(load, figures))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench saturation", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261130, help="of what is asked (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.seconds < 1:
        parser.error("--seconds must be 1 at least")
    return options


def measure(load: Load) -> Figures:
    """Make all steps. Return what is no step."""
    capacity = load.closed()
    say(f"capacity, {CLOSED_CONNECTIONS} callers that wait: {capacity:,.0f}/s\n{HEAD}")
    for step in STEPS:
        load.open(step_name(step), step * capacity)
    figures: Figures = {"capacity": capacity, "well_after": _well_after(load, CALM * capacity)}
    figures["greedy"] = load.beside("a tenant asks for all", STEPS[-1] * capacity, load.seconds)
    before = load.open("half, nothing beside", CALM * capacity)
    for name, do in (("reindex", work.reindex), ("sync", work.sync)):
        alone = do()
        during, took = _beside(load, f"half, beside a {name}", CALM * capacity, do, alone)
        figures[name] = took / alone
        figures[f"p99_beside_{name}"] = during["p99"] / before["p99"]
        say(f"  {name}: {alone:.1f} s alone, {took:.1f} s under load")
    return figures


def step_name(step: float) -> str:
    """Return the name of a step."""
    return f"{step:g} of the capacity"


def _well_after(load: Load, rate: float) -> float:
    """Return the seconds after the last step until this rate is answered as in its own step."""
    usual, began = load.measured[step_name(CALM)]["p99"], time.monotonic()
    for number in range(30):
        found = load.open(f"afterwards, {number + 1}", rate, seconds=1.0)
        if part(found, "200") == 1.0 and found["p99"] <= WELL * usual:
            return time.monotonic() - began
    return float("nan")


def _beside(load: Load, what: str, rate: float, do: Callable[[], float], alone: float) -> tuple[Figures, float]:
    """Send the mix, and do something again and again meanwhile.

    :param alone: seconds that it takes without load
    :returns: the figures of the load, and the seconds that the work took
    """
    took: list[float] = []
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(load.open, what, rate, seconds=max(load.seconds, 2 * alone))
        while not took or not loading.done():
            took.append(do())
        return loading.result(), median(took)


def bars(load: Load, figures: Figures) -> list[Bar]:
    """Return what was promised."""
    most = load.measured[step_name(STEPS[-1])]
    strange = sum(1 - part(one, "200", *REFUSED) for one in load.measured.values())
    (greedy, polite), (passing, keeping) = figures["greedy"], figures["limit"]
    return [
        Bar("share of answers that are neither 200 nor a refusal", strange, most=0),
        Bar("below the capacity: share that is answered", part(load.measured[step_name(0.75)], "200"), least=0.999),
        Bar("answered/s at three times the capacity / capacity", answered(most) / figures["capacity"], least=0.7),
        Bar("well again after, s", figures["well_after"], most=5),
        Bar("share answered of tenants beside one that asks for all", part(polite, "200"), least=0.99),
        Bar("share answered of the one", part(greedy, "200"), most=0.99),
        Bar("share refused by its limit of a tenant that asks for twice as much", part(passing, "429"), least=0.2),
        Bar("share answered of tenants beside it", part(keeping, "200"), least=1),
        Bar("a reindex beside half of the capacity / alone, s", figures["reindex"], most=5),
        Bar("a sync beside half of the capacity / alone, s", figures["sync"], most=5),
    ]


def report(load: Load, figures: Figures) -> str:
    """Return the table for people."""
    lines = [f"\n{datetime.now(UTC):%Y-%m-%d}, capacity {figures['capacity']:,.0f}/s", HEAD]
    return "\n".join([*lines, *(line(what, one) for what, one in load.measured.items()), ""])


if __name__ == "__main__":
    sys.exit(main())
