"""One look at the capacity of a cluster: sizes, forecast, disks, advice."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from searchsync import alarms, config
from searchsync.capacity import advice, room, sizes
from searchsync.capacity.advice import DISK, LARGE, TENANT, TOO_LARGE, Advice
from searchsync.capacity.history import Counted, History, Kept
from searchsync.capacity.outlook import Outlook, daily, look
from searchsync.capacity.room import Room
from searchsync.capacity.sizes import Size
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import EmptyWriteSet, SearchSyncError
from searchsync.telemetry import metrics

LOOK_SECONDS = 300.0
"""Seconds that a look at everything may take: a cluster that is away is not waited for once for each entity."""


@dataclass(frozen=True)
class Judged:
    """What to do about an index, or about the disks.

    :ivar before: what the run before kept; None when there was none
    """

    advice: list[Advice]
    before: Kept | None

    @property
    def news(self) -> tuple[list[Advice], list[str]]:
        """What a person is to be told: advice, and what is over."""
        return advice.news((self.before or {}).get("advice", []), self.advice)


@dataclass(frozen=True)
class CapacityReport:
    """What a look found.

    :ivar run: id of the run, as the library knows it
    :ivar outlooks: of the live indexes, by entity
    :ivar indexes: what to do about them
    :ivar room: on the disks; None when they cannot be read
    :ivar problems: why something cannot be measured
    """

    at: datetime
    run: str
    outlooks: dict[str, Outlook]
    indexes: dict[str, Judged]
    room: Room | None
    disk: Judged | None
    problems: list[str]

    @property
    def judged(self) -> list[Judged]:
        """All that was judged."""
        return [*self.indexes.values(), *([self.disk] if self.disk else [])]

    def documents(self) -> list[Kept]:
        """Return what is kept of it."""
        stamp = {"at": self.at.isoformat(timespec="seconds"), "run": self.run}
        kept: list[Kept] = []
        for name, outlook in self.outlooks.items():
            tenants = [{"tenant": tenant, "documents": count} for tenant, count in outlook.size.tenants.items()]
            advised = [one.as_dict() for one in self.indexes[name].advice]
            judged = {"forecast": outlook.as_dict(_limits()), "advice": advised}
            kept.append({**stamp, **asdict(outlook.size), "tenants": tenants, **judged})
        if self.room is not None and self.disk is not None:
            sizes_ = {"disk_bytes": self.room.total, "used_bytes": self.room.used, "room_bytes": self.room.room}
            judged = {"forecast": self.room.as_dict(), "advice": [one.as_dict() for one in self.disk.advice]}
            kept.append({**stamp, **sizes_, "reindex_bytes": self.room.reindex, **judged})
        return kept

    @property
    def advice(self) -> list[Advice]:
        """All advice."""
        return [one for judged in self.judged for one in judged.advice]

    def news(self) -> dict[str, Any]:
        """Return what a person is to be told, as JSON values: advice (``told``), and what is ``over``."""
        each = [judged.news for judged in self.judged]
        return {
            "told": [one.as_dict() for told, _ in each for one in told],
            "over": [about for _, over in each for about in over],
        }

    def emit(self) -> None:
        """Emit the metrics of each index, and how much there is to tell by the alarms without a metric of their own."""
        for name, outlook in self.outlooks.items():
            metrics.emit("IndexDocuments", outlook.size.documents, entity=name, index=outlook.size.index)
            metrics.emit("ShardBytes", outlook.size.largest_shard_bytes, entity=name, index=outlook.size.index)
        told = [one.alarm for one in self.advice]
        known = [*([] if self.problems else [TENANT]), *([DISK] if self.room and self.room.full else [])]
        alarms.report({name: told.count(name) for name in known})

    def keep(self, client: Client) -> None:
        """Keep it for the forecasts and the news of later runs. Safe to repeat."""
        history = History(client)
        for document in self.documents():
            history.keep(document)


def run(client: Client, entities: Sequence[Entity], run_id: str, *, now: datetime | None = None) -> CapacityReport:
    """Look at the live indexes of some entities and at the disks. Change nothing.

    What cannot be measured is a problem of the report, and does not hold up the others.

    :param now: the present, for tests
    :raises BadParams: when a policy file is wrong
    """
    at, policy, rows = now or datetime.now(UTC), config.capacity(), alarms.table()
    in_time = client.until(Deadline.within(LOOK_SECONDS))
    history = History(in_time)
    outlooks: dict[str, Outlook] = {}
    indexes: dict[str, Judged] = {}
    problems: list[str] = []
    for entity in entities:
        try:
            size = sizes.measure(EntityIndexes(in_time, entity))
            counts = history.counts(entity.name, until=at, back=policy.history_days)
            before = history.latest(entity.name, before=run_id)
        except EmptyWriteSet:
            continue  # nothing is live yet
        except SearchSyncError as error:
            problems.append(f"{entity.name} cannot be measured: {error}")
            continue
        outlook = _outlook(size, [*counts, Counted(at.date(), size.documents, size.tenants)], policy.horizon_days)
        outlooks[entity.name] = outlook
        indexes[entity.name] = Judged(advice.of_index(outlook, rows, policy, before=_advised(before, size)), before)
    measured = disk = None
    try:
        if not problems:  # the index that cannot be measured may be the largest
            measured = room.measure(in_time, [*outlooks.values()], policy.horizon_days)
            disk = Judged(advice.of_disk(measured, rows), history.latest(None, before=run_id))
    except SearchSyncError as error:
        problems.append(f"the disks cannot be measured: {error}")
    return CapacityReport(at, run_id, outlooks, indexes, measured, disk, problems)


def _outlook(size: Size, counts: Sequence[Counted], horizon: int) -> Outlook:
    tenants = {
        name: daily([(one.day, one.tenants[name]) for one in counts if name in one.tenants]) for name in size.tenants
    }
    return look(size, daily([(one.day, one.documents) for one in counts]), horizon, tenants)


def _advised(before: Kept | None, size: Size) -> int:
    """Return the number of shards that the run before advised, unless it was followed; 0 for none."""
    if before is None or before["shards"] != size.shards:
        return 0
    return max((one["parameters"].get("number_of_shards", 0) for one in before["advice"]), default=0)


def _limits() -> list[float]:
    """Return the sizes of a shard, in bytes, at which something has to be done."""
    rows = alarms.table()
    return [rows[name].threshold for name in (LARGE, TOO_LARGE)]
