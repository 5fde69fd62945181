"""Which snapshots the calendar keeps: a rule that is off by one day deletes the only copy of a month."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from searchsync.cluster.snapshots import Snapshot
from searchsync.config import Snapshots, snapshots
from searchsync.recovery.calendar import kept

BERLIN = ZoneInfo("Europe/Berlin")


def at(year: int, month: int, day: int, hour: int, minute: int) -> Snapshot:
    moment = datetime(year, month, day, hour, minute, tzinfo=BERLIN)
    return {"snapshot": f"{moment:%Y-%m-%dT%H:%M}", "start_time_in_millis": int(moment.timestamp() * 1000)}


def nightly(days: int, until: datetime) -> list[Snapshot]:
    dates = [until.date() - timedelta(days=back) for back in range(days)]
    return [at(day.year, day.month, day.day, 1, 30) for day in dates]


def names(found: dict[str, str], reason: str) -> list[str]:
    return sorted(name[:10] for name, why in found.items() if why == f"the newest of its {reason}")


def policy(**counts: int) -> Snapshots:
    return replace(snapshots(), **cast(Any, {"daily": 1, "weekly": 1, "monthly": 1, **counts}))


def test_two_years_of_nights_leave_7_days_4_weeks_and_12_months() -> None:
    now = datetime(2026, 11, 30, 2, tzinfo=BERLIN)  # a Monday
    found = kept(nightly(730, now), snapshots(), now, BERLIN)
    assert names(found, "day") == [f"2026-11-{day}" for day in range(24, 31)]
    assert names(found, "week") == ["2026-11-15", "2026-11-22"], "of this week and the last, a day is kept already"
    assert names(found, "month") == [
        *("2025-12-31", "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"),
        *("2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31"),
    ]
    assert len(found) == 7 + 2 + 11


def test_each_night_of_a_year_keeps_what_the_later_ones_need() -> None:
    """Retention runs every night: what one night deletes, none can keep later."""
    alive: list[Snapshot] = []
    for day in range(420):
        now = datetime(2026, 1, 1, 2, tzinfo=BERLIN) + timedelta(days=day)
        alive += nightly(1, now)
        wanted = kept(alive, snapshots(), now, BERLIN)
        alive = [one for one in alive if one["snapshot"] in wanted]
    ever = kept(nightly(420, now), snapshots(), now, BERLIN)
    assert {one["snapshot"] for one in alive} == ever.keys()


def test_a_day_begins_at_midnight_of_the_time_zone() -> None:
    """In UTC both are of one day, and one of two days would be deleted."""
    late, early = at(2026, 7, 1, 23, 50), at(2026, 7, 2, 0, 10)
    now = datetime(2026, 7, 2, 12, tzinfo=BERLIN)
    assert kept([late, early], policy(daily=2), now, BERLIN).keys() == {late["snapshot"], early["snapshot"]}
    assert kept([late, early], policy(daily=2), now, ZoneInfo("UTC")).keys() == {early["snapshot"]}


def test_the_day_of_25_hours_is_one_day() -> None:
    first, last = at(2026, 10, 25, 0, 5), at(2026, 10, 25, 23, 55)
    before = at(2026, 10, 24, 23, 55)
    now = datetime(2026, 10, 25, 23, 59, tzinfo=BERLIN)
    assert names(kept([before, first, last], policy(daily=2), now, BERLIN), "day") == ["2026-10-24", "2026-10-25"]


def test_a_week_that_spans_two_years_is_one_week() -> None:
    now = datetime(2026, 1, 2, 12, tzinfo=BERLIN)
    old, new = at(2025, 12, 30, 1, 30), at(2026, 1, 2, 1, 30)
    found = kept([old, new], policy(weekly=2, monthly=1), now, BERLIN)
    assert found.keys() == {new["snapshot"]}


def test_the_newest_of_all_stays_however_old_it_is() -> None:
    only = at(2020, 1, 1, 1, 30)
    assert kept([only], snapshots(), datetime.now(UTC), BERLIN) == {only["snapshot"]: "the newest of all"}
    assert kept([], snapshots(), datetime.now(UTC), BERLIN) == {}
