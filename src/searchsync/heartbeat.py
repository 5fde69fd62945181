"""The item that measures how soon a change of a table is searchable, as an entity's file describes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from searchsync.selection import Selection

_PARTITION = re.compile(r"[\w.:/#|~-]*searchsync-heartbeat", re.ASCII)
"""Partition keys of heartbeats: no item of others is in such a partition, and a policy can hold them as they are.

The DAGs may write this partition of a table alone (``include/policies/roles.yaml``).
"""

_KINDS = {"S": "a text", "N": "a whole number", "B": "binary, which no file can hold: leave heartbeat out"}


@dataclass(frozen=True)
class Heartbeat:
    """An item that exists for seconds (``searchsync.freshness``).

    :ivar attributes: texts, whole numbers and booleans by name; the key is among them
    """

    attributes: Mapping[str, str | int | bool]

    @property
    def item(self) -> dict[str, dict[str, Any]]:
        """The item in DynamoDB's JSON."""
        return {name: _typed(value) for name, value in self.attributes.items()}

    def why_not(self, key: tuple[str, ...], key_types: tuple[str, ...], select: Selection | None) -> str:
        """Return why this cannot be the heartbeat of an entity with such a key; empty when it can."""
        item = self.item
        for name, kind in zip(key, key_types, strict=True):
            if name not in item:
                return f"heartbeat lacks {name}, which is of the key"
            if kind not in item[name]:
                return f"heartbeat.{name} must be {_KINDS[kind]}: key_types says so"
        if not _PARTITION.fullmatch(str(item[key[0]].get("S", ""))):
            return (
                f"heartbeat.{key[0]} must be a text of letters, digits and -_.:/#|~ that ends in searchsync-heartbeat: "
                "that partition is reserved, and the right to write it is given by its name"
            )
        if select and not select.takes(item):
            return f"heartbeat is not selected by {select}, so it would never be in the index"
        return ""


def _typed(value: str | int | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}
