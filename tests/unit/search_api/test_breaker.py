"""The breaker against a model that keeps every call: a search would be refused for no reason, or OpenSearch drowned."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from search_api.engine.breaker import Breaker, Limits, State

OUTCOMES = ("succeeded", "failed", "abandoned")


class Against(RuleBasedStateMachine):
    """The model keeps a list of calls with their second, and decides anew from all of them each time."""

    @initialize(
        calls=st.integers(1, 6),
        share=st.sampled_from([0.25, 0.5, 1.0]),
        probes=st.integers(1, 3),
        start=st.integers(0, 99),
    )
    def begin(self, calls: int, share: float, probes: int, start: int) -> None:
        self.limits = Limits(window=60, calls=calls, share=share, pause=30, probes=probes)
        self.now = float(start)
        self.breaker = Breaker(self.limits, clock=lambda: self.now)
        self.out: list[tuple[int, int]] = []  # ticket, and the model's period in which it was given
        self.period = 0
        self.opened_at: float | None = None
        self.calls: list[tuple[int, bool]] = []
        self.probing = self.proven = 0

    def expected(self) -> State:
        if self.opened_at is None:
            return State.CLOSED
        return State.OPEN if self.now - self.opened_at < 30 else State.HALF_OPEN

    @rule(seconds=st.sampled_from([0.25, 1, 5, 29.75, 30, 59, 60]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 5))
    def admit(self, times: int) -> None:
        for _ in range(times):
            state = self.expected()
            let = state is State.CLOSED or (state is State.HALF_OPEN and self.probing < self.limits.probes)
            ticket = self.breaker.admit()
            assert (ticket is not None) == let
            if ticket is not None:
                self.probing += state is State.HALF_OPEN
                self.out.append((ticket, self.period))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def end(self, data: st.DataObject, outcome: str) -> None:
        ticket, period = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        getattr(self.breaker, outcome)(ticket)
        if period != self.period:
            return  # begun before the breaker last changed: it says nothing about now
        if self.opened_at is None:
            if outcome != "abandoned":
                self.calls.append((int(self.now), outcome == "failed"))
            counted = [failed for second, failed in self.calls if second > int(self.now) - 60]
            enough = len(counted) >= self.limits.calls and sum(counted) >= self.limits.share * len(counted)
            if outcome == "failed" and enough:
                self.enter(self.now)
            return
        self.probing -= 1
        self.proven += outcome == "succeeded"
        if outcome == "failed":
            self.enter(self.now)
        elif self.proven >= self.limits.probes:
            self.enter(None)

    def enter(self, opened_at: float | None) -> None:
        self.opened_at, self.period = opened_at, self.period + 1
        self.calls, self.probing, self.proven = [], 0, 0

    @invariant()
    def same_state(self) -> None:
        if not hasattr(self, "breaker"):
            return
        assert self.breaker.state is self.expected()
        waits = self.breaker.retry_after
        assert (waits > 0) == (self.breaker.state is State.OPEN)
        assert waits <= 30


TestAgainstModel = Against.TestCase
TestAgainstModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, print_blob=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls(breaker: Breaker, outcome: str, times: int) -> None:
    for _ in range(times):
        ticket = breaker.admit()
        assert ticket is not None
        getattr(breaker, outcome)(ticket)


def test_it_opens_at_half_of_twenty_calls_and_no_sooner() -> None:
    """The numbers of the requirement, as they are set when nobody sets them."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    calls(breaker, "failed", 19)
    assert breaker.admit() is not None, "nineteen calls decide nothing"
    calls(breaker, "failed", 1)
    assert breaker.admit() is None
    assert breaker.retry_after == 30
    clock.now = 29.9
    assert breaker.admit() is None
    clock.now = 30.0
    calls(breaker, "succeeded", 3)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(("good", "opens"), [(11, False), (10, True)])
def test_the_share_counts(good: int, opens: bool) -> None:
    breaker = Breaker(clock=Clock())
    calls(breaker, "succeeded", good)
    calls(breaker, "failed", 10)
    assert (breaker.state is State.OPEN) == opens


def test_failures_are_forgotten_after_the_window() -> None:
    """Else ten failures of yesterday and ten of today would open it."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    calls(breaker, "failed", 10)
    clock.now = 60.0
    calls(breaker, "failed", 19)
    assert breaker.state is State.CLOSED


def test_nothing_of_before_counts_when_it_has_closed() -> None:
    """Not even later, when what was counted before would have left the window."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    calls(breaker, "failed", 20)
    clock.now = 30.0
    calls(breaker, "succeeded", 3)
    clock.now = 61.0
    calls(breaker, "failed", 19)
    assert breaker.admit() is not None
    calls(breaker, "failed", 1)
    assert breaker.admit() is None


def test_memory_does_not_grow_with_the_calls() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for second in range(300):
        clock.now = float(second)
        calls(breaker, "succeeded", 100)
    assert len(breaker._buckets) <= 60
