"""A complete copy of an index in a snapshot repository, before the index is deleted (docs/protocol.md, rule 11)."""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from searchsync.cluster.client import Client
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected, SnapshotFailed

log = logging.getLogger(__name__)

LONGEST_SECONDS = 3600.0
"""Seconds that one attempt waits for a snapshot; the next attempt finds it under way and goes on waiting."""


@dataclass(frozen=True)
class Repository:
    """A snapshot repository of the cluster; a snapshot in it is named like its index."""

    client: Client
    name: str

    def find(self, index: str) -> dict[str, Any] | None:
        """Return the snapshot of an index, in whatever state; None when there is none.

        :raises SnapshotFailed: when the repository does not answer or does not exist
        """
        try:
            # Each request once, here and below: the index stays until the next attempt, so there is nothing to wait
            # for.
            answer = self.client.request("GET", self._path(index), patience=0)
        except RequestRejected as error:
            if error.error_type == "snapshot_missing_exception":
                return None
            raise self._failed(index, str(error)) from error
        except (IndexUnavailable, BadConnection) as error:
            raise self._failed(index, str(error)) from error
        return dict(answer["snapshots"][0])

    def save(self, index: str, since: datetime | None) -> None:
        """Make a complete snapshot of an index.

        Safe to repeat: a complete snapshot is taken as done, one under way is waited for, any other is replaced.

        :param since: when the index stopped being live; a snapshot from before that lacks what came later
        :raises SnapshotFailed: when there is no complete snapshot: then the index has to stay
        """
        found = self.find(index)
        late = found and (since is None or found["start_time_in_millis"] / 1000 >= since.timestamp())
        if late and complete(found, index):
            return
        try:
            if found is not None and found["state"] != "IN_PROGRESS":
                log.warning("%s: its snapshot in %s is %s; replacing it", index, self.name, found["state"])
                self.client.request("DELETE", self._path(index), patience=0)
                found = None
            if found is None:
                body = {"indices": index, "include_global_state": False}
                self.client.request("PUT", self._path(index), body=body, patience=0)
        except (RequestRejected, IndexUnavailable, BadConnection) as error:
            raise self._failed(index, str(error)) from error
        self._await(index)

    def _await(self, index: str) -> None:
        began, pause = time.monotonic(), 0.1
        while True:
            found = self.find(index)
            if complete(found, index):
                log.info("%s: its snapshot in %s is complete, after %.0f s", index, self.name, time.monotonic() - began)
                return
            if found is None or found["state"] != "IN_PROGRESS":
                what = f"{found['state']}, {found['shards']}, {found['failures'][:3]}" if found else "gone"
                raise self._failed(index, f"it is {what}")
            if time.monotonic() - began > LONGEST_SECONDS:
                raise self._failed(index, f"it is still in progress after {LONGEST_SECONDS / 60:.0f} minutes")
            time.sleep(pause)
            pause = min(pause * 2, 10.0)

    def _path(self, index: str) -> str:
        return f"/_snapshot/{quote(self.name, safe='')}/{index}"

    def _failed(self, index: str, why: str) -> SnapshotFailed:
        return SnapshotFailed(
            f"{index} is not deleted and keeps its aliases: it has no complete snapshot in the repository "
            f"{self.name!r}: {why}. See what POST /_snapshot/{self.name}/_verify says; register or repair the "
            "repository, or correct snapshot_repository in include/policies/retention.yaml (empty: no snapshots). The "
            "next run tries again"
        )


def complete(snapshot: dict[str, Any] | None, name: str) -> bool:
    """Return whether a snapshot holds all of an index, and nothing else."""
    return snapshot is not None and (snapshot["state"], snapshot["shards"]["failed"], snapshot["indices"]) == (
        "SUCCESS",
        0,
        [name],
    )
