"""How a number of documents goes on: a line through its daily points, with an interval that widens.

Numbers of documents follow one of two models, and an interval of the wrong one is wrong:

- **Scatter around a line.** Each day is off the line by chance, and the next day knows nothing of it. The line is that
  of least squares, its prediction interval the textbook's (Draper and Smith, Applied Regression Analysis, 1.4).
- **Sum of daily changes** (random walk with drift). What one day adds stays. The line goes on from the last point with
  the mean change a day, and the interval widens with the root of the time (Hyndman and Athanasopoulos, Forecasting:
  Principles and Practice, 5.2, drift method).

Which of them it is, the residuals of the first show: neighbours that are alike are a sum. The Durbin-Watson statistic
is near 2 without any likeness, and near 0 for a sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import sqrt
from statistics import NormalDist

LEAST_DAYS = 28
"""Number of daily points below which nothing is forecast: of fewer, the two models cannot be told apart."""

COVERAGE = 0.90
"""Share of all forecasts whose interval holds what comes."""

ALIKE = 1.6
"""Durbin-Watson statistic below which the points are a sum of changes.

With 28 points, it takes nine of ten scatters, and 99 of 100 sums, for what they are. A scatter that is taken for a sum
gets an interval that is too wide, not too narrow.
"""


@dataclass(frozen=True)
class Point:
    """A number of documents on a day."""

    day: date
    documents: float


@dataclass(frozen=True)
class Interval:
    """What a number is expected to be, and between which numbers it is, nine times of ten. None is negative."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Trend:
    """A line through daily points.

    :ivar days: number of days with a point
    :ivar last: the last of them
    :ivar per_day: documents that a day adds, as expected
    """

    days: int
    last: date
    per_day: float
    _now: float
    _reach: float
    _square: float
    _per_day_square: float
    _growing: float

    def after(self, days: float) -> Interval:
        """Return how many documents there are so many days after the last point."""
        expected = self._now + self.per_day * days
        distance = days + self._reach
        off = sqrt(self._square + self._growing * days + self._per_day_square * distance**2)
        return Interval(max(0.0, expected - off), max(0.0, expected), max(0.0, expected + off))


def trend(points: Sequence[Point]) -> Trend | None:
    """Return the line through daily points; None when they are too few to say anything.

    :param points: one for each day, the oldest first
    """
    if len(points) < LEAST_DAYS:
        return None
    days = [float((point.day - points[0].day).days) for point in points]
    values = [point.documents for point in points]
    count, middle, mean = len(points), sum(days) / len(days), sum(values) / len(values)
    spread = sum((day - middle) ** 2 for day in days)
    slope = sum((day - middle) * value for day, value in zip(days, values, strict=True)) / spread
    off = [value - mean - slope * (day - middle) for day, value in zip(days, values, strict=True)]
    squares = sum(residual**2 for residual in off)
    steps = sum((after - before) ** 2 for before, after in pairwise(off))
    if steps < ALIKE * squares:
        return _sum_of_changes(points, days, values)
    wide = student(count - 2) ** 2 * squares / (count - 2)
    return Trend(
        days=count,
        last=points[-1].day,
        per_day=slope,
        _now=mean + slope * (days[-1] - middle),
        _reach=days[-1] - middle,
        _square=wide * (1 + 1 / count),
        _per_day_square=wide / spread,
        _growing=0.0,
    )


def _sum_of_changes(points: Sequence[Point], days: Sequence[float], values: Sequence[float]) -> Trend:
    drift = (values[-1] - values[0]) / days[-1]
    changes = [
        (after - before - drift * (until - since)) ** 2 / (until - since)
        for (before, after), (since, until) in zip(pairwise(values), pairwise(days), strict=True)
    ]
    wide = student(len(changes) - 1) ** 2 * sum(changes) / (len(changes) - 1)
    return Trend(
        days=len(points),
        last=points[-1].day,
        per_day=drift,
        _now=values[-1],
        _reach=0.0,
        _square=0.0,
        _per_day_square=wide / days[-1],
        _growing=wide,
    )


def student(freedom: int) -> float:
    """Return the quantile of Student's distribution that ``COVERAGE`` lies between, on both sides of 0.

    By the expansion of Abramowitz and Stegun, 26.7.5; with ten degrees of freedom or more, it is right to three digits.
    """
    z, n = NormalDist().inv_cdf((1 + COVERAGE) / 2), freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
