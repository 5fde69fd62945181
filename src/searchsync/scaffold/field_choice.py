"""Which field a column of PostgreSQL gets, and what the SQL file has to make of the column first.

A domain counts as its base type, and an array as its elements: every field takes lists.

===================================  =============================  =================================================
column                               field                          reason, and what the SQL does
===================================  =============================  =================================================
smallint, integer, bigint, oid       long                           a column that grows to bigint needs no reindex
numeric(p,s), p up to 15, s > 0      scaled_float, factor 10^s      exact: a double has 15 digits
numeric(p,0), p up to 18             long                           exact
any other numeric, money             double                         cast to double precision, so that the document
                                                                    shows what is searched; beyond 15 digits it rounds
real, double precision               float, double                  the same bits
boolean                              boolean
date, timestamp, timestamptz         date                           a time without a zone is taken for UTC
time, interval                       keyword                        OpenSearch has no such field
text, varchar                        keyword, or text with          keyword when no value of the sample has a space or
                                     ``.exact``                     more than 64 characters: codes, slugs, addresses
char(n), name, "char"                keyword                        cast to text: it takes the padding blanks off
citext                               keyword, case ignored          cast to text
enum, uuid, macaddr, bit             keyword                        looked for as a whole
json, jsonb, composite types         flat_object                    names in it are data, and a strict object refuses
                                                                    each new one; its values are keywords
the same with a value that is no     object, not searchable         flat_object takes objects only
object in the sample
int4range, int8range                 long_range                     the SQL makes an object of both ends
numrange                             double_range                   the same
daterange, tsrange, tstzrange        date_range                     the same
inet, cidr                           ip, ip_range                   an inet with a mask is counted as malformed
point, geometry and the like         keyword                        the text: whether x is a longitude is not known
bytea                                left out                       nobody searches bytes; base64 is shown beside it
tsvector, tsquery, vector            left out                       OpenSearch makes its own
xml, multiranges, all others         keyword                        the text
===================================  =============================  =================================================

Fields of a type that can be malformed (infinity, a year before Christ) have ``ignore_malformed``: the value stays in
the document, and is counted. A ``scaled_float`` cannot tell, so it refuses NaN (``mapping.field_types.untold``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from searchsync.scaffold.postgres_table import Column

Field = dict[str, Any]

LONG: Field = {"type": "long", "ignore_malformed": True}
DOUBLE: Field = {"type": "double", "ignore_malformed": True}
DATE: Field = {"type": "date", "ignore_malformed": True}
KEYWORD: Field = {"type": "keyword", "ignore_above": 8191}
ANY_CASE: Field = {"type": "keyword", "normalizer": "exact", "ignore_above": 8191}
TEXT: Field = {"type": "text", "analyzer": "words", "fields": {"exact": ANY_CASE}}
BOOLEAN: Field = {"type": "boolean"}
NOT_SEARCHED: Field = {"type": "object", "enabled": False}

SHORT_TEXT = 64
"""Largest number of characters of a text that may be a code, a name of a file or an address."""

_EXACT_DIGITS = 15
"""Number of decimal digits that a double keeps."""

_WHOLE_DIGITS = 18
"""Number of decimal digits that a long has for every number."""


@dataclass(frozen=True)
class Choice:
    """What becomes of a column.

    :ivar field: its mapping; None when the column is left out
    :ivar casts: types that the SQL file casts it to, one after the other
    :ivar template: expression with ``{}`` for the column, in place of casts
    :ivar note: what a person should look at
    """

    field: Field | None
    casts: tuple[str, ...] = ()
    template: str = ""
    note: str = ""

    def expression(self, column: str, *, is_array: bool) -> str:
        """Return the SQL of the column's value."""
        if self.template:
            return self.template.format(column)
        return "::".join([column, *(cast + "[]" * is_array for cast in self.casts)])


def choose(column: Column, values: Sequence[Any]) -> Choice:
    """Return what becomes of a column.

    :param values: values of the sample that are not NULL, as JSON shows them; for an array each of its elements
    """
    choice = _of_kind(column, values)
    if column.elements_of_domain and not choice.casts and choice.field is not None:
        choice = replace(choice, casts=(column.type,))
    return choice


def is_short(values: Sequence[Any]) -> bool:
    """Return whether texts look like codes or addresses: there are some, and none has a space or is long."""
    texts = [value for value in values if isinstance(value, str)]
    return bool(texts) and not any(len(text) > SHORT_TEXT or _SPACE.search(text) for text in texts)


_SPACE = re.compile(r"\s")


def _of_kind(column: Column, values: Sequence[Any]) -> Choice:
    name = re.sub(r"\(.*?\)", "", column.type).rsplit(".", maxsplit=1)[-1].strip('"')
    by_type: dict[str, Callable[[], Choice]] = {
        "numeric": lambda: _of_numeric(column.type),
        "text": lambda: _of_text(values),
        "character varying": lambda: _of_text(values),
        "json": lambda: _of_json(values),
        "jsonb": lambda: _of_json(values),
        "hstore": lambda: replace(_of_json(values), casts=("jsonb",)),
        "bytea": lambda: Choice(None, note=_BYTES.format(column.quoted)),
    }
    other = _FIXED.get(name) or _as_text(column.declared)
    by_kind: dict[str, Callable[[], Choice]] = {
        "b": by_type.get(name, lambda: other),
        "e": lambda: Choice(KEYWORD),
        "c": lambda: _of_json(values),
        "r": lambda: (not column.is_array and _RANGES.get(name)) or _as_text(column.declared),
    }
    return by_kind.get(column.kind, lambda: _as_text(column.declared))()


