"""How large the indexes are, how they grow, whether the disks are large enough, and what to do about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from searchsync.capacity.history import History
from searchsync.catalog import Entity
from searchsync.cluster.client import Client


@dataclass(frozen=True)
class CapacitySummary:
    """What the last run of ``capacity`` kept of an entity.

    :ivar at: when it looked
    :ivar bytes: of all primary shards together
    :ivar forecast: ``days`` of history and the ``days_needed``; once they are there also ``documents_per_day``,
        ``horizon_days``, ``bytes_at_horizon`` (low, expected, high) and ``shard_reaches``: by a size in bytes the
        earliest, expected and latest number of days after ``at``, each None when it is beyond the horizon
    :ivar advice: what to do, each with ``text``, ``severity``, ``urgent``, and ``dag_id`` with ``parameters`` for the
        trigger form
    """

    at: datetime
    index: str
    documents: int
    shards: int
    bytes: int
    largest_shard_bytes: int
    forecast: dict[str, Any]
    advice: list[dict[str, Any]]


def summary(client: Client, entity: Entity) -> CapacitySummary | None:
    """Return what is known of an entity's capacity; None when no run has looked at it yet. It is one search."""
    found = History(client).latest(entity.name)
    if found is None:
        return None
    names = ("index", "documents", "shards", "bytes", "largest_shard_bytes", "forecast", "advice")
    return CapacitySummary(datetime.fromisoformat(found["at"]), **{name: found[name] for name in names})
