"""What to do about sizes: each piece of advice belongs to an alarm of ``alarms.yaml``, and is given in numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

from searchsync.alarms import Alarm
from searchsync.capacity import split
from searchsync.capacity.outlook import Outlook
from searchsync.capacity.room import Room
from searchsync.cluster.shards import MOST
from searchsync.config import Capacity

GIB, GB = 1 << 30, 10**9
LARGE, TOO_LARGE, TENANT, DISK = "shard-large", "shard-too-large", "tenant-large", "disk-forecast"
"""Rows of ``alarms.yaml``."""


@dataclass(frozen=True)
class Advice:
    """One thing to do.

    :ivar alarm: the row of ``alarms.yaml``
    :ivar about: an entity, a tenant of an entity, or ``disk``
    :ivar urgent: whether it is told every day, and not only when it begins or changes
    :ivar text: why, and what to do
    :ivar dag_id: the DAG whose trigger form does it; empty when none does
    :ivar parameters: values for that form
    """

    alarm: str
    about: str
    severity: str
    urgent: bool
    text: str
    runbook: str
    dag_id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What makes it another one when it changes."""
        return f"{self.alarm} {self.about} {self.parameters.get('number_of_shards', '')}".strip()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def of_index(outlook: Outlook, alarms: Mapping[str, Alarm], policy: Capacity, *, before: int = 0) -> list[Advice]:
    """Return what to do about an index.

    :param before: number of shards that was advised the last time; 0 for none. It does not become less: the end of an
        interval moves a little every day
    """
    size = outlook.size
    found = []
    for name in (TOO_LARGE, LARGE):
        if alarms[name].breaches(size.largest_shard_bytes):
            found.append(_more_shards(outlook, alarms[name], policy, before))
            break
    large = {tenant: count for tenant, count in size.tenants.items() if alarms[TENANT].breaches(count)}
    for tenant, count in large.items():
        text = (
            f"The tenant {tenant} has {count:,} of the {size.documents:,} documents of {size.entity}: more than "
            f"{alarms[TENANT].threshold:,.0f}. Give it an entity of its own, whose searches and reindexes do not wait "
            "for all others."
        )
        found.append(_advice(alarms[TENANT], f"{size.entity} {tenant}", text))
    return found


def of_disk(room: Room, alarms: Mapping[str, Alarm]) -> list[Advice]:
    """Return what to do about the disks."""
    days = room.full.expected if room.full else None
    if days is None or not alarms[DISK].breaches(days):
        return []
    when = "A reindex does not fit on the disks" if not room.fits else f"In {days} days a reindex no longer fits"
    text = (
        f"{when}: the largest index needs {_gb(room.reindex)} for a new one beside it, and {_gb(room.room)} are free "
        f"below the low watermark ({room.low}) of {room.nodes} nodes. Enlarge the disks, or delete what is not needed."
    )
    return [_advice(alarms[DISK], "disk", text)]


def number_of_shards(outlook: Outlook, policy: Capacity, *, before: int = 0) -> int:
    """Return how many primary shards the next index should have.

    As few as keep each of them at ``shard_gib_most`` or below until the horizon, by the upper end of the forecast; but
    not so many that one has less than ``shard_gib_least`` today. The bounds are those of AWS for indexes that are
    searched (https://docs.aws.amazon.com/opensearch-service/latest/developerguide/bp-sharding.html).
    """
    today, later = outlook.size.bytes / GIB, outlook.bytes_after(outlook.horizon).high / GIB
    least, enough = ceil(today / policy.shard_gib_most), ceil(later / policy.shard_gib_most)
    most = max(least, int(today / policy.shard_gib_least))
    return min(MOST, max(1, least, min(max(enough, before), most)))


def _more_shards(outlook: Outlook, alarm: Alarm, policy: Capacity, before: int) -> Advice:
    size = outlook.size
    number = max(size.shards + 1, number_of_shards(outlook, policy, before=before))
    each = size.bytes / number / GIB
    text = (
        f"The largest of {size.shards} shards of {size.index} has {_gb(size.largest_shard_bytes)}, more than "
        f"{alarm.threshold / GB:g} GB. Reindex {size.entity} with {number} shards: {each:.1f} GiB each today. "
        f"{_until(outlook)} {_split(outlook, policy)}"
    )
    return _advice(alarm, size.entity, text, f"{size.entity}_reindex", {"number_of_shards": number})


def _until(outlook: Outlook) -> str:
    if outlook.trend is None:
        return "There is no forecast yet, so this number leaves no room for growth that is not known."
    after = outlook.bytes_after(outlook.horizon)
    return f"In {outlook.horizon} days all shards together are expected at {_gb(after.low)} to {_gb(after.high)}."


def _split(outlook: Outlook, policy: Capacity) -> str:
    """Return whether a split could do it, too."""
    size = outlook.size
    possible = split.targets(size.shards, size.routing_shards, most=MOST)
    sizes = {number: size.bytes / number / GIB for number in possible}
    good = [number for number, gib in sizes.items() if policy.shard_gib_least <= gib <= policy.shard_gib_most]
    if good:
        return f"A split could make {good[0]} shards, but the index takes no writes meanwhile."
    return f"No split does it: {size.shards} shards can be split into {', '.join(map(str, possible)) or 'no others'}."


def _advice(
    alarm: Alarm, about: str, text: str, dag_id: str = "", parameters: Mapping[str, Any] | None = None
) -> Advice:
    urgent = alarm.severity != "P3"  # that is for the next working day, and said once
    return Advice(
        alarm.name, about, alarm.severity, urgent, text, alarm.runbook, dag_id=dag_id, parameters=dict(parameters or {})
    )


def _gb(size: float) -> str:
    return f"{size / GB:,.1f} GB"


def news(before: Sequence[Mapping[str, Any]], now: Sequence[Advice]) -> tuple[list[Advice], list[str]]:
    """Return what a person is to be told: advice that is new, other or urgent, and what is over.

    :param before: the advice of the run before, as it was kept
    """
    old = {Advice(**one).key: Advice(**one) for one in before}
    told = [one for one in now if one.urgent or one.key not in old]
    there = {one.about for one in now}
    return told, sorted({one.about for one in old.values()} - there)
