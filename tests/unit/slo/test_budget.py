"""Months with known answers: a wrong figure would be told to customers, and paid for."""

import itertools
import random
from datetime import datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from searchsync import alarms
from searchsync.slo import budget, month
from searchsync.slo.budget import MET, MISSED, UNKNOWN
from searchsync.slo.month import Month, Slot
from searchsync.slo.run import Judged, judge
from tests.unit.slo.months import ENOUGH, NOVEMBER, STEP, UTC_ZONE, at, history, none, objective, outage, steady

ONE, ZERO = Fraction(1), Fraction(0)


def judged(slots: list[Slot], of: Month = NOVEMBER, share: str = "99.95") -> Judged:
    return judge(objective(share), "", slots, of, enough=ENOUGH)


def test_an_outage_of_21_6_minutes_uses_the_budget_of_thirty_days_up_exactly() -> None:
    """003:L534 names 21.6 minutes; the last of them is within the objective, one request more is not."""
    found = judged(history(NOVEMBER, lambda _: 1000, outage(at(10, 12), Fraction("21.6"), 1000)))
    assert (found.budget.total, found.budget.bad) == (8_640_000, 4_320)
    assert (found.budget.used, found.budget.state, found.credit) == (ONE, MET, ZERO)
    (incident,) = found.incidents
    assert (incident.start, incident.end) == (at(10, 12), at(10, 12, 25)), "in slots of five minutes"
    assert (incident.bad, incident.of_bad, incident.of_budget, incident.worst) == (4_320, ONE, ONE, ONE)

    one_more = judged(history(NOVEMBER, lambda _: 1000, lambda time: found_bad(time) + (time == at(20))))
    assert (one_more.budget.bad, one_more.budget.state) == (4_321, MISSED)
    assert one_more.budget.used == Fraction(4_321, 4_320)
    assert one_more.credit == 0, "99.9499 % is missed, and is above what is promised"


found_bad = outage(at(10, 12), Fraction("21.6"), 1000)


@pytest.mark.parametrize(
    ("year", "number", "days"), [(2026, 2, 28), (2028, 2, 29), (2026, 11, 30), (2026, 12, 31)], ids=str
)
def test_a_longer_month_has_a_larger_budget(year: int, number: int, days: int) -> None:
    of = Month(year, number, UTC_ZONE)
    down = outage(of.start + timedelta(days=3), 20)
    found = judged(history(of, steady, down), of)
    assert found.budget.total == days * 288 * 100
    assert found.budget.used == Fraction(400, days * 288 * 100) * 2000
    assert found.budget.state == MET, "20 minutes are less than 28 days allow: 20.16"


@pytest.mark.parametrize(
    ("name", "of", "hours"),
    [
        ("Europe/Berlin", (2026, 3), 31 * 24 - 1),
        ("Europe/Berlin", (2026, 10), 31 * 24 + 1),
        ("America/New_York", (2026, 11), 30 * 24 + 1),
        ("Asia/Kolkata", (2026, 11), 30 * 24),
        ("Asia/Beirut", (2026, 3), 31 * 24 - 1),
        ("UTC", (2026, 3), 31 * 24),
    ],
)
def test_a_month_is_that_of_the_zone_also_when_clocks_are_changed(name: str, of: tuple[int, int], hours: int) -> None:
    """Else an hour at the border would be in two months, or in none."""
    here = Month(*of, ZoneInfo(name))
    assert (here.end - here.start) / timedelta(hours=1) == hours
    assert here.end == here.after().start
    assert here.after().before() == here
    days = [*here.days()]
    assert (days[0][0], days[-1][1]) == (here.start, here.end)
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(days)), "no gap, nothing twice"
    found = judged(history(here, steady, none), here)
    assert (found.budget.total, found.budget.known) == (hours * 1200, ONE)


