"""One moment by which all of some work has to be over: a function with a time-out, an alert that must go out.

It bounds the waits between attempts and each attempt itself, whatever the client's own time-outs are. Threads that are
started inside do not inherit it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float] = ContextVar("end", default=float("inf"))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let nothing in this context take longer than so many seconds from now; an earlier end stays the end."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def remaining() -> float:
    """Seconds that are left, below zero when time is over; infinite where there is no end."""
    return _end.get() - time.monotonic()
