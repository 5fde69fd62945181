"""Policies of OpenSearch's own that save into the same repository, and delete there what is not theirs."""

from typing import Any

from searchsync.cluster.client import Client
from searchsync.errors import BadParams, RequestRejected

MOST = 1_000
_MANAGEMENT, _STATES = "/_plugins/_sm/policies", "/_plugins/_ism/policies"


def refuse(client: Client, repository: str) -> None:
    """Refuse to save beside a policy of Snapshot Management or of Index State Management on the same repository.

    Two that delete by rules of their own leave neither what the other promised.

    :raises BadParams: when there is one, also a disabled one: whoever enables it asks nobody
    """
    found = [*_snapshot_management(client, repository), *_index_states(client, repository)]
    if found:
        raise BadParams(
            f"{', '.join(found)} saves into the repository {repository!r}, too: two retentions on one repository keep "
            "neither. Nothing was saved or deleted. Delete that policy, or let it use another repository"
        )


def _snapshot_management(client: Client, repository: str) -> list[str]:
    policies = (one["sm_policy"] for one in _policies(client, _MANAGEMENT))
    return [
        f"the Snapshot Management policy {one['name']!r}"
        for one in policies
        if one["snapshot_config"]["repository"] == repository
    ]


def _index_states(client: Client, repository: str) -> list[str]:
    return [
        f"the Index State Management policy {one['policy']['policy_id']!r}"
        for one in _policies(client, _STATES)
        if any(
            action.get("snapshot", {}).get("repository") == repository
            for state in one["policy"]["states"]
            for action in state["actions"]
        )
    ]


def _policies(client: Client, path: str) -> list[dict[str, Any]]:
    """Return all policies of a kind; none where the plugin or its index is not there."""
    try:
        answer = client.request("GET", path, params={"size": MOST})
    except RequestRejected as error:
        absent = error.status == 400 and "no handler found for uri" in str(error)
        if absent or error.status == 404:
            return []
        raise
    found: list[dict[str, Any]] = answer["policies"]
    return found
