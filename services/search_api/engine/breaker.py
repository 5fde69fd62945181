"""A circuit breaker: while most calls to a server fail, further calls fail at once, so that it can recover.

CLOSED lets all calls through and counts them. When at least half of at least 20 calls within 60 seconds have failed, it
is OPEN and lets none through. After 30 seconds it is HALF_OPEN and lets a few through at a time: when that many have
succeeded it is CLOSED, with nothing counted; when one fails it is OPEN again.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BUCKETS: Final = 60
"""Number of parts of the window. A part leaves it as a whole, so memory does not grow with the calls."""


class State(StrEnum):
    """What the breaker does with a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Limits:
    """When a breaker opens, and how it closes.

    :param window: seconds for which a call counts
    :param calls: number of calls in the window below which nothing is decided
    :param share: share of failed calls at which it opens
    :param pause: seconds for which it is open
    :param probes: calls that are let through at a time when half-open, and successes after which it closes
    """

    window: float = 60.0
    calls: int = 20
    share: float = 0.5
    pause: float = 30.0
    probes: int = 3


@dataclass(slots=True)
class _Bucket:
    number: int
    calls: int = 0
    failures: int = 0


class Breaker:
    """The state of the calls to one server. It makes no call and waits for nothing.

    A call asks ``admit`` for a ticket, and gives it back to exactly one of ``succeeded``, ``failed`` and ``abandoned``.

    :param clock: returns seconds that never go back
    """

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._buckets: deque[_Bucket] = deque()
        self._calls = self._failures = 0  # the sums of the buckets
        self._opened_at: float | None = None
        self._period = 0  # raised with each change of state, so that a late result of an earlier one counts nothing
        self._probing = self._proven = 0

    @property
    def state(self) -> State:
        """What happens to a call now."""
        if self._opened_at is None:
            return State.CLOSED
        return State.OPEN if self._clock() < self._opened_at + self._limits.pause else State.HALF_OPEN

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be let through again: above zero only while it is open."""
        return max(0.0, self._opened_at + self._limits.pause - self._clock()) if self._opened_at is not None else 0.0

    def admit(self) -> int | None:
        """Return the ticket of a call that may be made now; None when it may not."""
        state = self.state
        if state is State.CLOSED:
            return self._period
        if state is State.OPEN or self._probing >= self._limits.probes:
            return None
        self._probing += 1
        return self._period

    def succeeded(self, ticket: int) -> None:
        """Count a call that was answered."""
        if ticket != self._period:
            return
        if self._opened_at is None:
            self._count(failed=False)
            return
        self._probing -= 1
        self._proven += 1
        if self._proven >= self._limits.probes:
            self._enter(None)

    def failed(self, ticket: int) -> None:
        """Count a call that the server failed to answer."""
        if ticket != self._period:
            return
        if self._opened_at is None:
            self._count(failed=True)
            if self._calls < self._limits.calls or self._failures < self._limits.share * self._calls:
                return
        self._enter(self._clock())

    def abandoned(self, ticket: int) -> None:
        """Forget a call that says nothing about the server: whoever asked for it went away."""
        if ticket == self._period and self._opened_at is not None:
            self._probing -= 1

    def _enter(self, opened_at: float | None) -> None:
        self._opened_at = opened_at
        self._period += 1
        self._buckets.clear()
        self._calls = self._failures = self._probing = self._proven = 0

    def _count(self, *, failed: bool) -> None:
        number = int(self._clock() * BUCKETS / self._limits.window)
        while self._buckets and self._buckets[0].number <= number - BUCKETS:
            old = self._buckets.popleft()
            self._calls -= old.calls
            self._failures -= old.failures
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        self._buckets[-1].calls += 1
        self._buckets[-1].failures += failed
        self._calls += 1
        self._failures += failed
