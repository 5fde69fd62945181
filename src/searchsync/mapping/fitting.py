"""The part of an item that an index can hold, by its mapping. The rest is left out, and counted by its path.

OpenSearch refuses a whole document because of one attribute that the mapping does not have, or of one value of a shape
that its field cannot take. Some values it would change in silence (``mapping.field_types``). All of these are left out
and counted, so that the document can still be found by its other fields.

This module does not judge a malformed date or address: with ``ignore_malformed``, OpenSearch keeps it in ``_source``
and lists its field under ``_ignored``. All statements about OpenSearch here are about 3.5.0
(tests/integration/mapping/test_fitting.py).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from searchsync.errors import BadMapping
from searchsync.mapping import field_types

Dropped = dict[str, int]
"""Number of values that were left out, by dotted path."""

Fit = Callable[[Any, str, Dropped], Any]
"""Called with a value, its path and the counts. It returns the part that a field can hold, and counts the rest.

It returns ``NOTHING`` when the field can hold no part of the value.
"""

NOTHING: Any = object()

MOST_PATHS = 100
"""Largest number of paths that are counted by name: attribute names are data, and a table may have millions."""

OTHERS = "(others)"
_PATH_CHARACTERS = 200

_TERM_BYTES = 32_766
"""Largest number of bytes in a term of an index (Lucene). OpenSearch refuses a document with a longer term."""

_NORMALIZED_BYTES = _TERM_BYTES * 2 // 3
"""Largest number of bytes in a text that a normalizer changes: in lower case, a letter of two bytes may have three."""

_SHORT = _NORMALIZED_BYTES // 4
"""Largest number of characters in a text that cannot be too long as a term, whatever its letters are."""

_SCALARS = {
    *("text", "match_only_text", "search_as_you_type", "token_count", "keyword", "wildcard", "boolean", "ip"),
    *("long", "integer", "short", "byte", "unsigned_long", "double", "float", "half_float", "scaled_float"),
    *("date", "date_nanos"),
}
"""Types of fields that take no object."""

_PLACE = {"type": "geo_point"}


def count(dropped: Dropped, path: str, values: int = 1) -> None:
    """Count values that are left out: under their path, or under ``OTHERS`` when there are too many paths."""
    path = path[:_PATH_CHARACTERS]
    if path not in dropped and len(dropped) >= MOST_PATHS:
        path = OTHERS
    dropped[path] = dropped.get(path, 0) + values


def add(into: Dropped, more: Mapping[str, int]) -> None:
    """Add counts to other counts."""
    for path, values in more.items():
        count(into, path, values)


def total(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of some counts."""
    summed: Dropped = {}
    for some in counts:
        add(summed, some)
    return summed


def object_of(mapping: Mapping[str, Any], *, strict: bool = True) -> "ObjectFit":
    """Return what finds the part of an object that its mapping can hold.

    :param mapping: mapping of the object, with ``properties``
    :param strict: whether the object is strict if the mapping has no ``dynamic``; an object that is not strict keeps
        names that the mapping does not have, unless OpenSearch takes them for paths
    """
    strict = str(mapping.get("dynamic", "strict" if strict else "false")).lower() != "false"
    known = {
        name: _of(field, strict=strict)
        for name, field in mapping.get("properties", {}).items()
        if field.get("type") != "alias"
    }
    return ObjectFit(known, strict)


class ObjectFit:
    """A ``Fit`` of objects.

    It keeps the attributes whose exact names the mapping has, and of each the part that its field can hold. A name with
    dots is no name of a mapping: OpenSearch would merge it into the object of that path.

    :ivar known: what finds the part that a field can hold, by the field's name
    """

    def __init__(self, known: Mapping[str, Fit], strict: bool) -> None:
        self.known = known
        self._strict = strict

    def keeps(self, name: str) -> bool:
        """Return whether the object keeps an attribute that its mapping does not have."""
        return not (self._strict or not name.strip() or "." in name)

    def __call__(self, value: Any, path: str, dropped: Dropped) -> Any:
        """Return the part of an object that the mapping can hold."""
        if value is None:
            return None
        if isinstance(value, list):
            return _parts(self, value, path, dropped)
        if not isinstance(value, dict):
            return _refuse(path, dropped)
        held = {}
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if (field := self.known.get(name)) is not None:
                if (part := field(inner, below, dropped)) is not NOTHING:
                    held[name] = part
            elif self.keeps(name):
                held[name] = inner
            else:
                count(dropped, below)
        return held


