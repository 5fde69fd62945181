"""How items became documents in version 1 of the transform, step by step: what the one pass is compared with.

It decodes an item as a whole, fits the plain values to the mapping, and has ``json`` write them. It is slow, and shares
no step with the library: only the errors, the counts and the tables of field types.
"""

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from searchsync.catalog import BUCKETS, Entity
from searchsync.documents.dynamodb_values import BadItem
from searchsync.mapping import fitting
from searchsync.mapping.field_types import Field, is_scalar
from searchsync.mapping.fitting import Dropped
from searchsync.mapping.mapping_file import reserved

Item = dict[str, Any]
Fit = Callable[[Any, str, Dropped], Any]
NOTHING: Any = object()
LAST_SECOND = 9_223_372_036_854_775


def content_of(entity: Entity, fit: Fit, item: Any, dropped: Dropped | None = None) -> Item:
    known = {name: value for name, value in decode(item).items() if value is not None and value != ""}
    if taken := [name for name in known if name[:4] == "sync" and reserved(name)]:
        raise BadItem("invalid_attribute", f"the attribute name {taken[0]!r} is taken: 'sync' is the document's state")
    left_out: Dropped = {}
    if (ends := entity.expires) and ends in known:
        known[ends] = _expiry(item[ends], known[ends])
        if known[ends] is None:
            del known[ends]
            fitting.count(left_out, ends)
    shown: Item = fit(known, "", left_out)
    if left_out and entity.unmapped == "refuse":
        raise BadItem("unmapped", f"the mapping has no place for {', '.join(sorted(left_out))}")
    if dropped is not None:
        fitting.add(dropped, left_out)
    return shown


def decode(item: Any) -> Item:
    if not isinstance(item, dict):
        raise BadItem("malformed", f"an item must be an object, not {type(item).__name__}")
    return {name: _value(attribute) for name, attribute in item.items()}


def render(fields: Item) -> str:
    try:
        return _JSON.encode(fields)
    except TypeError:  # there is a Number in it: this is rare, so it may be slower
        return _text(fields)


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _hash(text: str) -> tuple[int, int]:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:])


def document_of(
    entity: Entity, fit: Fit, key: str, item: Any, *, position: str, written_at: str, dropped: Dropped
) -> tuple[bytes, bytes]:
    content = content_of(entity, fit, item, dropped)
    text = render(content)
    high, low = _hash(text)
    sync = (
        f'"position":"{position}","deleted":false,"written_at":"{written_at}",'
        f'"bucket":{zlib.crc32(_utf8(key)) % BUCKETS},"hash_high":{high},"hash_low":{low}'
    )
    source = f'{{"sync":{{{sync}}}{"," if content else ""}{text[1:]}'.encode()
    return json.dumps(key).encode(), source


