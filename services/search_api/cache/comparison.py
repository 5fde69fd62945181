"""How alike two indexes answer: the hits of the same queries, and how long they took."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations
from statistics import mean, median
from typing import Final

import msgspec

FIRST: Final = 10
"""Hits of a query that are compared: few people look at more."""

Make = Callable[[], Awaitable[bytes]]


class _Hit(msgspec.Struct):
    id: str


class _Answer(msgspec.Struct):
    hits: list[_Hit]


_decode = msgspec.json.Decoder(_Answer).decode


class Compared(msgspec.Struct):
    """What the comparison found.

    :ivar queries: that both indexes answered, and at least one of them with a hit
    :ivar unanswered: queries that the live index answered, and the new one did not
    :ivar overlap: mean share of the first hits that both have, of the longer list; None without a query
    :ivar rank: mean of Kendall's tau over the order of the hits that both have; None when no query has two of them
    :ivar live_ms: median time of the live index, in milliseconds; ``new_ms``: of the new one
    """

    queries: int
    unanswered: int
    overlap: float | None
    rank: float | None
    live_ms: float | None
    new_ms: float | None


class Comparison:
    """The answers of the live index and a new one to the same queries."""

    def __init__(self) -> None:
        self._unanswered = 0
        self._overlaps: list[float] = []
        self._ranks: list[float] = []
        self._live: list[float] = []
        self._new: list[float] = []

    async def ask(self, live: Make, new: Make) -> bytes:
        """Ask both, in turns first one and then the other first. Return the answer of the new index."""
        if len(self._live) % 2:
            (old, old_ms), found = await _timed(live), await _tried(new)
        else:
            found, (old, old_ms) = await _tried(new), await _timed(live)
        if isinstance(found, Exception):
            self._unanswered += 1
            raise found
        answer, new_ms = found
        self._note([hit.id for hit in _decode(old).hits], [hit.id for hit in _decode(answer).hits])
        self._live.append(old_ms)
        self._new.append(new_ms)
        return answer

    def _note(self, live: Sequence[str], new: Sequence[str]) -> None:
        live, new = live[:FIRST], new[:FIRST]
        if not live and not new:
            return  # two that know nothing agree on nothing
        common = [hit for hit in live if hit in new]
        self._overlaps.append(len(common) / max(len(live), len(new)))
        if len(common) > 1:
            self._ranks.append(tau([new.index(hit) for hit in common]))

    def result(self) -> Compared:
        """Return what was found so far."""
        return Compared(
            len(self._overlaps),
            self._unanswered,
            _rounded(mean(self._overlaps) if self._overlaps else None),
            _rounded(mean(self._ranks) if self._ranks else None),
            _rounded(median(self._live) if self._live else None),
            _rounded(median(self._new) if self._new else None),
        )


def tau(places: Sequence[int]) -> float:
    """Return Kendall's tau of different places against their growing order: 1 when they grow, -1 when they fall."""
    pairs = [*combinations(places, 2)]
    return sum(1 if first < second else -1 for first, second in pairs) / len(pairs)


async def _timed(make: Make) -> tuple[bytes, float]:
    began = time.monotonic()
    return await make(), (time.monotonic() - began) * 1_000


async def _tried(make: Make) -> tuple[bytes, float] | Exception:
    try:
        return await _timed(make)
    except Exception as error:  # noqa: BLE001 - whatever it is: the live index is asked all the same
        return error


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