class ScalarFit:
    """A ``Fit`` of values that are no objects.

    :param field: mapping of the field; each of its sub-fields must hold the value, too
    :ivar short: number of characters up to which every text fits and is not examined, because most values of the
        stream are such texts; below 0, every text is examined
    :ivar digits: number of digits before the point up to which every number fits; 0 when each must be examined
    :ivar fractions: whether such a number may have decimals
    :ivar flags: whether booleans fit
    """

    def __init__(self, field: Mapping[str, Any]) -> None:
        self._every = [field, *field.get("fields", {}).values()]
        self._longest = _longest(self._every)
        examined = any(one.get("type") in ("boolean", "scaled_float") for one in self._every)
        self.short = -1 if examined else _SHORT
        self.digits = min(field_types.safe_digits(one) for one in self._every)
        self._below = 10**self.digits if self.digits else 0
        self.fractions = not any(map(field_types.is_whole, self._every))
        self.flags = all(field_types.holds(one, True) for one in self._every)

    def __call__(self, value: Any, path: str, dropped: Dropped) -> Any:
        """Return the value, or the values of a list, that the field can hold."""
        if isinstance(value, str) and len(value) <= self.short:
            return value
        if value is None:
            return None
        if isinstance(value, list):
            return _parts(self, value, path, dropped)
        if type(value) is int and abs(value) < self._below:
            return value
        return value if self._holds(value) else _refuse(path, dropped)

    def _holds(self, value: Any) -> bool:
        return all(field_types.holds(field, value) for field in self._every) and not (
            isinstance(value, str) and any(_too_long(value, *limits) for limits in self._longest)
        )


def _parts(fit: Fit, values: list[Any], path: str, dropped: Dropped) -> list[Any]:
    """Return the parts that fit: every field takes lists, and lists in lists of any depth."""
    return [part for inner in values if (part := fit(inner, path, dropped)) is not NOTHING]


def _of(mapping: Mapping[str, Any], *, strict: bool) -> Fit:
    kind = mapping.get("type", "object")
    if kind in ("object", "nested"):
        return _as_it_is if mapping.get("enabled") in (False, "false") else object_of(mapping, strict=strict)
    if kind == "geo_point":
        return point
    if kind not in _SCALARS:
        raise BadMapping(
            f"what a field of the type {kind!r} takes of an item of DynamoDB is not known here; use another"
        )
    return ScalarFit(mapping)


def point(value: Any, path: str, dropped: Dropped) -> Any:
    """Return a point, or the points of a list: a list of numbers is one point, an empty list is no point."""
    if not isinstance(value, list) or (value and all(isinstance(part, int | float | Decimal) for part in value)):
        return value if field_types.holds(_PLACE, value) else _refuse(path, dropped)
    points = [part for part in value if field_types.holds(_PLACE, part)]
    if len(points) < len(value):
        count(dropped, path, len(value) - len(points))
    return points


def _as_it_is(value: Any, *_: Any) -> Any:
    return value


def _refuse(path: str, dropped: Dropped) -> Any:
    count(dropped, path)
    return NOTHING


def _longest(fields: list[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Return two limits for each field whose whole value is one term.

    They are the number of characters above which the value is not indexed, and the largest number of its bytes.
    """
    return [
        (int(field.get("ignore_above", 2**31)), _NORMALIZED_BYTES if "normalizer" in field else _TERM_BYTES)
        for field in fields
        if field.get("type") in ("keyword", "wildcard")
    ]


def _too_long(value: str, ignored_above: int, limit: int) -> bool:
    if len(value) <= limit // 4 or len(value.encode()) <= limit:
        return False
    return len(value.encode("utf-16-le")) // 2 <= ignored_above  # ignore_above counts the units of UTF-16
