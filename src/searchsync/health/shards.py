"""Shards that no node holds, each with the reason that OpenSearch gives."""

from collections.abc import Iterator
from typing import Any

from searchsync.cluster.client import Client
from searchsync.errors import RequestRejected
from searchsync.health.reading import Reading

EXPLAINED = 3
"""Shards whose reason is asked for: primaries first. Those of one outage mostly have the same one."""


def unassigned(client: Client) -> Iterator[Reading]:
    """Count the shards that are not assigned, and say why."""
    params = {"level": "shards", "filter_path": "indices.*.shards"}
    health = client.request("GET", "/_cluster/health", params=params).get("indices", {})
    missing = sorted(
        (shard["primary_active"], name, int(number), shard["unassigned_shards"])
        for name, index in health.items()
        for number, shard in index["shards"].items()
        if shard["unassigned_shards"]
    )
    reasons = [_of_shard(client, name, number, active=active) for active, name, number, _ in missing[:EXPLAINED]]
    count = sum(unassigned for *_, unassigned in missing)
    said = "; ".join(reason for reason in reasons if reason)
    yield Reading("cluster-unassigned", "", count, said or (f"{count} shards" if count else "all shards are assigned"))


def _of_shard(client: Client, index: str, shard: int, *, active: bool) -> str:
    """Return why a shard is not assigned: a primary that is missing takes its copies along, for no reason of theirs.

    :param active: whether the primary is there; one that is only about to be has a node
    """
    primary = "" if active else _reason(client, index, shard, primary=True)
    return primary or _reason(client, index, shard, primary=False)


def _reason(client: Client, index: str, shard: int, *, primary: bool) -> str:
    """Return why a shard is not assigned; empty when it is by now, or its index is gone.

    OpenSearch refuses to explain a shard that is not there (400, 404), and where nothing is unassigned.
    """
    body = {"index": index, "shard": shard, "primary": primary}
    try:
        answer = client.request("GET", "/_cluster/allocation/explain", body=body)
    except RequestRejected as error:
        if error.status in (400, 404):
            return ""
        raise
    if answer["current_state"] != "unassigned":
        return ""
    kind = "primary" if primary else "copy"
    return f"{kind} of shard {shard} of {index}: {_explained(answer)}"


def _explained(answer: dict[str, Any]) -> str:
    why = answer.get("unassigned_info", {})
    said = [str(answer.get("allocate_explanation", "")), str(why.get("details", ""))]
    refusals = {
        decider["explanation"]: None
        for node in answer.get("node_allocation_decisions", [])
        for decider in node.get("deciders", [])
        if decider["decision"] == "NO"
    }
    said += list(refusals)[:2]
    return f"{why.get('reason', 'unknown')}: " + "; ".join(text for text in said if text)
