"""A cron expression of five fields, as far as it says which minutes of a day it means."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from searchsync.errors import BadParams

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}


@dataclass(frozen=True)
class Cron:
    """The minutes that an expression means.

    :ivar sets: for each field its values; Sunday is 0
    :ivar any_day: whether the field of the day, and that of the weekday, leave it open. If neither does, one of them is
        enough, as in cron itself
    """

    sets: tuple[frozenset[int], ...]
    any_day: tuple[bool, bool]

    def moments(self, day: date) -> Iterator[datetime]:
        """Yield the minutes of a day that it means, in their order, by whatever clock."""
        minutes, hours, days, months, weekdays = self.sets
        by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (by_day and by_weekday if any(self.any_day) else by_day or by_weekday):
            yield from (
                datetime.combine(day, time(hour, minute)) for hour in sorted(hours) for minute in sorted(minutes)
            )


def parse(text: str) -> Cron:
    """Return what an expression means.

    :raises BadParams: when it is none; the message names the field
    """
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        raise BadParams(f"{text!r} is no cron expression: it has {len(parts)} fields, not five")
    sets = [frozenset(_values(part, name, low, high)) for part, (name, low, high) in zip(parts, _FIELDS, strict=True)]
    sets[4] = frozenset(day % 7 for day in sets[4])
    return Cron(tuple(sets), (parts[2] == "*", parts[4] == "*"))


def _values(text: str, name: str, low: int, high: int) -> Iterator[int]:
    for part in text.split(","):
        between, slash, step = part.partition("/")
        first, dash, last = between.partition("-")
        try:
            begin = low if between == "*" else _number(first, name)
            end = high if between == "*" or (slash and not dash) else _number(last, name) if dash else begin
            every = int(step) if slash else 1
        except ValueError:
            begin, end, every = 1, 0, 1
        if not low <= begin <= end <= high or every < 1:
            raise BadParams(f"{part!r} is no {name} of a cron expression: {low} to {high}, *, 1-5, */10 or 1,3")
        yield from range(begin, end + 1, every)


def _number(text: str, name: str) -> int:
    names = _NAMES.get(name, ())
    return names.index(text) + (name == "month") if text in names else int(text)
