"""A complete copy of an index in a snapshot repository, before the index is deleted (docs/protocol.md, rule 11)."""

import logging
import time
from datetime import datetime
from typing import Any
from urllib.parse import quote

import opensearchpy

from searchsync.cluster.client import request
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected, SnapshotFailed

log = logging.getLogger(__name__)

LONGEST_SECONDS = 3600.0
"""Seconds that one attempt waits for a snapshot; the next attempt finds it under way and goes on waiting."""


def find(client: opensearchpy.OpenSearch, repository: str, name: str) -> dict[str, Any] | None:
    """Return the snapshot that is named like an index, in whatever state; None when there is none.

    :raises SnapshotFailed: when the repository does not answer or does not exist
    """
    try:
        # Each request once, here and below: the index stays until the next attempt, so there is nothing to wait for.
        answer = request(client, "GET", _path(repository, name), patience=0)
    except RequestRejected as error:
        if error.error_type == "snapshot_missing_exception":
            return None
        raise _failed(repository, name, str(error)) from error
    except (IndexUnavailable, BadConnection) as error:
        raise _failed(repository, name, str(error)) from error
    return dict(answer["snapshots"][0])


def complete(snapshot: dict[str, Any] | None, name: str) -> bool:
    """Return whether a snapshot holds all of an index, and nothing else."""
    return snapshot is not None and (snapshot["state"], snapshot["shards"]["failed"], snapshot["indices"]) == (
        "SUCCESS",
        0,
        [name],
    )


def save(client: opensearchpy.OpenSearch, repository: str, name: str, since: datetime | None) -> None:
    """Make a complete snapshot of an index, named like the index.

    Safe to repeat: a complete snapshot is taken as done, one under way is waited for, any other is replaced.

    :param since: when the index was last served; a snapshot from before that lacks what came later
    :raises SnapshotFailed: when there is no complete snapshot: then the index has to stay
    """
    found = find(client, repository, name)
    if found and complete(found, name) and (since is None or found["start_time_in_millis"] / 1000 >= since.timestamp()):
        return
    try:
        if found is not None and found["state"] != "IN_PROGRESS":
            log.warning("%s: the snapshot of that name in %s is %s; replacing it", name, repository, found["state"])
            request(client, "DELETE", _path(repository, name), patience=0)
            found = None
        if found is None:
            body = {"indices": name, "include_global_state": False}
            request(client, "PUT", _path(repository, name), body=body, patience=0)
    except (RequestRejected, IndexUnavailable, BadConnection) as error:
        raise _failed(repository, name, str(error)) from error
    _await(client, repository, name)


def _await(client: opensearchpy.OpenSearch, repository: str, name: str) -> None:
    began, pause = time.monotonic(), 0.1
    while True:
        found = find(client, repository, name)
        if complete(found, name):
            log.info("%s: its snapshot in %s is complete, after %.0f s", name, repository, time.monotonic() - began)
            return
        if found is None or found["state"] != "IN_PROGRESS":
            what = f"{found['state']}, {found['shards']}, {found['failures'][:3]}" if found else "gone"
            raise _failed(repository, name, f"it is {what}")
        if time.monotonic() - began > LONGEST_SECONDS:
            raise _failed(repository, name, f"it is still in progress after {LONGEST_SECONDS / 60:.0f} minutes")
        time.sleep(pause)
        pause = min(pause * 2, 10.0)


def _path(repository: str, name: str) -> str:
    return f"/_snapshot/{quote(repository, safe='')}/{name}"


def _failed(repository: str, name: str, why: str) -> SnapshotFailed:
    return SnapshotFailed(
        f"{name} is not deleted and keeps its aliases: it has no complete snapshot in the repository {repository!r}: "
        f"{why}. See what POST /_snapshot/{repository}/_verify says; register or repair the repository, or correct "
        "snapshot_repository in include/policies/retention.yaml (empty: no snapshots). The next run tries again"
    )
