"""How large the live index of an entity is: its shards, its documents, and those of each tenant."""

from dataclasses import dataclass
from typing import Any

from searchsync.capacity.split import routing_shards
from searchsync.cluster.index import Index, state_of
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import IndexUnavailable

TENANTS = 50
"""Number of tenants that are listed: those with the most documents."""


@dataclass(frozen=True)
class Size:
    """Size of a live index at one moment.

    :ivar documents: number of documents without tombstones
    :ivar shards: number of primary shards
    :ivar copies: of each shard: the primary and its replicas
    :ivar members: number of indexes of the write set, which grow with it
    :ivar routing_shards: ``number_of_routing_shards``, which a split has to divide
    :ivar bytes: of all primary shards together
    :ivar largest_shard_bytes: of the largest of them
    :ivar tenants: documents by tenant, of those with the most
    """

    entity: str
    index: str
    documents: int
    tombstones: int
    shards: int
    copies: int
    members: int
    routing_shards: int
    bytes: int
    largest_shard_bytes: int
    tenants: dict[str, int]


def measure(indexes: EntityIndexes) -> Size:
    """Return the size of the live index.

    :raises EmptyWriteSet: when nothing is live yet
    :raises IndexUnavailable: when a primary shard does not answer
    """
    name = indexes.live_or_raise()
    settings = state_of(indexes.client, name, flat=True).get(name, {}).get("settings")
    if settings is None:
        raise IndexUnavailable(f"{name} is gone: another index was swapped in meanwhile; run the task again")
    shards = int(settings["index.number_of_shards"])
    sizes = _primaries(indexes, name)
    if len(sizes) != shards:
        raise IndexUnavailable(f"{name}: {shards - len(sizes)} of {shards} primary shards are away; see its health")
    living, tombstones, tenants = _documents(indexes.index(name), indexes.entity.tenant)
    return Size(
        entity=indexes.entity.name,
        index=name,
        documents=living,
        tombstones=tombstones,
        shards=shards,
        copies=1 + int(settings["index.number_of_replicas"]),
        members=len(indexes.write_set()),
        routing_shards=int(settings.get("index.number_of_routing_shards", routing_shards(shards))),
        bytes=sum(sizes),
        largest_shard_bytes=max(sizes),
        tenants=tenants,
    )


def _primaries(indexes: EntityIndexes, name: str) -> list[int]:
    """Return the bytes of each primary shard that is there."""
    answer = indexes.client.request("GET", f"/{name}/_stats/store", params={"level": "shards"})
    copies = [copy for shard in answer["indices"].get(name, {}).get("shards", {}).values() for copy in shard]
    return [int(copy["store"]["size_in_bytes"]) for copy in copies if copy["routing"]["primary"]]


def _documents(index: Index, tenant: str | None) -> tuple[int, int, dict[str, int]]:
    """Return the numbers of documents and of tombstones, and the documents by tenant.

    Of several shards, each tells its largest tenants. So many are asked for that no large one can be missed.
    """
    aggs: dict[str, Any] = {"tombstones": {"filter": {"term": {"sync.deleted": True}}}}
    if tenant:
        aggs["tenants"] = {"terms": {"field": tenant, "size": TENANTS, "shard_size": 20 * TENANTS}}
    found = index.search({"size": 0, "track_total_hits": True, "aggs": aggs})
    tombstones = int(found["aggregations"]["tombstones"]["doc_count"])
    buckets = found["aggregations"].get("tenants", {}).get("buckets", [])
    tenants = {str(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets}
    return int(found["hits"]["total"]["value"]) - tombstones, tombstones, tenants
