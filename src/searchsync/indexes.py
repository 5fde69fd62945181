"""Physical indexes and the three aliases of an entity (docs/protocol.md, Names and rules 6, 10, 11).

The cluster is the only truth: nothing here remembers anything between two calls.
"""

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import opensearchpy

from searchsync import reads
from searchsync.entities import Entity
from searchsync.errors import (
    AliasConflict,
    BadMapping,
    BadParams,
    EmptyWriteSet,
    GreenDiscarded,
    IndexUnavailable,
    RequestRejected,
    SourceChanged,
    StaleSwap,
    WriteSetFull,
)
from searchsync.opensearch import request

log = logging.getLogger(__name__)

MAX_WRITE_SET = 4
COPIES_SECONDS = 600.0
ABANDONED_AFTER = timedelta(days=1)
FLOOD_STAGE = "read_only_allow_delete"

_NAME = re.compile(r"-(\d{8}t\d{6})-[0-9a-f]{8}$")

Actions = list[dict[str, dict[str, Any]]]

Running = Callable[[str], bool | None]
"""Whether the run of a build is under way; None when nobody knows the build."""


@dataclass(frozen=True)
class Index:
    """A physical index as the cluster shows it.

    :ivar meta: ``mappings._meta``: entity, build, created, source, rendering, left_read_at
    """

    name: str
    read: bool
    writers: bool
    was_served: bool
    meta: dict[str, Any]

    @property
    def role(self) -> str:
        """live, rollback candidate, or building (which may be abandoned: ``abandoned``)."""
        if self.read:
            return "live"
        return (
            "rollback candidate" if self.was_served and self.writers else "retiring" if self.was_served else "building"
        )

    @property
    def build(self) -> str:
        """The run that made it."""
        return str(self.meta.get("build", ""))

    @property
    def created(self) -> datetime:
        """When it was created, by its name; an index that somebody else put into our aliases has no such name."""
        named = _NAME.search(self.name)
        return (
            datetime.strptime(named[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)
            if named
            else datetime.max.replace(tzinfo=UTC)
        )

    @property
    def synced(self) -> datetime:
        """Up to when it has its source's changes: by the last sync, or since it was made."""
        stamp = self.meta.get("synced_at")
        return max(self.created, datetime.fromisoformat(stamp)) if stamp else self.created

    @property
    def left_read_at(self) -> datetime | None:
        """When it stopped being served."""
        stamp = self.meta.get("left_read_at")
        return datetime.fromisoformat(stamp) if stamp else None


def of_entity(client: opensearchpy.OpenSearch, entity: Entity) -> list[Index]:
    """All physical indexes of an entity, oldest first: those of its name pattern, and what its aliases point to."""
    found = state_of(client, f"{entity.name},{entity.name}-*")
    indexes = []
    for name, state in found.items():
        aliases = state["aliases"]
        if _NAME.sub("", name) == entity.name != name or aliases.keys() & {entity.name, entity.writers, entity.served}:
            meta = state["mappings"].get("_meta", {})
            read, writers, served = (alias in aliases for alias in (entity.name, entity.writers, entity.served))
            indexes.append(Index(name, read, writers, served, meta))
    return sorted(indexes, key=lambda index: index.name)


def write_set(client: opensearchpy.OpenSearch, entity: Entity) -> list[str]:
    """Names of the indexes that every write has to reach, the live one first."""
    found = _aliases_of(client, entity.writers)
    return sorted(found, key=lambda name: (entity.name not in found[name], name))


def live(client: opensearchpy.OpenSearch, entity: Entity) -> str | None:
    """Name of the index that is read, None before the first swap.

    :raises AliasConflict: when a concrete index has the alias' name, or the alias is on two indexes
    """
    members = _members(client, entity.name)
    if entity.name in members:
        raise AliasConflict(
            f"{entity.name!r} is a concrete index, so no alias can have that name. Copy what is needed from it, then "
            f"delete it (DELETE /{entity.name}) and run {entity.name}_reindex"
        )
    if len(members) > 1:
        raise AliasConflict(
            f"the read alias {entity.name!r} is on {len(members)} indexes: {', '.join(sorted(members))}. Searches "
            "return documents twice; remove it from all but the newest served one with POST /_aliases"
        )
    return next(iter(members), None)


def get(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Index:
    """One physical index of an entity.

    :raises BadParams: when the entity has no such index
    """
    found = next((index for index in of_entity(client, entity) if index.name == name), None)
    if found is None:
        raise BadParams(f"{entity.name} has no index {name}; see `searchsync indexes {entity.name}`")
    return found


def live_or_raise(client: opensearchpy.OpenSearch, entity: Entity) -> str:
    """Name of the index that is read.

    :raises EmptyWriteSet: before the first swap
    """
    name = live(client, entity)
    if name is None:
        raise EmptyWriteSet(f"{entity.name}: nothing is live yet; run {entity.name}_reindex first")
    return name


def write_set_or_raise(client: opensearchpy.OpenSearch, entity: Entity) -> list[str]:
    """As ``write_set``.

    :raises EmptyWriteSet: when there is nothing to write to (rule 3)
    """
    members = write_set(client, entity)
    if not members:
        raise EmptyWriteSet(f"{entity.name}: {entity.writers} has no member; run {entity.name}_reindex first")
    return members


def find_or_create(client: opensearchpy.OpenSearch, entity: Entity, *, build: str, source: dict[str, Any]) -> Index:
    """The index of a build, made when there is none yet: safe to repeat (rule 14). It is in no alias after creation.

    :param source: ``identity`` and ``epoch`` of the source, kept in ``_meta``
    :raises BadMapping: when OpenSearch refuses the mapping file
    :raises SourceChanged: when the build's index belongs to another source or epoch
    """
    for index in of_entity(client, entity):
        if index.build == build:
            if index.meta.get("source") != source:
                raise SourceChanged(
                    f"{index.name} of this run was built from {index.meta.get('source')}, not from {source}: positions "
                    "of the two cannot be compared. Nothing was written; trigger a new run"
                )
            return index
    now = datetime.now(UTC)
    name = f"{entity.name}-{now:%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"
    meta = {
        "entity": entity.name,
        "build": build,
        "created": now.isoformat(timespec="seconds"),
        "source": source,
        "rendering": entity.rendering,
    }
    body = {
        "settings": {**entity.index_body["settings"], **_LOADING},
        "mappings": {**entity.index_body["mappings"], "_meta": meta},
    }
    try:
        request(client, "PUT", f"/{name}", body=body)
    except RequestRejected as error:
        if error.error_type == "resource_already_exists_exception":  # an earlier attempt whose answer was lost
            return find_or_create(client, entity, build=build, source=source)
        if error.status != 400:
            raise
        raise BadMapping(f"OpenSearch refuses include/mappings/{entity.name}.json: {error}") from error
    return Index(name, read=False, writers=False, was_served=False, meta=meta)


# Loading an index that nobody searches: no refreshes, no copies. Undone by ``make_searchable``.
_LOADING = {"refresh_interval": "-1", "number_of_replicas": 0, "auto_expand_replicas": "false"}


def join(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Add an index to the write set (rule 6).

    :raises WriteSetFull: when it would be the fifth member
    """
    if name in write_set(client, entity):
        return
    _check_room(client, entity, joining=1)
    _aliases(client, [_add(entity.writers, name)])
    try:
        _check_room(client, entity, joining=0)  # two joins at once both saw room
    except WriteSetFull:
        _aliases(client, [_remove(entity.writers, name)])
        raise


def _check_room(client: opensearchpy.OpenSearch, entity: Entity, *, joining: int) -> None:
    members = write_set(client, entity)
    if len(members) + joining > MAX_WRITE_SET:
        raise WriteSetFull(
            f"the write set of {entity.name} is full ({MAX_WRITE_SET} members at most): {', '.join(sorted(members))}. "
            "Each more would slow every write. Give up the oldest rollback candidate, or a build that nobody waits "
            "for, with `searchsync indexes abandon NAME`; index_retire takes only what is out of its window"
        )


def check_own(client: opensearchpy.OpenSearch, entity: Entity, name: str, *, build: str) -> Index:
    """The index that a plan named, if it still is its build's and in the write set (rule 14).

    :raises GreenDiscarded: otherwise
    """
    for index in of_entity(client, entity):
        if index.name == name and index.build == build and index.writers:
            return index
    raise GreenDiscarded(
        f"{name} was discarded or belongs to another run: nothing was written. Clear this run from create_green, with "
        "downstream, to build a new one"
    )


def make_searchable(
    client: opensearchpy.OpenSearch, entity: Entity, name: str, *, patience: float = COPIES_SECONDS
) -> None:
    """Put refresh and replicas back as the mapping file has them; return when all copies are there and refreshed.

    :raises IndexUnavailable: when they are not after ``patience`` seconds
    """
    settings = entity.index_body["settings"]
    wanted = {key: settings.get(key) for key in _LOADING}
    request(client, "PUT", f"/{name}/_settings", body={"index": wanted})
    # In the path, because opensearch-py takes a parameter of that name for its own; answered with 408 if it does not
    # come true by then, and asked again.
    waits = "timeout=10s&wait_for_status=green&wait_for_no_initializing_shards=true&wait_for_no_relocating_shards=true"
    try:
        request(client, "GET", f"/_cluster/health/{name}?{waits}", patience=patience)
    except IndexUnavailable as error:
        raise IndexUnavailable(
            f"not all copies of {name} are there after {patience:.0f} s: see GET /_cluster/allocation/explain ({error})"
        ) from error
    refresh(client, name)


def refresh(client: opensearchpy.OpenSearch, name: str) -> None:
    """Make everything written so far visible to searches, on all shards; copies that are away get it when they recover.

    :raises IndexUnavailable: when not every shard answered: a count would be of a part only
    """
    shards = request(client, "POST", f"/{name}/_refresh")["_shards"]
    # A copy that is not assigned counts as not refreshed, and so does a primary: not as failed, either of them.
    if shards["failed"] or (shards["successful"] < shards["total"] and is_red(client, name)):
        raise IndexUnavailable(f"{name}: only {shards['successful']} of {shards['total']} shards were refreshed")


def is_red(client: opensearchpy.OpenSearch, name: str) -> bool:
    """Whether a primary shard is missing."""
    return bool(request(client, "GET", f"/_cluster/health/{name}")["status"] == "red")


def highest_position(client: opensearchpy.OpenSearch, name: str, *, fresh: bool = True) -> str:
    """The highest position of any document, tombstones included; empty when there is none.

    :param fresh: refresh first; else of what searches see
    """
    if fresh:
        refresh(client, name)
    body = {
        "size": 1,
        "query": {"exists": {"field": "sync.position"}},
        "sort": [{"sync.position": {"order": "desc", "unmapped_type": "keyword"}}],
        "_source": ["sync.position"],
    }
    hits = reads.search(client, name, body)["hits"]["hits"]
    return str(hits[0]["_source"]["sync"]["position"]) if hits else ""


# -- swap, leave, delete


def swap(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    *,
    blue: str | None,
    green: str,
    served: bool = False,
    forget: bool = False,
) -> None:
    """Serve ``green`` instead of ``blue``, in one step (rule 10). Safe to repeat: what is live already stays as it is.

    :param blue: the index the run believes to be live; None for the first
    :param served: assert that green was served before: a rollback
    :param forget: blue goes as one that never was served: nobody shall go back to it
    :raises StaleSwap: when something else is live, or green is no longer in the write set
    """
    earlier = [
        _add(entity.served, name) for name in sorted(_members(client, entity.served))
    ]  # before looking who is live
    serving = live(client, entity)
    if serving == green:
        return
    if serving != blue:
        raise _stale(entity, blue, green, {serving} if serving else set())
    actions = [_remove(entity.writers, green), _add(entity.writers, green), _add(entity.served, green)]
    actions[2:2] = [_remove(entity.served, green)] if served else []
    if blue is not None:
        actions += [_remove(entity.name, blue), _read(entity, green)]
        actions += [_remove(entity.served, blue)] if forget else []
    else:
        # Nothing to remove means nothing to compare with. But an alias can have one write index only: as that of the
        # served ones, which nobody writes through, the first to be swapped in keeps a second first one out.
        actions[-1]["add"]["is_write_index"] = True
        actions += [*earlier, _read(entity, green)]
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
    return _members(client, alias)


def verify_served(client: opensearchpy.OpenSearch, entity: Entity, green: str) -> None:
    """Read the aliases back: green alone is read, filtered, not writable through the alias, fed and marked as served.

    :raises AliasConflict: otherwise
    """
    found = state_of(client, f"{entity.name},{entity.name}-*")
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


def stamp_left_read(client: opensearchpy.OpenSearch, name: str, when: datetime | None) -> None:
    """Note in ``_meta`` when an index stopped being served; None when it is served again."""
    meta = meta_of(client, name)
    if not meta:
        return  # deleted meanwhile: nothing counts on it any more
    meta.pop("left_read_at", None)
    if when is not None:
        meta["left_read_at"] = when.isoformat(timespec="milliseconds")
    put_meta(client, name, meta)


def stamp_synced(client: opensearchpy.OpenSearch, index: Index, until: datetime) -> None:
    """Note in ``_meta`` up to when an index has its source's changes, unless a sync has brought later ones."""
    meta = meta_of(client, index.name)
    if meta and until > replace(index, meta=meta).synced:
        put_meta(client, index.name, {**meta, "synced_at": until.isoformat(timespec="seconds")})


def leave(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Take an index out of the write set, and out of the served ones (rule 11, first step).

    :raises StaleSwap: when it is live, or became so meanwhile
    """
    index = next((index for index in of_entity(client, entity) if index.name == name), None)
    if index is None or not (index.writers or index.was_served):
        return
    serving = live(client, entity)
    if serving == name:
        raise StaleSwap(f"{name} is live: it is neither retired nor discarded")
    actions: Actions = []
    if serving is not None:  # asserts, in the same atomic call, that this index is not the live one
        actions += [_remove(entity.name, serving), _read(entity, serving)]
    actions += [_remove(entity.writers, name)] if index.writers else []
    actions += [_remove(entity.served, name)] if index.was_served else []
    try:
        _aliases(client, actions)
    except RequestRejected as error:
        if error.status != 404:
            raise
        if name in _members(client, entity.writers) | _members(client, entity.served):
            raise StaleSwap(
                f"{name} stays: the aliases of {entity.name} changed at the same moment; run it again"
            ) from error
        return  # it left in an attempt whose answer was lost, or was deleted by somebody else
    if serving is None and name in _members(client, entity.name):  # nothing live, nothing to assert: see who was first
        _aliases(client, [_add(entity.writers, name), _add(entity.served, name)])
        raise StaleSwap(f"{name} became live at the same moment: it is neither retired nor discarded")


def delete(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> None:
    """Leave the write set, block writes (which waits for those in flight), delete (rule 11). Safe to repeat.

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
        if (serving := live(client, entity)) is not None:
            _unblock(client, serving, FLOOD_STAGE)
        leave(client, entity, name)
    if name in _members(client, entity.name):
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


def abandoned(index: Index, running: Running, *, now: datetime | None = None) -> bool:
    """Whether nobody will finish an index that was never served.

    :param running: whether a build's run is under way; None when nobody knows it
    """
    if index.role != "building":
        return False
    alive = running(index.build)
    if alive:
        return False
    known_dead = index.writers and alive is False
    return known_dead or (now or datetime.now(UTC)) - index.created > ABANDONED_AFTER


@dataclass(frozen=True)
class Served:
    """An index and the source that it belongs to.

    :ivar identity: of the source that it was built from; any other is refused
    :ivar epoch: first part of all positions, where positions have one
    :ivar synced: as ``Index.synced``
    """

    index: str
    identity: str
    epoch: int
    synced: datetime


def served(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Served:
    """What an index says about its source.

    :raises BadParams: when the entity has no such index
    :raises SourceChanged: when it does not say it
    """
    index = get(client, entity, name)
    source = index.meta.get("source") or {}
    if not source.get("identity"):
        raise SourceChanged(
            f"{name} does not say which source it was built from, so positions cannot be compared; run "
            f"{entity.name}_reindex"
        )
    return Served(name, str(source["identity"]), int(source.get("epoch", 1)), index.synced)


# -- requests


def meta_of(client: opensearchpy.OpenSearch, name: str) -> dict[str, Any]:
    """What an index says about itself; empty when there is no such index."""
    state = state_of(client, name).get(name)
    return dict(state["mappings"].get("_meta", {})) if state else {}


def put_meta(client: opensearchpy.OpenSearch, name: str, meta: dict[str, Any]) -> None:
    """It replaces all of ``_meta``."""
    request(client, "PUT", f"/{name}/_mapping", body={"_meta": meta})


def _read(entity: Entity, name: str) -> dict[str, dict[str, Any]]:
    return {"add": {"index": name, "alias": entity.name, "is_write_index": False, "filter": entity.visible}}


def _add(alias: str, name: str) -> dict[str, dict[str, Any]]:
    return {"add": {"index": name, "alias": alias, "is_write_index": False}}


def _remove(alias: str, name: str) -> dict[str, dict[str, Any]]:
    return {"remove": {"index": name, "alias": alias, "must_exist": True}}


def _aliases(client: opensearchpy.OpenSearch, actions: Actions, **options: Any) -> None:
    answer = request(client, "POST", "/_aliases", body={"actions": actions}, **options)
    if not answer.get("acknowledged"):
        raise IndexUnavailable(f"_aliases was not acknowledged in time: {answer}")


def _members(client: opensearchpy.OpenSearch, alias: str) -> set[str]:
    """Indexes that a name resolves to: the members of an alias, or the concrete index of that name."""
    return set(_aliases_of(client, alias))


def _aliases_of(client: opensearchpy.OpenSearch, alias: str) -> dict[str, Any]:
    """Those indexes with all their aliases."""
    try:
        found = request(client, "GET", f"/{alias}/_alias")
    except RequestRejected as error:
        if error.status == 404:
            return {}
        raise
    return {name: index["aliases"] for name, index in found.items()}


def state_of(client: opensearchpy.OpenSearch, names: str, *, flat: bool = False) -> dict[str, Any]:
    """Aliases, mappings and settings of the indexes that some names or patterns stand for."""
    params = {"flat_settings": str(flat).lower(), "ignore_unavailable": "true", "allow_no_indices": "true"}
    params["expand_wildcards"] = "open,closed"
    found: dict[str, Any] = request(client, "GET", f"/{names}", params=params)
    return found
