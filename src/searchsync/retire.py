"""The end of an index: out of the rollback window, or abandoned (docs/protocol.md, rule 11)."""

from datetime import UTC, datetime

import opensearchpy

from searchsync import indexes
from searchsync.entities import Entity
from searchsync.indexes import Running
from searchsync.policies import policy


def retire(
    client: opensearchpy.OpenSearch, entity: Entity, running: Running, *, now: datetime | None = None
) -> list[dict[str, str]]:
    """Delete indexes that are out of the rollback window, and abandoned ones (rule 11).

    :param now: the present, for tests
    :returns: per index that is not live: name, role, action and why
    """
    window, keep = policy("retention"), int(policy("retention")["keep_previous"])
    now = now or datetime.now(UTC)
    live = indexes.live(client, entity)
    report = []
    previous = [index for index in indexes.of_entity(client, entity) if index.was_served and index.name != live]
    previous.sort(key=lambda index: index.left_read_at or now, reverse=True)
    for rank, index in enumerate(previous):
        if index.left_read_at is None:  # a crash between the swap and its stamp: the window begins now
            indexes.stamp_left_read(client, index.name, now)
        left = index.left_read_at or now
        hours = (now - left).total_seconds() / 3600
        why = f"left the read alias {hours:.1f} h ago"
        retired = live is not None and rank >= keep and hours >= float(window["rollback_hours"])
        if retired:
            indexes.delete(client, entity, index.name)
        report.append({"index": index.name, "role": index.role, "action": "deleted" if retired else "kept", "why": why})
    for index in indexes.of_entity(client, entity):
        if index.role == "building":
            gone = indexes.abandoned(index, running, now=now)
            if gone:
                indexes.delete(client, entity, index.name)
            action, why = ("deleted", "abandoned") if gone else ("kept", "being built, or kept for a day")
            report.append({"index": index.name, "role": index.role, "action": action, "why": why})
    return report
