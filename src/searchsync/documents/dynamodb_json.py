"""From DynamoDB's typed JSON to a document's text in one pass: decoded, fitted to the mapping and written at once.

Most values of a table are short texts, plain numbers and booleans. Their text in the document is known at a look, so no
plain value is made of them. Every other value takes the long way: decoded (``dynamodb_values``), fitted
(``mapping.fitting``), written. Both ways give the same text; tests compare them over random items.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from searchsync.documents.dynamodb_expiry import expiry
from searchsync.documents.dynamodb_values import BadItem, decode_value, quote, render, typed, utf8
from searchsync.mapping import fitting
from searchsync.mapping.fitting import NOTHING, Dropped, Fit, ObjectFit, ScalarFit
from searchsync.mapping.mapping_file import reserved

Render = Callable[[str, Any, Dropped], str | None]
"""Called with a type, what stands under it, and the counts. It returns the text of what a field can hold.

It returns None when the field can hold no part of the value, and counts what is left out under the field's path.
"""

_Fields = dict[str, tuple[str, Render]]
"""For each name of a mapping, the name as it stands in a document, and what writes its value."""


@cache
def renderer(fit: ObjectFit, expires: str | None) -> Callable[[dict[str, Any], Dropped], str]:
    """Return what writes the fields of an item's document, without ``sync``: names in order.

    :param fit: what the entity's index can hold
    :param expires: the field with the second at which an item expires
    """
    fields = {name: field for name, field in _fields_of(fit, "").items() if not reserved(name)}
    if expires in fields:
        fields[expires] = (fields[expires][0], _expiring(fit.known[expires], expires))

    def render_item(item: dict[str, Any], dropped: Dropped) -> str:
        parts: dict[str, str] = {}
        taken = ""
        for name, attribute in item.items():
            try:
                ((kind, value),) = attribute.items()
            except (AttributeError, ValueError):
                kind, value = typed(attribute)
            if (kind == "NULL" or not value) and _is_nothing(kind, value):
                continue
            if (field := fields.get(name)) is not None:
                if (text := field[1](kind, value, dropped)) is not None:
                    parts[name] = field[0] + text
            elif name[:4] == "sync" and reserved(name):
                decode_value(kind, value)
                taken = taken or name
            elif (text := _unmapped(fit, name, kind, value, name, dropped)) is not None:
                parts[name] = text
        if taken:
            raise BadItem("invalid_attribute", f"the attribute name {taken!r} is taken: 'sync' is the document's state")
        return _joined(parts)

    return render_item


def _is_nothing(kind: str, value: Any) -> bool:
    """Return whether an attribute says that nothing is known: NULL, or empty."""
    return kind == "NULL" or (kind == "S" and value == "") or (kind == "B" and value in ("", b""))


def _joined(parts: dict[str, str]) -> str:
    return f"{{{','.join([parts[name] for name in sorted(parts)])}}}"


def _unmapped(fit: ObjectFit, name: str, kind: str, value: Any, path: str, dropped: Dropped) -> str | None:
    """Return the text of an attribute that the mapping does not have, where the object keeps it; else count it."""
    if fit.keeps(name):
        return f"{quote(name)}:{render(decode_value(kind, value))}"
    if not (kind == "S" and type(value) is str and value.isascii()):
        decode_value(kind, value)  # what is no value of its type is poison, wherever it stands
    fitting.count(dropped, path)
    return None


def _fields_of(fit: ObjectFit, above: str) -> _Fields:
    return {name: (f"{quote(name)}:", _render_of(inner, above + name)) for name, inner in fit.known.items()}


def _render_of(fit: Fit, path: str) -> Render:
    if isinstance(fit, ObjectFit):
        return _object(fit, path)
    if isinstance(fit, ScalarFit):
        return _scalar(fit, path)
    return _place(path) if fit is fitting.point else _long_way(fit, path)


def _long_way(fit: Fit, path: str) -> Render:
    def render_any(kind: str, value: Any, dropped: Dropped) -> str | None:
        part = fit(decode_value(kind, value), path, dropped)
        return None if part is NOTHING else render(part)

    return render_any


def _scalar(fit: ScalarFit, path: str) -> Render:
    short, flags, is_plain, long_way = fit.short, fit.flags, _plain(fit), _long_way(fit, path)

    def render_scalar(kind: str, value: Any, dropped: Dropped) -> str | None:
        if kind == "S":
            if type(value) is str and len(value) <= short:
                if not value.isascii():
                    utf8(value)
                return quote(value)
        elif kind == "N":
            if type(value) is str and is_plain(value):
                return value
        elif kind == "BOOL":
            if flags and type(value) is bool:
                return "true" if value else "false"
        elif kind == "L" and type(value) is list:
            return _list(render_scalar, value, dropped)
        elif kind == "SS":
            texts = decode_value(kind, value)
            if max(map(len, texts), default=0) <= short:
                return f"[{','.join(map(quote, texts))}]"
        return long_way(kind, value, dropped)

    return render_scalar


def _plain(fit: ScalarFit) -> Callable[[str], Any]:
    """Return what recognises numbers that the field takes without a look, and that stand so in a document."""
    if not fit.digits:
        return lambda _: False
    whole = rf"[1-9]\d{{0,{fit.digits - 1}}}"
    form = rf"-?(?:0|{whole})(?:\.\d{{1,15}})?" if fit.fractions else rf"-?{whole}|0"
    return re.compile(form, re.ASCII).fullmatch


def _object(fit: ObjectFit, path: str) -> Render:
    above = f"{path}."
    fields, long_way = _fields_of(fit, above), _long_way(fit, path)

    def render_object(kind: str, value: Any, dropped: Dropped) -> str | None:
        if kind == "L" and type(value) is list:
            return _list(render_object, value, dropped)
        if kind != "M" or type(value) is not dict:
            return long_way(kind, value, dropped)
        parts: dict[str, str] = {}
        for name, attribute in value.items():
            try:
                ((kind, inner),) = attribute.items()
            except (AttributeError, ValueError):
                kind, inner = typed(attribute)
            if (field := fields.get(name)) is not None:
                if (text := field[1](kind, inner, dropped)) is not None:
                    parts[name] = field[0] + text
            elif (text := _unmapped(fit, name, kind, inner, above + name, dropped)) is not None:
                parts[name] = text
        return _joined(parts)

    return render_object


def _list(render_one: Render, value: list[Any], dropped: Dropped) -> str:
    texts = []
    for member in value:
        try:
            ((kind, inner),) = member.items()
        except (AttributeError, ValueError):
            kind, inner = typed(member)
        if (text := render_one(kind, inner, dropped)) is not None:
            texts.append(text)
    return f"[{','.join(texts)}]"


def _place(path: str) -> Render:
    """Return what writes a point, which mostly is an object of two plain numbers."""
    long_way = _long_way(fitting.point, path)

    def render_place(kind: str, value: Any, dropped: Dropped) -> str | None:
        if kind == "M" and type(value) is dict and len(value) == 2:
            latitude, longitude = _number_in(value.get("lat")), _number_in(value.get("lon"))
            if _LATITUDE(latitude) and _LONGITUDE(longitude):
                return f'{{"lat":{latitude},"lon":{longitude}}}'
        return long_way(kind, value, dropped)

    return render_place


def _number_in(attribute: Any) -> str:
    """Return the text of a number; an empty text for any other attribute."""
    text = attribute.get("N") if type(attribute) is dict and len(attribute) == 1 else None
    return text if type(text) is str else ""


_LATITUDE = re.compile(r"-?[1-8]?[0-9](?:\.[0-9]{1,15})?").fullmatch
_LONGITUDE = re.compile(r"-?(?:[1-9]?[0-9]|1[0-7][0-9])(?:\.[0-9]{1,15})?").fullmatch
"""Recognise plain degrees below 90 and below 180, so that nothing has to be compared."""


def _expiring(fit: Fit, path: str) -> Render:
    """Return what writes the second at which an item expires: only when DynamoDB would honour it."""

    def render_expiry(kind: str, value: Any, dropped: Dropped) -> str | None:
        second = expiry(kind, value)
        if second is None:
            fitting.count(dropped, path)
            return None
        part = fit(second, path, dropped)
        return None if part is NOTHING else render(part)

    return render_expiry
