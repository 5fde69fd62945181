"""States of an entity's aliases that no step of this system leaves: people make them by hand.

Each is refused before anything is written, and its message has the call of ``_aliases`` that mends it.
"""

import json
from typing import Any

from searchsync.catalog import Entity
from searchsync.errors import AliasConflict

Actions = list[dict[str, dict[str, Any]]]
Found = dict[str, dict[str, Any]]
"""Indexes that the names of an entity stand for, each with the properties of its aliases."""


def refuse(entity: Entity, found: Found) -> None:
    """Refuse aliases by which a write would not reach what is searched.

    :param found: what all three aliases stand for
    :raises AliasConflict: when it would not; the message has the cure
    """
    for name in entity.aliases:
        if name in found:
            raise _concrete(entity, name)
    refuse_readers(entity, found)
    live = next((name for name in found if entity.read_alias in found[name]), None)
    if live is not None and entity.write_alias not in found[live]:
        raise _not_written(entity, live, found)


def refuse_readers(entity: Entity, found: Found) -> None:
    """Refuse a read alias that is on two indexes, or whose name is that of a concrete index.

    :raises AliasConflict: when it is so
    """
    if entity.read_alias in found:
        raise _concrete(entity, entity.read_alias)
    readers = sorted(name for name in found if entity.read_alias in found[name])
    if len(readers) > 1:
        served = [name for name in found if entity.served_alias in found[name]]
        raise _several(entity, readers, served)


def read_action(entity: Entity, name: str) -> dict[str, dict[str, Any]]:
    """Return the action of ``_aliases`` that puts the read alias on an index, with its filter."""
    return {"add": {"index": name, "alias": entity.read_alias, "is_write_index": False, "filter": entity.visible}}


def _concrete(entity: Entity, name: str) -> AliasConflict:
    return AliasConflict(
        f"{name!r} is a concrete index, so no alias can have that name. Nothing was written. Copy what is needed from "
        f"it, then delete it (DELETE /{name}) and run {entity.name}_reindex"
    )


def _several(entity: Entity, readers: list[str], served: list[str]) -> AliasConflict:
    keep = max(readers, key=lambda name: (name in served, name))
    actions = [read_action(entity, keep)]  # with the filter, if it had none
    actions += [{"remove": {"index": name, "alias": entity.read_alias}} for name in readers if name != keep]
    return AliasConflict(
        f"the read alias {entity.read_alias!r} is on {len(readers)} indexes: {', '.join(readers)}. Searches return "
        f"documents twice. Nothing was written. Leave it on the newest that was live before: {_call(actions)}"
    )


def _not_written(entity: Entity, live: str, found: Found) -> AliasConflict:
    members = sorted(name for name in found if entity.write_alias in found[name])
    served = [name for name in found if entity.served_alias in found[name]]
    like = next((found[name][entity.write_alias] for name in members), {"is_write_index": False, "is_hidden": True})
    actions: Actions = [{"add": {"index": live, "alias": entity.write_alias, **like}}]
    kept = [name for name in members if name in served]
    if live not in served and kept:  # somebody else's: what this system served is still kept true
        actions = [{"remove": {"index": live, "alias": entity.read_alias}}, read_action(entity, kept[-1])]
    return AliasConflict(
        f"{live} is searched as {entity.read_alias!r}, but is not in the write set {entity.write_alias} "
        f"({', '.join(members) or 'which is empty'}): no search would see what is written. Somebody changed the "
        f"aliases by hand. Nothing was written or acknowledged, so nothing is lost yet. {_call(actions)}; then "
        f"`searchsync compare {entity.name} --repair` brings what was written meanwhile"
    )


def _call(actions: Actions) -> str:
    return f"POST /_aliases {json.dumps({'actions': actions})}"
