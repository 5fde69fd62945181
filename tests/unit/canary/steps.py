"""Series for the tests, of the subject ``search-api``: those of two equal versions, and what is changed in them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

BEGIN = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
MINUTES = 15

Given = dict[str, dict[str, list[list[Any]]]]


def moments(minutes: int = MINUTES, begin: datetime = BEGIN) -> list[str]:
    return [(begin + timedelta(minutes=minute)).isoformat() for minute in range(minutes)]


def equal(minutes: int = MINUTES, *, share: int = 50, seed: int = 1, requests: int = 600) -> Given:
    """Return series of two versions that are equally good."""
    draw = np.random.default_rng(seed)
    found: Given = {name: {} for name in ("requests", "errors", "found", "latency_p50", "latency_p95")}
    for side, part in (("baseline", 1 - share / 100), ("canary", share / 100)):
        counts = draw.poisson(requests * part, minutes)
        values = {
            "requests": counts,
            "errors": draw.binomial(counts, 0.002),
            "found": draw.binomial(counts, 0.85),
            "latency_p50": draw.normal(20, 2, minutes),
            "latency_p95": draw.normal(90, 9, minutes),
        }
        for name, numbers in values.items():
            found[name][side] = [list(pair) for pair in zip(moments(minutes), numbers.tolist(), strict=True)]
    return found


def worse(given: Given, name: str, times: float, add: float = 0.0) -> Given:
    """Change the values of the new version. Return the same series."""
    given[name]["canary"] = [[moment, round(value * times + add)] for moment, value in given[name]["canary"]]
    return given
