"""What is known of an entity's freshness, and where it is kept.

A heartbeat's result is kept in the index ``searchsync-freshness``, one document for each entity, because it takes a
write to know it. What a sync or reindex of PostgreSQL proved is in the index itself (``PhysicalIndex.synced``). Each
figure of either is kept there, too, for the objectives of ``slo.yaml``.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from searchsync.catalog import Entity
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import EmptyWriteSet

INDEX: Final = "searchsync-freshness"

MEASURED: Final = "measured"
"""``seconds`` says how old a change is when searches find it."""

LATE: Final = "late"
"""A change was not searchable in time; ``seconds`` says how long it was waited for."""

FAILED: Final = "failed"
"""It could not be measured; ``why`` says what is in the way."""

NONE: Final = "none"
"""There is nothing to measure: nothing is live, no heartbeat is described, or nothing was measured yet."""


@dataclass(frozen=True)
class Measured:
    """The freshness of one entity.

    :ivar state: ``measured``, ``late``, ``failed`` or ``none``
    :ivar at: when this was found out, in ISO 8601, UTC
    :ivar seconds: for DynamoDB: from the commit of a change until the alias shows it, the longer one of an item that is
        written and one that is deleted. For PostgreSQL: the age of the newest state of the table that was written and
        can be searched. None when it is not known
    :ivar written: seconds until an item that was written was found; None when it was not
    :ivar deleted: seconds until an item that was deleted was not found any more; None when that was not seen
    :ivar late_since: when it began to be late; empty when it is not
    :ivar why: what is wrong, with the next step; empty when nothing is
    """

    entity: str
    state: str
    at: str
    seconds: float | None = None
    written: float | None = None
    deleted: float | None = None
    late_since: str = ""
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return this for XCom, the index and people."""
        return asdict(self)


def now() -> str:
    """Return the present in the form of ``Measured.at``."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def keep(client: Client, found: Measured) -> None:
    """Write a result in place of the one before."""
    Bookkeeping(client, INDEX).put(found.entity, found.as_dict())


KEPT_DAYS: Final = 70
"""Days that figures are kept: a month, and time to report it twice."""


def remember(client: Client, found: Measured) -> None:
    """Keep a figure. It takes the place of that of ``KEPT_DAYS`` before, to the minute, so that nothing is deleted."""
    minute = int(datetime.fromisoformat(found.at).timestamp()) // 60 % (KEPT_DAYS * 24 * 60)
    Bookkeeping(client, INDEX).put(f"{found.entity}-{minute}", found.as_dict())  # no name of an entity has a dash


def kept(client: Client, entity: Entity, start: datetime, end: datetime) -> list[Measured]:
    """Return the figures of an entity between two moments, the oldest first.

    :raises IndexUnavailable: when OpenSearch does not answer
    """
    times = {"range": {"at": {"gte": start.isoformat(), "lt": end.isoformat()}}}
    figures = {"bool": {"must_not": [{"ids": {"values": [entity.name]}}]}}  # that one is the newest, a second time
    query = {"bool": {"filter": [{"term": {"entity": entity.name}}, times, figures]}}
    found: list[Measured] = []
    body = {"size": 10_000, "query": query, "sort": [{"at": "asc"}]}  # one for a minute at most
    while hits := Bookkeeping(client, INDEX).find(body):
        found += [Measured(**hit["_source"]) for hit in hits]
        body["search_after"] = hits[-1]["sort"]
    return found


def summary(client: Client, entity: Entity) -> Measured:
    """Return what is known of an entity's freshness now. OpenSearch alone is asked, and nothing is written.

    :raises IndexUnavailable: when OpenSearch does not answer
    """
    if entity.source == "postgres":
        return _of_syncs(EntityIndexes(client, entity))
    if entity.heartbeat is None:
        return Measured(entity.name, NONE, now(), why=f"include/entities/{entity.name}.yaml describes no heartbeat")
    for hit in Bookkeeping(client, INDEX).find({"query": {"ids": {"values": [entity.name]}}}):
        return Measured(**hit["_source"])
    return Measured(entity.name, NONE, now(), why="nothing was measured yet: is the DAG freshness paused?")


def _of_syncs(indexes: EntityIndexes) -> Measured:
    """Return the age of what the live index has: each sync refreshes the index before it notes the moment."""
    name = indexes.entity.name
    try:
        live = indexes.get(indexes.live_or_raise())
    except EmptyWriteSet as error:
        return Measured(name, NONE, now(), why=str(error))
    age = (datetime.now(UTC) - live.synced) / timedelta(seconds=1)
    if age < -_SKEW_SECONDS:
        return Measured(name, NONE, now(), why=f"{live.name} does not say which changes it has: run {name}_reindex")
    return Measured(name, MEASURED, now(), seconds=round(max(age, 0.0), 1))


_SKEW_SECONDS = 60
"""Seconds by which the clocks of those who sync and of those who look may differ."""
