"""How reads of a table are held back: by a budget of read capacity, and by patience with a table that is throttled."""

import random
import time
from threading import Lock

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0


class Budget:
    """Keeps all reads of a run, those of all its threads together, below so many read capacity units a second.

    What a read costs is known when it is answered. So each takes beforehand what the last one cost, and the difference
    is made up for afterwards.

    :param units: read capacity units a second; None for no limit
    """

    def __init__(self, units: float | None) -> None:
        self._units = units
        self._free_at = 0.0
        self._last_cost = 0.0
        self._lock = Lock()

    def take(self) -> float:
        """Wait until the next read may be sent; what was taken for it."""
        if self._units is None:
            return 0.0
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            taken = self._last_cost
            self._free_at = begin + taken / self._units
        time.sleep(max(0.0, begin - time.monotonic()))
        return taken

    def spent(self, taken: float, cost: float) -> None:
        """A read for which so much was taken has cost so much."""
        if self._units is not None:
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + (cost - taken) / self._units
                self._last_cost = cost


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
