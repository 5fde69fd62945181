"""What slows reads of a table down: a budget of read capacity, and pauses while the table is throttled."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0


@dataclass
class Cost:
    """What one read has consumed, in read capacity units."""

    units: float = 0.0


class Budget:
    """A limit of read capacity units a second for all reads of a run, over all its threads.

    The cost of a read is known only when it is answered. So with a limit only one read is on its way at a time, and the
    next read waits until the budget has paid for it.

    :param units: read capacity units a second; None for no limit
    """

    def __init__(self, units: float | None) -> None:
        self._units = units
        self._free_at = 0.0
        self._lock = Lock()

    @contextmanager
    def read(self) -> Iterator[Cost]:
        """Wait until the budget allows a read. The caller reads in this block and writes the cost into ``Cost``."""
        cost = Cost()
        if self._units is None:
            yield cost
            return
        with self._lock:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            try:
                yield cost
            finally:
                self._free_at = time.monotonic() + cost.units / self._units


class Patience:
    """Pauses between attempts. Each pause is about twice as long as the one before, up to the longest.

    :param seconds: time for all attempts together
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = FIRST_PAUSE_SECONDS

    def wait(self) -> bool:
        """Sleep before another attempt and return True; return False at once when no time is left for one."""
        pause = random.uniform(self._pause / 2, self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        if time.monotonic() + pause > self._deadline:
            return False
        time.sleep(pause)
        return True
