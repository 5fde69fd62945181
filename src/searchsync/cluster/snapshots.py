"""A snapshot repository of the cluster: complete copies of indexes, made, looked at, restored and deleted."""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from searchsync.cluster.client import Client
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected, SearchSyncError, SnapshotFailed

log = logging.getLogger(__name__)

LONGEST_SECONDS = 3600.0
"""Seconds that one attempt waits for a snapshot; the next attempt finds it under way and goes on waiting."""

Snapshot = dict[str, Any]
"""What OpenSearch says of one: ``snapshot`` (its name), ``state``, ``indices``, ``shards``, ``failures``, times."""

_NAME_TAKEN = "invalid_snapshot_name_exception"
_BLOCKS = ("write", "read_only", "read_only_allow_delete")
"""Blocks of an index on the day of its snapshot. A restored index has none of them, or nothing could be written."""


@dataclass(frozen=True)
class Repository:
    """A snapshot repository.

    Each request is sent once: whoever calls takes the step again, and finds what the lost request did.
    """

    client: Client
    name: str

    def find(self, name: str) -> Snapshot | None:
        """Return a snapshot, in whatever state; None when there is none.

        :raises SnapshotFailed: when the repository does not answer or does not exist
        """
        return next(iter(self.all(name)), None)

    def all(self, pattern: str) -> list[Snapshot]:
        """Return the snapshots whose names are as a pattern, the oldest first.

        :raises SnapshotFailed: when the repository does not answer or does not exist
        """
        try:
            answer = self.client.request("GET", self._path(pattern), patience=0)
        except RequestRejected as error:
            if error.error_type == "snapshot_missing_exception":
                return []
            raise self._failed(error) from error
        except (IndexUnavailable, BadConnection) as error:
            raise self._failed(error) from error
        return sorted(answer["snapshots"], key=started)

    def create(self, name: str, indexes: list[str], **options: Any) -> None:
        """Begin a snapshot of some indexes. It is no error when somebody has begun one of this name.

        :param options: such as ``metadata``, and ``partial``: save what can be saved
        :raises SnapshotFailed: when it was not begun, or nobody knows
        """
        body = {"indices": ",".join(indexes), "include_global_state": False, **options}
        try:
            self.client.request("PUT", self._path(name), body=body, patience=0)
        except RequestRejected as error:
            if error.error_type != _NAME_TAKEN:
                raise self._failed(error) from error
        except (IndexUnavailable, BadConnection) as error:
            raise self._failed(error) from error

    def delete(self, name: str) -> None:
        """Delete a snapshot. It is no error when it is gone.

        :raises SnapshotFailed: when it is still there, or nobody knows
        """
        try:
            self.client.request("DELETE", self._path(name), patience=0)
        except RequestRejected as error:
            if error.error_type != "snapshot_missing_exception":
                raise self._failed(error) from error
        except (IndexUnavailable, BadConnection) as error:
            raise self._failed(error) from error

    def wait(self, name: str) -> Snapshot:
        """Return a snapshot once it has ended, however it ended.

        :raises SnapshotFailed: when it is gone, or has not ended after ``LONGEST_SECONDS``
        """
        began, pause = time.monotonic(), 0.1
        while True:
            found = self.find(name)
            if found is None:
                # OpenSearch 3.5 leaves nothing of a snapshot that it could not finish, and says why in its log alone.
                raise SnapshotFailed(
                    "it was begun and is gone: OpenSearch could not finish it. Is the repository full?"
                )
            if found["state"] != "IN_PROGRESS":
                log.info("%s in %s is %s, after %.0f s", name, self.name, found["state"], time.monotonic() - began)
                return found
            if time.monotonic() - began > LONGEST_SECONDS:
                raise SnapshotFailed(f"it is still in progress after {LONGEST_SECONDS / 60:.0f} minutes")
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def verify(self) -> int:
        """Return how many nodes can write to the repository.

        :raises SnapshotFailed: when one of them cannot
        """
        try:
            answer = self.client.request("POST", f"{self._root}/_verify", patience=0)
        except (RequestRejected, IndexUnavailable) as error:
            raise self._failed(error) from error
        return len(answer["nodes"])

    def sizes(self, name: str) -> dict[str, tuple[int, int]]:
        """Return for each index of a snapshot its number of shards, and its bytes."""
        (found,) = self.client.request("GET", f"{self._path(name)}/_status")["snapshots"]
        return {
            index: (said["shards_stats"]["total"], said["stats"]["total"]["size_in_bytes"])
            for index, said in found["indices"].items()
        }

    def restore(self, name: str, index: str, to: str) -> None:
        """Begin to restore an index under another name, in no alias and without blocks.

        :raises RequestRejected: when there is no such snapshot, or an index of that name
        """
        body = {
            "indices": index,
            "include_global_state": False,
            "include_aliases": False,
            "rename_pattern": "(.+)",
            "rename_replacement": to,
            "ignore_index_settings": [f"index.blocks.{block}" for block in _BLOCKS],
        }
        self.client.request("POST", f"{self._path(name)}/_restore", body=body, patience=0)

    def save(self, index: str, since: datetime | None) -> None:
        """Make a complete snapshot of an index that is to be deleted (docs/protocol.md, rule 11), named like the index.

        Safe to repeat: a complete snapshot is taken as done, one under way is waited for, any other is replaced.

        :param since: when the index stopped being live; a snapshot from before that lacks what came later
        :raises SnapshotFailed: when there is no complete snapshot: then the index has to stay
        """
        try:
            found = self.find(index)
            late = found and (since is None or started(found) >= since.timestamp())
            if late and complete(found, index):
                return
            if found is not None and found["state"] != "IN_PROGRESS":
                log.warning("%s: its snapshot in %s is %s; replacing it", index, self.name, found["state"])
                self.delete(index)
                found = None
            if found is None:
                self.create(index, [index])
            found = self.wait(index)
            if not complete(found, index):
                raise SnapshotFailed(f"it is {found['state']}, {found['shards']}, {found['failures'][:3]}")
        except SnapshotFailed as error:
            raise SnapshotFailed(
                f"{index} is not deleted and keeps its aliases: it has no complete snapshot in the repository "
                f"{self.name!r}: {error}. See what POST /_snapshot/{self.name}/_verify says; register or repair the "
                "repository, correct include/policies/snapshots.yaml, or set save_before_deletion in "
                "include/policies/retention.yaml to false. The next run tries again"
            ) from error

    @property
    def _root(self) -> str:
        return f"/_snapshot/{quote(self.name, safe='')}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='*')}"

    def _failed(self, error: SearchSyncError) -> SnapshotFailed:
        return SnapshotFailed(str(error))


def started(snapshot: Snapshot) -> float:
    """Return when a snapshot was begun, in seconds since the epoch."""
    return float(snapshot["start_time_in_millis"]) / 1000


def good(snapshot: Snapshot) -> bool:
    """Return whether a snapshot has all shards of all its indexes."""
    return (snapshot["state"], snapshot["shards"]["failed"], snapshot["failures"]) == ("SUCCESS", 0, [])


def complete(snapshot: Snapshot | None, name: str) -> bool:
    """Return whether a snapshot holds all of an index, and nothing else."""
    return snapshot is not None and good(snapshot) and snapshot["indices"] == [name]
