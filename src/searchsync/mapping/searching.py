"""What a mapped field can do for people who search: which filter, facet or order it allows, and through which path."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from searchsync.mapping.field_types import Field, of_path

RESERVED = frozenset({"q", "near", "sort", "limit", "cursor", "fields", "facets", "highlight"})
"""Parameters of every search; no filter can have such a name."""

SORTS = ("relevance", "distance")
"""Sorts that are no field's."""

_PARAMETER = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Search:
    """What people may search for in the search API. Each is a field of the mapping.

    :ivar names: text fields with the main names
    :ivar other_names: text fields with names in other languages and the like
    :ivar words: text and keyword fields whose words narrow a search
    :ivar prominence: the number field that puts the greater one of equal names first
    :ivar near: the geo_point that distances are measured to
    :ivar filters: fields that a search can be narrowed by
    :ivar facets: fields whose values can be counted
    :ivar sorts: fields that hits can be sorted by
    :ivar shared: whether every tenant sees every document
    """

    names: tuple[str, ...]
    other_names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    prominence: str | None = None
    near: str | None = None
    filters: tuple[str, ...] = ()
    facets: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    shared: bool = False

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Search":
        """Return what the block ``search`` of an entity's file says."""
        flat = {name: value for name, value in {**described, **described["text"]}.items() if name != "text"}
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in flat.items()
        }
        return cls(**given)


class Kind(StrEnum):
    """How the values of a field are compared."""

    KEYWORD = "keyword"
    WHOLE = "whole number"
    DECIMAL = "decimal number"
    DATE = "date"
    BOOLEAN = "boolean"


_KINDS = {
    "keyword": Kind.KEYWORD,
    **dict.fromkeys(("long", "integer", "short", "byte"), Kind.WHOLE),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), Kind.DECIMAL),
    **dict.fromkeys(("date", "date_nanos"), Kind.DATE),
    "boolean": Kind.BOOLEAN,
}
_NUMBERS = (Kind.WHOLE, Kind.DECIMAL)


class Unfit(ValueError):
    """A field cannot do what the entity's file wants of it. The message says what it would have to be."""


@dataclass(frozen=True)
class Compared:
    """A field whose values can be compared as a whole.

    :ivar name: name of the field
    :ivar path: what a query names: the field, or the keyword below a text field
    """

    name: str
    path: str
    kind: Kind

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that filter by it: bounds of numbers and dates, else the field's own name."""
        bounded = self.kind in (*_NUMBERS, Kind.DATE)
        return (f"{self.name}_min", f"{self.name}_max") if bounded else (self.name,)


Properties = Mapping[str, Field]


def filtered(properties: Properties, name: str) -> Compared:
    """Return what a filter by a field compares. Raise ``Unfit`` if the field cannot be filtered by."""
    if not _PARAMETER.fullmatch(name):
        raise Unfit(
            "a parameter's name has letters, digits, underscores, hyphens and dots alone: map it by another name"
        )
    return _compared(properties, name, "index", tuple(Kind))


def faceted(properties: Properties, name: str) -> Compared:
    """Return what counts the values of a field. Raise ``Unfit`` if they cannot be counted."""
    if not _PARAMETER.fullmatch(name):
        raise Unfit("a facet's name has letters, digits, underscores, hyphens and dots alone: map it by another name")
    return _compared(properties, name, "doc_values", (Kind.KEYWORD, Kind.BOOLEAN))


def sorted_by(properties: Properties, name: str) -> Compared:
    """Return what orders documents by a field. Raise ``Unfit`` if nothing can."""
    if name in SORTS or not _PARAMETER.fullmatch(name):
        raise Unfit(f"a sort has letters, digits, underscores and dots alone, and is none of {', '.join(SORTS)}")
    return _compared(properties, name, "doc_values", (Kind.KEYWORD, *_NUMBERS, Kind.DATE))


def tie_breaker(properties: Properties, name: str) -> str:
    """Return the path of a field of the key, which orders documents that are equal otherwise.

    Raise ``Unfit`` if two keys could be equal in the index, or if the field has no order.
    """
    found = _compared(properties, name, "doc_values", (Kind.KEYWORD, Kind.WHOLE))
    if found.path != name or "normalizer" in _field(properties, name):
        raise Unfit("two keys could be equal in it: the key must be a keyword without normalizer, or a whole number")
    return found.path


