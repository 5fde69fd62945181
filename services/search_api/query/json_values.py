"""Values of a JSON document as the texts of parameters, so that both are read by the same rules."""

from collections.abc import Callable
from typing import Any

from search_api.query.searchable import Parameter
from search_api.query.values import refused
from searchsync.mapping.searching import Kind

Texts = list[str] | None


def texts(name: str, parameter: Parameter | None, value: Any) -> list[str]:
    """Return the texts of one name's value.

    :param parameter: the parameter that filters, if the name is of one
    :raises Problem: 400 when the value has another JSON type than the name's
    """
    kind = _OF_KIND[parameter.field.kind] if parameter else _OF_NAME.get(name, "a text")
    found = _READ[kind](value)
    if found is None:
        raise refused(name[:100], f"must be {kind}", "Send the value as this JSON type.")
    return found


def _text(value: Any) -> Texts:
    return [value] if isinstance(value, str) else None


def _list(value: Any) -> Texts:
    return value if isinstance(value, list) and value and all(isinstance(one, str) for one in value) else None


def _names(value: Any) -> Texts:
    return [",".join(value)] if _list(value) else None


def _truth(value: Any) -> Texts:
    return [str(value).lower()] if isinstance(value, bool) else None


def _number(value: Any) -> Texts:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return [str(value)] if value.bit_length() <= 1024 else None  # beyond what any field holds, and slow to print
    whole = value.is_integer() and abs(value) < 2**53  # 10.0 is a whole number in JSON
    return [str(int(value) if whole else value)]


def _near(value: Any) -> Texts:
    if not isinstance(value, dict) or value.keys() != {"lat", "lon", "km"}:
        return None
    parts = [_number(value[part]) for part in ("lat", "lon", "km")]
    return [",".join(part[0] for part in parts if part)] if all(parts) else None


_READ: dict[str, Callable[[Any], Texts]] = {
    "a text": _text,
    "a text or a list of texts": lambda value: _text(value) or _list(value),
    "a list of names": _names,
    "true or false": _truth,
    "a number": _number,
    "an object of the numbers lat, lon and km": _near,
}
_OF_NAME = {
    "fields": "a list of names",
    "facets": "a list of names",
    "highlight": "true or false",
    "limit": "a number",
    "near": "an object of the numbers lat, lon and km",
}
_OF_KIND = {
    Kind.KEYWORD: "a text or a list of texts",
    Kind.WHOLE: "a number",
    Kind.DECIMAL: "a number",
    Kind.DATE: "a text",
    Kind.BOOLEAN: "true or false",
}
