"""A recovery that is tried: restore the snapshot of an index, and build one from the source, both beside what is live.

The two indexes of a drill have a name that nothing else has (``COPIES``), are in no alias and in no write set: no
writer, search, retirement or quality run knows them. Each step deletes its index when it ends, however it ends; a
teardown deletes what a killed step left, and ``sweep`` of the next drill what a killed run left.
"""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.disk import disks
from searchsync.cluster.index import state_of
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex, Running, named_for
from searchsync.cluster.snapshots import Repository, Snapshot, good, started
from searchsync.config import snapshots
from searchsync.errors import AliasConflict, AlreadyRunning, BadParams, RequestRejected, SnapshotFailed
from searchsync.recovery.records import BAD, COPIES, DRILL, RUNNING, Records, digest
from searchsync.recovery.snapshot import has_ended, ours

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrillPlan:
    """What a drill decided before it made anything.

    :ivar snapshot: the snapshot that is restored
    :ivar saved_index: the entity's index in it
    :ivar saved_at: when the snapshot was begun, in ISO 8601; ``began``: when the drill was
    :ivar shards: number of shards of the index in the snapshot
    :ivar live: the index that is live; None when nothing is
    :ivar position: the highest position in the live index; it may only grow
    """

    run: str
    entity: str
    snapshot: str
    saved_index: str
    saved_at: str
    began: str
    shards: int
    live: str | None
    position: str

    @property
    def restored(self) -> str:
        """Name of the index that is restored."""
        return f"{COPIES}{digest(self.run)}-{self.saved_index}"

    @property
    def built(self) -> str:
        """Name of the index that is built from the source."""
        return f"{COPIES}{digest(self.run)}-{self.entity}-built"


def prepare(indexes: EntityIndexes, run: str, running: Running, *, snapshot: str = "") -> DrillPlan:
    """Delete what dead drills left, choose a snapshot, and note that this drill uses it. It makes no index.

    :param snapshot: name of a snapshot; empty for the newest good one of ``index_snapshot`` that has the entity
    :raises AlreadyRunning: when another drill is under way
    :raises BadParams: when the snapshot that was named cannot be used, or the disks have no room for a copy
    :raises SnapshotFailed: when there is no good snapshot of the entity, or the repository does not answer
    """
    client, entity = indexes.client, indexes.entity
    sweep(client, running, run=run)
    repository = Repository(client, snapshots().repository)
    chosen = _named(repository, entity, snapshot) if snapshot else _newest(repository, entity)
    record = {"kind": DRILL, "run": run, "entity": entity.name, "state": RUNNING}
    record |= {"repository": repository.name, "snapshot": chosen["snapshot"]}
    Records(client).keep(record)  # before the next look: from now on no retention deletes it
    if repository.find(chosen["snapshot"]) is None:
        raise SnapshotFailed(f"{chosen['snapshot']} was deleted at the same moment; run it again")
    (saved_index,) = _indexes_of(chosen, entity)
    shards, size = repository.sizes(chosen["snapshot"])[saved_index]
    live = indexes.live()
    _check_room(client, size * _copies(client, live))
    return DrillPlan(
        run=run,
        entity=entity.name,
        snapshot=chosen["snapshot"],
        saved_index=saved_index,
        saved_at=datetime.fromtimestamp(started(chosen), UTC).isoformat(timespec="milliseconds"),
        began=datetime.now(UTC).isoformat(timespec="milliseconds"),
        shards=shards,
        live=live,
        position=indexes.index(live).highest_position(fresh=False) if live else "",
    )


def _newest(repository: Repository, entity: Entity) -> Snapshot:
    found = [one for one in ours(repository) if good(one) and _indexes_of(one, entity)]
    if not found:
        raise SnapshotFailed(
            f"{repository.name} has no good snapshot of {entity.name}: nothing was made. Run index_snapshot, or name "
            "another snapshot"
        )
    return found[-1]


def _named(repository: Repository, entity: Entity, name: str) -> Snapshot:
    found = repository.find(name) if "*" not in name and "," not in name else None
    if found is None:
        raise BadParams(f"{repository.name} has no snapshot {name!r}: nothing was made. Name one that it has")
    if not good(found) or len(_indexes_of(found, entity)) != 1:
        raise BadParams(
            f"{name} is {found['state']} and has {', '.join(found['indices']) or 'no index'}: a drill needs a complete "
            f"one with one index of {entity.name}. Nothing was made"
        )
    return found


def _indexes_of(snapshot: Snapshot, entity: Entity) -> list[str]:
    return [name for name in snapshot["indices"] if named_for(entity, name)]


