"""What is sent to OpenSearch for a request. Nothing can be built without a scope: whose documents may be found."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from search_api.caller import Scope
from search_api.query import text
from search_api.query.cursor import Cursor
from search_api.query.request import DISTANCE, RELEVANCE, SearchRequest
from search_api.query.searchable import Searchable
from searchsync.mapping.field_types import of_path
from searchsync.mapping.searching import Compared, Kind

TIMEOUT = "4s"
"""Time that OpenSearch may take for a query; the deadline of a request is 5 seconds."""

COUNTED = 10_000
"""Number of hits up to which they are counted; beyond it, the total is said to be at least this."""

FACET_VALUES = 20
"""Number of values of a facet: the most frequent ones."""

SHARD_VALUES = 1_000
"""Number of values of a facet that each shard counts. A field with no more values is counted exactly; by OpenSearch's
default of 40, one that is frequent in all shards and among the first of none would be missed."""

_UNMAPPED = {Kind.KEYWORD: "keyword", Kind.WHOLE: "long", Kind.DECIMAL: "double", Kind.DATE: "date"}
"""By kind, the type that a field is sorted as where an index does not have it."""

Clause = Mapping[str, Any]


def search_body(
    searchable: Searchable,
    request: SearchRequest,
    scope: Scope,
    cursor: Cursor | None = None,
    *,
    guesses: bool = True,
) -> bytes:
    """Return the query of one page of a search.

    :param cursor: where the page begins; None for the first
    :param guesses: whether ``q`` may be misspelt
    """
    body = _limited(searchable, scope, request.limit, request.fields)
    filters = _filters(searchable, request)
    chosen = {name: filters.pop(name) for name in request.facets if name in filters}
    found = body["query"]["bool"]
    found["filter"] += filters.values()
    if request.near:
        place = {"lat": request.near.lat, "lon": request.near.lon}
        circle = {"distance": f"{request.near.km!r}km", str(searchable.near): place, "ignore_unmapped": True}
        found["filter"].append({"geo_distance": circle})
    typed = text.text_query(searchable, request.q, guesses=guesses) if request.q else None
    if typed:
        found["must"] = [typed]
    body |= {"track_total_hits": COUNTED, "sort": _sort(searchable, request)}
    if chosen:
        body["post_filter"] = {"bool": {"filter": [*chosen.values()]}}
    if request.facets:
        body["aggs"] = {name: _facet(searchable.facets[name], chosen) for name in request.facets}
    if request.highlight and typed:
        body["highlight"] = _highlight(searchable, typed)
    if cursor:
        body["search_after"] = cursor.after
    return msgspec.json.encode(body)


def get_body(searchable: Searchable, key: str, scope: Scope) -> bytes:
    """Return the query of the document with an id: a read by id would show what the scope must not see."""
    body = _limited(searchable, scope, 1, searchable.fields)
    body["query"]["bool"]["filter"].append({"ids": {"values": [key]}})
    return msgspec.json.encode(body | {"track_total_hits": False})


def suggest_body(searchable: Searchable, q: str, scope: Scope, limit: int) -> bytes:
    """Return the query of the documents whose names begin with what was typed."""
    shown = [*searchable.text.names, *searchable.facets]
    body = _limited(searchable, scope, limit, tuple(name for name in searchable.fields if name in shown))
    body["query"]["bool"]["must"] = [text.suggest_query(searchable, q)]
    return msgspec.json.encode(body | {"track_total_hits": False, "sort": ["_score", *_best(searchable)]})


def canonical(request: SearchRequest, cursor: Cursor | None = None) -> bytes:
    """Return the one form of what is asked: equal for two requests exactly if their answers are the same."""
    place = (cursor.after, cursor.page) if cursor else None
    return msgspec.json.encode((msgspec.structs.replace(request, cursor=""), place))


def _limited(searchable: Searchable, scope: Scope, size: int, fields: Sequence[str]) -> dict[str, Any]:
    """Return what all queries have: the filters of visibility and scope, a size, a time limit, and what is shown."""
    query = {"bool": {"filter": searchable.filters(scope)}}
    return {"query": query, "size": size, "timeout": TIMEOUT, "_source": list(fields)}


def _filters(searchable: Searchable, request: SearchRequest) -> dict[str, dict[str, Any]]:
    """Return the clause of each field that is filtered by."""
    clauses: dict[str, dict[str, Any]] = {}
    for name, found in request.filters:
        parameter = searchable.parameters[name]
        field, bound = parameter.field, parameter.bound
        if not bound:
            clauses[field.name] = {"terms": {field.path: list(found)}}
            continue
        bounds = clauses.setdefault(field.name, {"range": {field.path: {}}})["range"][field.path]
        bounds["gte" if bound == "min" else "lte"] = found[0]
        if field.kind is Kind.DATE:
            bounds["format"] = "strict_date_optional_time"
    return clauses


def _facet(field: Compared, chosen: Mapping[str, Clause]) -> Clause:
    """Return what counts the values of a field among the documents that all other fields' filters leave.

    So the values beside the chosen ones are shown, too. The chosen ones narrow the hits by ``post_filter``.
    """
    values = {"terms": {"field": field.path, "size": FACET_VALUES, "shard_size": SHARD_VALUES}}
    others = [clause for name, clause in chosen.items() if name != field.name]
    return {"filter": {"bool": {"filter": others}}, "aggs": {"values": values}} if others else values


def _highlight(searchable: Searchable, typed: Clause) -> Clause:
    """Return what shows where hits match what was typed; the words of filters are not shown."""
    roles = searchable.text
    names = [*roles.names, *roles.other_names, *roles.words]
    paths = [name for name in names if (of_path(searchable.properties, name) or {}).get("type") == "text"]
    form: dict[str, Any] = {"number_of_fragments": 3, "encoder": "html", "pre_tags": ["<em>"], "post_tags": ["</em>"]}
    form |= {"require_field_match": False, "highlight_query": typed}
    return {**form, "fields": {path: {} for path in paths}}


def _sort(searchable: Searchable, request: SearchRequest) -> list[Clause | str]:
    """Return the order of hits. The key makes it one order; a distance at the end is there to be shown.

    A page goes on after these values of the last hit. So none of them may change while nobody writes that document: of
    scores, this is so because they are constants (``text``), and not statistics of the index.
    """
    distance = _distance(searchable, request)
    if request.sort.by == DISTANCE:
        return [*distance, *_unique(searchable)]
    if request.sort.by == RELEVANCE:
        return [*(["_score"] if request.q else []), *_best(searchable), *distance]
    field = searchable.sorts[request.sort.by]
    order = _order(field.path, field.kind, descending=request.sort.descending)
    return [order, *_unique(searchable), *distance]


def _best(searchable: Searchable) -> list[Clause | str]:
    """Return the order of hits that match equally well: the most prominent first."""
    prominence = searchable.text.prominence
    greatest = [_order(prominence, Kind.WHOLE, descending=True)] if prominence else []
    return [*greatest, *_unique(searchable)]


def _order(path: str, kind: Kind, *, descending: bool) -> Clause:
    """Return the order of a field. A document without a value stands last.

    So do all documents of an index that is older than the field; else OpenSearch would answer no search of it.
    """
    return {path: {"order": "desc" if descending else "asc", "missing": "_last", "unmapped_type": _UNMAPPED[kind]}}


def _unique(searchable: Searchable) -> list[Clause | str]:
    return [{path: "asc"} for path in searchable.key]


def _distance(searchable: Searchable, request: SearchRequest) -> list[Clause | str]:
    if request.near is None:
        return []
    place = {"lat": request.near.lat, "lon": request.near.lon}
    by = {str(searchable.near): place, "order": "asc", "unit": "km", "ignore_unmapped": True}
    return [{"_geo_distance": by}]
