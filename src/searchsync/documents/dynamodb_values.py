"""Values of DynamoDB's typed JSON as plain values, and plain values as a document's text.

Stream events, queue messages, exports and scans have binary values as base64 text; boto3's client returns them as
bytes. boto3's own deserializer fails on base64 text and on numbers of more than 38 digits.
"""

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring_ascii
from typing import Any

from searchsync.errors import SearchSyncError

quote: Callable[[str], str] = encode_basestring_ascii
"""Return a text as ``json.dumps`` writes it. A lone surrogate is written, too: test with ``utf8`` before."""


class BadItem(SearchSyncError):
    """No document can be made of this item, or of what should be an item (poison).

    :ivar type: one word for the reason, used to count
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.type = kind


def decode(item: Any) -> dict[str, Any]:
    """Return the attributes of an item as plain values.

    A number becomes an int, a float or a ``Number``: the first of them that Python writes as the table does. A set
    becomes a sorted list, and a binary value base64 text.

    :raises BadItem: when the item is not DynamoDB's JSON
    """
    check_item(item)
    return {name: decode_value(*typed(attribute)) for name, attribute in item.items()}


def check_item(item: Any) -> None:
    """Refuse what is no object.

    :raises BadItem: when the item is none
    """
    if not isinstance(item, dict):
        raise BadItem("malformed", f"an item must be an object, not {type(item).__name__}")


def typed(attribute: Any) -> tuple[str, Any]:
    """Return the type of an attribute, and what stands under it.

    :raises BadItem: when it does not have exactly one type
    """
    if not isinstance(attribute, dict) or len(attribute) != 1:
        raise BadItem("malformed", f"an attribute must be an object with one type, not {shown(attribute)}")
    ((kind, value),) = attribute.items()
    return kind, value


def decode_value(kind: str, value: Any) -> Any:
    """Return the plain value of what stands under a type.

    :raises BadItem: when the type is unknown, or this is no value of it
    """
    try:
        return _DECODERS[kind](value)
    except KeyError:
        raise BadItem("malformed", f"unknown attribute type {kind!r}") from None
    except (TypeError, ValueError, InvalidOperation) as error:
        raise BadItem("malformed", f"{shown(value)} is no value of the type {kind}: {error}") from None


def render(value: Any) -> str:
    """Return the text of a plain value, the same on every path: names in order, each number as the table writes it."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return f"{{{','.join([f'{quote(name)}:{render(value[name])}' for name in sorted(value)])}}}"
    if isinstance(value, list):
        return f"[{','.join(map(render, value))}]"
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return repr(value)  # an int or a finite float, as JSON writes it


_WORDS = {None: "null", True: "true", False: "false"}


class Number(Decimal):
    """A number that Python would write in another way than the table does, such as 1.10, -0 or 38 digits.

    :ivar text: the number as the table writes it
    """

    text: str


def utf8(text: str) -> bytes:
    """Return the bytes of a text.

    :raises BadItem: when it has a lone surrogate
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadItem("malformed", f"not Unicode text: {error.reason}") from None


def shown(value: Any) -> str:
    """Return the beginning of a value, for a message."""
    return repr(value)[:100]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    if not value.isascii():
        utf8(value)
    return value


def _as_written(text: str) -> Number:
    number = Number(text)
    number.text = text
    return number


def _number(value: Any) -> int | float | Number:
    text = _string(value)
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return _float(text)
    number = Decimal(text) if _NUMBER.fullmatch(text) else None
    if number is None or not -_EXPONENT <= number.adjusted() <= _EXPONENT:
        raise ValueError("not a number of DynamoDB")
    if not _JSON_NUMBER.fullmatch(text):  # +1, .5, 007: no table writes these, but an export made by hand may
        return _number(str(number))
    return _float(text)


def _float(text: str) -> float | Number:
    approximate = float(text)
    return approximate if repr(approximate) == text else _as_written(text)


_DIGITS = 38
_EXPONENT = 130
"""Largest exponent of a number. DynamoDB's are between 1E-130 and 9.9E+125; no document needs millions of digits."""

_WHOLE = re.compile(rf"-?[1-9]\d{{0,{_DIGITS - 1}}}|0", re.ASCII)
_DECIMAL = re.compile(rf"-?(0|[1-9]\d{{0,{_DIGITS - 1}}})\.\d{{1,{_DIGITS}}}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


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


def _set_of(decoder: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    decode_list = _list_of(decoder)
    return lambda value: sorted(decode_list(value))


def _number_set(value: Any) -> list[Any]:
    numbers = _NUMBERS(value)
    if all(type(number) is int for number in numbers):
        return sorted(numbers)
    return sorted(numbers, key=lambda number: (Decimal(number), str(number)))


_NUMBERS = _list_of(_number)
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": lambda _: None,
    "L": _list_of(lambda member: decode_value(*typed(member))),
    "M": decode,
    "SS": _set_of(_string),
    "NS": _number_set,
    "BS": _set_of(_binary),
}