def test_the_last_month_is_over_in_its_zone() -> None:
    """At half past midnight in Berlin, Greenwich still has the month before."""
    now = datetime.fromisoformat("2026-11-30T23:30:00+00:00")
    assert month.last(now, ZoneInfo("Europe/Berlin")).name == "2026-11"
    assert month.last(now, UTC_ZONE).name == "2026-10"
    assert month.last(datetime.fromisoformat("2027-01-01T00:00:00+00:00"), UTC_ZONE).name == "2026-12"


def test_an_outage_across_the_border_is_parted_between_the_months() -> None:
    """Each month has its own budget: what is counted twice, or not at all, is a wrong credit."""
    down = outage(at(30, 23, 40), 45)  # 20 minutes in November, 25 in December
    december = NOVEMBER.after()
    of_november, of_december = (judged(history(one, steady, down), one) for one in (NOVEMBER, december))
    assert (of_november.budget.bad, of_december.budget.bad) == (400, 500)
    (first,), (second,) = of_november.incidents, of_december.incidents
    assert (first.end, first.to_end, first.from_before) == (NOVEMBER.end, True, False)
    assert (second.start, second.from_before, second.to_end) == (december.start, True, False)
    assert of_november.budget.state == MET
    assert of_december.budget.state == MISSED
    fast = next(one for one in of_december.burnt if one.rate.name == "api-budget-fast")
    assert fast.peak == Fraction(900, 1200) * 2000, "the hour that ends in December is seen whole"


def test_a_gap_is_neither_good_nor_bad() -> None:
    """Taken for good, an outage that takes the measurements along would be a perfect month."""
    gap = {at(12) + STEP * number for number in range(12 * 24)}  # one day of thirty
    found = judged(history(NOVEMBER, lambda time: None if time in gap else 100, outage(at(5), 10)))
    assert (found.budget.known, found.budget.total) == (Fraction(29, 30), 29 * 288 * 100)
    assert found.budget.used == Fraction(200 * 2000, 29 * 288 * 100), "the budget is that of what is known"
    assert found.budget.state == MET

    longer = {at(12) + STEP * number for number in range(12 * 24 * 2)}
    found = judged(history(NOVEMBER, lambda time: None if time in longer else 100, none))
    assert (found.budget.state, found.credit) == (UNKNOWN, None), "two days of thirty are more than a twentieth"


def test_a_month_without_data_is_not_a_good_one() -> None:
    found = judged(history(NOVEMBER, lambda _: None, none))
    assert (found.budget.state, found.budget.good_share, found.budget.used) == (UNKNOWN, None, None)
    assert (found.credit, found.incidents, found.curve) == (None, [], [])


def test_quiet_hours_are_known_and_a_month_in_which_nobody_asks_is_not_judged() -> None:
    nights = history(NOVEMBER, lambda time: 100 if 6 <= time.hour < 22 else 0, none)
    assert judged(nights).budget.state == MET
    silent = judged(history(NOVEMBER, lambda _: 0, none))
    assert (silent.budget.known, silent.budget.state, silent.credit) == (ONE, UNKNOWN, None)


def test_few_requests_are_not_judged() -> None:
    """Of 1,999, a single failure is more than 99.95 % allow, and none proves no more than 99.9 %."""
    days = history(NOVEMBER, lambda time: 1 if time < at(7, 22, 35) else 0, none)
    assert (judged(days).budget.total, judged(days).budget.state) == (1_999, UNKNOWN)
    days = history(NOVEMBER, lambda time: 1 if time < at(7, 22, 40) else 0, none)
    assert (judged(days).budget.total, judged(days).budget.state) == (2_000, MET)


@pytest.mark.parametrize(
    ("bad", "credit"),
    [
        (864, "0"),  # 99.9 % exactly: what is promised is kept
        (865, "0.1"),
        (8_640, "0.1"),  # 99 % exactly
        (8_641, "0.25"),
        (43_201, "1"),
        (864_000, "1"),
    ],
)
def test_credits_begin_below_each_step(bad: int, credit: str) -> None:
    def failed(time: datetime) -> int:
        number = (time - NOVEMBER.start) // STEP
        return max(0, min(100, bad - number * 100)) if number >= 0 else 0

    found = judged(history(NOVEMBER, steady, failed))
    assert (found.budget.bad, found.credit) == (bad, Fraction(credit))


