"""The sliding window against its definition: all that was ever given, counted anew each time."""

import math
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from search_api.sliding_window import NOTHING, Counts, Rate, at, left, take, wait

START = 1_796_000_000_000
STEPS = st.lists(st.tuples(st.integers(0, 150), st.integers(1, 12)), max_size=60)
RATES = st.builds(Rate, st.integers(1, 30), st.sampled_from([1, 7, 50, 100]))


def by_definition(grants: list[tuple[int, int]], now: int, asked: int, rate: Rate) -> int:
    """How many are to be given after these grants, each a moment and a number."""
    window = now // rate.window
    current = sum(number for moment, number in grants if moment // rate.window == window)
    previous = sum(number for moment, number in grants if moment // rate.window == window - 1)
    still = 1 - Fraction(now % rate.window, rate.window)
    return max(0, min(asked, rate.requests - current - math.ceil(previous * still)))


def run(steps: list[tuple[int, int]], rate: Rate) -> list[tuple[int, int]]:
    """What is given, at each step after a pause: the moment, and the number."""
    now, counts = START, NOTHING
    grants: list[tuple[int, int]] = []
    for pause, asked in steps:
        now += pause
        number, counts = take(counts, now, asked, rate)
        assert number == by_definition(grants, now, asked, rate)
        grants.append((now, number))
    return grants


@given(steps=STEPS, rate=RATES)
def test_as_many_are_given_as_the_definition_says(steps: list[tuple[int, int]], rate: Rate) -> None:
    run(steps, rate)


@given(steps=STEPS, rate=RATES)
def test_no_window_gives_more_than_the_limit_and_no_span_twice_as_much(
    steps: list[tuple[int, int]], rate: Rate
) -> None:
    """Lost otherwise: the limit."""
    grants = run(steps, rate)
    for begin, _ in grants:
        window = begin // rate.window
        assert sum(number for moment, number in grants if moment // rate.window == window) <= rate.requests
        span = sum(number for moment, number in grants if begin <= moment < begin + rate.window)
        assert span < 2 * rate.requests


@given(steps=STEPS, rate=RATES)
@example(steps=[(0, 1), (100, 1)], rate=Rate(1, 100))
def test_who_waits_as_told_is_let_through_and_who_comes_before_is_not(steps: list[tuple[int, int]], rate: Rate) -> None:
    """Lost otherwise: callers that obey Retry-After are refused again, or wait for nothing."""
    now, counts = START, NOTHING
    for pause, asked in steps:
        now += pause
        _, counts = take(counts, now, asked, rate)
    seconds = wait(counts, now, rate)
    assert take(counts, now + seconds, 1, rate)[0] == 1
    if seconds:
        assert take(counts, now + seconds - 1, 1, rate)[0] == 0


def test_a_window_ago_is_forgotten_evenly() -> None:
    rate = Rate(100, 1_000)
    counts = Counts(START, 0, 100)
    assert [left(at(counts, START + after, 1_000), START + after, rate) for after in (999, 1_000, 1_250, 1_999)] == [
        *(0, 0, 25, 99)
    ]
    assert left(at(counts, START + 2_000, 1_000), START + 2_000, rate) == 100


def test_a_limit_that_was_lowered_gives_nothing_until_less_was_asked() -> None:
    """Lost otherwise: a process that is told the new limit first gives out a negative number."""
    counts = Counts(START, 0, 50)
    assert take(counts, START, 5, Rate(10, 1_000)) == (0, counts)
