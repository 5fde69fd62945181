"""Whether a table of DynamoDB holds several kinds of items (single-table design), as far as a sample of them shows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from searchsync.selection import Selection

MOST_KINDS = 20
COVERED = 0.9
"""Smallest share of the items that have a kind."""

_NAMES = {"type", "kind", "entity", "entitytype", "itemtype", "recordtype", "typename", "discriminator", "model"}
"""Names of attributes that say the kind, without case and underscores."""


def kinds(sample: Sequence[dict[str, Any]], key: Sequence[str]) -> dict[Selection, int]:
    """Return what would select each kind of the items, with its number of items; nothing when there seems to be one.

    The kind stands in an attribute that is named so, or before the first ``#`` of a part of the key.

    :param sample: items in DynamoDB's JSON
    :param key: the attributes of the key
    """
    names = sorted({name for item in sample for name in item})
    for name in [*(name for name in names if name.replace("_", "").lower() in _NAMES), *key]:
        found = Counter(_kinds_by(name, sample, in_key=name in key))
        seldom = len(found) > MOST_KINDS or found.total() < max(COVERED * len(sample), 2 * len(found))
        marked = name not in key or any(one.prefix for one in found)
        if len(found) > 1 and marked and not seldom:
            return dict(sorted(found.items(), key=lambda one: (-one[1], str(one[0]))))
    return {}


def _kinds_by(name: str, sample: Sequence[dict[str, Any]], *, in_key: bool) -> Iterator[Selection]:
    for item in sample:
        text = item.get(name, {}).get("S", "")
        before, mark, _ = text.partition("#")
        if mark and in_key:
            yield Selection(name, prefix=f"{before}#")
        elif text:
            yield Selection(name, equals=text)
