"""The changes of an entity's three aliases: join, swap, leave, delete (docs/protocol.md, rules 6, 10 and 11).

Each change is one atomic call that asserts what it replaces. Each is safe to repeat.
"""

import logging
from collections.abc import Sequence
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.alias_conflicts import Actions, read_action
from searchsync.cluster.index import aliases_of, state_of
from searchsync.cluster.indexes import EntityIndexes, named_for
from searchsync.errors import AliasConflict, IndexUnavailable, RequestRejected, StaleSwap, WriteSetFull

log = logging.getLogger(__name__)

MAX_WRITE_SET = 4
FLOOD_STAGE = "read_only_allow_delete"


def join(indexes: EntityIndexes, name: str) -> None:
    """Add an index to the write set (rule 6).

    :raises WriteSetFull: when it would be the fifth member
    """
    if name in indexes.write_set():
        return
    hide(indexes)
    _check_room(indexes, joining=1)
    write_alias = indexes.entity.write_alias
    _change(indexes, [_add(write_alias, name)])
    try:
        _check_room(indexes, joining=0)  # two joins at once both saw room
    except WriteSetFull:
        _change(indexes, [_remove(write_alias, name)])
        raise


def _check_room(indexes: EntityIndexes, *, joining: int) -> None:
    members = indexes.write_set()
    if len(members) + joining > MAX_WRITE_SET:
        raise WriteSetFull(
            f"the write set of {indexes.entity.name} is full ({MAX_WRITE_SET} members at most): "
            f"{', '.join(sorted(members))}. Each more would slow every write. Give up the oldest rollback candidate, "
            "or a build that nobody waits for, with `searchsync indexes abandon NAME`; index_retire takes only what is "
            "out of its window"
        )


def swap(
    indexes: EntityIndexes,
    *,
    blue: str | None,
    green: str,
    served: bool = False,
    forget: bool = False,
    leaving: Sequence[str] = (),
) -> None:
    """Make ``green`` live instead of ``blue``, in one step (rule 10). Safe to repeat: if it is live, nothing changes.

    :param blue: the index that the run believes to be live; None for the first swap
    :param served: assert that green was live before; a rollback does this
    :param forget: take blue out of the served alias, so that nobody goes back to it
    :param leaving: indexes of another epoch, which leave the write set in the same step
    :raises StaleSwap: when something else is live, or green is no longer in the write set
    """
    entity = indexes.entity
    hide(indexes)
    earlier = sorted(aliases_of(indexes.client, entity.served_alias))  # before looking which one is live
    live = indexes.live()
    if live == green:
        return
    if live != blue:
        raise _stale(entity, blue, green, {live} if live else set())
    actions = [_remove(entity.write_alias, green), _add(entity.write_alias, green)]
    actions += [_remove(entity.served_alias, green)] if served else []
    # Without a blue there is nothing to remove, and so nothing to compare with. But an alias can have one write index
    # only: as that of the served alias, through which nobody writes, the first to be swapped in keeps a second out.
    actions += [_add(entity.served_alias, green, only_one=blue is None)]
    if blue is None:
        actions += [_add(entity.served_alias, name) for name in earlier]
    else:
        actions += [_remove(entity.read_alias, blue)]
        actions += [_remove(entity.served_alias, blue)] if forget else []
    actions += [read_action(entity, green)]
    actions += [_remove(entity.write_alias, name, must_exist=False) for name in leaving]
    _swap(indexes, blue, green, actions)


def _swap(indexes: EntityIndexes, blue: str | None, green: str, actions: Actions) -> None:
    cause: Exception | None = None
    try:
        _change(indexes, actions, patience=0)
    except (RequestRejected, IndexUnavailable) as error:
        cause = error  # a time-out, or a refusal of the repeated call: what counts is where the alias is
    if isinstance(cause, IndexUnavailable):  # the change may still be queued at the cluster manager: let the queue end
        indexes.client.request("GET", "/_cluster/health", params={"wait_for_events": "languid"})
    members = set(aliases_of(indexes.client, indexes.entity.read_alias))
    if members == {green}:
        return
    left = isinstance(cause, RequestRejected) and cause.status == 404  # green is not what the call asserts
    if cause is not None and not left and members == ({blue} if blue else set()):
        raise cause  # not applied
    raise _stale(indexes.entity, blue, green, members) from cause


def _stale(entity: Entity, blue: str | None, green: str, members: set[str]) -> StaleSwap:
    found = ", ".join(sorted(members)) or "nothing"
    if members == ({blue} if blue else set()):
        why = f"{green} is not in the write set any more: it was discarded"
    else:
        why = f"{found} is live, while this run saw {blue or 'nothing'}: another run swapped"
    return StaleSwap(
        f"{entity.name}: not swapped to {green}. {why}. What is live goes on serving: look at `searchsync indexes "
        f"{entity.name}`, and run it again if it is still wanted"
    )


def hide(indexes: EntityIndexes) -> None:
    """Let a wildcard such as ``locations*`` reach only the read alias; otherwise it would bypass the alias' filter.

    New physical indexes and the other two aliases are created hidden. This function hides those that an earlier version
    made, because OpenSearch refuses an alias that is hidden on only some of its indexes. Safe to repeat.
    """
    entity = indexes.entity
    for alias in (entity.write_alias, entity.served_alias):
        _hide_alias(indexes, alias)
    for name, state in state_of(indexes.client, f"{entity.name}-*", flat=True).items():
        if named_for(entity, name) and state["settings"].get("index.hidden") != "true":
            try:
                indexes.client.request("PUT", f"/{name}/_settings", body={"index.hidden": True})
            except RequestRejected as error:  # it is blocked: that must hold up no other
                log.warning("%s is not hidden from wildcards: %s", name, error)


