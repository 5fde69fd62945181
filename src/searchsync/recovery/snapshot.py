"""The daily snapshot: save what is live, verify it, delete what the calendar keeps no longer.

A run knows its snapshot by a name that follows from the run, and ours from those of others by what is in them
(``metadata``). So each step can be repeated, two runs may be under way at once, and nothing is deleted that
``index_retire`` or a person made.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from searchsync import alarms
from searchsync.catalog import CATALOG
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, Running
from searchsync.cluster.snapshots import Repository, Snapshot, good, started
from searchsync.config import snapshots
from searchsync.errors import EmptyWriteSet, SnapshotFailed
from searchsync.recovery import calendar, other_policies
from searchsync.recovery.records import BAD, COPIES, DRILL, GOOD, RUNNING, SNAPSHOT, Record, Records, digest

log = logging.getLogger(__name__)

MADE_BY: Final = "index_snapshot of searchsync"
NAMES: Final = "searchsync-*"
ALARM: Final = "snapshot-failed"
"""The row of ``alarms.yaml`` that this looks at."""

UNKNOWN_RUN = timedelta(days=1)
"""After that a run that nobody knows is taken for ended."""


@dataclass(frozen=True)
class Saved:
    """What a snapshot holds, as it was when it was begun; documents may be later than it says.

    :ivar indexes: all that it has to hold
    :ivar live: for each entity the live index, and the highest position in it
    """

    name: str
    indexes: list[str]
    live: dict[str, dict[str, str]]


def save(client: Client, run: str, at: datetime) -> Saved:
    """Make a snapshot of the live indexes of all entities and of the bookkeeping, and wait for it.

    Safe to repeat: a snapshot of this run that is under way is waited for, a good one is taken as done, and any other
    is replaced. A shard that cannot be saved leaves the others saved: ``verify`` tells of it.

    :param run: the run's id
    :param at: when the run is due; the name has it
    :raises BadParams: when a policy of OpenSearch saves into the same repository
    :raises EmptyWriteSet: when no entity has a live index
    :raises SnapshotFailed: when there is none in the end, or not within ``snapshots.LONGEST_SECONDS``
    """
    repository = Repository(client, snapshots().repository)
    other_policies.refuse(client, repository.name)
    name = f"searchsync-{at.astimezone(UTC):%Y%m%dt%H%M%S}-{digest(run)}"
    try:
        found = repository.find(name)
        if found is not None and found["state"] != "IN_PROGRESS" and not good(found):
            log.warning("%s is %s: replacing it", name, found["state"])
            repository.delete(name)
            found = None
        if found is None:
            Records(client).keep({**_record(run, name), "state": RUNNING})  # the first one makes the index: it is saved
            saved = _content(client, name)
            details = {"indexes": saved.indexes, "live": saved.live}
            Records(client).keep({**_record(run, name), "state": RUNNING, "details": details})
            metadata = {"made_by": MADE_BY, "run": run}
            repository.create(name, saved.indexes, partial=True, metadata=metadata)
        found = repository.wait(name)
    except SnapshotFailed as error:
        _note_failed(client, run, name, str(error))
        raise SnapshotFailed(_not_saved(name, str(error))) from error
    except EmptyWriteSet as error:
        _note_failed(client, run, name, str(error))
        raise
    known = (Records(client).latest(SNAPSHOT, run=run) or {}).get("details")
    return Saved(name, **(known or {"indexes": found["indices"], "live": {}}))


def _content(client: Client, name: str) -> Saved:
    live = {}
    for _, entity in sorted(CATALOG.items()):
        index = EntityIndexes(client, entity).live()
        if index is None:
            log.warning("%s: nothing is live, so nothing of it is saved", entity.name)
        else:
            live[entity.name] = {"index": index, "position": Index(client, index).highest_position(fresh=False)}
    if not live:
        raise EmptyWriteSet("no entity has a live index: there is nothing to save. Run a reindex first")
    found = client.request("GET", f"/{NAMES}/_alias", params={"expand_wildcards": "all"})
    own = sorted(index for index in found if not index.startswith(COPIES))
    return Saved(name, [*(one["index"] for one in live.values()), *own], live)


def verify(client: Client, run: str, saved: Saved) -> Record:
    """Prove that a snapshot is there with all shards of all indexes, and that each node can write to the repository.

    :returns: what is noted about it
    :raises SnapshotFailed: when it is not good; what was saved before stays
    """
    repository = Repository(client, snapshots().repository)
    try:
        found = repository.find(saved.name)
        if found is None:
            raise SnapshotFailed("it is gone")
        missing = sorted(set(saved.indexes) - set(found["indices"]))
        if missing or not good(found):
            failed = [f"{one['index']} shard {one['shard_id']}: {one['reason']}" for one in found["failures"][:5]]
            lacks = f"; it lacks {', '.join(missing)}" if missing else ""
            raise SnapshotFailed(f"it is {found['state']}, {found['shards']}{lacks}; {'; '.join(failed)}")
        repository.verify()
    except SnapshotFailed as error:
        _note_failed(client, run, saved.name, str(error))
        raise SnapshotFailed(_not_saved(saved.name, str(error))) from error
    record = _record(run, saved.name) | {
        "state": GOOD,
        "saved_at": datetime.fromtimestamp(started(found), UTC).isoformat(timespec="seconds"),
        "seconds": found["duration_in_millis"] / 1000,
        "details": {"indexes": saved.indexes, "live": saved.live, "shards": found["shards"]["total"]},
    }
    alarms.report({ALARM: 0})
    return Records(client).keep(record)


def prune(client: Client, running: Running, zone: ZoneInfo, now: datetime | None = None) -> dict[str, list[str]]:
    """Delete the snapshots of this operation that the calendar keeps no longer, and broken ones before a good one.

    The newest good one always stays, and so does one that a drill or a restore uses.

    :param zone: of the calendar
    :returns: names: ``kept``, ``deleted``, and ``used`` by a drill or restore, so deleted another time
    :raises SnapshotFailed: when one could not be deleted; the next run tries again
    """
    policy = snapshots()
    repository = Repository(client, policy.repository)
    mine = ours(repository)
    whole = [one for one in mine if good(one)]
    keep = calendar.kept(whole, policy, now or datetime.now(UTC), zone)
    used = _used(client, running)
    report: dict[str, list[str]] = {"kept": [], "deleted": [], "used": []}
    for one in mine:
        name = one["snapshot"]
        followed = any(started(other) > started(one) for other in whole)
        if name in keep or one["state"] == "IN_PROGRESS" or (not good(one) and not followed):
            report["kept"].append(name)
        elif name in used or not _deleted(repository, name):
            report["used"].append(name)
        else:
            report["deleted"].append(name)
    for what, names in report.items():
        log.info("%s: %s", what, ", ".join(names) or "none")
    return report


def ours(repository: Repository) -> list[Snapshot]:
    """Return the snapshots that this operation made, the oldest first."""
    return [one for one in repository.all(NAMES) if (one.get("metadata") or {}).get("made_by") == MADE_BY]


def _deleted(repository: Repository, name: str) -> bool:
    """Delete a snapshot. Return False when it is being restored: OpenSearch refuses it then."""
    try:
        repository.delete(name)
    except SnapshotFailed as error:
        if "during a restore in progress" in str(error):
            return False
        raise SnapshotFailed(
            f"{name} could not be deleted: {error}. Nothing else depends on it; run it again"
        ) from error
    return True


def _used(client: Client, running: Running) -> set[str]:
    """Return the snapshots that a drill has chosen and may not have restored yet."""
    drills = Records(client).find(DRILL, state=RUNNING)
    return {one["snapshot"] for one in drills if one.get("snapshot") and not has_ended(one, running)}


def has_ended(record: Record, running: Running) -> bool:
    """Return whether the run of a record is not under way any more."""
    alive = running(record["run"])
    old = datetime.now(UTC) - datetime.fromisoformat(record["at"]) > UNKNOWN_RUN
    return alive is False or (alive is None and old)


def _record(run: str, name: str) -> Record:
    return {"kind": SNAPSHOT, "run": run, "snapshot": name, "repository": snapshots().repository}


def _note_failed(client: Client, run: str, name: str, why: str) -> None:
    alarms.report({ALARM: 1})
    known = Records(client).latest(SNAPSHOT, run=run) or {}
    Records(client).keep({**_record(run, name), "state": BAD, "why": why, "details": known.get("details", {})})


def _not_saved(name: str, why: str) -> str:
    repository = snapshots().repository
    return (
        f"{name} is no good snapshot: {why}. Earlier ones were not touched. See what POST "
        f"/_snapshot/{repository}/_verify says, remove the cause, then clear the task `save` with downstream: it makes "
        "the snapshot again"
    )
