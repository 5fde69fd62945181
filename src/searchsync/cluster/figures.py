"""What OpenSearch has of all entities at once: a request for each kind of figure, however many indexes there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import PhysicalIndex, physical_indexes

MOST_INDEXES = 1_000
"""Indexes whose documents are counted; an entity has a handful."""

_ALL = {"expand_wildcards": "all", "ignore_unavailable": "true", "allow_no_indices": "true"}
_ONLY = "*.aliases,*.mappings._meta,-*.mappings._meta.sql,*.settings.*blocks*,*.settings.*verified_before_close"


@dataclass(frozen=True)
class Seen:
    """A physical index, and those of its settings that may keep it from taking writes (flat)."""

    index: PhysicalIndex
    settings: dict[str, str]


def indexes_of(client: Client, entities: Sequence[Entity]) -> dict[str, list[Seen]]:
    """Return the physical indexes of each entity, oldest first, without the SQL in their ``meta``."""
    params = {**_ALL, "flat_settings": "true", "filter_path": _ONLY}
    state: dict[str, Any] = client.request("GET", f"/{_names(entities)}", params=params)
    return {
        entity.name: [
            Seen(index, state[index.name].get("settings", {})) for index in physical_indexes(client, entity, state)
        ]
        for entity in entities
    }


def health_of(client: Client) -> dict[str, str]:
    """Return green, yellow or red for each index of the cluster; ``Index.health`` explains them."""
    params = {"level": "indices", "filter_path": "indices.*.status"}
    found = client.request("GET", "/_cluster/health", params=params)
    return {name: str(index["status"]) for name, index in found.get("indices", {}).items()}


def shards_of(client: Client, entities: Sequence[Entity]) -> dict[str, list[int]]:
    """Return the bytes of each primary shard of each index; those of shards that are away are missing."""
    only = "indices.*.shards.*.routing.primary,indices.*.shards.*.store.size_in_bytes"
    params = {**_ALL, "level": "shards", "filter_path": only}
    found = client.request("GET", f"/{_names(entities)}/_stats/store", params=params)
    return {
        name: [
            int(copy["store"]["size_in_bytes"])
            for copies in index["shards"].values()
            for copy in copies
            if copy["routing"]["primary"]
        ]
        for name, index in found.get("indices", {}).items()
    }


def documents_of(client: Client, entities: Sequence[Entity]) -> dict[str, int]:
    """Return the number of documents of each index that is open, without tombstones.

    An index without any is missing. Of an index that is red, those are counted whose shards are there.
    """
    body = {
        "size": 0,
        "query": {"bool": {"must_not": {"term": {"sync.deleted": True}}}},
        "aggs": {"indexes": {"terms": {"field": "_index", "size": MOST_INDEXES}}},
    }
    params = {**_ALL, "expand_wildcards": "open,hidden", "filter_path": "aggregations.indexes.buckets"}
    found = client.request("POST", f"/{_names(entities)}/_search", body=body, params=params)
    buckets = found.get("aggregations", {}).get("indexes", {}).get("buckets", [])
    return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets}


def _names(entities: Sequence[Entity]) -> str:
    return ",".join(f"{entity.name},{entity.name}-*" for entity in entities)
