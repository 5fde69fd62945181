"""The changes of an entity's three aliases: join, swap, leave, delete (docs/protocol.md, rules 6, 10 and 11).

Each change is one atomic call that asserts what it replaces. Each is safe to repeat.
"""

import logging
from collections.abc import Sequence
from typing import Any

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.client import request
from searchsync.errors import AliasConflict, IndexUnavailable, RequestRejected, StaleSwap, WriteSetFull

log = logging.getLogger(__name__)

MAX_WRITE_SET = 4
FLOOD_STAGE = "read_only_allow_delete"

Actions = list[dict[str, dict[str, Any]]]


def join(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Add an index to the write set (rule 6).

    :raises WriteSetFull: when it would be the fifth member
    """
    if name in indexes.write_set(client, entity):
        return
    hide(client, entity)
    _check_room(client, entity, joining=1)
    _aliases(client, [_add(entity.writers, name)])
    try:
        _check_room(client, entity, joining=0)  # two joins at once both saw room
    except WriteSetFull:
        _aliases(client, [_remove(entity.writers, name)])
        raise


def _check_room(client: opensearchpy.OpenSearch, entity: Entity, *, joining: int) -> None:
    members = indexes.write_set(client, entity)
    if len(members) + joining > MAX_WRITE_SET:
        raise WriteSetFull(
            f"the write set of {entity.name} is full ({MAX_WRITE_SET} members at most): {', '.join(sorted(members))}. "
            "Each more would slow every write. Give up the oldest rollback candidate, or a build that nobody waits "
            "for, with `searchsync indexes abandon NAME`; index_retire takes only what is out of its window"
        )


def swap(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    *,
    blue: str | None,
    green: str,
    served: bool = False,
    forget: bool = False,
    leaving: Sequence[str] = (),
) -> None:
    """Serve ``green`` instead of ``blue``, in one step (rule 10). Safe to repeat: if green is live, nothing changes.

    :param blue: the index that the run believes to be live; None for the first swap
    :param served: assert that green was served before; a rollback does this
    :param forget: take blue out of the served indexes, so that nobody goes back to it
    :param leaving: indexes of another epoch, which leave the write set in the same step
    :raises StaleSwap: when something else is live, or green is no longer in the write set
    """
    hide(client, entity)
    earlier = [
        _add(entity.served, name) for name in sorted(indexes.members(client, entity.served))
    ]  # before looking who is live
    serving = indexes.live(client, entity)
    if serving == green:
        return
    if serving != blue:
        raise _stale(entity, blue, green, {serving} if serving else set())
    actions = [_remove(entity.writers, green), _add(entity.writers, green), _add(entity.served, green)]
    actions[2:2] = [_remove(entity.served, green)] if served else []
    if blue is not None:
        actions += [_remove(entity.name, blue), indexes.read_action(entity, green)]
        actions += [_remove(entity.served, blue)] if forget else []
    else:
        # Nothing to remove means nothing to compare with. But an alias can have one write index only: as that of the
        # served ones, which nobody writes through, the first to be swapped in keeps a second first one out.
        actions[-1]["add"]["is_write_index"] = True
        actions += [*earlier, indexes.read_action(entity, green)]
    actions += [_remove(entity.writers, name, must_exist=False) for name in leaving]
    cause: Exception | None = None
    try:
        _aliases(client, actions, patience=0)
    except (RequestRejected, IndexUnavailable) as error:
        cause = error  # a time-out, or a refusal of the repeated call: what counts is where the alias is
    members = _members_settled(client, entity.name, cause)
    if members == {green}:
        return
    left = isinstance(cause, RequestRejected) and cause.status == 404  # green is not what the call asserts
    if cause is not None and not left and members == ({blue} if blue else set()):
        raise cause  # not applied
    raise _stale(entity, blue, green, members) from cause


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


def _members_settled(client: opensearchpy.OpenSearch, alias: str, cause: Exception | None) -> set[str]:
    # After a lost answer the change may still be queued at the cluster manager: let the queue run empty first.
    if isinstance(cause, IndexUnavailable):
        request(client, "GET", "/_cluster/health", params={"wait_for_events": "languid"})
    return indexes.members(client, alias)


def hide(client: opensearchpy.OpenSearch, entity: Entity) -> None:
    """Let a wildcard such as ``locations*`` reach only the read alias; otherwise it would bypass the alias' filter.

    New physical indexes and the other two aliases are created hidden. This function hides those that an earlier version
    made, because OpenSearch refuses an alias that is hidden on only some of its indexes. Safe to repeat.
    """
    for alias in (entity.writers, entity.served):
        _hide_alias(client, alias)
    for name, state in indexes.state_of(client, f"{entity.name}-*", flat=True).items():
        if indexes.named_for(entity, name) and state["settings"].get("index.hidden") != "true":
            try:
                request(client, "PUT", f"/{name}/_settings", body={"index.hidden": True})
            except RequestRejected as error:  # it is blocked: that must hold up no other
                log.warning("%s is not hidden from wildcards: %s", name, error)


def _hide_alias(client: opensearchpy.OpenSearch, alias: str) -> None:
    while True:
        found = {name: aliases[alias] for name, aliases in indexes.aliases_of(client, alias).items()}
        if all(properties.get("is_hidden") for properties in found.values()):
            return
        actions: Actions = []
        for name, properties in found.items():  # asserts that it still is a member
            again = {"add": {"index": name, "alias": alias, **properties, "is_hidden": True}}
            actions += [_remove(alias, name), again]
        try:
            _aliases(client, actions)
        except RequestRejected as error:
            if error.status != 404:  # else one left meanwhile: look again
                raise


def verify_served(client: opensearchpy.OpenSearch, entity: Entity, green: str) -> None:
    """Read the aliases back and check what the swap left.

    Only green must be read, with the filter; it must not be writable through the alias; it must be in the write set and
    marked as served.

    :raises AliasConflict: when the aliases are otherwise
    """
    found = indexes.state_of(client, f"{entity.name},{entity.name}-*")
    state = {name: index["aliases"] for name, index in found.items() if index["aliases"]}
    readers = [name for name, aliases in state.items() if entity.name in aliases]
    aliases = state.get(green, {})
    read = aliases.get(entity.name, {})
    healthy = (
        readers == [green]
        and read.get("is_write_index") is False
        and read.get("filter") == entity.visible
        and entity.writers in aliases
        and entity.served in aliases
    )
    if not healthy:
        raise AliasConflict(f"{entity.name}: the aliases are not as the swap left them: {state}")


def leave(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Take an index out of the write set and out of the served indexes (rule 11, first step).

    :raises StaleSwap: when the index is live, or became live meanwhile
    """
    index = next((index for index in indexes.of_entity(client, entity) if index.name == name), None)
    if index is None or not (index.writers or index.was_served):
        return
    serving = indexes.live(client, entity)
    if serving == name:
        raise StaleSwap(f"{name} is live: it is neither retired nor discarded")
    actions: Actions = []
    if serving is not None:  # asserts, in the same atomic call, that this index is not the live one
        actions += [_remove(entity.name, serving), indexes.read_action(entity, serving)]
    actions += [_remove(entity.writers, name)] if index.writers else []
    actions += [_remove(entity.served, name)] if index.was_served else []
    try:
        _aliases(client, actions)
    except RequestRejected as error:
        if error.status != 404:
            raise
        if name in indexes.members(client, entity.writers) | indexes.members(client, entity.served):
            raise StaleSwap(
                f"{name} stays: the aliases of {entity.name} changed at the same moment; run it again"
            ) from error
        return  # it left in an attempt whose answer was lost, or was deleted by somebody else
    if serving is None and name in indexes.members(client, entity.name):  # nothing to assert: see who was first
        _aliases(client, [_add(entity.writers, name), _add(entity.served, name)])
        raise StaleSwap(f"{name} became live at the same moment: it is neither retired nor discarded")


def delete(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Take an index out of the write set, block writes (this waits for writes in flight), delete it (rule 11).

    Safe to repeat.

    :raises StaleSwap: when the index is live
    """
    try:
        leave(client, entity, name)
    except RequestRejected as error:
        if error.error_type != "cluster_block_exception":
            raise
        # A read-only index cannot even lose an alias; that this one is not live, leave has seen. It names the live one,
        # too, which a full disk blocks as well: if nothing is freed, OpenSearch blocks it again within half a minute.
        _unblock(client, name, "read_only", FLOOD_STAGE)
        if (serving := indexes.live(client, entity)) is not None:
            _unblock(client, serving, FLOOD_STAGE)
        leave(client, entity, name)
    if name in indexes.members(client, entity.name):
        raise StaleSwap(f"{name} is live: it is not deleted")
    for method, path in (("PUT", f"/{name}/_block/write"), ("DELETE", f"/{name}")):
        try:
            request(client, method, path)
        except RequestRejected as error:
            if error.status != 404 and error.error_type != "index_closed_exception":  # nobody can write to a closed one
                raise


def _unblock(client: opensearchpy.OpenSearch, name: str, *blocks: str) -> None:
    for block in blocks:  # one by one: more at once are refused
        request(client, "PUT", f"/{name}/_settings", body={f"index.blocks.{block}": None})


def _add(alias: str, name: str) -> dict[str, dict[str, Any]]:
    return {"add": {"index": name, "alias": alias, "is_write_index": False, "is_hidden": True}}


def _remove(alias: str, name: str, *, must_exist: bool = True) -> dict[str, dict[str, Any]]:
    return {"remove": {"index": name, "alias": alias, "must_exist": must_exist}}


def _aliases(client: opensearchpy.OpenSearch, actions: Actions, **options: Any) -> None:
    answer = request(client, "POST", "/_aliases", body={"actions": actions}, **options)
    if not answer.get("acknowledged"):
        raise IndexUnavailable(f"_aliases was not acknowledged in time: {answer}")
