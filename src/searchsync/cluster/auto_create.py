"""Check whether OpenSearch would make an index by itself when a late write comes to a deleted index."""

import re
from datetime import UTC, datetime

from searchsync.catalog import CATALOG
from searchsync.cluster.indexes import EntityIndexes
from searchsync.errors import AliasConflict

_SETTING = "action.auto_create_index"


def check(indexes: EntityIndexes) -> None:
    """Refuse a cluster in which a write would create an index under one of the entity's names.

    :raises AliasConflict: when it would; the message has a value of the setting that leaves the indexes of plugins
        alone
    """
    params = {"include_defaults": "true", "flat_settings": "true", "filter_path": "*.action*"}
    entity = indexes.entity
    answer = indexes.client.request("GET", "/_cluster/settings", params=params) or {}
    levels = [answer.get(level, {}) for level in ("transient", "persistent", "defaults")]
    value = next((found[_SETTING] for found in levels if _SETTING in found), "true")
    value = ",".join(value) if isinstance(value, list) else str(value)
    now = datetime.now(UTC)
    names = (*entity.aliases, f"{entity.name}-{now:%Y%m%dt%H%M%S}-0123abcd")
    if name := next((name for name in names if creates(value, name)), ""):
        spared = ",".join([*(f"-{known}*" for known in sorted({*CATALOG, entity.name})), "+*"])
        raise AliasConflict(
            f"the cluster has {_SETTING}: {value}, so a late write to a deleted index would create one under its name "
            f"({name}). Nothing was written. Forbid our names, and leave those of others alone: PUT /_cluster/settings "
            f'{{"persistent": {{"{_SETTING}": "{spared}"}}}}'
        )


def creates(value: str, name: str) -> bool:
    """Return whether a value of the setting lets a write create an index of this name, as OpenSearch decides it.

    The first pattern that matches decides; ``-`` before it forbids. When no pattern matches, no index is created.
    """
    if value in ("true", "false"):
        return value == "true"
    for pattern in (part.strip() for part in value.split(",")):
        parts = pattern.removeprefix("-").removeprefix("+").split("*")
        if re.fullmatch(".*".join(map(re.escape, parts)), name):
            return not pattern.startswith("-")
    return False
