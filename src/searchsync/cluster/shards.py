"""Number of primary shards of an index: that of its mapping file, or another one that a person chose for it.

OpenSearch cannot change it afterwards, so a choice is made for the index that a reindex builds. The index keeps it in
``_meta`` as ``shards``, with the number that the file had then. The reindexes after it keep to the choice until the
file says another number: else the next scheduled one would undo what a person had decided.
"""

from collections.abc import Mapping
from typing import Any

from searchsync.catalog import Entity
from searchsync.errors import BadParams

MOST = 1024
"""Largest number of primary shards that OpenSearch gives one index (its setting ``index.number_of_shards``)."""


def of_file(entity: Entity) -> int:
    """Return the number that the mapping file says; OpenSearch's default is one."""
    return int(entity.index_body["settings"].get("number_of_shards", 1))


def chosen(entity: Entity, asked: int | None, meta: Mapping[str, Any]) -> int | None:
    """Return the number that a new index has instead of that of the file; None for that of the file.

    :param asked: the number that a person wants; None when nobody said one
    :param meta: ``_meta`` of the index that is live
    :raises BadParams: when OpenSearch makes no index of so many shards
    """
    if asked is not None and not 1 <= asked <= MOST:
        raise BadParams(f"an index has 1 to {MOST} primary shards, not {asked}. Nothing was changed")
    number = wanted(entity, meta) if asked is None else asked
    return None if number == of_file(entity) else number


def as_meta(entity: Entity, number: int | None) -> dict[str, Any]:
    """Return what the index keeps of a choice in its ``_meta``.

    :param number: as ``chosen`` returns it
    """
    return {} if number is None else {"shards": {"chosen": number, "instead_of": of_file(entity)}}


def wanted(entity: Entity, meta: Mapping[str, Any]) -> int:
    """Return the number that an index has to have.

    :param meta: ``_meta`` of the index
    """
    choice = meta.get("shards") or {}
    return int(choice["chosen"]) if choice.get("instead_of") == of_file(entity) else of_file(entity)
