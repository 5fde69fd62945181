"""Whether an entity is kept true at all: for a cron job outside Airflow, because Airflow may be what has stopped."""

from datetime import UTC, datetime

import opensearchpy

from searchsync import indexes, sick
from searchsync.entities import Entity
from searchsync.policies import policy
from searchsync.queue import Queue


def check(
    client: opensearchpy.OpenSearch, entity: Entity, dead_letters: Queue | None = None, *, now: datetime | None = None
) -> list[str]:
    """What is wrong, each with the next step; nothing when all is well.

    :param dead_letters: the entity's queue, where it has one
    :param now: the present, for tests
    """
    limits, now = policy("freshness"), now or datetime.now(UTC)
    served = next((index for index in indexes.of_entity(client, entity) if index.read), None)
    if served is None:
        return [f"{entity.name}: nothing is live; run {entity.name}_reindex"]
    problems = []
    hours = (now - served.synced).total_seconds() / 3600
    allowed = float(limits[entity.name])
    if hours > allowed:
        problems.append(
            f"{entity.name}: the last reindex or sync that succeeded was {hours:.1f} h ago, {allowed:g} h are allowed: "
            "is Airflow's scheduler running, is a DAG paused?"
        )
    if why := sick.refuses_writes(client, served.name):
        problems.append(f"{served.name} is live and takes no writes: {why}")
    if gaps := served.meta.get("gaps"):
        problems.append(f"{served.name} lacks changes since {gaps[0]['from']}: run {entity.name}_reindex")
    waiting = dead_letters.waiting() if dead_letters is not None else 0
    if waiting > int(limits["dead_letters"]):
        problems.append(
            f"{entity.name}: {waiting} messages wait in the dead-letter queue, {limits['dead_letters']} are allowed: "
            f"see {entity.name}_dlq_replay"
        )
    return problems