def test_what_used_the_budget_up_adds_up() -> None:
    """Random months: the parts are the whole, and no bad event is in two incidents, or in none."""
    for seed in range(30):
        print(f"seed {seed}")
        choose = random.Random(seed)
        counts = {}
        time = NOVEMBER.start
        while time < NOVEMBER.end:
            total = choose.choice([0, 3, 100, 5000])
            bad = choose.choice([0, 0, 0, min(1, total), total // 3000, total])
            counts[time] = None if choose.random() < 0.02 else (total, bad)
            time += STEP
        known = {time: found for time, found in counts.items() if found}
        slots = month.by_seconds(known, NOVEMBER.start, NOVEMBER.end, 300)
        found = judged(slots)
        assert found.budget.total == sum(total for total, _ in known.values())
        assert found.budget.bad == sum(bad for _, bad in known.values())
        inside = {
            slot.start for slot in slots for one in found.incidents if one.start <= slot.start and slot.end <= one.end
        }
        rest = sum(bad for time, (_, bad) in known.items() if time not in inside)
        assert sum(one.bad for one in found.incidents) + rest == found.budget.bad
        assert sum(one.of_bad for one in found.incidents) + Fraction(rest, found.budget.bad) == 1
        assert all(bad * 2000 <= total for time, (total, bad) in known.items() if time not in inside)
        borders = [(one.start, one.end) for one in sorted(found.incidents, key=lambda one: one.start)]
        assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(borders)), "contiguous"
        assert found.curve[-1] == (NOVEMBER.end, found.budget.used)
        assert [used for _, used in found.curve] == sorted(used for _, used in found.curve)


def test_burn_rates_are_those_of_the_alarms() -> None:
    """One source: a report that burns at another rate than the pager would explain nothing."""
    rates = {one.name: (one.rate, one.long, one.short, one.severity) for one in alarms.burn_rates()}
    assert rates == {
        "api-budget-fast": (14.4, 3600, 300, "P0"),
        "api-budget": (6.0, 21600, 1800, "P1"),
        "api-budget-slow": (3.0, 86400, 7200, "P2"),
    }
    table, allowed = alarms.table(), 100 - alarms.objective()["availability"]
    for name, (_, parts) in alarms.together().items():
        assert {round(table[part].threshold / allowed, 6) for part in parts} == {rates[name][0]}


def test_a_burn_rate_is_that_of_both_windows() -> None:
    """Five minutes in which all fail: of the hour a twelfth, 166.7 times what is allowed."""
    found = judged(history(NOVEMBER, steady, outage(at(10, 12), 5)))
    peaks = {one.rate.name: one.peak for one in found.burnt}
    assert peaks == {
        "api-budget-fast": Fraction(100, 1200) * 2000,
        "api-budget": Fraction(100, 7200) * 2000,
        "api-budget-slow": Fraction(100, 28800) * 2000,
    }
    seconds = {one.rate.name: one.seconds for one in found.burnt}
    assert seconds == {"api-budget-fast": 300, "api-budget": 1800, "api-budget-slow": 7200}, "as the short ones see it"


def test_few_bad_events_are_no_rate() -> None:
    found = judged(history(NOVEMBER, lambda _: 2, lambda time: 2 * (time in (at(10), at(20)))))
    assert {(one.peak, one.seconds) for one in found.burnt} == {(None, 0)}
    expression = "IF(failed >= 5, 100 * failed / asked, 0)"
    assert budget.LEAST_BAD == 5
    assert expression in alarms_file(), "the alarms have the same least number"


def alarms_file() -> str:
    from searchsync.catalog import include_dir

    return (include_dir() / "policies" / "alarms.yaml").read_text(encoding="utf-8")
