"""How DynamoDB items become documents: decoding, hash and text. Stream, scan, replay and comparison all use it.

Items come in DynamoDB's typed JSON, ``{"member_id": {"S": "m-1"}, ...}``. Stream events, queue messages and exports
have binary values as base64 text; the API's client returns them as bytes. boto3's own deserializer fails on base64 text
and on numbers of more than 38 digits.
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

from searchsync.catalog import BUCKETS, Entity, reserved
from searchsync.documents.page import MAX_ID_BYTES, Document, tombstone
from searchsync.errors import SearchSyncError
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped

TRANSFORM = 1
"""Version of the documents that this module makes (``documents.transforms``). Whoever changes them must raise it."""

Item = dict[str, Any]

LAST_SECOND = 9_223_372_036_854_775
"""Last second, since the epoch, that OpenSearch has a date for: it keeps milliseconds in 64 bits."""


class BadItem(SearchSyncError):
    """No document can be made of this item, or of what should be an item (poison).

    :ivar type: one word for the reason, used to count
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.type = kind


def content_of(entity: Entity, item: Any, dropped: Dropped | None = None) -> Item:
    """Return the fields of an item's document, without ``sync``. This is the transformation.

    NULL and "" are left out: applications write them where they know nothing, and an index then has no field (also, ""
    is no date). Attributes and values that the entity's mapping has no place for are left out, too
    (``mapping.fitting``), and so is a time to live at which nothing ever expires.

    :param item: DynamoDB's JSON
    :param dropped: counts what was left out because of the mapping
    :raises BadItem: when no document can be made of the item, or the entity refuses to leave anything out
    """
    known = {name: value for name, value in decode(item).items() if value is not None and value != ""}
    if taken := [name for name in known if name[:4] == "sync" and reserved(name)]:
        raise BadItem("invalid_attribute", f"the attribute name {taken[0]!r} is taken: 'sync' is the document's state")
    left_out: Dropped = {}
    if (ends := entity.expires) and ends in known:
        known[ends] = _expiry(item[ends], known[ends])
        if known[ends] is None:
            del known[ends]
            fitting.count(left_out, ends)
    shown: Item = entity.fits(known, "", left_out)
    if left_out and entity.unmapped == "refuse":
        raise BadItem("unmapped", f"the mapping has no place for {', '.join(sorted(left_out))}")
    if dropped is not None:
        fitting.add(dropped, left_out)
    return shown


def decode(item: Any) -> Item:
    """Return the attributes of an item as plain values.

    A number becomes an int, a float or a ``Number``: the first of them that Python writes as the table does. A set
    becomes a sorted list, and a binary value base64 text.

    :raises BadItem: when the item is not DynamoDB's JSON
    """
    if not isinstance(item, dict):
        raise BadItem("malformed", f"an item must be an object, not {type(item).__name__}")
    return {name: _value(attribute) for name, attribute in item.items()}


def key_of(entity: Entity, keys: Any) -> str:
    """Return the document id, from an item or from the keys of an event.

    :raises BadItem: when there is no id that a document can have
    """
    (name,) = entity.key
    attribute = keys.get(name) if isinstance(keys, Mapping) else None
    key = attribute.get("S") if isinstance(attribute, Mapping) and len(attribute) == 1 else None
    if not isinstance(key, str):
        raise BadItem("invalid_key", f"the key {name} must be a string, not {_shown(attribute)}")
    if not 1 <= len(_utf8(key)) <= MAX_ID_BYTES:
        raise BadItem("invalid_id", f"an _id must have 1 to {MAX_ID_BYTES} bytes, this has {len(_utf8(key))}")
    return key


def bucket_of(key: str) -> int:
    """Return the bucket in which comparisons count a document."""
    return zlib.crc32(_utf8(key)) % BUCKETS


def render(fields: Item) -> str:
    """Return the document's text, the same on every path: names in order, each number as the table writes it."""
    try:
        return _JSON.encode(fields)
    except TypeError:  # there is a Number in it: this is rare, so it may be slower
        return _text(fields)


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def hash_of(item: Item) -> tuple[int, int]:
    """Return both 32-bit halves of a hash over a document's fields, as they are stored."""
    return _hash(render(item))


def _hash(text: str) -> tuple[int, int]:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:])


def document_of(
    entity: Entity, key: str, item: Any, *, position: str, written_at: str, dropped: Dropped | None = None
) -> Document:
    """Return the document of an item.

    :param item: DynamoDB's JSON
    :param dropped: counts what was left out of the document
    :raises BadItem: as ``content_of`` does
    """
    content = content_of(entity, item, dropped)
    text = render(content)
    high, low = _hash(text)
    sync = (  # a position or a time has no character that JSON would escape
        f'"position":"{position}","deleted":false,"written_at":"{written_at}","bucket":{bucket_of(key)},'
        f'"hash_high":{high},"hash_low":{low}'
    )
    source = f'{{"sync":{{{sync}}}{"," if content else ""}{text[1:]}'.encode()
    return Document(json.dumps(key).encode(), source, position, deleted=False)


def tombstone_of(key: str, *, position: str, written_at: str) -> Document:
    """Return the tombstone of an item that does not exist."""
    return tombstone(key, position=position, bucket=bucket_of(key), written_at=written_at)


def _expiry(attribute: Mapping[str, Any], value: Any) -> Any:
    """Return when DynamoDB lets an item expire, in seconds since the epoch, so that index and comparison agree.

    Return None when the item never expires. This has two causes: DynamoDB ignores everything that is not a number,
    whatever it looks like
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html), and a
    number beyond the dates of OpenSearch is 292 million years away. Every other number stays as it is written, if
    OpenSearch accepts it as a date; one with an exponent or more than nine decimals is rounded up.
    """
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
    """A number that Python would write in another way than the table does, such as 1.10, -0 or 38 digits.

    :ivar text: the number as the table writes it
    """

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
"""Largest exponent of a number. DynamoDB's are between 1E-130 and 9.9E+125; no document needs millions of digits."""

_WHOLE = re.compile(rf"-?[1-9]\d{{0,{_DIGITS - 1}}}|0", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def _text(value: Any) -> str:
    """Return the JSON text that ``render`` makes, with each ``Number`` as the table writes it."""
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
