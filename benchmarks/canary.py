"""How often the canary's verdict is wrong: simulated deployments of versions whose fault is known.

    ./dev bench canary [--runs N] [--seed N] [--requests N]

Each minute of a simulated version has requests, of which some fail and some find nothing, and latencies. The load, and
half of the noise of a minute, are those of both sides, as they are of one system; a value remembers half of the minute
before. At 100 percent the old version is that of earlier minutes, of another load. Prints a table of the verdicts at
each stage, and of whole deployments, and one line of JSON; the exit code is 1 when a good version is called bad more
often than canary.yaml allows, or one with twice the smallest change that matters passes a deployment too often.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._bars import Bar, conclude
from searchsync.canary.judge import FAIL, INCONCLUSIVE, PASS, Judgement, judge
from searchsync.canary.policy import BEFORE, Policy, Stage, policy
from searchsync.canary.series import Pair, Points, Series

SUBJECT = "search-api"
MISSED_MOST = 0.02
"""Share of deployments of a version with twice the smallest change that may pass."""

BASE = {"errors": 0.002, "found": 0.85}
LATENCY = {"latency_p50": (20.0, 0.1), "latency_p95": (90.0, 0.2)}
"""Milliseconds, and the standard deviation of their logarithm from minute to minute."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the new version.

    :ivar metric: of the policy; empty for nothing
    :ivar times: how often the smallest change that matters
    :ivar minutes: share of the minutes in which it is so, and the more then
    """

    name: str
    metric: str = ""
    times: float = 0.0
    minutes: float = 1.0


FAULTS = (
    Fault("none"),
    Fault("errors, half of what matters", "errors", 0.5),
    Fault("errors, what matters", "errors", 1.0),
    Fault("errors, twice", "errors", 2.0),
    Fault("errors, four times", "errors", 4.0),
    Fault("errors, four times, in a quarter of the minutes", "errors", 4.0, 0.25),
    Fault("found, twice", "found", 2.0),
    Fault("latency_p50, half of what matters", "latency_p50", 0.5),
    Fault("latency_p50, twice", "latency_p50", 2.0),
    Fault("both latencies, twice", "latency", 2.0),
)
GOOD, TWICE = FAULTS[0], FAULTS[3]


class World:
    """Simulated minutes.

    :param requests: a minute, of all versions together
    """

    def __init__(self, rules: Policy, seed: int, requests: int) -> None:
        self.policy, self.subject = rules, rules.subject(SUBJECT)
        self._draw, self._requests = np.random.default_rng(seed), requests

    def judged(self, stage: Stage, samples: int, fault: Fault) -> Judgement:
        """Return the verdict on so many minutes of a version with a fault."""
        return judge(self.policy, self.subject, stage, self._series(stage, samples, fault))

    def deployed(self, samples: int, fault: Fault) -> str:
        """Return how a deployment ends: with the first verdict that is no pass, or a pass."""
        for stage in self.policy.stages:
            if (verdict := self.judged(stage, samples, fault).verdict) != PASS:
                return verdict
        return PASS

    def _series(self, stage: Stage, samples: int, fault: Fault) -> Series:
        shared = self._noise(samples), self._noise(samples)
        earlier = (self._noise(samples), self._noise(samples)) if stage.baseline == BEFORE else shared
        share = stage.share / 100
        old = self._side(samples, 1.0 if stage.baseline == BEFORE else 1 - share, GOOD, earlier)
        new = self._side(samples, share, fault, shared)
        late = 60.0 * samples if stage.baseline == BEFORE else 0.0
        return {name: Pair(_points(old[name], 0.0), _points(new[name], late)) for name in self.subject.signals}

    def _side(self, samples: int, share: float, fault: Fault, noise: tuple[Any, Any]) -> dict[str, Any]:
        requests = self._draw.poisson(self._requests * share * np.exp(0.3 * noise[0]))
        bad = {name: base + self._added(name, fault, samples) for name, base in BASE.items()}
        counts = {name: self._draw.binomial(requests, np.clip(rate, 0, 1)) for name, rate in bad.items()}
        values = {}
        for name, (middle, deviation) in LATENCY.items():
            own = (noise[1] + self._noise(samples)) / np.sqrt(2)
            values[name] = middle * np.exp(deviation * own) * (1 + self._added(name, fault, samples))
        return {"requests": requests, **counts, **values}

    def _added(self, name: str, fault: Fault, samples: int) -> Any:
        if not fault.metric or not name.startswith(fault.metric):
            return 0.0
        metric = next(one for one in self.subject.metrics if one.name == name)
        size = metric.change * fault.times * (1 if metric.higher_is_worse else -1)
        return size / fault.minutes * (self._draw.random(samples) < fault.minutes)

    def _noise(self, samples: int) -> Any:
        """Standard normal, each minute half of the one before."""
        found = self._draw.standard_normal(samples)
        for minute in range(1, samples):
            found[minute] = 0.5 * found[minute - 1] + np.sqrt(0.75) * found[minute]
        return found


def _points(values: Any, late: float) -> Points:
    return {late + 60.0 * minute: float(value) for minute, value in enumerate(values)}


def shares(verdicts: Sequence[str]) -> dict[str, float]:
    """Return the share of each verdict."""
    found = Counter(verdicts)
    return {verdict: found[verdict] / len(verdicts) for verdict in (FAIL, INCONCLUSIVE, PASS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate. Return the exit code."""
    options = _options(arguments)
    rules = policy()
    world = World(rules, options.seed, options.requests)
    lines = [f"seed {options.seed}, {options.requests} requests a minute, {options.runs} runs; fail/inconclusive/pass"]
    heads = [f"{stage.share} %" for stage in rules.stages]
    lines += ["", f"| fault | samples | {' | '.join(heads)} | deployment |", "|---|---|" + "---|" * (len(heads) + 1)]
    ends: dict[tuple[str, int], dict[str, float]] = {}
    for fault in FAULTS:
        for samples in (rules.samples, 2 * rules.samples):
            cells = [
                shares([world.judged(stage, samples, fault).verdict for _ in range(options.runs)])
                for stage in rules.stages
            ]
            ends[fault.name, samples] = shares([world.deployed(samples, fault) for _ in range(options.runs)])
            shown = ["/".join(f"{part:.0%}" for part in cell.values()) for cell in (*cells, ends[fault.name, samples])]
            lines.append(f"| {fault.name} | {samples} | {' | '.join(shown)} |")
    few = rules.samples
    bars = [
        Bar("false alarms: a good version fails", ends[GOOD.name, few][FAIL], most=rules.false_alarms),
        Bar("misses: errors of twice what matters pass", ends[TWICE.name, few][PASS], most=MISSED_MOST),
    ]
    figures = {"seed": options.seed, "deployments": {f"{name}, {n}": end for (name, n), end in ends.items()}}
    return conclude("\n".join(lines), {"benchmark": "canary", **figures}, bars)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench canary", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=400, help="of each cell (default %(default)s)")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--requests", type=int, default=600, help="a minute, of both versions (default %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
