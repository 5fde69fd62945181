"""Simulated months with known answers: slots of five minutes, each with so many requests."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from searchsync.slo.month import Counts, Month, Slot, by_seconds
from searchsync.slo.policy import Objective, Tier

STEP = timedelta(seconds=300)
UTC_ZONE = ZoneInfo("UTC")
NOVEMBER = Month(2026, 11, UTC_ZONE)
ENOUGH = Fraction(95, 100)


def objective(share: str = "99.95") -> Objective:
    """An objective in percent, with the promise and the credits of availability."""
    tiers = tuple(Tier(Fraction(below) / 100, Fraction(credit, 100)) for below, credit in CREDITS)
    return Objective("availability", Fraction(share) / 100, Fraction("99.9") / 100, tiers)


CREDITS = (("99.9", 10), ("99", 25), ("95", 100))


def at(day: int, hour: int = 0, minute: int = 0, month: int = 11) -> datetime:
    """A moment of 2026, in UTC."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def history(
    month: Month, requests: Callable[[datetime], int | None], bad: Callable[[datetime], int], *, hours_before: int = 24
) -> list[Slot]:
    """The slots of a month, and of some hours before it.

    :param requests: number of requests in the slot that begins at a moment; None when nothing is known
    """
    start, counts = month.start - timedelta(hours=hours_before), Counts()
    time = start
    while time < month.end:
        number = requests(time)
        if number is not None:
            counts[time] = (number, bad(time))
        time += STEP
    return by_seconds(counts, start, month.end, 300)


def steady(_: datetime) -> int:
    """100 requests a slot: of 30 days, 864,000."""
    return 100


def none(_: datetime) -> int:
    """Nothing failed."""
    return 0


def outage(start: datetime, minutes: Fraction | int, per_slot: int = 100) -> Callable[[datetime], int]:
    """All requests of some minutes failed; of a slot that was down in part, the same part of its requests."""
    seconds = Fraction(minutes) * 60

    def bad(time: datetime) -> int:
        down_from = max(time, start)
        until = min(Fraction((time + STEP - start) // timedelta(seconds=1)), seconds)
        down = max(Fraction(0), until - Fraction((down_from - start) // timedelta(seconds=1)))
        failed = down * per_slot / 300
        assert failed.denominator == 1, "choose figures that are exact"
        return int(failed)

    return bad
