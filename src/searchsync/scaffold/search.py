"""The block ``search`` of a new entity's file: a first choice of what people may search for."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from searchsync.mapping import searching
from searchsync.mapping.searching import Unfit
from searchsync.scaffold.files import as_yaml

_NAMES = re.compile(r"(.*_)?(name|title|label|subject)", re.I)
"""Names of fields that may hold what people call a document."""

_MOST_WORDS, _MOST_FILTERS, _MOST_FACETS, _MOST_SORTS = 5, 12, 4, 6

_SHARED = "  # shared: true  # where there is no tenant: every tenant sees every document"
_NOT_SERVED = "# It is served when the file names a tenant, or says that all tenants share it."


def block(fields: Mapping[str, Any], key: list[str], hidden: str = "") -> list[str]:
    """Return the lines of the block; a comment alone when nothing can be searched by name.

    :param fields: the mapping's fields
    :param key: the entity's key
    :param hidden: a field that is no business of those who search
    """
    names = [name for name in fields if name not in key and name != hidden]
    texts = [*_fit(fields, names, searching.check_text)]
    if not texts:
        return ["# search: {text: {names: [FIELD]}}  # what the search API shows; docs/entities.md has all of it"]
    try:
        for part in key:
            searching.tie_breaker(fields, part)
    except Unfit as error:
        return [f"# search: hits have no order of their own by the key {part}: {error}"]
    named = next((name for name in texts if _NAMES.fullmatch(name)), texts[0])
    words = [name for name in texts if name != named]
    others = [name for name in names if name not in texts]
    filters = [name for name in _fit(fields, names, searching.filtered) if name != named]
    lists = {
        "filters": [*_apart(fields, filters)][:_MOST_FILTERS],
        "facets": [*_fit(fields, others, searching.faceted)][:_MOST_FACETS],
        "sorts": [*_fit(fields, [named, *others], searching.sorted_by)][:_MOST_SORTS],
    }
    lines = [f"search:  {_NOT_SERVED}", _SHARED, "  text:", f"    names: {as_yaml([named])}"]
    lines += [f"    words: {as_yaml(words[:_MOST_WORDS])}"] if words else []
    return lines + [f"  {name}: {as_yaml(found)}" for name, found in lists.items() if found]


def _fit(fields: Mapping[str, Any], names: list[str], check: Callable[[Mapping[str, Any], str], Any]) -> Iterator[str]:
    for name in names:
        try:
            check(fields, name)
        except Unfit:
            continue
        yield name


def _apart(fields: Mapping[str, Any], names: list[str]) -> Iterator[str]:
    """Yield the fields whose parameters are no others' already."""
    taken = set(searching.RESERVED)
    for name in names:
        parameters = searching.filtered(fields, name).parameters
        if not taken.intersection(parameters):
            taken.update(parameters)
            yield name
