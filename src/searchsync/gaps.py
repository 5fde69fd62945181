"""Gaps: times of which changes are lost, because the stream forgot them before they were replayed.

Each is a document of the index ``searchsync-gaps`` for every index that may lack the changes, until the gate of a
reindex or a whole comparison has found that index equal to its source. Not in ``_meta``, which is replaced as a whole:
whoever stamps an index at the same moment would forget the gap.
"""

import hashlib
import json
from typing import Any

import opensearchpy

from searchsync import indexes, notes
from searchsync.entities import Entity

INDEX = "searchsync-gaps"
MOST = 1_000

Gap = dict[str, Any]
"""``from`` and ``to`` (ISO 8601), ``records`` and ``shard``."""


def note(client: opensearchpy.OpenSearch, entity: Entity, gap: Gap) -> None:
    """Note for the whole write set that changes of some time are lost; safe to repeat."""
    for name in indexes.write_set(client, entity):
        notes.put(client, INDEX, _key(name, gap), {"index": name, **gap})


def of_index(client: opensearchpy.OpenSearch, name: str) -> list[Gap]:
    """Times of which an index may lack changes, the earliest first."""
    body = {"size": MOST, "query": {"term": {"index": name}}, "sort": [{"from": "asc"}]}
    found = (hit["_source"] for hit in notes.find(client, INDEX, body))
    return [{part: value for part, value in gap.items() if part != "index"} for gap in found]


def close(client: opensearchpy.OpenSearch, name: str, closed: list[Gap]) -> None:
    """Forget gaps that were noted before a comparison which found everything there."""
    for gap in closed:
        notes.remove(client, INDEX, _key(name, gap))


def _key(name: str, gap: Gap) -> str:
    return f"{name}-{hashlib.sha256(json.dumps(gap, sort_keys=True).encode()).hexdigest()[:32]}"
