"""Which values a mapped field holds unchanged. OpenSearch changes others in silence: it cuts decimals, rounds, clamps.

A search then finds another value than the document shows. So a column is refused before a load if its field cannot hold
every value of its type. A number outside its field's range counts as no value of the field.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Field = Mapping[str, Any]

_BITS = {"byte": 7, "short": 15, "integer": 31, "long": 63}
"""Number of bits of an integer field, without the sign. OpenSearch cuts decimals off (``coerce``)."""

_DIGITS = {"half_float": 3, "float": 6, "double": 15}
"""Number of decimal digits that a field of this type keeps, whatever the number is."""

_LARGEST = {"half_float": Decimal(65_504), "float": Decimal(2) ** 128, "double": Decimal(2) ** 1024}

_EXACT = 2**53
"""Largest number up to which a double has every whole number. OpenSearch scales in a double."""

_WHOLE_TYPES = {"smallint": 15, "integer": 31, "bigint": 63}
_FLOATS = {"real": ("float", "double"), "double precision": ("double",)}
_TIMES = re.compile(r"date|timestamp(\(\d\))? with(out)? time zone")
_NUMERIC = re.compile(r"numeric(?:\((\d+),(-?\d+)\))?")
_JSON = ("json", "jsonb")
_OF_OBJECTS = (
    *("object", "nested", "flat_object", "geo_point", "geo_shape", "join", "percolator", "completion"),
    *("integer_range", "long_range", "float_range", "double_range", "date_range", "ip_range"),
)


def of_path(properties: Mapping[str, Field], path: str) -> Field | None:
    """Return the mapped field of a name, which may have dots; None when there is none."""
    field: Field = {"properties": properties}
    for part in path.split("."):
        if part not in field.get("properties", {}):
            return None
        field = field["properties"][part]
    return field


def why_not(field: Field, sql_type: str) -> str:
    """Return why a field cannot hold every value of an SQL type unchanged, and what to write instead.

    Return an empty text when it can.

    :param field: mapping of the field
    :param sql_type: type as ``format_type`` writes it; for an array, the type of its values counts
    """
    sql_type = sql_type.removesuffix("[]")
    if field.get("enabled") is False or (sql_type in _JSON and not is_scalar(field)):
        return ""
    return next((reason for one in _with_sub_fields(field) if (reason := _why_not(one, sql_type))), "")


def untold(properties: Mapping[str, Field], *, ignoring: bool, prefix: str = "") -> list[str]:
    """Return the paths of the fields whose malformed values OpenSearch would drop in silence.

    These fields are of a type that ``_ignored`` does not list.

    :param ignoring: whether ``ignore_malformed`` is true for all fields that do not say otherwise
    """
    found = []
    for name, field in properties.items():
        path = f"{prefix}{name}"
        if field.get("type") == "scaled_float" and field.get("ignore_malformed", ignoring) is not False:
            found.append(path)
        below = {**field.get("properties", {}), **field.get("fields", {})}
        found += untold(below, ignoring=ignoring, prefix=f"{path}.")
    return found


def why_no_tenant(properties: Mapping[str, Field], path: str) -> str:
    """Return why a filter by a field would not part the documents of tenants; empty when it does.

    :param path: name of the field; it may have dots
    """
    parents = [".".join(path.split(".")[:n]) for n in range(1, path.count(".") + 1)]
    field = of_path(properties, path)
    if field is None:
        return "the mapping has no such field"
    if any((of_path(properties, parent) or {}).get("type") == "nested" for parent in parents):
        return "it is in nested objects, which a filter of the document does not see"
    if field.get("type") != "keyword":
        return f"it must be a keyword, not {field.get('type', 'object')}"
    if field.get("index") is False:
        return "it is not searched (index is false)"
    if "normalizer" in field:
        return "its normalizer makes one tenant of two that are written differently"
    return "its null_value makes a tenant of what has none" if "null_value" in field else ""


def is_scalar(field: Field) -> bool:
    """Return whether a field takes no object. With ``ignore_malformed``, OpenSearch drops one there in silence."""
    return field.get("type", "object") not in _OF_OBJECTS


def holds(field: Field, value: Any) -> bool:
    """Return whether a field takes a value unchanged, or reports that it does not.

    If not, the field would change or drop the value in silence.

    :param field: mapping of the field
    :param value: value of a document; for a list, each of its values counts
    """
    if isinstance(value, list) and field.get("type") != "geo_point":  # a list of numbers may be one point
        return all(holds(field, one) for one in value)
    if isinstance(value, dict) and is_scalar(field):
        return False
    kind = field.get("type", "object")
    if kind == "boolean":
        return value is None or isinstance(value, bool) or value in ("true", "false")
    if kind == "geo_point":
        return _is_place(value)
    if kind == "scaled_float" and value is not None and not _is_number(value):
        return False
    return not _is_number(value) or _in_range(field, Decimal(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


_NUMBERS = (int, float, Decimal)


def _is_place(value: Any) -> bool:
    """Return whether a value is a point, a list of points or nothing, with its coordinates in their range.

    With ``ignore_malformed``, OpenSearch moves a latitude of 95 to 85 on the other side of the earth.
    """
    latitude: Any
    longitude: Any
    if isinstance(value, str):
        latitude, _, longitude = value.partition(",")
    elif isinstance(value, dict):
        latitude, longitude = value.get("lat"), value.get("lon")
    elif isinstance(value, list) and all(map(_is_number, value)):
        longitude, latitude, *_ = (*value, None, None)
    else:
        return value is None or (isinstance(value, list) and all(map(_is_place, value)))
    return _is_coordinate(latitude, 90) and _is_coordinate(longitude, 180)


def _is_coordinate(value: Any, most: int) -> bool:
    if type(value) is int or type(value) is float:
        return abs(value) <= most
    return _PLAIN.fullmatch(str(value)) is not None and abs(Decimal(str(value).strip())) <= most


_PLAIN = re.compile(r"\s*[+-]?\d{1,9}(\.\d*)?([eE][+-]?\d{1,3})?\s*", re.ASCII)


def is_whole(field: Field) -> bool:
    """Return whether a field holds whole numbers only."""
    kind = field.get("type", "object")
    return kind in _BITS or kind == "unsigned_long"


def safe_digits(field: Field) -> int:
    """Return a number of digits before the point up to which a field holds every number, negative ones, too.

    Return 0 when each number must be looked at. A field of whole numbers holds no decimals all the same.
    """
    kind = field.get("type", "object")
    if kind in ("boolean", "unsigned_long"):
        return 0
    if kind in _BITS:
        return len(str(2 ** _BITS[kind])) - 1
    if kind == "scaled_float":
        largest = Decimal(2**63) / Decimal(field["scaling_factor"])
    else:
        largest = _LARGEST.get(kind, Decimal(10) ** _SAFE_DIGITS)
    return max(0, min(largest.adjusted(), _SAFE_DIGITS))


_SAFE_DIGITS = 15
"""Largest result of ``safe_digits`` for a field that is not of whole numbers: more are rare."""


def _in_range(field: Field, value: Decimal) -> bool:
    kind = field.get("type", "object")
    if kind in _BITS:
        return value == value.to_integral_value() and -(2 ** _BITS[kind]) <= value < 2 ** _BITS[kind]
    if kind == "unsigned_long":
        return value == value.to_integral_value() and 0 <= value < 2**64
    if kind == "scaled_float":
        return abs(value * Decimal(field["scaling_factor"])) < 2**63
    return kind not in _LARGEST or abs(value) <= _LARGEST[kind]


def _with_sub_fields(field: Field) -> Iterator[Field]:
    yield field
    yield from field.get("fields", {}).values()


def _why_not(field: Field, sql_type: str) -> str:
    kind = str(field.get("type", "object"))
    reason = ""
    if sql_type in _JSON:
        reason = "an object in it would be dropped: cast the column to text, text[] or what it is"
    elif kind in _BITS or kind == "unsigned_long":
        reason = _of_whole(_BITS.get(kind, 64), sql_type)
    elif kind in _DIGITS:
        reason = _of_float(kind, sql_type)
    elif kind == "scaled_float":
        reason = _of_scaled(int(field["scaling_factor"]), sql_type)
    elif kind in ("date", "date_nanos"):
        reason = _of_date(str(field.get("format", "")), sql_type)
    elif kind == "boolean" and sql_type != "boolean":
        reason = "it takes an empty text for false: cast the column to boolean"
    elif kind in ("object", "nested"):
        reason = "it holds objects: make the column json (to_json, json_build_object)"
    return reason


def _of_whole(bits: int, sql_type: str) -> str:
    if sql_type in _WHOLE_TYPES:
        return "" if _WHOLE_TYPES[sql_type] <= bits else f"{sql_type} has larger numbers: map it as long"
    digits, decimals = _numeric(sql_type)
    if digits is not None and decimals <= 0 and 10**digits <= 2**bits:
        return ""
    return "it cuts decimals off, and has no larger numbers: cast the column to bigint, or map it as scaled_float"


def _of_float(kind: str, sql_type: str) -> str:
    if sql_type in _FLOATS:
        return "" if kind in _FLOATS[sql_type] else f"it rounds {sql_type}: map it as double"
    digits, _ = _numeric(sql_type)
    if sql_type == "smallint" and kind != "half_float":
        digits = _DIGITS[kind]
    if sql_type == "integer" and kind == "double":
        digits = _DIGITS[kind]
    if digits is not None and digits <= _DIGITS[kind]:
        return ""
    return (
        f"it has {_DIGITS[kind]} digits: cast the column to double precision and map it as double, so that the "
        "document shows what is searched; or map it as long, scaled_float or keyword"
    )


def _of_scaled(factor: int, sql_type: str) -> str:
    if sql_type in _WHOLE_TYPES and 2 ** _WHOLE_TYPES[sql_type] * factor <= _EXACT:
        return ""
    digits, decimals = _numeric(sql_type)
    if digits is not None and factor % 10 ** max(decimals, 0) == 0 and 10 ** (digits - decimals) * factor <= _EXACT:
        return ""
    places = len(str(factor)) - 1
    return (
        f"it rounds beyond its scaling_factor {factor} and takes every number above its range for the largest: cast "
        f"the column to numeric(p,{places}) with p up to {len(str(_EXACT)) - 1}, or raise the factor"
    )


def _of_date(format_: str, sql_type: str) -> str:
    epoch = format_ in ("epoch_second", "epoch_millis", "epoch_second||epoch_millis")
    if _TIMES.fullmatch(sql_type):
        return "its format takes numbers only: leave the format out" if epoch else ""
    if sql_type in _WHOLE_TYPES or _NUMERIC.fullmatch(sql_type):
        return (
            "" if epoch else "it takes a number of four digits for a year: give it the format epoch_second or _millis"
        )
    if sql_type in (*_FLOATS, "boolean"):
        return "cast the column to timestamptz (to_timestamp)"
    return ""  # a text may be a date; a text that is none is counted as malformed


def _numeric(sql_type: str) -> tuple[int | None, int]:
    """Return the digits and decimals of a ``numeric``; None and 0 for one without them, and for every other type."""
    found = _NUMERIC.fullmatch(sql_type)
    return (int(found[1]), int(found[2])) if found and found[1] else (None, 0)