def check_text(properties: Properties, name: str) -> None:
    """Raise ``Unfit`` if a field has no words to search for."""
    field = _field(properties, name)
    if field.get("type") != "text" or field.get("index") is False:
        raise Unfit(f"it must be text that is searched, not {_type(field)}")


def check_words(properties: Properties, name: str) -> None:
    """Raise ``Unfit`` if a field has neither words nor whole values to search for."""
    field = _field(properties, name)
    if field.get("type") not in ("text", "keyword") or field.get("index") is False:
        raise Unfit(f"it must be text or keyword that is searched, not {_type(field)}")


def check_prominence(properties: Properties, name: str) -> None:
    """Raise ``Unfit`` if a field holds no number that could put one of two equal names first."""
    _compared(properties, name, "doc_values", _NUMBERS)


def check_near(properties: Properties, name: str) -> None:
    """Raise ``Unfit`` if a field holds no places."""
    field = _field(properties, name)
    if field.get("type") != "geo_point" or field.get("index") is False or field.get("doc_values") is False:
        raise Unfit(f"it must be a geo_point that is searched, not {_type(field)}")


def problems(search: Mapping[str, Any], key: list[str], properties: Properties) -> Iterator[tuple[list[Any], str]]:
    """Yield what is wrong with the block ``search`` of an entity's file: the path in the file, and the problem.

    :param search: the block, as the schema allows it
    :param key: the entity's key
    :param properties: fields of the mapping
    """
    lists: list[tuple[list[Any], list[str], Callable[[Properties, str], Any]]] = [
        (["text", "names"], search["text"]["names"], check_text),
        (["text", "other_names"], search["text"].get("other_names", []), check_text),
        (["text", "words"], search["text"].get("words", []), check_words),
        (["filters"], search.get("filters", []), filtered),
        (["facets"], search.get("facets", []), faceted),
        (["sorts"], search.get("sorts", []), sorted_by),
    ]
    wanted = [([*path, at], name, check) for path, names, check in lists for at, name in enumerate(names)]
    wanted += [(["prominence"], search["prominence"], check_prominence)] if "prominence" in search else []
    wanted += [(["near"], search["near"], check_near)] if "near" in search else []
    for path, name, check in wanted:
        try:
            check(properties, name)
        except Unfit as error:
            yield path, f"{name}: {error}"
    for part in key:
        try:
            tie_breaker(properties, part)
        except Unfit as error:
            yield [], f"hits that are equal otherwise are ordered by the key, and {part} cannot do it: {error}"
    yield from _same_parameter(search.get("filters", []), properties)


def _same_parameter(filters: list[str], properties: Properties) -> Iterator[tuple[list[Any], str]]:
    taken = dict.fromkeys(RESERVED, "every search")
    for at, name in enumerate(filters):
        try:
            parameters = filtered(properties, name).parameters
        except Unfit:
            continue  # said already
        for parameter in parameters:
            if parameter in taken:
                yield ["filters", at], f"{name}: its parameter {parameter} is one of {taken[parameter]} already"
            taken[parameter] = name


def _compared(properties: Properties, name: str, needs: str, kinds: tuple[Kind, ...]) -> Compared:
    field = _field(properties, name)
    paths = {name: field} | {f"{name}.{below}": sub for below, sub in field.get("fields", {}).items()}
    for path, one in paths.items() if field.get("type") == "text" else [(name, field)]:
        kind = _KINDS.get(one.get("type", "object"))
        if kind in kinds and one.get(needs) is not False:
            return Compared(name, path, kind)
    wanted = " or ".join(["keyword (also below a text)" if kind is Kind.KEYWORD else kind for kind in kinds])
    lacks = f", and must not have {needs}: false" if field.get(needs) is False else ""
    raise Unfit(f"it must be {wanted}, not {_type(field)}{lacks}")


def _field(properties: Properties, name: str) -> Field:
    field = of_path(properties, name)
    if field is None or name.split(".", maxsplit=1)[0] == "sync":
        known = ", ".join(sorted(_leaves({one: of for one, of in properties.items() if one != "sync"})))
        raise Unfit(f"the mapping has no such field; its fields are {known}")
    parents = [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
    if any((of_path(properties, parent) or {}).get("type") == "nested" for parent in parents):
        raise Unfit("it is in nested objects, which a search for documents does not see")
    return field


def _leaves(properties: Properties, above: str = "") -> Iterator[str]:
    for name, field in properties.items():
        if "properties" in field:
            yield from _leaves(field["properties"], f"{above}{name}.")
        else:
            yield above + name


def _type(field: Field) -> str:
    return str(field.get("type", "object"))
