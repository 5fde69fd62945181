"""What people could ask the search API, as hypothesis makes it up: parameters, documents of JSON, and scopes."""

from typing import Any

from hypothesis import strategies as st

from search_api.caller import EveryTenant, OneTenant
from search_api.query.parse import COMMON, parse
from search_api.query.request import SearchRequest, Value
from search_api.query.searchable import Parameter, Searchable
from searchsync.catalog import entity
from searchsync.mapping.searching import Kind

Pairs = list[tuple[str, str]]

LOCATIONS, MEMBERS = Searchable.of(entity("locations")), Searchable.of(entity("members"))

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
tenants = st.text(min_size=1, max_size=12).filter(str.strip)
scopes = st.builds(OneTenant, tenants) | st.just(EveryTenant())
_numbers = st.floats(-1e6, 1e6).map(repr)
_dates = st.dates().map(str) | st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")


def _values(parameter: Parameter) -> st.SearchStrategy[list[str]]:
    one = {
        Kind.KEYWORD: texts,
        Kind.WHOLE: st.integers(-(2**63), 2**63 - 1).map(str),
        Kind.DECIMAL: _numbers,
        Kind.DATE: _dates,
        Kind.BOOLEAN: st.sampled_from(["true", "false"]),
    }[parameter.field.kind]
    return st.lists(one, min_size=1, max_size=4 if parameter.field.kind is Kind.KEYWORD else 1)


@st.composite
def pairs(draw: st.DrawFn, searchable: Searchable) -> Pairs:
    """Parameters that are all understood, in any order."""
    parameters = draw(st.lists(st.sampled_from([*searchable.parameters.values()]), max_size=5, unique=True))
    found = [(parameter.name, value) for parameter in parameters for value in draw(_values(parameter))]
    common: dict[str, st.SearchStrategy[str]] = {
        "q": texts,
        "limit": st.integers(1, 50).map(str),
        "sort": st.sampled_from(["relevance", *searchable.sorts, *(f"-{name}" for name in searchable.sorts)]),
        "fields": st.lists(st.sampled_from(searchable.fields), min_size=1).map(",".join),
        "facets": st.lists(st.sampled_from([*searchable.facets]), min_size=1).map(",".join),
        "highlight": st.sampled_from(["true", "false"]),
    }
    if searchable.near:
        degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0.001, 20_000))
        common["near"] = degrees.map(lambda near: ",".join(map(repr, near)))
    chosen = draw(st.lists(st.sampled_from([*common]), unique=True))
    found += [(name, draw(common[name])) for name in chosen]
    return draw(st.permutations(found))


searchables = st.sampled_from([LOCATIONS, MEMBERS])
asked: st.SearchStrategy[tuple[Searchable, SearchRequest]] = searchables.flatmap(
    lambda searchable: st.tuples(st.just(searchable), pairs(searchable).map(lambda given: parse(searchable, given)))
)
"""A searchable, and what is asked of it."""

names = st.sampled_from(sorted({*COMMON, *LOCATIONS.parameters, *MEMBERS.parameters, "x"}))
anything = st.lists(st.tuples(names, st.text(max_size=40) | _numbers | _dates | st.integers().map(str)), max_size=8)
"""Parameters as somebody sends them who has not read what is allowed."""

_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
any_document = st.dictionaries(names, _json, max_size=5) | _json
"""A JSON body as somebody sends it who has not read what is allowed."""


def printed(request: SearchRequest) -> Pairs:
    """Parameters that ask the same."""
    near, sort = request.near, request.sort
    given = [("q", request.q)] if request.q else []
    given += [(name, _text(value)) for name, values in request.filters for value in values]
    given += [("near", f"{near.lat!r},{near.lon!r},{near.km!r}")] if near else []
    given += [("sort", f"{'-' * sort.descending}{sort.by}"), ("limit", str(request.limit))]
    given += [("fields", ",".join(request.fields)), ("highlight", _text(request.highlight))]
    return given + ([("facets", ",".join(request.facets))] if request.facets else [])


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def document_of(searchable: Searchable, request: SearchRequest) -> dict[str, Any]:
    """The JSON document that asks the same."""
    found: dict[str, Any] = {}
    for name, values in request.filters:
        repeatable = searchable.parameters[name].field.kind is Kind.KEYWORD
        found[name] = list(values) if repeatable else values[0]
    near = request.near
    if near:
        found["near"] = {"lat": near.lat, "lon": near.lon, "km": near.km}
    found |= {"q": request.q} if request.q else {}
    found |= {"facets": list(request.facets)} if request.facets else {}
    sort = f"{'-' * request.sort.descending}{request.sort.by}"
    shown = {"fields": list(request.fields), "highlight": request.highlight}
    return {**found, **shown, "sort": sort, "limit": request.limit}
