"""How reads of a table are held back: by a budget of read capacity, and by patience with a table that is throttled."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0


@dataclass
class Cost:
    """What a read has consumed, in read capacity units."""

    units: float = 0.0


class Budget:
    """Keeps all reads of a run, those of all its threads together, below so many read capacity units a second.

    What a read costs is known when it is answered: so within a budget one is on its way at a time, and the next waits
    until the one before is paid for.

    :param units: read capacity units a second; None for no limit
    """

    def __init__(self, units: float | None) -> None:
        self._units = units
        self._free_at = 0.0
        self._lock = Lock()

    @contextmanager
    def read(self) -> Iterator[Cost]:
        """One read; whoever makes it says what it cost."""
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
    """Pauses between attempts, longer each time, until so many seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = FIRST_PAUSE_SECONDS

    def wait(self) -> bool:
        """Sleep before another attempt; False when there is no time left for one."""
        pause = random.uniform(self._pause / 2, self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        if time.monotonic() + pause > self._deadline:
            return False
        time.sleep(pause)
        return True