def _of_numeric(sql_type: str) -> Choice:
    found = re.search(r"\((\d+),(-?\d+)\)", sql_type)
    digits, decimals = (int(found[1]), int(found[2])) if found else (None, 0)
    if digits is not None and decimals > 0 and digits <= _EXACT_DIGITS:
        return Choice({"type": "scaled_float", "scaling_factor": 10**decimals, "ignore_malformed": False})
    if digits is not None and decimals <= 0 and digits - decimals <= _WHOLE_DIGITS:
        return Choice(LONG)
    note = f"{sql_type} can have more digits than a double, which rounds beyond {_EXACT_DIGITS}"
    exact = f"cast it to numeric({_EXACT_DIGITS},2) and map it as scaled_float if that holds every value"
    return Choice(DOUBLE, casts=("double precision",), note=f"{note}; {exact}, or to text for a keyword")


def _of_text(values: Sequence[Any]) -> Choice:
    if not values:
        return Choice(TEXT, note="the sample has no value, so it is mapped as text; for codes, keyword is better")
    return Choice(KEYWORD) if is_short(values) else Choice(TEXT)


def _of_json(values: Sequence[Any]) -> Choice:
    if not all(isinstance(value, dict) for value in values):
        return Choice(NOT_SEARCHED, note="some values are no objects, so it is shown and not searched; take out parts")
    note = "its names and values are found as keywords (no ranges, no words); take out as columns what needs more"
    return Choice({"type": "flat_object"}, note=note)


def _as_text(declared: str) -> Choice:
    return Choice(KEYWORD, casts=("text",), note=f"{declared} has no field of its own: its text is a keyword")


def _range(field: str, ends: str) -> Choice:
    """Return a range with its ends as OpenSearch writes them; an empty range has no field."""
    template = (
        "CASE WHEN NOT isempty({}) THEN json_strip_nulls(json_build_object("
        f"CASE WHEN lower_inc({{}}) THEN 'gte' ELSE 'gt' END, lower({{}}){ends}, "
        f"CASE WHEN upper_inc({{}}) THEN 'lte' ELSE 'lt' END, upper({{}}){ends})) END"
    )
    return Choice({"type": field}, template=template.replace("{}", "{0}"))


_RANGES = {
    "int4range": _range("long_range", ""),
    "int8range": _range("long_range", ""),
    "numrange": _range("double_range", "::double precision"),
    "daterange": _range("date_range", ""),
    "tsrange": _range("date_range", ""),
    "tstzrange": _range("date_range", ""),
}
_BYTES = "bytes are left out; encode(t.{}, 'base64') would show them as text"
_NO_ZONE = "it has no time zone: OpenSearch takes it for UTC; t.column AT TIME ZONE '...' says another"
_PLAIN_TEXT = Choice(KEYWORD, casts=("text",))
_PLACE = Choice(
    KEYWORD, casts=("text",), note="its text; for a geo_point build an object with lat and lon, as locations.sql does"
)
_OWN_WORDS = Choice(None, note="left out: OpenSearch analyses the text itself")
_FIXED = {
    "smallint": Choice(LONG),
    "integer": Choice(LONG),
    "bigint": Choice(LONG),
    "oid": Choice(LONG, casts=("bigint",)),
    "real": Choice({"type": "float", "ignore_malformed": True}),
    "double precision": Choice(DOUBLE),
    "money": Choice(
        DOUBLE, casts=("numeric", "double precision"), note="beyond 15 digits a double rounds; the currency is lost"
    ),
    "boolean": Choice(BOOLEAN),
    "date": Choice(DATE),
    "timestamp without time zone": Choice(DATE, note=_NO_ZONE),
    "timestamp with time zone": Choice(DATE),
    "time without time zone": _PLAIN_TEXT,
    "time with time zone": _PLAIN_TEXT,
    "interval": Choice(KEYWORD, casts=("text",), note="its text; extract(epoch FROM ...) as double can be compared"),
    "uuid": Choice(KEYWORD),
    "character": Choice(KEYWORD, casts=("text",), note="the cast takes off the blanks that fill it up"),
    "name": _PLAIN_TEXT,
    "char": _PLAIN_TEXT,
    "citext": Choice(ANY_CASE, casts=("text",)),
    "bit": _PLAIN_TEXT,
    "bit varying": _PLAIN_TEXT,
    "macaddr": _PLAIN_TEXT,
    "macaddr8": _PLAIN_TEXT,
    "inet": Choice({"type": "ip", "ignore_malformed": True}, note="an address with a mask is kept and not searched"),
    "cidr": Choice({"type": "ip_range"}),
    **dict.fromkeys(("point", "line", "lseg", "box", "path", "polygon", "circle", "geometry", "geography"), _PLACE),
    **dict.fromkeys(("tsvector", "tsquery"), _OWN_WORDS),
    **dict.fromkeys(("vector", "halfvec", "sparsevec"), Choice(None, note="left out: map it as knn_vector by hand")),
}
