"""From parameters or a JSON document to what a search asks. What is not understood is refused by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from search_api.problems import Problem
from search_api.query import json_values, values
from search_api.query.request import DISTANCE, RELEVANCE, Near, SearchRequest, Sort, SuggestRequest, Value
from search_api.query.searchable import Searchable
from searchsync.mapping.field_types import of_path
from searchsync.mapping.searching import Kind

MAX_LIMIT = 50
"""Largest number of hits of a page."""

DEFAULT_LIMIT = 10
"""Number of hits of a page when the request does not say it."""

MAX_SUGGESTIONS = 20
"""Largest number of suggestions."""

MAX_VALUES = 50
"""Largest number of values of all filters together."""

MAX_ID_BYTES = 512
"""Largest number of bytes of a document's id."""

Pairs = Sequence[tuple[str, str]]
COMMON = ("q", "near", "sort", "limit", "cursor", "fields", "facets", "highlight")
"""Parameters of every search, beside its filters."""


def pairs_of(query_string: bytes) -> list[tuple[str, str]]:
    """Return names and values of a query string.

    :raises Problem: 400 when it is not UTF-8, or has more parameters than any search needs
    """
    try:
        return parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except UnicodeDecodeError:
        detail, step = "The address is not UTF-8, percent-encoded.", "Encode each parameter as UTF-8."
    except ValueError:
        detail, step = "The address has more than 100 parameters.", "Send fewer values."
    raise Problem(400, "bad-address", detail, next_step=step)


def parse(searchable: Searchable, pairs: Pairs) -> SearchRequest:
    """Return what parameters ask.

    :param pairs: names and values; a name of a keyword filter may come more than once
    :raises Problem: 400 when one is unknown, comes twice or has a wrong value
    """
    given = _once(searchable, pairs)
    filters = _filters(searchable, given)
    near = values.near("near", given["near"][0]) if "near" in given else None
    q = values.typed("q", given["q"][0]) if "q" in given else ""
    return SearchRequest(
        entity=searchable.name,
        q=q,
        filters=filters,
        near=near,
        sort=_sort(searchable, given.get("sort", [""])[0], q=q, near=near),
        limit=values.whole("limit", given["limit"][0], 1, MAX_LIMIT) if "limit" in given else DEFAULT_LIMIT,
        fields=_named("fields", given, searchable.fields) or searchable.fields,
        facets=tuple(sorted(_named("facets", given, tuple(searchable.facets)))),
        highlight=values.boolean("highlight", given["highlight"][0]) if "highlight" in given else False,
        cursor=values.text("cursor", given["cursor"][0], values.MAX_CURSOR) if "cursor" in given else "",
    )


def parse_json(searchable: Searchable, document: Any) -> SearchRequest:
    """Return what a JSON document asks: an object with the names and values of the parameters.

    Keyword filters, ``fields`` and ``facets`` take lists; ``near`` takes an object of ``lat``, ``lon`` and ``km``.

    :raises Problem: 400 as ``parse``
    """
    if not isinstance(document, Mapping):
        raise Problem(400, "bad-body", "The body must be a JSON object.", next_step='Send for example {"q": "berlin"}.')
    _check_known(searchable, document)
    pairs = []
    for name, value in document.items():
        pairs += [(name, text) for text in json_values.texts(name, searchable.parameters.get(name), value)]
    return parse(searchable, pairs)


def parse_suggest(searchable: Searchable, pairs: Pairs) -> SuggestRequest:
    """Return what a request for suggestions asks.

    :raises Problem: 400 when a parameter is unknown, comes twice or has a wrong value
    """
    given = dict(pairs)
    if unknown := sorted(given.keys() - {"q", "limit"}):
        raise Problem(
            400, "unknown-parameter", f"There is no parameter {unknown[0][:100]!r}.", next_step="Send q and limit."
        )
    if len(given) < len(pairs):
        raise Problem(400, "repeated-parameter", "A parameter comes twice.", next_step="Send q and limit once.")
    q = values.typed("q", given.get("q", ""))
    if not q:
        raise values.refused("q", "must be the beginning of a name", "Send for example q=ber.")
    limit = values.whole("limit", given["limit"], 1, MAX_SUGGESTIONS) if "limit" in given else DEFAULT_LIMIT
    return SuggestRequest(searchable.name, q, limit)


def parse_id(text: str) -> str:
    """Return the id of a document.

    :raises Problem: 404 when no document can have it
    """
    try:
        possible = 0 < len(text.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        possible = False
    if not possible:
        raise Problem(404, "not-found", "No document can have this id.", next_step="Take the id of a hit.")
    return text


def _allowed(searchable: Searchable) -> list[str]:
    lacks = {name for name, known in (("near", searchable.near), ("facets", searchable.facets)) if not known}
    return [*(name for name in COMMON if name not in lacks), *searchable.parameters]


def _once(searchable: Searchable, pairs: Pairs) -> dict[str, list[str]]:
    """Return the values by parameter. Refuse what is unknown, and what comes twice and has one value."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    _check_known(searchable, given)
    for name, found in given.items():
        if len(found) > 1 and not _is_repeatable(searchable, name):
            raise Problem(400, "repeated-parameter", f"{name} comes {len(found)} times.", next_step="Send it once.")
    if sum(len(found) for name, found in given.items() if name in searchable.parameters) > MAX_VALUES:
        detail = f"The filters have more than {MAX_VALUES} values."
        raise Problem(400, "too-many-values", detail, next_step="Ask for fewer values, or in several searches.")
    return given


def _check_known(searchable: Searchable, names: Iterable[str]) -> None:
    allowed = _allowed(searchable)
    if unknown := [name for name in names if name not in allowed]:
        detail = f"{searchable.name} has no parameter {unknown[0][:100]!r}."
        raise Problem(400, "unknown-parameter", detail, next_step=f"Use {', '.join(allowed)}.")


def _is_repeatable(searchable: Searchable, name: str) -> bool:
    parameter = searchable.parameters.get(name)
    return parameter is not None and parameter.field.kind is Kind.KEYWORD


def _filters(searchable: Searchable, given: Mapping[str, list[str]]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    found = []
    for name in sorted(given.keys() & searchable.parameters.keys()):
        parameter = searchable.parameters[name]
        field = of_path(searchable.properties, parameter.field.name) or {}
        found.append(
            (name, tuple(sorted({values.compared(parameter, field, value) for value in given[name]}, key=str)))
        )
    return tuple(found)


def _named(parameter: str, given: Mapping[str, list[str]], known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a list with commas, in the order in which they are known."""
    if parameter not in given:
        return ()
    named = values.text(parameter, given[parameter][0]).split(",")
    if unknown := [name for name in named if name not in known]:
        raise values.refused(
            parameter, f"has no {unknown[0]!r}", f"Send names with commas between them, of {', '.join(known)}."
        )
    return tuple(name for name in known if name in named)


def _sort(searchable: Searchable, text: str, *, q: str, near: Near | None) -> Sort:
    if not text:
        return Sort(DISTANCE if near and not q else RELEVANCE)
    by = text.removeprefix("-")
    if by in searchable.sorts:
        return Sort(by, descending=text != by)
    if text == RELEVANCE or (text == DISTANCE and near):
        return Sort(text)
    if text == DISTANCE and searchable.near:
        raise values.refused("sort", "can be distance only with near", "Send near=lat,lon,km, too.")
    orders = [RELEVANCE, *([DISTANCE] if searchable.near else []), *searchable.sorts]
    raise values.refused(
        "sort", f"must be one of {', '.join(orders)}", "A field takes a - before it: the greatest first."
    )
