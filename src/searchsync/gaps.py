"""Gaps: times of which changes are lost, because the stream forgot them before they were replayed.

They are noted in ``_meta`` of every index that lacks the changes. An index that is built later has none, and one that a
comparison finds equal to its source has none any more.
"""

from typing import Any

import opensearchpy

from searchsync import indexes
from searchsync.entities import Entity

MAX_GAPS = 50

Gap = dict[str, Any]
"""``from`` and ``to`` (ISO 8601), ``records`` and ``shard``."""


def note(client: opensearchpy.OpenSearch, entity: Entity, gap: Gap) -> None:
    """Note in ``_meta`` of the whole write set that changes of some time are lost, until a comparison has proven it.

    :param gap: ``from`` and ``to`` (ISO 8601), ``records``, ``shard``
    """
    for name in indexes.write_set(client, entity):
        meta = indexes.meta_of(client, name)
        others = [known for known in meta.get("gaps", []) if known != gap][1 - MAX_GAPS :]
        indexes.put_meta(client, name, {**meta, "gaps": [*others, gap]})


def of_index(client: opensearchpy.OpenSearch, name: str) -> list[Gap]:
    """Times of which an index may lack changes."""
    return list(indexes.meta_of(client, name).get("gaps", []))


def close(client: opensearchpy.OpenSearch, name: str, closed: list[Gap]) -> None:
    """Forget gaps that were noted before a comparison which found everything there."""
    if closed:
        meta = indexes.meta_of(client, name)
        indexes.put_meta(client, name, {**meta, "gaps": [gap for gap in meta.get("gaps", []) if gap not in closed]})