def _hide_alias(indexes: EntityIndexes, alias: str) -> None:
    while True:
        found = {name: aliases[alias] for name, aliases in aliases_of(indexes.client, alias).items()}
        if all(properties.get("is_hidden") for properties in found.values()):
            return
        actions: Actions = []
        for name, properties in found.items():  # asserts that it still is a member
            again = {"add": {"index": name, "alias": alias, **properties, "is_hidden": True}}
            actions += [_remove(alias, name), again]
        try:
            _change(indexes, actions)
        except RequestRejected as error:
            if error.status != 404:  # else one left meanwhile: look again
                raise


def verify(indexes: EntityIndexes, green: str) -> None:
    """Read the aliases back and check what the swap left.

    Only green must be read, with the filter; it must not be writable through the alias; it must be in the write set and
    marked as served.

    :raises AliasConflict: when the aliases are otherwise
    """
    entity = indexes.entity
    found = state_of(indexes.client, f"{entity.name},{entity.name}-*")
    state = {name: index["aliases"] for name, index in found.items() if index["aliases"]}
    readers = [name for name, aliases in state.items() if entity.read_alias in aliases]
    aliases = state.get(green, {})
    read = aliases.get(entity.read_alias, {})
    healthy = (
        readers == [green]
        and read.get("is_write_index") is False
        and read.get("filter") == entity.visible
        and entity.write_alias in aliases
        and entity.served_alias in aliases
    )
    if not healthy:
        raise AliasConflict(f"{entity.name}: the aliases are not as the swap left them: {state}")


def leave(indexes: EntityIndexes, name: str) -> None:
    """Take an index out of the write set and out of the served alias (rule 11, first step).

    :raises StaleSwap: when the index is live, or became live meanwhile
    """
    entity = indexes.entity
    index = next((index for index in indexes.all() if index.name == name), None)
    if index is None or not (index.in_write_set or index.was_served):
        return
    live = indexes.live()
    if live == name:
        raise StaleSwap(f"{name} is live: it is neither retired nor discarded")
    actions: Actions = []
    if live is not None:  # asserts, in the same atomic call, that this index is not the live one
        actions += [_remove(entity.read_alias, live), read_action(entity, live)]
    actions += [_remove(entity.write_alias, name)] if index.in_write_set else []
    actions += [_remove(entity.served_alias, name)] if index.was_served else []
    try:
        _change(indexes, actions)
    except RequestRejected as error:
        if error.status != 404:
            raise
        if any(name in aliases_of(indexes.client, alias) for alias in (entity.write_alias, entity.served_alias)):
            raise StaleSwap(
                f"{name} stays: the aliases of {entity.name} changed at the same moment; run it again"
            ) from error
        return  # it left in an attempt whose answer was lost, or was deleted by somebody else
    if live is None and name in aliases_of(indexes.client, entity.read_alias):  # nothing to assert: see who was first
        _change(indexes, [_add(entity.write_alias, name), _add(entity.served_alias, name)])
        raise StaleSwap(f"{name} became live at the same moment: it is neither retired nor discarded")


def delete(indexes: EntityIndexes, name: str) -> None:
    """Take an index out of the write set, block writes (this waits for writes in flight), delete it (rule 11).

    Safe to repeat.

    :raises StaleSwap: when the index is live
    """
    try:
        leave(indexes, name)
    except RequestRejected as error:
        if error.error_type != "cluster_block_exception":
            raise
        # A read-only index cannot even lose an alias; that this one is not live, leave has seen. It names the live one,
        # too, which a full disk blocks as well: if nothing is freed, OpenSearch blocks it again within half a minute.
        _unblock(indexes, name, "read_only", FLOOD_STAGE)
        if (live := indexes.live()) is not None:
            _unblock(indexes, live, FLOOD_STAGE)
        leave(indexes, name)
    if name in aliases_of(indexes.client, indexes.entity.read_alias):
        raise StaleSwap(f"{name} is live: it is not deleted")
    for method, path in (("PUT", f"/{name}/_block/write"), ("DELETE", f"/{name}")):
        try:
            indexes.client.request(method, path)
        except RequestRejected as error:
            if error.status != 404 and error.error_type != "index_closed_exception":  # nobody can write to a closed one
                raise


def _unblock(indexes: EntityIndexes, name: str, *blocks: str) -> None:
    for block in blocks:  # one by one: more at once are refused
        indexes.client.request("PUT", f"/{name}/_settings", body={f"index.blocks.{block}": None})


def _add(alias: str, name: str, *, only_one: bool = False) -> dict[str, dict[str, Any]]:
    return {"add": {"index": name, "alias": alias, "is_write_index": only_one, "is_hidden": True}}


def _remove(alias: str, name: str, *, must_exist: bool = True) -> dict[str, dict[str, Any]]:
    return {"remove": {"index": name, "alias": alias, "must_exist": must_exist}}


def _change(indexes: EntityIndexes, actions: Actions, **options: Any) -> None:
    answer = indexes.client.request("POST", "/_aliases", body={"actions": actions}, **options)
    if not answer.get("acknowledged"):
        raise IndexUnavailable(f"_aliases was not acknowledged in time: {answer}")
