"""A month against its objectives: history, budgets, burn rates, incidents, credits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from searchsync import alarms
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.deadline import Deadline
from searchsync.errors import BadParams, SearchSyncError
from searchsync.slo import budget, policy, records, requests
from searchsync.slo.budget import Budget, Burnt, Incident
from searchsync.slo.month import Counts, Month, Slot, by_day, by_seconds
from searchsync.slo.policy import EXACTNESS, FRESHNESS, OF_REQUESTS, Objective, Policy

LOOK_SECONDS = 300.0
"""Seconds that all reads from OpenSearch may take: one that is away is not waited for once for each entity."""


@dataclass(frozen=True)
class Judged:
    """An indicator in a month.

    :ivar subject: the entity it is of; empty for the search API
    :ivar burnt: how fast the budget was used up; empty where slots are days
    :ivar incidents: what used it up, the greatest share first
    :ivar curve: by the end of each day (UTC), the share of the budget that was used up until then
    :ivar credit: share of the fee that is given back; None when it is not known, or nothing is promised
    :ivar why: why nothing is known; empty when something is
    """

    subject: str
    budget: Budget
    burnt: tuple[Burnt, ...]
    incidents: list[Incident]
    curve: list[tuple[datetime, Fraction]]
    credit: Fraction | None
    why: str = ""

    @property
    def name(self) -> str:
        """The indicator, and whose it is."""
        return " of ".join(filter(None, (self.budget.objective.indicator, self.subject)))


@dataclass(frozen=True)
class Report:
    """A month.

    :ivar until: the end of the month, or the present when it is not over
    :ivar problems: why a part of its history could not be read
    """

    month: Month
    until: datetime
    judged: list[Judged]
    problems: list[str]

    @property
    def is_over(self) -> bool:
        """Whether the month was over."""
        return self.until == self.month.end

    @property
    def credit(self) -> tuple[Fraction, bool]:
        """Return what share of the fee is given back, and whether all of it is known.

        Credits do not add up: the greatest one is given.
        """
        promised = [one for one in self.judged if one.budget.objective.tiers]
        known = [one.credit for one in promised if one.credit is not None]
        return max(known, default=Fraction(0)), len(known) == len(promised)

    def of(self, state: str) -> list[Judged]:
        """Return the indicators in a state."""
        return [one for one in self.judged if one.budget.state == state]


def judge(
    objective: Objective,
    subject: str,
    history: Sequence[Slot],
    month: Month,
    *,
    enough: Fraction,
    why: str = "",
) -> Judged:
    """Return what became of an indicator. Nothing is asked of anybody.

    :param history: slots up to the moment that is looked at; those before the month count for burn rates, and for
        whether an incident began before
    :param enough: share of the time that has to be known
    :param why: why nothing is known
    """
    slots = [slot for slot in history if slot.start >= month.start]
    earlier = next((slot for slot in reversed(history) if slot.start < month.start), None)
    found = budget.of(objective, slots, enough)
    rates = alarms.burn_rates() if earlier else ()
    return Judged(
        subject=subject,
        budget=found,
        burnt=tuple(budget.burnt(objective, history, month.start, rate) for rate in rates),
        incidents=budget.incidents(found, slots, earlier),
        curve=budget.used_by_day(found, slots, [end for _, end in month.days() if slots and end <= slots[-1].end]),
        credit=budget.credit(found),
        why=why,
    )


def run(
    client: Client, cloudwatch: Callable[[], Any], entities: Sequence[Entity], month: Month, *, now: datetime
) -> Report:
    """Read the history of a month and judge it. Change nothing.

    What cannot be read is a problem of the report, and not known; it does not hold up the rest.

    :param cloudwatch: makes boto3's client
    :raises BadParams: when a policy file is wrong, or the month has not begun
    """
    rules, until = policy.read(), min(month.end, now.astimezone(UTC))
    if until <= month.start:
        raise BadParams(f"{month.name} has not begun. Nothing was read")
    reading = _Reading(client.until(Deadline.within(LOOK_SECONDS)), month, until, rules)
    judged = [*reading.of_requests(cloudwatch)]
    for entity in entities:
        judged += reading.of_entity(entity)
    return Report(month, until, judged, reading.problems)


class _Reading:
    """One month's history, as it is read."""

    def __init__(self, client: Client, month: Month, until: datetime, rules: Policy) -> None:
        self._client, self._month, self._until, self._rules = client, month, until, rules
        self._before = month.start - timedelta(seconds=max(rate.long for rate in alarms.burn_rates()))
        self.problems: list[str] = []

    def of_requests(self, cloudwatch: Callable[[], Any]) -> list[Judged]:
        """Return the indicators of the search API."""
        end = self._whole(requests.SECONDS)
        counts, why = self._read(lambda: requests.history(cloudwatch(), self._before, end), {})
        return [
            self._judge(name, "", by_seconds(counts.get(name, {}), self._before, end, requests.SECONDS), why)
            for name in OF_REQUESTS
        ]

    def of_entity(self, entity: Entity) -> list[Judged]:
        """Return the indicators of an entity."""
        end = self._whole(records.SECONDS)
        counts, why = self._read(lambda: records.freshness(self._client, entity, self._before, end), Counts())
        fresh = self._judge(FRESHNESS, entity.name, by_seconds(counts, self._before, end, records.SECONDS), why)
        compared, why = self._read(lambda: records.exactness(self._client, entity, self._month), Counts())
        return [fresh, self._judge(EXACTNESS, entity.name, by_day(compared, self._month, self._until), why)]

    def _whole(self, seconds: int) -> datetime:
        """Return the end of the last slot that is over: one that is under way is no gap."""
        slot = timedelta(seconds=seconds)
        return self._before + (self._until - self._before) // slot * slot

    def _read(self, read: Callable[[], Any], nothing: Any) -> tuple[Any, str]:
        try:
            return read(), ""
        except SearchSyncError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return nothing, str(error)

    def _judge(self, name: str, subject: str, slots: Sequence[Slot], why: str) -> Judged:
        objective = self._rules.objectives[name]
        return judge(objective, subject, slots, self._month, enough=self._rules.enough, why=why)
