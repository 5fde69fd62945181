"""The ``_id`` of an item: a readable text of its key, which gives the key back. No two keys have the same one.

=====================  =========================================================  ===================================
key                    ``_id``                                                    example
=====================  =========================================================  ===================================
one string             the string itself                                          ``m-1``
one number             the number in its one form (below)                         ``42``, ``-0.5``, ``1.5e80``
one binary value       base64url without padding (RFC 4648, section 5)            ``AP-_``
partition and sort     both, with ``|`` between them                              ``ORDER#7|42``
=====================  =========================================================  ===================================

In a string of two parts ``~`` becomes ``~0`` and ``|`` becomes ``~1``, as JSON Pointer (RFC 6901) does with its
separator; numbers and base64url have neither. A number has no digits that say nothing (``1.10`` is ``1.1``, ``-0`` is
``0``). It is written in full from 0.0000001 on and below 1e38, else with an exponent. Which types the parts have is in
the entity's file, because a table never changes the type of its keys.
"""

import base64
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from searchsync.documents.dynamodb_values import BadItem, shown, utf8
from searchsync.documents.page import MAX_ID_BYTES

Attributes = dict[str, dict[str, str]]
"""The attributes of a key in DynamoDB's JSON, binary values as base64 text."""


@cache
def encoder(names: tuple[str, ...], types: tuple[str, ...]) -> Callable[[Any], str]:
    """Return what makes the ``_id`` from an item, or from the keys of an event.

    Binary values may be bytes or base64 text. It raises ``BadItem`` when there is no id that a document can have.

    :param names: the attributes of the key, the partition key first
    :param types: S, N or B for each of them
    """
    parts = [_part(name, kind) for name, kind in zip(names, types, strict=True)]
    first = parts[0]

    def id_of(attributes: Any) -> str:
        key = first(attributes) if len(parts) == 1 else "|".join([_escaped(part(attributes)) for part in parts])
        if len(key) > MAX_ID_BYTES or not key.isascii():
            _check_size(key)
        return key

    return id_of


@cache
def decoder(names: tuple[str, ...], types: tuple[str, ...]) -> Callable[[str], Attributes | None]:
    """Return what makes the key from an ``_id``. It returns None for an ``_id`` that no item can have.

    :param names: the attributes of the key, the partition key first
    :param types: S, N or B for each of them
    """
    parts = tuple(zip(names, types, strict=True))
    id_of = encoder(names, types)

    def key_of(key: str) -> Attributes | None:
        texts = [key] if len(parts) == 1 else [_unescaped(text) for text in key.split("|")]
        if len(texts) != len(parts):
            return None
        found = {name: {kind: _VALUES[kind](text)} for (name, kind), text in zip(parts, texts, strict=True)}
        try:
            return found if id_of(found) == key else None  # of all spellings, one alone is an id
        except BadItem:
            return None

    return key_of


def shown_key(names: tuple[str, ...], attributes: Any) -> str:
    """Return what stands where the key should be, for a message."""
    found = [attributes.get(name) if isinstance(attributes, Mapping) else None for name in names]
    return "|".join(str(next(iter(part.values()), "")) if isinstance(part, Mapping) else "" for part in found)[:1000]


def as_request(key: Any) -> Any:
    """Return a key as botocore's requests have it: binary values are bytes."""
    return {name: {"B": base64.b64decode(part["B"])} if "B" in part else part for name, part in key.items()}


def as_json(key: Any) -> Any:
    """Return a key of botocore's answers as JSON can hold it: binary values are base64 text."""
    return {
        name: {kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value}
        for name, part in key.items()
        for kind, value in part.items()
    }


def canonical(number: str) -> str:
    """Return the one form of a number of DynamoDB: equal numbers have equal texts.

    :raises ValueError: when it is none; a number has up to 38 digits, and is from 1E-130 to 9.9...E+125 away from 0
    """
    if _WHOLE(number):
        return number
    if not _NUMBER(number):
        raise ValueError("not a number")
    sign, digits, exponent = Decimal(number).as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    known = written.rstrip("0")
    if not known:
        return "0"
    power = int(exponent) + len(written) - len(known)
    first = power + len(known) - 1  # the power of ten of the first digit
    if len(known) > MAX_DIGITS or not -130 <= first <= 125:
        raise ValueError("not a number of DynamoDB")
    return ("-" if sign else "") + _written(known, power, first)


MAX_DIGITS = 38
"""Number of digits that DynamoDB keeps of a number."""

_WHOLE = re.compile(rf"-?[1-9][0-9]{{0,{MAX_DIGITS - 1}}}|0").fullmatch
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?").fullmatch


def _written(digits: str, power: int, first: int) -> str:
    if first >= MAX_DIGITS or first < -7:
        return f"{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{first}"
    if power >= 0:
        return digits + "0" * power
    return f"{digits[: first + 1]}.{digits[first + 1 :]}" if first >= 0 else f"0.{'0' * (-first - 1)}{digits}"


def _part(name: str, kind: str) -> Callable[[Any], str]:
    """Return what makes the text of one part of a key. It raises ``BadItem`` for another type, and for nothing."""
    text_of = _TEXTS[kind]

    def read(attributes: Any) -> str:
        try:
            ((found, value),) = attributes[name].items()
            text = text_of(value) if found == kind else None
        except (TypeError, ValueError, KeyError, AttributeError):  # base64's error is a ValueError
            text = None
        if text:
            return text
        attribute = attributes.get(name) if isinstance(attributes, Mapping) else None
        if text is None:
            raise BadItem("invalid_key", f"the key {name} must be {_NAMES[kind]}, not {shown(attribute)}")
        raise BadItem("invalid_id", f"the key {name} must not be empty")

    return read


def _check_size(key: str) -> None:
    if (size := len(utf8(key))) > MAX_ID_BYTES:
        raise BadItem("invalid_id", f"an _id must have 1 to {MAX_ID_BYTES} bytes, this has {size}")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _binary(value: Any) -> str:
    raw = value if isinstance(value, bytes) else base64.b64decode(_string(value), validate=True)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _base64(text: str) -> str:
    """Return base64 with padding of what should be base64url without."""
    return text.translate(_OF_URL) + "=" * (-len(text) % 4)


_OF_URL = str.maketrans("-_", "+/")
_NAMES = {"S": "a string", "N": "a number", "B": "binary"}
_TEXTS: dict[str, Callable[[Any], str]] = {
    "S": _string,
    "N": lambda value: canonical(_string(value)),
    "B": _binary,
}
_VALUES: dict[str, Callable[[str], str]] = {"S": str, "N": str, "B": _base64}


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("|", "~1") if "~" in text or "|" in text else text


def _unescaped(text: str) -> str:
    return text.replace("~1", "|").replace("~0", "~")
