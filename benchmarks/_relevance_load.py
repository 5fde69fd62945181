"""The indexes that the benchmark of relevance searches: what is in them, how fast they load, how large they are."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks._loads import source_of
from benchmarks._relevance_cases import Document
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.operations import reindex

PREFIX = "bench-relevance-"
_WORKERS = 2
"""Number of requests in flight: as many as the DAG has tasks that load."""

_PER_PAGE = 5_000
_EXACT = {"type": "keyword", "normalizer": "exact", "ignore_above": 8191}
_NAME = {
    "type": "text",
    "analyzer": "typed_index",
    "search_analyzer": "typed_search",
    "similarity": "typed",
    "fields": {"plain": {"type": "text", "analyzer": "words"}, "exact": _EXACT},
}
BEFORE: Mapping[str, Mapping[str, Any]] = {
    "locations": {
        "name": _NAME,
        "alternate_names": {"type": "text", "analyzer": "words"},
        "region": _EXACT,
        "country": _EXACT,
    },
    "members": {"name": _NAME},
}
"""The fields that are searched by text, as they were mapped on 2026-11-30, before the search API."""


@dataclass(frozen=True)
class Loaded:
    """An index, and what it took.

    :ivar rate: documents per second of the load, from bodies that were ready before it: the engine's own speed
    :ivar size: bytes on disk, as one segment
    """

    index: str
    rate: float
    size: int


def before(entity: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings and mappings of an index as they were before."""
    mappings = body["mappings"]
    properties = {**mappings["properties"], **BEFORE[entity]}
    return {**body, "mappings": {**mappings, "properties": properties}}


def place_bodies() -> list[bytes]:
    """Return the places as a reindex sends them."""
    source = source_of()
    try:
        pages = [page for part in source.partitions(1) for page in source.pages(part, page_bytes=reindex.BULK_BYTES)]
        return [page.body for page in pages]
    finally:
        source.close()


def places_of(bodies: Sequence[bytes]) -> Iterator[Document]:
    """Yield the documents of bodies, each with its ``_id``."""
    for body in bodies:
        lines = body.splitlines()
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            yield {**msgspec.json.decode(source), "_id": msgspec.json.decode(action)["create"]["_id"]}


def people_bodies(people: Sequence[Document]) -> list[bytes]:
    """Return the bodies of members."""
    encode, bodies = msgspec.json.encode, []
    for start in range(0, len(people), _PER_PAGE):
        lines: list[bytes] = []
        for one in people[start : start + _PER_PAGE]:
            document = {"member_id": one["_id"], "name": one["name"], "sync": {"deleted": False}}
            lines += [encode({"create": {"_id": one["_id"]}}), encode(document)]
        bodies.append(b"\n".join([*lines, b""]))
    return bodies


def load(client: Client, name: str, body: Mapping[str, Any], bodies: Sequence[bytes]) -> Loaded:
    """Make an index, load it, and make one segment of it."""
    index = PREFIX + name
    discard(client, name)
    creation.create_hidden(client, index, body["settings"], body["mappings"])
    began = time.perf_counter()
    with ThreadPoolExecutor(_WORKERS) as threads:
        counts = [part.count(b"\n") // 2 for part in bodies]
        sent = list(threads.map(lambda pair: client.send_bulk(index, *pair), zip(bodies, counts, strict=True)))
    client.request("POST", f"/{index}/_refresh")
    seconds = time.perf_counter() - began
    if refused := [item for items in sent for item in items if item["status"] != 201]:
        raise RuntimeError(f"{index} refused {len(refused)} documents, the first one: {refused[0]}")
    client.request("POST", f"/{index}/_forcemerge?max_num_segments=1&flush=true", patience=600.0)
    stats = client.request("GET", f"/{index}/_stats/store,docs")["_all"]["primaries"]
    return Loaded(index, stats["docs"]["count"] / seconds, stats["store"]["size_in_bytes"])


def discard(client: Client, name: str) -> None:
    """Delete an index if there is one."""
    client.request("DELETE", f"/{PREFIX}{name}", params={"ignore_unavailable": "true"})
