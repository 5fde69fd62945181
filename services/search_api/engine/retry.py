"""When a call that failed is made again: at most three attempts, with growing pauses, and never beyond the deadline."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

ATTEMPTS: Final = 3
FIRST_SECONDS: Final = 0.1
"""The pause after the first attempt, in the mean. Each further pause is twice as long."""


def is_overload_or_fault(status: int) -> bool:
    """Return whether an answer says that the server, and not the request, is at fault: 429 or 5xx."""
    return status == 429 or status >= 500


def pause(attempt: int, *, remaining: float, asked: float | None) -> float | None:
    """Return the seconds to wait before the next attempt; None when there is to be none.

    The pause varies by half, so that callers who failed together do not come back together.

    :param attempt: number of attempts that have failed
    :param remaining: seconds that are left for all
    :param asked: seconds for which the server asked to be left alone; None when it did not
    """
    if attempt >= ATTEMPTS:
        return None
    seconds = FIRST_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
    if asked is not None:
        seconds = max(seconds, asked)
    return seconds if seconds < remaining else None


def seconds_asked(retry_after: str | None) -> float | None:
    """Return the seconds of a header ``Retry-After``, which has a number or a date; None when it says nothing."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
