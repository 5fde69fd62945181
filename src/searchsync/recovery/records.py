"""What became of snapshots and drills: one document for each, in the index ``searchsync-recovery``.

It is written before anything is made and again when the outcome is known. So whoever finds what a killed run left also
finds whose it is.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from searchsync import alarms
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client

INDEX: Final = "searchsync-recovery"
COPIES: Final = "searchsync-drill-"
"""Beginning of the names of the indexes that a drill makes. No entity can have such a name (it has a dash), no alias
points to one, and no snapshot has one."""

SNAPSHOT, DRILL = "snapshot", "drill"
RUNNING, GOOD, BAD = "running", "good", "bad"
MOST = 100
_FAILED: Final = {SNAPSHOT: "snapshot-failed", DRILL: "drill-failed"}
"""Row of ``alarms.yaml`` that tells of it."""

Record = dict[str, Any]
"""Fields of ``include/mappings/searchsync-recovery.json``; ``details`` is not searched, and may hold anything."""


class Records:
    """The records that a cluster keeps."""

    def __init__(self, client: Client) -> None:
        self._documents = Bookkeeping(client, INDEX)

    def keep(self, record: Record) -> Record:
        """Write a record. A run that is repeated replaces its own."""
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
        self._documents.put(f"{record['kind']}-{digest(record['run'])}-{record.get('entity', '')}", record)
        if record["state"] != RUNNING:
            alarms.report({_FAILED[record["kind"]]: int(record["state"] == BAD)})
        return record

    def find(self, kind: str, most: int = MOST, **terms: str) -> list[Record]:
        """Return the records of a kind, the newest first.

        :param terms: what its fields have to be, such as ``state="good"``
        """
        wanted = [{"term": {name: value}} for name, value in {"kind": kind, **terms}.items()]
        body = {"size": most, "query": {"bool": {"filter": wanted}}, "sort": [{"at": "desc"}]}
        return [hit["_source"] for hit in self._documents.find(body)]

    def latest(self, kind: str, **terms: str) -> Record | None:
        """Return the newest record of a kind; None when there is none. ``terms`` is as for ``find``."""
        return next(iter(self.find(kind, 1, **terms)), None)


def digest(run: str) -> str:
    """Return what stands for a run in names that OpenSearch takes."""
    return hashlib.sha256(run.encode()).hexdigest()[:12]


def summary(client: Client) -> dict[str, Any]:
    """Return what is known of snapshots and drills, by two searches and without asking the repository.

    :returns: ``snapshot``: the newest good one. ``last_snapshot``: the last one tried, however it ended.
        ``hours_since_snapshot``: since the newest good one was begun. ``drills``: the last drill of each entity that
        has ended, by the entity's name. ``days_since_drill``: since the last good drill of the entity that has waited
        longest. What is None has never been
    """
    records, now = Records(client), datetime.now(UTC)
    snapshots, ended = records.find(SNAPSHOT), [one for one in records.find(DRILL) if one["state"] != RUNNING]
    good = next((one for one in snapshots if one["state"] == GOOD), None)
    drills = {one["entity"]: one for one in reversed(ended)}
    tried = {one["entity"]: _since(one["at"], now) for one in reversed(ended) if one["state"] == GOOD}
    return {
        "snapshot": good,
        "last_snapshot": next(iter(snapshots), None),
        "hours_since_snapshot": _since(good["saved_at"], now) / timedelta(hours=1) if good else None,
        "drills": drills,
        "days_since_drill": max(tried.values()) / timedelta(days=1) if tried else None,
    }


def _since(moment: str, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(moment)
