"""Values of DynamoDB's typed JSON as an entity's own Python file gets them, and what it returns as typed JSON again.

=============  ===============================================
type           value
=============  ===============================================
S              str
N              int for a whole number, else Decimal
B              bytes
BOOL, NULL     bool, None
SS, NS, BS     set of str, of int and Decimal, of bytes
L, M           list, dict
=============  ===============================================

A returned value may also be a float, a tuple or a frozenset.
"""

import base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from searchsync.documents.dynamodb_values import BadItem, decode_value, typed, utf8

MOST_LEVELS = 32
"""Number of levels of an item; DynamoDB takes no more. A value that contains itself has more, too."""


_SAFE = 10**38
"""Every whole number below it is one of DynamoDB's."""


def plain_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an item as plain values, which are nobody else's.

    :param item: DynamoDB's JSON
    :raises BadItem: when it is not
    """
    return {name: _plain(*typed(attribute)) for name, attribute in item.items()}


def _plain(kind: str, value: Any) -> Any:
    if kind == "S" and type(value) is str and value.isascii():
        return value
    if kind == "L" and isinstance(value, list):
        return [_plain(*typed(member)) for member in value]
    if kind == "M" and isinstance(value, dict):
        return plain_item(value)
    decoded = decode_value(kind, value)  # it raises for what is no value of its type
    make = _PLAIN.get(kind)
    return decoded if make is None else make(decoded, value)


def _exact(text: str) -> int | Decimal:
    number = decode_value("N", text)
    return number if type(number) is int else Decimal(text)


_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "N": lambda _, text: _exact(text),
    "B": lambda base64_text, _: base64.b64decode(base64_text),
    "SS": lambda texts, _: set(texts),
    "NS": lambda _, texts: set(map(_exact, texts)),
    "BS": lambda base64_texts, _: set(map(base64.b64decode, base64_texts)),
}


def typed_item(values: Any) -> dict[str, Any]:
    """Return plain values as an item in DynamoDB's JSON.

    :raises BadItem: when it is no dict, or has a value that no document can have. The message has names, and no values
    """
    if type(values) is not dict:
        raise BadItem("transform", f"it returned {type(values).__name__}, not dict")
    found: dict[str, Any] = _map(values, "", 1)
    return found


def typed_value(value: Any, path: str, level: int = 2) -> dict[str, Any]:
    """Return a plain value as an attribute in DynamoDB's JSON.

    :param path: the names that lead to it, for the message
    :raises BadItem: when no document can have it
    """
    make = _ATTRIBUTES.get(type(value))
    if make is None:
        raise _unfit(path, f"is of the type {type(value).__name__}, which no document has")
    if level > MOST_LEVELS:
        raise _unfit(path, f"is more than {MOST_LEVELS} levels deep")
    return make(value, path, level)


def _unfit(path: str, why: str) -> BadItem:
    return BadItem("transform", f"{path[:200]} {why}")


def _map(values: Mapping[Any, Any], path: str, level: int) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        if type(name) is not str:
            raise _unfit(path or "the item", f"has a name of the type {type(name).__name__}, not str")
        below = f"{path}.{name}" if path else name
        found[_text(name, "a name")] = typed_value(value, below, level + 1)
    return found


def _text(value: str, path: str) -> str:
    if value.isascii():
        return value
    try:
        utf8(value)
    except BadItem as error:
        raise _unfit(path, f"is {error}") from None
    return value


def _number(value: Any, path: str) -> str:
    if type(value) is int and abs(value) < _SAFE:
        return str(value)
    try:
        text = repr(value) if type(value) is float else str(value)
        decode_value("N", text)
    except (BadItem, ValueError):  # infinity, more than 130 digits
        raise _unfit(path, "is a number that no document has") from None
    return text


def _base64(value: bytes, _: str = "") -> str:
    return base64.b64encode(value).decode()


def _list(values: Any, path: str, level: int) -> dict[str, Any]:
    return {"L": [typed_value(value, path, level + 1) for value in values]}


_OF_SETS: dict[type, tuple[str, Callable[[Any, str], str]]] = {
    str: ("SS", _text),
    int: ("NS", _number),
    float: ("NS", _number),
    Decimal: ("NS", _number),
    bytes: ("BS", _base64),
}


def _set(values: Any, path: str, _: int) -> dict[str, Any]:
    kinds = {_OF_SETS.get(type(value)) for value in values}
    names = {kind[0] for kind in kinds if kind}
    if None in kinds or len(names) > 1:
        raise _unfit(path, "is a set of other values than only texts, only numbers or only bytes")
    return {names.pop(): [_OF_SETS[type(value)][1](value, path) for value in values]} if names else {"L": []}


_ATTRIBUTES: dict[type, Callable[[Any, str, int], dict[str, Any]]] = {
    str: lambda value, path, _: {"S": _text(value, path)},
    int: lambda value, path, _: {"N": _number(value, path)},
    float: lambda value, path, _: {"N": _number(value, path)},
    Decimal: lambda value, path, _: {"N": _number(value, path)},
    bool: lambda value, *_: {"BOOL": value},
    type(None): lambda *_: {"NULL": True},
    bytes: lambda value, *_: {"B": _base64(value)},
    dict: lambda value, path, level: {"M": _map(value, path, level)},
    list: _list,
    tuple: _list,
    set: _set,
    frozenset: _set,
}
