"""DynamoDB items to documents: decoding, hash and rendering, the same for stream, scan, replay and comparison.

Items come in DynamoDB's typed JSON, ``{"member_id": {"S": "m-1"}, ...}``: from stream events, queue messages and
exports with binary values as base64 text, from the API's client as bytes. boto3's own deserializer fails on the one
and on numbers of more than 38 digits.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from searchsync.entities import BUCKETS, Entity
from searchsync.envelope import MAX_ID_BYTES, Line, tombstone
from searchsync.errors import SearchSyncError

Item = dict[str, Any]


class BadItem(SearchSyncError):
    """An item, or what is said to be one, that no document can be made of (poison).

    :ivar type: a word for the reason, for counting
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.type = kind


def document(item: Item) -> Item:
    """The transformation: what is searched of an item.

    Applications write NULL and "" where they know nothing; an index has a field or has it not (and "" is no date).
    """
    return {name: value for name, value in item.items() if value is not None and value != ""}


def decode(item: Any) -> Item:
    """The attributes of an item as plain values.

    Numbers become int below 2^63, float where that is exact, else text; sets become sorted lists; binary values base64
    text.

    :raises BadItem: when this is not DynamoDB's JSON
    """
    if not isinstance(item, Mapping):
        raise BadItem("malformed", f"an item must be an object, not {type(item).__name__}")
    return {name: _value(attribute) for name, attribute in item.items()}


def key_of(entity: Entity, keys: Any) -> str:
    """The document id, from an item or from the keys of an event.

    :raises BadItem: when there is none that a document can have
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
    """The bucket that comparisons count a document in."""
    return zlib.crc32(_utf8(key)) % BUCKETS


def hash_of(item: Item) -> tuple[int, int]:
    """Both 32-bit halves of a hash over all attributes of a decoded item, whatever the document takes of them."""
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:])


def live(key: str, item: Item, *, position: str, written_at: str) -> Line:
    """The document of a decoded item."""
    high, low = hash_of(item)
    sync = {
        "position": position,
        "deleted": False,
        "written_at": written_at,
        "bucket": bucket_of(key),
        "hash_high": high,
        "hash_low": low,
    }
    fields = document(item)
    if "sync" in fields:
        raise BadItem("invalid_attribute", "the attribute name 'sync' is taken by the document's own state")
    return Line(json.dumps(key).encode(), json.dumps({"sync": sync, **fields}, separators=(",", ":")).encode())


def gone(key: str, *, position: str, written_at: str) -> Line:
    """The tombstone of an item that is not there."""
    return tombstone(key, position=position, bucket=bucket_of(key), written_at=written_at)


# -- values


def _value(attribute: Any) -> Any:
    if not isinstance(attribute, Mapping) or len(attribute) != 1:
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
    _utf8(value)
    return value


def _number(value: Any) -> int | float | str:
    text = _string(value)
    if len(text) < 19 and text.isdecimal() and text.isascii():
        return int(text)
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError("not finite")
    if number.adjusted() < 19 and number == (whole := int(number)) and -(2**63) <= whole < 2**63:
        return whole
    approximate = float(number)
    return approximate if abs(approximate) != float("inf") and Decimal(repr(approximate)) == number else text


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
    "NS": _set_of(_number, lambda number: (Decimal(str(number)), str(number))),
    "BS": _set_of(_binary),
}


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadItem("malformed", f"not Unicode text: {error.reason}") from None


def _shown(value: Any) -> str:
    return repr(value)[:100]
