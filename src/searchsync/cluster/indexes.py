"""Physical indexes of an entity, and the role that the three aliases give each (docs/protocol.md, Names).

The cluster is the only truth: nothing here is remembered between two calls.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from searchsync.catalog import BAD_ENTITIES, CATALOG, Entity
from searchsync.cluster import alias_conflicts
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index, aliases_of, state_of
from searchsync.deadline import Deadline
from searchsync.errors import BadParams, EmptyWriteSet, GreenDiscarded, SourceChanged

ABANDONED_AFTER = timedelta(days=1)

_NAME = re.compile(r"-(\d{8}t\d{6})-[0-9a-f]{8}$")

Running = Callable[[str], bool | None]
"""Returns whether a run, by its id, is under way; None when nobody knows it."""


@dataclass(frozen=True)
class PhysicalIndex(Index):
    """An index of an entity, as the cluster showed it at one moment.

    :ivar is_live: whether the read alias points to it
    :ivar in_write_set: whether every write has to reach it
    :ivar was_served: whether it was ever live
    :ivar meta: ``mappings._meta``: entity, build (the run's id), created, source, transform, sql, left_read_at
    """

    is_live: bool
    in_write_set: bool
    was_served: bool
    meta: dict[str, Any]

    @property
    def role(self) -> str:
        """Role of the index: live, rollback candidate, retiring or building.

        A building index may be abandoned: ``abandoned`` says so.
        """
        if self.is_live:
            return "live"
        if not self.was_served:
            return "building"
        return "rollback candidate" if self.in_write_set else "retiring"

    @property
    def run_id(self) -> str:
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
        """When the index stopped being live; None when it has not."""
        stamp = self.meta.get("left_read_at")
        return datetime.fromisoformat(stamp) if stamp else None

    def stamp_synced(self, until: datetime) -> None:
        """Note in ``_meta`` up to which moment it has its source's changes, unless a later moment is noted."""
        meta = self.read_meta()
        if meta and until > replace(self, meta=meta).synced:
            self.put_meta({**meta, "synced_at": until.isoformat(timespec="seconds")})

    def stamp_fenced(self, second: int) -> int:
        """Note in ``_meta``, once, when the fence after its joining was over (rule 6). Return what is noted.

        :param second: since the epoch, by the source's clock
        """
        meta = self.read_meta()
        if "fenced" not in meta:
            self.put_meta({**meta, "fenced": second})
        return int(meta.get("fenced", second))

    def forget_fenced(self) -> None:
        """Forget what ``stamp_fenced`` noted, before the index leaves the write set: it may join again."""
        meta = self.read_meta()
        if meta.pop("fenced", None) is not None:
            self.put_meta(meta)

    def abandoned(self, running: Running, *, now: datetime | None = None) -> bool:
        """Return whether the index was never live and nobody will finish it.

        :param running: tells whether the run that makes the index is under way; None when nobody knows it
        """
        if self.role != "building":
            return False
        alive = running(self.run_id)
        if alive:
            return False
        known_dead = self.in_write_set and alive is False
        return known_dead or (now or datetime.now(UTC)) - self.created > ABANDONED_AFTER

    def built_from(self) -> "BuiltFrom":
        """Return what the index says about its source.

        :raises SourceChanged: when it does not name its source
        """
        source = self.meta.get("source") or {}
        if not source.get("identity"):
            raise SourceChanged(
                f"{self.name} does not say which source it was built from, so positions cannot be compared; run "
                f"{self.meta.get('entity', 'its')}_reindex"
            )
        return BuiltFrom(self.name, str(source["identity"]), int(source.get("epoch", 1)), self.synced)


@dataclass(frozen=True)
class Targets:
    """Where writes go, as the aliases said at one moment.

    :ivar members: indexes that every write has to reach, the live one first
    :ivar live: the one that is read; None before the first swap
    """

    members: list[str]
    live: str | None


@dataclass(frozen=True)
class BuiltFrom:
    """An index and the source that it belongs to.

    :ivar identity: identity of the source that the index was built from; any other source is refused
    :ivar epoch: the first part of all positions, where positions have an epoch
    :ivar synced: as ``PhysicalIndex.synced``
    """

    index: str
    identity: str
    epoch: int
    synced: datetime


@dataclass(frozen=True)
class EntityIndexes:
    """The indexes of one entity in one cluster. Each call asks the cluster anew."""

    client: Client
    entity: Entity

    def until(self, deadline: Deadline) -> "EntityIndexes":
        """Return the same indexes, each of whose requests has to be over by a moment."""
        return replace(self, client=self.client.until(deadline))

    def index(self, name: str) -> Index:
        """Return an index by its name, or what the read alias shows, without asking whether there is one."""
        return Index(self.client, name)

    def all(self) -> list[PhysicalIndex]:
        """Return all physical indexes, oldest first: those of the name pattern, and those of the aliases."""
        state = state_of(self.client, f"{self.entity.name},{self.entity.name}-*")
        return physical_indexes(self.client, self.entity, state)

    def get(self, name: str) -> PhysicalIndex:
        """Return one physical index.

        :raises BadParams: when the entity has no such index
        """
        found = next((index for index in self.all() if index.name == name), None)
        if found is None:
            raise BadParams(f"{self.entity.name} has no index {name}; see `searchsync indexes {self.entity.name}`")
        return found

    def write_set(self) -> list[str]:
        """Return the names of the indexes that every write has to reach, the live one first."""
        found = aliases_of(self.client, self.entity.write_alias)
        return sorted(found, key=lambda name: (self.entity.read_alias not in found[name], name))

    def targets(self) -> Targets:
        """Return write set and live index, by one look at the aliases (rule 3).

        :raises AliasConflict: when a write to the members would not reach what is searched: nothing may be acknowledged
        """
        params = {"ignore_unavailable": "true"}  # a name that is not there yet
        answer = self.client.request("GET", f"/{','.join(self.entity.aliases)}/_alias", params=params)
        found = {name: state["aliases"] for name, state in answer.items()}
        alias_conflicts.refuse(self.entity, found)
        members = [name for name in found if self.entity.write_alias in found[name]]
        live = next((name for name in found if self.entity.read_alias in found[name]), None)
        return Targets(sorted(members, key=lambda name: (name != live, name)), live)

    def targets_or_raise(self) -> Targets:
        """Return what ``targets`` returns, if there is an index to write to.

        :raises EmptyWriteSet: when there is none
        """
        found = self.targets()
        if not found.members:
            entity = self.entity
            raise EmptyWriteSet(f"{entity.name}: {entity.write_alias} has no member; run {entity.name}_reindex first")
        return found

    def live(self) -> str | None:
        """Return the name of the index that is read; None before the first swap. To write, ask for the ``targets``.

        :raises AliasConflict: when a concrete index has the alias' name, or the alias is on two indexes
        """
        found = aliases_of(self.client, self.entity.read_alias)
        alias_conflicts.refuse_readers(self.entity, found)
        return next(iter(found), None)

    def live_or_raise(self) -> str:
        """Return the name of the index that is read and written.

        :raises EmptyWriteSet: before the first swap
        :raises AliasConflict: as ``targets``
        """
        name = self.targets().live
        if name is None:
            raise EmptyWriteSet(f"{self.entity.name}: nothing is live yet; run {self.entity.name}_reindex first")
        return name

    def check_own(self, name: str, *, run_id: str) -> PhysicalIndex:
        """Return the index that a plan named, if it still belongs to the plan's run and is in the write set (rule 14).

        :raises GreenDiscarded: when it does not
        """
        for index in self.all():
            if index.name == name and index.run_id == run_id and index.in_write_set:
                return index
        raise GreenDiscarded(
            f"{name} was discarded or belongs to another run: nothing was written. Clear this run from create_green, "
            "with downstream, to build a new one"
        )

    def built_from(self, name: str) -> BuiltFrom:
        """Return what an index says about its source.

        :raises BadParams: when the entity has no such index
        :raises SourceChanged: when the index does not name its source
        """
        return self.get(name).built_from()


def physical_indexes(client: Client, entity: Entity, state: dict[str, Any]) -> list[PhysicalIndex]:
    """Return the physical indexes of an entity among others, oldest first.

    :param state: aliases and mappings of indexes, by name, as ``state_of`` returns them
    """
    found = []
    for name, index in state.items():
        aliases = index.get("aliases", {})
        if named_for(entity, name) or aliases.keys() & set(entity.aliases):
            meta = index.get("mappings", {}).get("_meta", {})
            live, member, served = (alias in aliases for alias in entity.aliases)
            found.append(PhysicalIndex(client, name, live, member, served, meta))
    return sorted(found, key=lambda index: index.name)


def without_entity(client: Client) -> dict[str, list[str]]:
    """Return the indexes of this system whose entity has no file any more, by the entity's name.

    Nothing writes to them, and what is live is still searched.
    """
    params = {"filter_path": "*.mappings._meta.entity", "expand_wildcards": "all"}
    found: dict[str, list[str]] = {}
    for name, index in client.request("GET", "/_all/_mapping", params=params).items():
        entity = str(index["mappings"]["_meta"]["entity"])
        if entity not in CATALOG and _NAME.sub("", name) == entity:
            found.setdefault(entity, []).append(name)
    return {entity: sorted(names) for entity, names in sorted(found.items())}


def explain_without_entity(entity: str, names: list[str]) -> str:
    """Return what to do about the indexes of an entity that has no file."""
    why = f"its file cannot be used ({BAD_ENTITIES[entity]})" if entity in BAD_ENTITIES else "it has no file"
    return (
        f"{entity}: {len(names)} indexes are there ({', '.join(names)}), but {why} in include/entities: no DAG writes "
        "to them, and searches see what is getting old. Put the file right; or, if the entity is given up for good, "
        f"delete them: DELETE /{','.join(names)}"
    )


def named_for(entity: Entity, name: str) -> bool:
    """Return whether this system gives such a name to the entity's physical indexes."""
    return _NAME.sub("", name) == entity.name != name