def _expiry(attribute: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_SECOND:
        return value
    text = attribute.get("N", "")
    second = math.ceil(Decimal(text)) if text else LAST_SECOND + 1
    if abs(second) > LAST_SECOND:
        return None
    return value if _SECONDS.fullmatch(text) else second


_SECONDS = re.compile(r"-?\d+(\.\d{1,9})?", re.ASCII)


# -- values


def _value(attribute: Any) -> Any:
    if not isinstance(attribute, dict) or len(attribute) != 1:
        raise BadItem("malformed", f"an attribute must be an object with one type, not {_shown(attribute)}")
    ((kind, value),) = attribute.items()
    try:
        return _DECODERS[kind](value)
    except KeyError:
        raise BadItem("malformed", f"unknown attribute type {kind!r}") from None
    except (TypeError, ValueError, InvalidOperation) as error:
        raise BadItem("malformed", f"{_shown(value)} is no value of the type {kind}: {error}") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    if not value.isascii():
        _utf8(value)
    return value


class Number(Decimal):
    text: str


def _as_written(text: str) -> Number:
    number = Number(text)
    number.text = text
    return number


def _number(value: Any) -> int | float | Number:
    text = _string(value)
    if _WHOLE.fullmatch(text):
        return int(text)
    number = Decimal(text) if _NUMBER.fullmatch(text) else None
    if number is None or not -_EXPONENT <= number.adjusted() <= _EXPONENT:
        raise ValueError("not a number of DynamoDB")
    if not _JSON_NUMBER.fullmatch(text):  # +1, .5, 007: no table writes these, but an export made by hand may
        return _number(str(number))
    approximate = float(number)
    return approximate if repr(approximate) == text else _as_written(text)


_DIGITS = 38
_EXPONENT = 130


_WHOLE = re.compile(rf"-?[1-9]\d{{0,{_DIGITS - 1}}}|0", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def _text(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_text(value[name])}' for name in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return json.dumps(value)


def _binary(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    try:
        base64.b64decode(_string(value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None
    return str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _list_of(decoder: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def decode_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError("not a list")
        return [decoder(member) for member in value]

    return decode_list


def _set_of(decoder: Callable[[Any], Any], order: Callable[[Any], Any] | None = None) -> Callable[[Any], list[Any]]:
    decode_list = _list_of(decoder)
    return lambda value: sorted(decode_list(value), key=order)


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": lambda _: None,
    "L": _list_of(_value),
    "M": decode,
    "SS": _set_of(_string),
    "NS": _set_of(_number, lambda number: (Decimal(number), str(number))),
    "BS": _set_of(_binary),
}


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadItem("malformed", f"not Unicode text: {error.reason}") from None


def _shown(value: Any) -> str:
    return repr(value)[:100]


# -- what a field holds

_TERM_BYTES = 32_766


_NORMALIZED_BYTES = _TERM_BYTES * 2 // 3


_SHORT = _NORMALIZED_BYTES // 4


_PLACE = {"type": "geo_point"}


def object_of(mapping: Mapping[str, Any], *, strict: bool = True) -> Fit:
    strict = str(mapping.get("dynamic", "strict" if strict else "false")).lower() != "false"
    known = {
        name: _of(field, strict=strict)
        for name, field in mapping.get("properties", {}).items()
        if field.get("type") != "alias"
    }

    def fit(value: Any, path: str, dropped: Dropped) -> Any:
        if not isinstance(value, dict):
            return _refuse(path, dropped)
        held = {}
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if (field := known.get(name)) is not None:
                if (part := field(inner, below, dropped)) is not NOTHING:
                    held[name] = part
            elif strict or not name.strip() or "." in name:
                fitting.count(dropped, below)
            else:
                held[name] = inner
        return held

    return fit


def _of(mapping: Mapping[str, Any], *, strict: bool) -> Fit:
    kind = mapping.get("type", "object")
    if kind in ("object", "nested"):
        return _as_it_is if mapping.get("enabled") in (False, "false") else _each(object_of(mapping, strict=strict))
    if kind == "geo_point":
        return _point
    every = [mapping, *mapping.get("fields", {}).values()]
    longest = _longest(every)
    takes_text = not any(field.get("type") in ("boolean", "scaled_float") for field in every)

    def fit(value: Any, path: str, dropped: Dropped) -> Any:
        wrong = not all(holds(field, value) for field in every) or (
            isinstance(value, str) and any(_too_long(value, *limits) for limits in longest)
        )
        return _refuse(path, dropped) if wrong else value

    return _each(fit, short=_SHORT if takes_text else -1)


def _each(fit: Fit, *, short: int = -1) -> Fit:

    def fit_each(value: Any, path: str, dropped: Dropped) -> Any:
        if isinstance(value, str) and len(value) <= short:
            return value
        if value is None:
            return None
        if not isinstance(value, list):
            return fit(value, path, dropped)
        return [part for inner in value if (part := fit_each(inner, path, dropped)) is not NOTHING]

    return fit_each


def _point(value: Any, path: str, dropped: Dropped) -> Any:
    if not isinstance(value, list) or (value and all(isinstance(part, int | float | Decimal) for part in value)):
        return value if holds(_PLACE, value) else _refuse(path, dropped)
    points = [part for part in value if holds(_PLACE, part)]
    if len(points) < len(value):
        fitting.count(dropped, path, len(value) - len(points))
    return points


def _as_it_is(value: Any, *_: Any) -> Any:
    return value


def _refuse(path: str, dropped: Dropped) -> Any:
    fitting.count(dropped, path)
    return NOTHING


def _longest(fields: list[Mapping[str, Any]]) -> list[tuple[int, int]]:
    return [
        (int(field.get("ignore_above", 2**31)), _NORMALIZED_BYTES if "normalizer" in field else _TERM_BYTES)
        for field in fields
        if field.get("type") in ("keyword", "wildcard")
    ]


def _too_long(value: str, ignored_above: int, limit: int) -> bool:
    if len(value) <= limit // 4 or len(value.encode()) <= limit:
        return False
    return len(value.encode("utf-16-le")) // 2 <= ignored_above  # ignore_above counts the units of UTF-16


_BITS = {"byte": 7, "short": 15, "integer": 31, "long": 63}

_LARGEST = {"half_float": Decimal(65_504), "float": Decimal(2) ** 128, "double": Decimal(2) ** 1024}

_EXACT = 2**53


def holds(field: Field, value: Any) -> bool:
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
    return all(
        _PLAIN.fullmatch(str(one)) is not None and abs(Decimal(str(one).strip())) <= most
        for one, most in ((latitude, 90), (longitude, 180))
    )


_PLAIN = re.compile(r"\s*[+-]?\d{1,9}(\.\d*)?([eE][+-]?\d{1,3})?\s*", re.ASCII)


def _in_range(field: Field, value: Decimal) -> bool:
    kind = field.get("type", "object")
    if kind in _BITS:
        return value == value.to_integral_value() and -(2 ** _BITS[kind]) <= value < 2 ** _BITS[kind]
    if kind == "unsigned_long":
        return value == value.to_integral_value() and 0 <= value < 2**64
    if kind == "scaled_float":
        return abs(value * Decimal(field["scaling_factor"])) < 2**63
    return kind not in _LARGEST or abs(value) <= _LARGEST[kind]
