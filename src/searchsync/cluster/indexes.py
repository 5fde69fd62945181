"""Physical indexes of an entity, and the role that the three aliases give each (docs/protocol.md, Names).

The cluster is the only truth: nothing here is remembered between two calls.
"""

import json
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import reads
from searchsync.cluster.client import Backoff, request
from searchsync.documents import transforms
from searchsync.documents.position import known
from searchsync.errors import (
    AliasConflict,
    BadMapping,
    BadParams,
    EmptyWriteSet,
    GreenDiscarded,
    IndexUnavailable,
    RequestRejected,
    SourceChanged,
)

log = logging.getLogger(__name__)

COPIES_SECONDS = 600.0
ABANDONED_AFTER = timedelta(days=1)
FOREIGN_AT_ONCE = 10
"""Number of documents, highest position first, that one search returns: usually the first one is ours."""

_NAME = re.compile(r"-(\d{8}t\d{6})-[0-9a-f]{8}$")

Running = Callable[[str], bool | None]
"""Returns whether the run of a build is under way; None when nobody knows the build."""


@dataclass(frozen=True)
class Index:
    """A physical index as the cluster shows it.

    :ivar meta: ``mappings._meta``: entity, build, created, source, transform, sql, left_read_at
    """

    name: str
    read: bool
    writers: bool
    was_served: bool
    meta: dict[str, Any]

    @property
    def role(self) -> str:
        """Role of the index: live, rollback candidate, retiring or building.

        A building index may be abandoned: ``abandoned`` says so.
        """
        if self.read:
            return "live"
        return (
            "rollback candidate" if self.was_served and self.writers else "retiring" if self.was_served else "building"
        )

    @property
    def build(self) -> str:
        """The run that made the index."""
        return str(self.meta.get("build", ""))

    @property
    def created(self) -> datetime:
        """When the index was created, as its name says.

        An index that somebody else put into our aliases has no such name.
        """
        named = _NAME.search(self.name)
        return (
            datetime.strptime(named[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)
            if named
            else datetime.max.replace(tzinfo=UTC)
        )

    @property
    def synced(self) -> datetime:
        """Moment up to which the index has its source's changes: that of the last sync, or when the index was made."""
        stamp = self.meta.get("synced_at")
        return max(self.created, datetime.fromisoformat(stamp)) if stamp else self.created

    @property
    def left_read_at(self) -> datetime | None:
        """When the index stopped being served; None when it has not."""
        stamp = self.meta.get("left_read_at")
        return datetime.fromisoformat(stamp) if stamp else None


def of_entity(client: opensearchpy.OpenSearch, entity: Entity) -> list[Index]:
    """Return all physical indexes of an entity, oldest first: those of its name pattern, and those of its aliases."""
    found = state_of(client, f"{entity.name},{entity.name}-*")
    indexes = []
    for name, state in found.items():
        aliases = state["aliases"]
        if named_for(entity, name) or aliases.keys() & {entity.name, entity.writers, entity.served}:
            meta = state["mappings"].get("_meta", {})
            read, writers, served = (alias in aliases for alias in (entity.name, entity.writers, entity.served))
            indexes.append(Index(name, read, writers, served, meta))
    return sorted(indexes, key=lambda index: index.name)


def named_for(entity: Entity, name: str) -> bool:
    """Return whether this system gives such a name to the entity's physical indexes."""
    return _NAME.sub("", name) == entity.name != name


def write_set(client: opensearchpy.OpenSearch, entity: Entity) -> list[str]:
    """Return the names of the indexes that every write has to reach, the live one first."""
    found = aliases_of(client, entity.writers)
    return sorted(found, key=lambda name: (entity.name not in found[name], name))


@dataclass(frozen=True)
class Targets:
    """Where writes go, as the aliases said at one moment.

    :ivar members: indexes that every write has to reach, the live one first
    :ivar live: the one that is read; None before the first swap
    """

    members: list[str]
    live: str | None


def targets(client: opensearchpy.OpenSearch, entity: Entity) -> Targets:
    """Return write set and live index, by one look at the aliases (rule 3).

    :raises AliasConflict: when a write to the members would not reach what is searched: nothing may be acknowledged
    """
    names = (entity.name, entity.writers, entity.served)
    params = {"ignore_unavailable": "true"}  # a name that is not there yet
    found = {
        name: state["aliases"]
        for name, state in request(client, "GET", f"/{','.join(names)}/_alias", params=params).items()
    }
    for name in names:
        if name in found:
            raise _concrete(entity, name)
    members = sorted(name for name in found if entity.writers in found[name])
    readers = sorted(name for name in found if entity.name in found[name])
    served = [name for name in found if entity.served in found[name]]
    if len(readers) > 1:
        raise _several(entity, readers, served)
    live = next(iter(readers), None)
    if live is not None and live not in members:
        like = next((found[name][entity.writers] for name in members), {"is_write_index": False, "is_hidden": True})
        raise _unfed(entity, live, members, served, {"index": live, "alias": entity.writers, **like})
    return Targets(sorted(members, key=lambda name: (name != live, name)), live)


def targets_or_raise(client: opensearchpy.OpenSearch, entity: Entity) -> Targets:
    """Return what ``targets`` returns, if there is an index to write to.

    :raises EmptyWriteSet: when there is none
    """
    found = targets(client, entity)
    if not found.members:
        raise EmptyWriteSet(f"{entity.name}: {entity.writers} has no member; run {entity.name}_reindex first")
    return found


def live(client: opensearchpy.OpenSearch, entity: Entity) -> str | None:
    """Return the name of the index that is read; None before the first swap. To write, ask for the ``targets``.

    :raises AliasConflict: when a concrete index has the alias' name, or the alias is on two indexes
    """
    found = aliases_of(client, entity.name)
    if entity.name in found:
        raise _concrete(entity, entity.name)
    if len(found) > 1:
        raise _several(entity, sorted(found), [name for name in found if entity.served in found[name]])
    return next(iter(found), None)


def _concrete(entity: Entity, name: str) -> AliasConflict:
    return AliasConflict(
        f"{name!r} is a concrete index, so no alias can have that name. Nothing was written. Copy what is needed from "
        f"it, then delete it (DELETE /{name}) and run {entity.name}_reindex"
    )


def _several(entity: Entity, readers: list[str], served: list[str]) -> AliasConflict:
    keep = max(readers, key=lambda name: (name in served, name))
    actions = [read_action(entity, keep)]  # with the filter, if it had none
    actions += [{"remove": {"index": name, "alias": entity.name}} for name in readers if name != keep]
    return AliasConflict(
        f"the read alias {entity.name!r} is on {len(readers)} indexes: {', '.join(readers)}. Searches return documents "
        f"twice. Nothing was written. Leave it on the newest that was served: {_call(actions)}"
    )


def _unfed(entity: Entity, live: str, members: list[str], served: list[str], feed: dict[str, Any]) -> AliasConflict:
    fed = [name for name in members if name in served]
    actions: list[dict[str, dict[str, Any]]] = [{"add": feed}]
    if live not in served and fed:  # somebody else's: what this system served is still kept true
        actions = [{"remove": {"index": live, "alias": entity.name}}, read_action(entity, fed[-1])]
    return AliasConflict(
        f"{live} is searched as {entity.name!r}, but is not in the write set {entity.writers} "
        f"({', '.join(members) or 'which is empty'}): no search would see what is written. Somebody changed the "
        f"aliases by hand. Nothing was written or acknowledged, so nothing is lost yet. {_call(actions)}; then "
        f"`searchsync compare {entity.name} --repair` brings what was written meanwhile"
    )


def read_action(entity: Entity, name: str) -> dict[str, dict[str, Any]]:
    """The action of ``_aliases`` that puts the read alias on an index, with its filter."""
    return {"add": {"index": name, "alias": entity.name, "is_write_index": False, "filter": entity.visible}}


def _call(actions: list[dict[str, dict[str, Any]]]) -> str:
    return f"POST /_aliases {json.dumps({'actions': actions})}"


def get(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Index:
    """Return one physical index of an entity.

    :raises BadParams: when the entity has no such index
    """
    found = next((index for index in of_entity(client, entity) if index.name == name), None)
    if found is None:
        raise BadParams(f"{entity.name} has no index {name}; see `searchsync indexes {entity.name}`")
    return found


def live_or_raise(client: opensearchpy.OpenSearch, entity: Entity) -> str:
    """Return the name of the index that is read and written.

    :raises EmptyWriteSet: before the first swap
    :raises AliasConflict: as ``targets``
    """
    name = targets(client, entity).live
    if name is None:
        raise EmptyWriteSet(f"{entity.name}: nothing is live yet; run {entity.name}_reindex first")
    return name


def find_or_create(client: opensearchpy.OpenSearch, entity: Entity, *, build: str, source: dict[str, Any]) -> Index:
    """Return the index of a build; create it when there is none yet (rule 14). A new index is in no alias.

    Safe to repeat.

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
        **transforms.present(entity).as_meta(),
    }
    try:
        _create(client, entity, name, {**entity.index_body["mappings"], "_meta": meta})
    except RequestRejected as error:
        if error.error_type == "resource_already_exists_exception":  # an earlier attempt whose answer was lost
            return find_or_create(client, entity, build=build, source=source)
        raise refused(f"include/mappings/{entity.name}.json", error) from error
    return Index(name, read=False, writers=False, was_served=False, meta=meta)


def _create(client: opensearchpy.OpenSearch, entity: Entity, name: str, mappings: dict[str, Any]) -> None:
    """Create an index without copies where the domain allows this; otherwise with the copies of the mapping file."""
    settings = {**entity.index_body["settings"], "hidden": True}
    try:
        request(client, "PUT", f"/{name}", body={"settings": settings | _LOADING, "mappings": mappings})
    except RequestRejected as error:
        if error.error_type != "validation_exception":
            raise
        log.warning("%s is loaded with the copies of its mapping file, because: %s", name, error)
        loading = settings | {"refresh_interval": _LOADING["refresh_interval"]}
        request(client, "PUT", f"/{name}", body={"settings": loading, "mappings": mappings})


def refused(file: str, error: RequestRejected) -> RequestRejected | BadMapping:
    """Return the error to raise when OpenSearch makes no index of a file's settings and mappings."""
    if error.status != 400:
        return error
    if error.error_type == "validation_exception" and "awareness" in str(error):
        return BadMapping(
            f"this domain wants as many copies of an index as it has zones, or a multiple ({error}): with three zones "
            f'{file} needs "number_of_replicas": 2 instead of "auto_expand_replicas"'
        )
    return BadMapping(f"OpenSearch refuses {file}: {error}")


# Loading an index that nobody searches: no refreshes, no copies. Undone by ``make_searchable``.
_LOADING = {"refresh_interval": "-1", "number_of_replicas": 0, "auto_expand_replicas": "false"}


def check_own(client: opensearchpy.OpenSearch, entity: Entity, name: str, *, build: str) -> Index:
    """Return the index that a plan named, if it still belongs to the plan's build and is in the write set (rule 14).

    :raises GreenDiscarded: when it does not
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
    """Set refresh and replicas as the mapping file has them; return when all copies are there and refreshed.

    :raises IndexUnavailable: when they are not there after ``patience`` seconds
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
    """Make everything that was written so far visible to searches, on all shards.

    Copies that are away get it when they recover.

    :raises IndexUnavailable: when a shard did not answer: then a count would cover only a part
    """
    backoff = Backoff()
    while health(client, name) == "red":  # the request would wait a minute for it, longer than we wait for an answer
        backoff.wait(f"{name} is red: a primary shard is missing; see GET /_cluster/allocation/explain")
    shards = request(client, "POST", f"/{name}/_refresh")["_shards"]
    # A copy that is not assigned counts as not refreshed, and so does a primary: not as failed, either of them.
    if shards["failed"] or (shards["successful"] < shards["total"] and health(client, name) not in ("green", "yellow")):
        raise IndexUnavailable(f"{name}: only {shards['successful']} of {shards['total']} shards were refreshed")


def health(client: opensearchpy.OpenSearch, name: str) -> str:
    """Return green, yellow (a copy is missing), red (a primary shard is missing), or empty (there is no such index)."""
    params = {"level": "indices", "filter_path": "indices.*.status"}  # asked for one by name, it waits for it to appear
    found = request(client, "GET", "/_cluster/health", params=params).get("indices", {})
    return str(found.get(name, {}).get("status", ""))


def highest_position(client: opensearchpy.OpenSearch, name: str, *, fresh: bool = True) -> str:
    """Return the highest position of any document, tombstones included; empty when there is none.

    Foreign documents do not count.

    :param fresh: refresh first; otherwise only what searches see counts
    """
    if fresh:
        refresh(client, name)
    digits = {"range": {"sync.position": {"gte": "0", "lt": ":"}}}
    sort = [{"sync.position": {"order": "desc", "unmapped_type": "keyword"}}]
    body: dict[str, Any] = {"size": FOREIGN_AT_ONCE, "query": digits, "sort": sort, "_source": False}
    while hits := reads.search(client, name, body)["hits"]["hits"]:
        for hit in hits:  # what is foreign may sort above
            if known(hit["sort"][0]):
                return str(hit["sort"][0])
        body["search_after"] = hits[-1]["sort"]
    return ""


def stamp_left_read(client: opensearchpy.OpenSearch, name: str, when: datetime | None) -> None:
    """Note in ``_meta`` when an index stopped being served.

    :param when: the moment; None when the index is served again
    """
    meta = meta_of(client, name)
    if not meta:
        return  # deleted meanwhile: nothing counts on it any more
    meta.pop("left_read_at", None)
    if when is not None:
        meta["left_read_at"] = when.isoformat(timespec="milliseconds")
    put_meta(client, name, meta)


def stamp_synced(client: opensearchpy.OpenSearch, index: Index, until: datetime) -> None:
    """Note in ``_meta`` up to which moment an index has its source's changes, unless a later moment is noted."""
    meta = meta_of(client, index.name)
    if meta and until > replace(index, meta=meta).synced:
        put_meta(client, index.name, {**meta, "synced_at": until.isoformat(timespec="seconds")})


def abandoned(index: Index, running: Running, *, now: datetime | None = None) -> bool:
    """Return whether an index was never served and nobody will finish it.

    :param running: tells whether a build's run is under way; None when nobody knows it
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

    :ivar identity: identity of the source that the index was built from; any other source is refused
    :ivar epoch: the first part of all positions, where positions have an epoch
    :ivar synced: as ``Index.synced``
    """

    index: str
    identity: str
    epoch: int
    synced: datetime


def served(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Served:
    """Return what an index says about its source.

    :raises BadParams: when the entity has no such index
    :raises SourceChanged: when the index does not name its source
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
    """Return ``_meta`` of an index: what it says about itself; empty when there is no such index."""
    state = state_of(client, name).get(name)
    return dict(state["mappings"].get("_meta", {})) if state else {}


def put_meta(client: opensearchpy.OpenSearch, name: str, meta: dict[str, Any]) -> None:
    """Replace ``_meta`` of an index as a whole."""
    request(client, "PUT", f"/{name}/_mapping", body={"_meta": meta})


def members(client: opensearchpy.OpenSearch, alias: str) -> set[str]:
    """Return the indexes that a name stands for: the members of an alias, or the concrete index of that name."""
    return set(aliases_of(client, alias))


def aliases_of(client: opensearchpy.OpenSearch, alias: str) -> dict[str, Any]:
    """Return the indexes that a name stands for, each with all its aliases."""
    try:
        found = request(client, "GET", f"/{alias}/_alias")
    except RequestRejected as error:
        if error.status == 404:
            return {}
        raise
    return {name: index["aliases"] for name, index in found.items()}


def state_of(client: opensearchpy.OpenSearch, names: str, *, flat: bool = False) -> dict[str, Any]:
    """Return aliases, mappings and settings of the indexes that some names or patterns stand for."""
    params = {"flat_settings": str(flat).lower(), "ignore_unavailable": "true", "allow_no_indices": "true"}
    params["expand_wildcards"] = "all"  # closed and hidden ones, too
    found: dict[str, Any] = request(client, "GET", f"/{names}", params=params)
    return found
