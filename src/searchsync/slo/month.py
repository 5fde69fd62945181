"""A month of the calendar, and the stretches of time that it is cut into."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from searchsync.errors import BadParams


@dataclass(frozen=True)
class Month:
    """A month.

    :ivar zone: of whose calendar it is: a month is longer or shorter by an hour when clocks are changed in it
    """

    year: int
    month: int
    zone: ZoneInfo

    @property
    def name(self) -> str:
        """The month as it is written: ``2026-11``."""
        return f"{self.year}-{self.month:02}"

    @property
    def start(self) -> datetime:
        """Its first moment, in UTC."""
        return datetime(self.year, self.month, 1, tzinfo=self.zone).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it, in UTC."""
        return self.after().start

    def after(self) -> "Month":
        """Return the next month."""
        years, month = divmod(self.month, 12)
        return Month(self.year + years, month + 1, self.zone)

    def before(self) -> "Month":
        """Return the month before."""
        return Month(self.year - 1, 12, self.zone) if self.month == 1 else Month(self.year, self.month - 1, self.zone)

    def days(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield begin and end of each day of the calendar, in UTC: 23 to 25 hours apart."""
        day = datetime(self.year, self.month, 1, tzinfo=self.zone)
        while (day.year, day.month) == (self.year, self.month):
            following = day + timedelta(days=1)  # the same time of the clock: arithmetic within a zone is of the clock
            yield day.astimezone(UTC), following.astimezone(UTC)
            day = following


def of(text: str, zone: ZoneInfo) -> Month:
    """Return the month that a text such as ``2026-11`` names. Raise ``BadParams`` when it names none."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) or text < "1970":
        raise BadParams(f"{text!r} is no month: write it as 2026-11. Nothing was read")
    return Month(int(text[:4]), int(text[5:]), zone)


def last(now: datetime, zone: ZoneInfo) -> Month:
    """Return the last month that is over."""
    local = now.astimezone(zone)
    return Month(local.year, local.month, zone).before()


@dataclass(frozen=True)
class Slot:
    """A stretch of time, and what is known of it.

    :ivar total: number of events; None when nothing is known, which is not the same as 0, and is never good
    :ivar bad: number of those that were bad
    """

    start: datetime
    end: datetime
    total: int | None
    bad: int = 0

    @property
    def seconds(self) -> int:
        """How long it is."""
        return int((self.end - self.start) / timedelta(seconds=1))

    def burns(self, allowed: Fraction) -> bool:
        """Whether more of its events were bad than the objective allows."""
        return self.bad > 0 and self.bad > allowed * (self.total or 0)


Counts = dict[datetime, tuple[int, int]]
"""By the begin of a slot: number of events, and of those that were bad."""


def by_seconds(counts: Counts, start: datetime, end: datetime, seconds: int) -> list[Slot]:
    """Return the slots of equal length of a time. What has no counts is not known."""
    step, number = timedelta(seconds=seconds), -((start - end) // timedelta(seconds=seconds))
    times = [start + step * index for index in range(number)]
    return [Slot(time, min(time + step, end), *counts.get(time, (None, 0))) for time in times]


def by_day(counts: Counts, month: Month, until: datetime) -> list[Slot]:
    """Return the days of a month, up to a moment, as slots. What has no counts is not known."""
    return [Slot(begin, end, *counts.get(begin, (None, 0))) for begin, end in month.days() if end <= until]
