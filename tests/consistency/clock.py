"""A clock of the tests' own, in the place of ``time`` in the modules that tell the time of the source."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from searchsync.compare import differences, reconcile
from searchsync.operations import reindex, replay
from searchsync.sources import dynamodb, export_requests
from searchsync.stream import consumer, dead_letters, lag

_READERS = (
    *(reconcile, dead_letters, differences, dynamodb, export_requests),
    *(lag, reindex, replay, consumer),
)
"""The writer's back-off is not among them: it waits for the real OpenSearch."""


class Clock:
    """Time that runs faster than real time, or only when somebody sleeps.

    Fence, margin and grace keep their seconds, so the order of all positions is exactly that of production.

    :param speed: seconds of this clock to a real one; 0 to pass by ``sleep`` alone, at once
    """

    def __init__(self, speed: float = 0.0) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._start = time.time()
        self._skipped = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds since the epoch, never twice the same."""
        with self._lock:
            self._skipped += 1e-6
            return self._start + self._skipped + (time.monotonic() - self._began) * self._speed

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Let so much of this clock's time pass."""
        if self._speed:
            time.sleep(seconds / self._speed)
        else:
            self.skip(seconds)

    def skip(self, seconds: float) -> None:
        """Set the clock forward."""
        with self._lock:
            self._skipped += seconds

    @contextmanager
    def told(self) -> Iterator[None]:
        """Let the product's modules read this clock."""
        with ExitStack() as stack:
            for module in _READERS:
                stack.enter_context(mock.patch.object(module, "time", self))
            yield
