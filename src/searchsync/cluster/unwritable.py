"""Members of a write set that take no writes, and how those that are not live are abandoned (protocol.md, rule 11)."""

import logging
import time

from searchsync.cluster import aliases
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import SearchSyncError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0


def abandon(indexes: EntityIndexes, name: str) -> None:
    """Abandon an index that is not live, whatever its state. After this no writer waits for it (rule 11).

    :raises BadParams: when the entity has no such index
    :raises StaleSwap: when it is live
    """
    aliases.delete(indexes, indexes.get(name).name)


def evict(indexes: EntityIndexes, *, patience: float = PATIENCE_SECONDS) -> dict[str, str]:
    """Abandon members that are not live and refuse writes for the whole patience (rule 11). They then hold up nothing.

    Do nothing while the live index refuses writes, too: then these members are not what holds writes up.

    :param patience: seconds that a member may take to recover
    :returns: name and reason of each abandoned member; a member that cannot be abandoned is left to the next run
    :raises SearchSyncError: when members should be abandoned and none could be
    """
    deadline = Deadline.within(patience)
    suspects: set[str] | None = None
    while True:
        live = indexes.live()
        if live is None or indexes.index(live).why_unwritable():
            return {}
        members = [name for name in indexes.write_set() if name != live]
        unwritable = {name: why for name in members if (why := indexes.index(name).why_unwritable())}
        suspects = set(unwritable) if suspects is None else suspects & set(unwritable)  # one that recovered begins anew
        if not suspects:
            return {}
        left = deadline.remaining
        if left <= 0:
            return _evict_all(indexes, {name: unwritable[name] for name in sorted(suspects)})
        log.warning("%d members refuse writes and are abandoned in %.0f s: %s", len(unwritable), left, unwritable)
        time.sleep(min(5.0, left))


def _evict_all(indexes: EntityIndexes, unwritable: dict[str, str]) -> dict[str, str]:
    """Abandon these members, as many as can be, and return them with their reasons: the caller must report them."""
    abandoned: dict[str, str] = {}
    failure: SearchSyncError | None = None
    for name, why in unwritable.items():
        try:
            log.error("abandoning %s: %s", name, why)
            abandon(indexes, name)
            abandoned[name] = why
        except SearchSyncError as error:
            log.exception("%s could not be abandoned", name)
            failure = error
    if failure is not None and not abandoned:
        raise failure
    return abandoned
