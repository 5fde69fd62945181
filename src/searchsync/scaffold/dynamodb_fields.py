"""Which field an attribute of DynamoDB gets. Items have no types in common, so a sample of them decides.

=====================================  ==========================  ====================================================
values of the sample                   field                       reason
=====================================  ==========================  ====================================================
S, SS: dates as ISO 8601 writes them   date                        what is none is kept and counted
S, SS: no space, 64 characters or less keyword                     codes, slugs, addresses
S, SS: others                          text with ``.exact``        words are found
N, NS: whole numbers                   long                        a number with decimals is left out and counted
N, NS: others                          double                      15 digits are found
BOOL                                   boolean
M                                      object with fields for its  each name is found by itself; a name that the sample
                                       names                       does not have is left out and counted
M with more than 100 names, or with    object, not searched        its names are data; it is shown
names with dots
L                                      as its elements             every field takes lists
B, BS                                  object, not searched        base64, it is shown
several kinds of texts, numbers, BOOL  keyword                     takes all of them
several kinds with M                   object, not searched        no field takes both
the attribute of the time to live      date, epoch_second          the index hides what is expired
=====================================  ==========================  ====================================================
"""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from searchsync.scaffold.field_choice import (
    BOOLEAN,
    DATE,
    DOUBLE,
    KEYWORD,
    LONG,
    NOT_SEARCHED,
    TEXT,
    Field,
    is_short,
)

MOST_NAMES = 100
"""Largest number of names of an object that get a field each."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_ISO_DATE: Field = {**DATE, "format": "strict_date_optional_time"}
_SETS = {"SS": "S", "NS": "N", "BS": "B"}
_LONG_ENDS = 2**63


def field_of(attributes: Sequence[Any], path: str, notes: list[str]) -> Field:
    """Return the field for the values of one attribute.

    :param attributes: the values in DynamoDB's JSON
    :param path: for notes
    :param notes: gets what a person should look at
    """
    values = [one for attribute in attributes for one in _single(attribute)]
    kinds = {kind for kind, _ in values}
    found = [value for _, value in values]
    if kinds == {"M"}:
        return _of_objects(found, path, notes)
    if kinds & {"M", "B"}:
        notes.append(f"{path}: {', '.join(sorted(kinds))} is shown, and not searched")
        return NOT_SEARCHED
    by_kind: dict[str, Callable[[], Field]] = {
        "BOOL": lambda: BOOLEAN,
        "N": lambda: _of_numbers(found, path, notes),
        "S": lambda: _of_texts(found),
    }
    if len(kinds) == 1:
        return by_kind[kinds.pop()]()
    notes.append(f"{path}: the sample has {' and '.join(sorted(kinds)) or 'no value'}, so it is a keyword")
    return KEYWORD


def _single(attribute: Any) -> Iterator[tuple[str, Any]]:
    """Yield kind and value of each element of a list or set, or of the value itself, without null and empty texts."""
    ((kind, value),) = attribute.items()
    if kind == "L":
        for inner in value:
            yield from _single(inner)
    elif kind in _SETS:
        yield from ((_SETS[kind], one) for one in value)
    elif kind != "NULL" and value != "":
        yield kind, value


def _of_texts(texts: Sequence[str]) -> Field:
    if all(_DATE.fullmatch(text) for text in texts):
        return _ISO_DATE
    return KEYWORD if is_short(texts) else TEXT


def _of_numbers(texts: Sequence[str], path: str, notes: list[str]) -> Field:
    numbers = [Decimal(text) for text in texts]
    if all(number == number.to_integral_value() and abs(number) < _LONG_ENDS for number in numbers):
        notes.append(f"{path}: the sample has whole numbers only; decimals need double; a long leaves them out")
        return LONG
    if any(len(number.normalize().as_tuple().digits) > 15 for number in numbers):
        notes.append(f"{path}: a search rounds its numbers to 15 digits; a keyword would keep them")
    return DOUBLE


def _of_objects(objects: Sequence[dict[str, Any]], path: str, notes: list[str]) -> Field:
    names = dict.fromkeys(name for one in objects for name in one)
    if not names or len(names) > MOST_NAMES or any("." in name or not name.strip() for name in names):
        notes.append(f"{path}: its names are data ({len(names)} in the sample), so it is shown and not searched")
        return NOT_SEARCHED
    inner = {
        name: field_of([one[name] for one in objects if name in one], f"{path}.{name}", notes) for name in sorted(names)
    }
    return {"properties": inner}
