"""One moment by which all of some work has to be over: a function with a time-out, an alert that must go out.

It is passed on as a value, and bounds the waits between attempts as well as each attempt itself.
"""

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, order=True)
class Deadline:
    """A moment; the earlier of two is the smaller one.

    :ivar end: in seconds, as ``time.monotonic`` counts them
    """

    end: float = float("inf")

    @classmethod
    def within(cls, seconds: float) -> Self:
        """Return the moment so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Number of seconds that are left; below zero when time is over."""
        return self.end - time.monotonic()


NEVER = Deadline()
"""The deadline of work that has none."""
