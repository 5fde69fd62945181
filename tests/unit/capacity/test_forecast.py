"""Forecasts of histories whose answer is known: the interval is as honest as it says, and silence is kept in time."""

import random
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from searchsync.capacity.forecast import COVERAGE, LEAST_DAYS, Point, Trend, student, trend

FIRST = date(2026, 1, 1)
SEED = 20261130
RUNS = 400

Rule = Callable[[random.Random, int], list[float]]


def points(values: list[float], days: list[int] | None = None) -> list[Point]:
    at = days or range(len(values))
    return [Point(FIRST + timedelta(days=day), value) for day, value in zip(at, values, strict=True)]


def scatter(chance: random.Random, days: int) -> list[float]:
    """Each day is off the line by itself."""
    return [1e6 + 1_000 * day + chance.gauss(0, 5_000) for day in range(days)]


def steady_additions(chance: random.Random, days: int) -> list[float]:
    """What a day adds stays."""
    found = [1e6]
    for _ in range(days - 1):
        found.append(found[-1] + 1_000 + chance.gauss(0, 800))
    return found


def uneven_additions(chance: random.Random, days: int) -> list[float]:
    """The same, never negative, and far from a bell curve."""
    found = [1e6]
    for _ in range(days - 1):
        found.append(found[-1] + chance.expovariate(1 / 1_000))
    return found


def made(values: list[float]) -> Trend:
    found = trend(points(values))
    assert found is not None
    return found


@pytest.mark.parametrize("ahead", [1, 30, 180])
@pytest.mark.parametrize("days", [LEAST_DAYS, 90])
@pytest.mark.parametrize("rule", [scatter, steady_additions, uneven_additions])
def test_nine_of_ten_intervals_hold_what_comes(rule: Rule, days: int, ahead: int) -> None:
    """An interval that is too narrow lets a disk fill up; one that is too wide says nothing."""
    chance = random.Random(SEED)
    held = 0
    for _ in range(RUNS):
        values = rule(chance, days + ahead)
        interval = made(values[:days]).after(ahead)
        held += interval.low <= values[-1] <= interval.high
    share = held / RUNS
    print(f"seed {SEED}: {rule.__name__}, {days} days, {ahead} ahead: {share:.3f} of {RUNS}")
    assert abs(share - COVERAGE) < 0.05  # three standard errors of 400 runs


@pytest.mark.parametrize("rule", [scatter, steady_additions])
def test_an_interval_widens(rule: Rule) -> None:
    found = made(rule(random.Random(SEED), 60))
    widths = [interval.high - interval.low for interval in map(found.after, range(0, 181, 10))]
    assert widths == sorted(widths)
    assert widths[-1] > widths[0]


def test_a_line_is_found_exactly_also_where_days_are_missing() -> None:
    days = [day for day in range(80) if day % 7 not in (2, 3)]
    found = trend(points([500.0 + 40 * day for day in days], days))
    assert found is not None
    assert found.per_day == pytest.approx(40)
    for ahead in (0, 30, 365):
        interval = found.after(ahead)
        assert interval.low == pytest.approx(interval.high) == pytest.approx(500 + 40 * (days[-1] + ahead))


def test_the_mean_of_additions_is_found_where_days_are_missing() -> None:
    """A day that nobody looked at is no day on which nothing came."""
    chance = random.Random(SEED)
    values = steady_additions(chance, 400)
    days = [day for day in range(400) if chance.random() < 0.5]
    found = trend(points([values[day] for day in days], days))
    assert found is not None
    assert found.per_day == pytest.approx(1_000, rel=0.1)


def test_of_too_few_days_nothing_is_said() -> None:
    values = scatter(random.Random(SEED), LEAST_DAYS)
    assert trend(points(values[:-1])) is None
    assert trend([]) is None
    assert trend(points(values)) is not None


def test_what_does_not_change_goes_on_so() -> None:
    found = made([7.0] * 40)
    assert (found.per_day, found.after(100).low, found.after(100).high) == (0, 7, 7)


def test_an_index_is_never_expected_to_have_less_than_nothing() -> None:
    shrinking = made([1_000.0 - 30 * day for day in range(30)])
    assert (shrinking.after(180).low, shrinking.after(180).expected, shrinking.after(180).high) == (0, 0, 0)


@pytest.mark.parametrize(("freedom", "quantile"), [(26, 1.7056), (40, 1.6839), (88, 1.6624), (400, 1.6487)])
def test_the_quantile_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, abs=1e-4)
