"""Which snapshots are kept: the newest of each day, week and month, as far back as the policy says."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from searchsync.cluster.snapshots import Snapshot, started
from searchsync.config import Snapshots

Period = tuple[int, ...]
"""A day, a week or a month of the calendar; a later one is greater."""


def kept(snapshots: Iterable[Snapshot], policy: Snapshots, now: datetime, zone: ZoneInfo) -> dict[str, str]:
    """Return the names of the snapshots that are kept, each with the reason.

    Periods are those of the calendar, not multiples of 24 hours, and the present ones count. The newest snapshot of all
    is kept however old it is.

    :param snapshots: good ones only: a broken one must not take the place of one that can be restored
    :param now: with any time zone
    :param zone: of whose calendar the periods are
    """
    newest_first = sorted(snapshots, key=started, reverse=True)
    found: dict[str, str] = {}
    rules = (("day", _day, policy.daily), ("week", _week, policy.weekly), ("month", _month, policy.monthly))
    for word, period, count in rules:
        wanted = {*_latest(now.astimezone(zone), period, count)}
        for one in newest_first:
            when = period(datetime.fromtimestamp(started(one), zone))
            if when in wanted:
                wanted.remove(when)
                found.setdefault(one["snapshot"], f"the newest of its {word}")
    if newest_first:
        found.setdefault(newest_first[0]["snapshot"], "the newest of all")
    return found


def _latest(now: datetime, period: Callable[[Any], Period], count: int) -> Iterator[Period]:
    """Yield the latest periods, the present one first."""
    day, found = now.date(), 0
    last: Period = ()
    while found < count:
        if (this := period(day)) != last:
            last, found = this, found + 1
            yield this
        day -= timedelta(days=1)


def _day(day: Any) -> Period:
    return day.year, day.month, day.day


def _week(day: Any) -> Period:
    year, week, _ = day.isocalendar()
    return year, week


def _month(day: Any) -> Period:
    return day.year, day.month
