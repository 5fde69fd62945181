"""One moment by which a request has to be answered, with all that is done for it."""

import time


class Deadline:
    """A moment, a number of seconds from now. It is passed on, and bounds each wait and each attempt.

    :param seconds: from now
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Number of seconds that are left; below zero when time is over."""
        return self._end - time.monotonic()
