"""Members of a write set that take no writes, and how those that are not live are abandoned (protocol.md, rule 11)."""

import logging
import time

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import aliases, indexes
from searchsync.errors import SearchSyncError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0


def refuses_writes(client: opensearchpy.OpenSearch, name: str) -> str:
    """Return why an index takes no writes now; empty when it takes them."""
    state = indexes.state_of(client, name, flat=True).get(name)
    if state is None:
        return ""  # it was deleted meanwhile, and is no member
    settings = state["settings"]
    if settings.get("index.verified_before_close") == "true":
        return "it is closed"
    if indexes.health(client, name) == "red":
        return "it is red: a primary shard is missing"
    blocks = [key for key, value in settings.items() if key.startswith("index.blocks.") and value == "true"]
    return f"it is blocked: {', '.join(sorted(blocks))}" if blocks else ""


def abandon(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Abandon an index that is not live, whatever its state. After this no writer waits for it (rule 11).

    :raises BadParams: when the entity has no such index
    :raises StaleSwap: when it is live
    """
    aliases.delete(client, entity, indexes.get(client, entity, name).name)


def evict(client: opensearchpy.OpenSearch, entity: Entity, *, patience: float = PATIENCE_SECONDS) -> dict[str, str]:
    """Abandon members that are not live and refuse writes for the whole patience (rule 11). They then hold up nothing.

    Do nothing while the live index refuses writes, too: then these members are not what holds writes up.

    :param patience: seconds that a member may take to recover
    :returns: name and reason of each abandoned member; a member that cannot be abandoned is left to the next run
    :raises SearchSyncError: when members should be abandoned and none could be
    """
    deadline = time.monotonic() + patience
    suspects: set[str] | None = None
    while True:
        serving = indexes.live(client, entity)
        if serving is None or refuses_writes(client, serving):
            return {}
        members = [name for name in indexes.write_set(client, entity) if name != serving]
        unwritable = {name: why for name in members if (why := refuses_writes(client, name))}
        suspects = set(unwritable) if suspects is None else suspects & set(unwritable)  # one that recovered begins anew
        if not suspects:
            return {}
        left = deadline - time.monotonic()
        if left <= 0:
            return _evict_all(client, entity, {name: unwritable[name] for name in sorted(suspects)})
        log.warning("%d members refuse writes and are abandoned in %.0f s: %s", len(unwritable), left, unwritable)
        time.sleep(min(5.0, left))


def _evict_all(client: opensearchpy.OpenSearch, entity: Entity, unwritable: dict[str, str]) -> dict[str, str]:
    """Abandon these members, as many as can be, and return them with their reasons: the caller must report them."""
    abandoned: dict[str, str] = {}
    failure: SearchSyncError | None = None
    for name, why in unwritable.items():
        try:
            log.error("abandoning %s: %s", name, why)
            abandon(client, entity, name)
            abandoned[name] = why
        except SearchSyncError as error:
            log.exception("%s could not be abandoned", name)
            failure = error
    if failure is not None and not abandoned:
        raise failure
    return abandoned
