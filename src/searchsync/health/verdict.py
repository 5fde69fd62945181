"""Readings against the thresholds of the table: what is well, what is not, and what nobody knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from searchsync import alarms
from searchsync.catalog import CATALOG
from searchsync.health.reading import Reading

CHECK = "cluster_health"
"""As the rows of the table name who looks at them."""

EVERY_SECONDS = 300.0
"""Between two looks, by the schedule of ``cluster_health``."""


class State(StrEnum):
    """What a reading means."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """A row of the table, and how one thing stands against it.

    :ivar subject: which thing; empty for the cluster
    :ivar entity: the entity that it is about; empty when it is about none
    :ivar value: in the row's unit; None when it is not known
    :ivar limit: the row's comparison, threshold and unit, for people
    :ivar looks: looks in a row that have to be bad before somebody is told
    """

    alarm: str
    subject: str
    entity: str
    state: State
    value: float | None
    limit: str
    seen: str
    signal: str
    severity: str
    runbook: str
    looks: int

    @property
    def name(self) -> str:
        """The row, and which thing."""
        return f"{self.alarm} of {self.subject}" if self.subject else self.alarm


def rows() -> Mapping[str, alarms.Alarm]:
    """Return the rows of the table that are looked at here, those of entities with the numbers of one of them."""
    found = {name: row for entity in (None, *CATALOG.values()) for name, row in alarms.table(entity).items()}
    return {name: row for name, row in found.items() if row.check == CHECK}


def judge(readings: Iterable[Reading]) -> list[Verdict]:
    """Compare readings with the table: those of an entity with the numbers that hold for it.

    A look that failed is no missing datapoint of CloudWatch, of which the table says what it counts as: nobody knows,
    unless the row wants to be told of just that.

    :raises BadParams: when the table cannot be used
    """
    return [_judged(reading, alarms.table(CATALOG.get(reading.entity))[reading.alarm]) for reading in readings]


def _judged(reading: Reading, alarm: alarms.Alarm) -> Verdict:
    if reading.value is None:
        state = State.BAD if alarm.missing == "breaching" else State.UNKNOWN
    else:
        state = State.BAD if alarm.breaches(reading.value) else State.GOOD
    return Verdict(
        alarm=alarm.name,
        subject=reading.subject,
        entity=reading.entity,
        state=state,
        value=reading.value,
        limit=f"{alarm.comparison} {alarm.threshold:g} {alarm.unit}",
        seen=reading.seen,
        signal=alarm.signal,
        severity=alarm.severity,
        runbook=alarm.runbook,
        looks=alarm.looks(EVERY_SECONDS),
    )
