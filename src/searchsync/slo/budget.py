"""How much of a month's budget of bad events is left, how fast it was used up, and by what. Exact: no floats.

All functions here are pure. An objective of 99.95 % allows one event of 2,000 to be bad: that is the budget. A burn
rate is how many times as fast as allowed it is used up: at 1, it lasts to the end of the month.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import groupby

from searchsync.alarms import BurnRate
from searchsync.slo.month import Slot
from searchsync.slo.policy import Objective

MET, MISSED, UNKNOWN = "met", "missed", "not enough data"

LEAST_BAD = 5
"""Bad events in a window below which there is no rate, as in the alarms' expression: of few events, one is a rate."""


@dataclass(frozen=True)
class Budget:
    """A month's budget of bad events.

    :ivar objective: what is aimed at
    :ivar total: number of events that are known
    :ivar bad: number of those that were bad
    :ivar known: share of the time of which something is known
    :ivar enough: share of the time that has to be known
    """

    objective: Objective
    total: int
    bad: int
    known: Fraction
    enough: Fraction

    @property
    def good_share(self) -> Fraction | None:
        """Share of the known events that were good; None when there were none."""
        return 1 - Fraction(self.bad, self.total) if self.total else None

    @property
    def allowed(self) -> Fraction:
        """Number of events that may be bad."""
        return self.objective.allowed * self.total

    @property
    def used(self) -> Fraction | None:
        """Share of the budget that is used up, 1 for all of it; None when there were no events."""
        return self.bad / self.allowed if self.total else None

    @property
    def is_known(self) -> bool:
        """Whether it can be judged.

        Enough of the time has to be known, and the budget has to be one event at least: of fewer events, a single bad
        one would be more than the budget, and none would prove nothing.
        """
        return self.known >= self.enough and self.allowed >= 1

    @property
    def state(self) -> str:
        """``met``, ``missed`` or ``not enough data``. What is used up exactly is met."""
        if not self.is_known:
            return UNKNOWN
        return MET if self.bad <= self.allowed else MISSED


def of(objective: Objective, slots: Sequence[Slot], enough: Fraction) -> Budget:
    """Return the budget of some slots. What is not known counts neither as good nor as bad.

    :param enough: share of the time that has to be known
    """
    known = [slot for slot in slots if slot.total is not None]
    seconds = sum(slot.seconds for slot in slots)
    share = Fraction(sum(slot.seconds for slot in known), seconds) if seconds else Fraction(0)
    return Budget(objective, sum(slot.total or 0 for slot in known), sum(slot.bad for slot in known), share, enough)


@dataclass(frozen=True)
class Incident:
    """A contiguous stretch in which more was bad than the objective allows.

    :ivar start: within the month
    :ivar bad: number of bad events
    :ivar of_bad: share of all bad events of the month
    :ivar of_budget: share of the month's budget
    :ivar worst: share of bad events in its worst slot
    :ivar from_before: whether it began in the month before, which has its own share of it
    :ivar to_end: whether the month ended before it did, as far as is known
    """

    start: datetime
    end: datetime
    bad: int
    of_bad: Fraction
    of_budget: Fraction
    worst: Fraction
    from_before: bool
    to_end: bool


def incidents(budget: Budget, slots: Sequence[Slot], before: Slot | None = None) -> list[Incident]:
    """Return what used the budget up, the greatest share first.

    What is not known ends an incident, because nothing is known of it.

    :param budget: of the same slots
    :param before: the slot before the first one; None when none is known
    """
    allowed, found = budget.objective.allowed, []
    for burns, group in groupby(slots, key=lambda slot: slot.burns(allowed)):
        if burns:
            found.append(_incident(budget, [*group], slots, before))
    return sorted(found, key=lambda one: (-one.bad, one.start))


def _incident(budget: Budget, part: Sequence[Slot], slots: Sequence[Slot], before: Slot | None) -> Incident:
    bad = sum(slot.bad for slot in part)
    return Incident(
        start=part[0].start,
        end=part[-1].end,
        bad=bad,
        of_bad=Fraction(bad, budget.bad),
        of_budget=bad / budget.allowed,
        worst=max(Fraction(slot.bad, slot.total or 1) for slot in part),
        from_before=part[0] is slots[0] and before is not None and before.burns(budget.objective.allowed),
        to_end=part[-1] is slots[-1],
    )


@dataclass(frozen=True)
class Burnt:
    """How fast a budget was used up, as an alarm on it sees it.

    :ivar rate: the alarm
    :ivar peak: the fastest that both windows saw at one moment, 1 for as fast as allowed; None when no window had
        enough bad events
    :ivar seconds: for how long both were above the alarm's rate
    """

    rate: BurnRate
    peak: Fraction | None
    seconds: int


def burnt(objective: Objective, slots: Sequence[Slot], start: datetime, rate: BurnRate) -> Burnt:
    """Return how fast a budget was used up.

    :param slots: of equal length, from the long window before ``start`` on, so that the first windows are whole
    :param start: the first moment that counts
    """
    peak, seconds, told = Fraction(0), 0, Fraction(str(rate.rate))
    windows = zip(_rates(objective, slots, rate.long), _rates(objective, slots, rate.short), strict=True)
    for slot, (long, short) in zip(slots, windows, strict=True):
        if slot.start >= start and long and short:
            peak = max(peak, both := min(long, short))
            seconds += slot.seconds if both > told else 0
    return Burnt(rate, peak or None, seconds)


def _rates(objective: Objective, slots: Sequence[Slot], window: int) -> Iterator[Fraction | None]:
    """Yield for each slot the burn rate of the window that ends with it; None where it has too few bad events."""
    first = total = bad = 0
    for slot in slots:
        total, bad = total + (slot.total or 0), bad + slot.bad
        while (slot.end - slots[first].start).total_seconds() > window and slots[first] is not slot:
            total, bad, first = total - (slots[first].total or 0), bad - slots[first].bad, first + 1
        yield Fraction(bad, total) / objective.allowed if bad >= LEAST_BAD else None


def used_by_day(budget: Budget, slots: Sequence[Slot], ends: Sequence[datetime]) -> list[tuple[datetime, Fraction]]:
    """Return what share of the month's budget was used up at each of some moments; nothing without events.

    :param ends: ascending
    """
    if not budget.total:
        return []
    found, bad, rest = [], 0, iter([*slots])
    slot = next(rest, None)
    for end in ends:
        while slot is not None and slot.end <= end:
            bad, slot = bad + slot.bad, next(rest, None)
        found.append((end, bad / budget.allowed))
    return found


def credit(budget: Budget) -> Fraction | None:
    """Return what share of the fee is given back for a month; None when that is not known, or nothing is promised."""
    share = budget.good_share
    if not budget.objective.tiers or not budget.is_known or share is None:
        return None
    return max((tier.credit for tier in budget.objective.tiers if share < tier.below), default=Fraction(0))