def _copies(client: Client, live: str | None) -> int:
    state = state_of(client, live).get(live) if live else None
    return 1 + int(state["settings"]["index"].get("number_of_replicas", 0)) if state else 1


def _check_room(client: Client, needed: int) -> None:
    """Refuse a copy that would bring the disks to where OpenSearch blocks the live indexes.

    It is not asked where OpenSearch was told not to look at its disks.
    """
    key = "cluster.routing.allocation.disk.threshold_enabled"
    params = {"include_defaults": "true", "flat_settings": "true", "filter_path": f"*.{key.replace('.', '*')}"}
    settings = client.request("GET", "/_cluster/settings", params=params)
    said = [settings.get(kind, {}).get(key) for kind in ("transient", "persistent", "defaults")]
    if next((one for one in said if one is not None), "true") == "false":
        return
    found, free = disks(client), snapshots().drill_free
    left = (sum(disk.available for disk in found) - needed) / sum(disk.total for disk in found)
    if left < free:
        raise BadParams(
            f"a copy of {needed / 2**30:.1f} GiB would leave {left:.0%} of the disks free, and {free:.0%} are wanted "
            "(drill.free in include/policies/snapshots.yaml): nothing was made. Make room, or give the domain larger "
            "disks"
        )


def sweep(client: Client, running: Running, *, run: str) -> list[str]:
    """Delete what drills of runs that have ended left behind.

    :param run: the present one; what it made stays
    :returns: names of the indexes that were deleted
    :raises AlreadyRunning: when another drill is under way: it would be measured together with this one
    """
    unfinished = {digest(one["run"]): one for one in Records(client).find(DRILL, state=RUNNING) if one["run"] != run}
    for one in unfinished.values():
        if not has_ended(one, running):
            raise AlreadyRunning(f"{one['run']} is a drill under way: nothing was made. Wait for it, or stop it")
    left = [name for name in copies(client) if not name.startswith(f"{COPIES}{digest(run)}-")]
    for name in left:
        log.warning("deleting %s: its drill has ended", name)
        delete(client, name)
    for one in Records(client).find(DRILL, state=RUNNING):
        if one["run"] != run:
            Records(client).keep({**one, "state": BAD, "why": "its run ended before it was complete"})
    return left


def clean_up(client: Client, run: str) -> list[str]:
    """Delete the indexes that a run made. Safe to repeat, also when there are none. Return their names."""
    mine = [name for name in copies(client) if name.startswith(f"{COPIES}{digest(run)}-")]
    for name in mine:
        delete(client, name)
    return mine


def copies(client: Client) -> list[str]:
    """Return the names of all indexes that drills made."""
    return sorted(name for name in state_of(client, f"{COPIES}*") if name.startswith(COPIES))


def delete(client: Client, name: str) -> None:
    """Delete an index of a drill, if it is there.

    :raises AliasConflict: when it is none of a drill, or somebody has put it into an alias: then it stays
    """
    aliases = state_of(client, name).get(name, {}).get("aliases", {})
    if aliases or not name.startswith(COPIES):
        raise AliasConflict(
            f"{name} is not deleted: {', '.join(aliases) or 'no drill'} points to it. Take it out of the alias, if "
            "nobody searches it; the next drill deletes it"
        )
    try:
        client.request("DELETE", f"/{name}")
    except RequestRejected as error:
        if error.status != 404:
            raise


def open_copy(indexes: EntityIndexes, name: str) -> PhysicalIndex:
    """Return an index of a drill as one of its entity. It has no role."""
    index = PhysicalIndex(indexes.client, name, is_live=False, in_write_set=False, was_served=False, meta={})
    return replace(index, meta=index.read_meta())


def check_untouched(indexes: EntityIndexes, plan: DrillPlan) -> str:
    """Return the index that is live now. A swap by somebody else, and writes, are no fault.

    :raises AliasConflict: when an index of a drill is in an alias, or the live index is behind what it was
    """
    found = {name: state["aliases"] for name, state in state_of(indexes.client, f"{COPIES}*").items()}
    if wrong := {name: sorted(aliases) for name, aliases in found.items() if aliases}:
        raise AliasConflict(f"indexes of a drill are in aliases: {wrong}. Somebody else put them there: take them out")
    live = indexes.live()
    position = indexes.index(live).highest_position(fresh=False) if live else ""
    if live == plan.live and position < plan.position:
        raise AliasConflict(
            f"{live} is at {position or 'no position'}, and was at {plan.position} when the drill began. The drill "
            f"does not write to it. Run {plan.entity}_quality"
        )
    return live or ""


def as_json(plan: DrillPlan) -> dict[str, Any]:
    """Return a plan as XCom keeps it."""
    return asdict(plan)
