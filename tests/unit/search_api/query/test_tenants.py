"""No query of one tenant can find a document of another, whatever is asked: by construction, not by care."""

import inspect
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from search_api.caller import EveryTenant, OneTenant, Scope
from search_api.query import build
from search_api.query.cursor import Cursor
from search_api.query.parse import parse
from search_api.query.request import SearchRequest
from search_api.query.searchable import Searchable
from tests.search_requests import LOCATIONS, MEMBERS, asked, scopes, tenants, texts

KEYS = {
    "query", "size", "timeout", "_source", "track_total_hits", "sort", "post_filter", "aggs", "highlight",
    "search_after",
}  # fmt: skip
"""What a body may have. Whoever adds to it must see that it shows nothing beside what ``query`` finds."""

cursors = st.none() | st.builds(Cursor, texts, st.integers(2, 99), st.integers(0), st.lists(texts, min_size=1))


def may_find(clause: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a clause may find a document: it does unless a filter is sure to leave it out."""
    ((kind, inner),) = clause.items()
    if kind == "term":
        ((field, value),) = inner.items()
        wanted = value["value"] if isinstance(value, dict) else value
        return bool(document.get(field) == wanted)
    if kind == "bool":
        must = [*inner.get("filter", []), *inner.get("must", [])]
        return all(may_find(one, document) for one in must)
    return True


def bodies(searchable: Searchable, request: SearchRequest, scope: Scope, cursor: Cursor | None) -> list[dict[str, Any]]:
    """Every body that can be made for somebody."""
    q = request.q or "any"
    made = [
        build.search_body(searchable, request, scope, cursor),
        build.get_body(searchable, q, scope),
        build.suggest_body(searchable, q, scope, 5),
    ]
    return [json.loads(body) for body in made]


def test_every_body_of_this_module_is_among_them() -> None:
    """Else a new kind of query would be held against nothing."""
    made = {name for name, one in inspect.getmembers(build, inspect.isfunction) if name.endswith("_body")}
    assert made == {"search_body", "get_body", "suggest_body"}


@pytest.mark.parametrize("make", ["search_body", "get_body", "suggest_body"])
def test_no_body_is_made_without_a_scope(make: str) -> None:
    scope = inspect.signature(getattr(build, make)).parameters["scope"]
    assert scope.default is inspect.Parameter.empty


@given(asked, cursors, tenants, tenants)
def test_no_body_of_one_tenant_finds_what_is_anothers(
    what: tuple[Searchable, SearchRequest], cursor: Cursor | None, mine: str, theirs: str
) -> None:
    assume(mine != theirs)
    _, request = what
    assert MEMBERS.tenant
    for body in bodies(MEMBERS, request if request.entity == "members" else _plain(), OneTenant(mine), cursor):
        assert may_find(body["query"], {MEMBERS.tenant: mine})
        assert not may_find(body["query"], {MEMBERS.tenant: theirs})
        assert not may_find(body["query"], {}), "what has no tenant is found by no tenant"


@given(asked, cursors, scopes)
def test_no_body_looks_around_its_query(
    what: tuple[Searchable, SearchRequest], cursor: Cursor | None, scope: Scope
) -> None:
    """A global aggregation, a suggester or a rescore would see what the query leaves out; ``sync`` is nobody's."""
    searchable, request = what
    for body in bodies(searchable, request, scope, cursor):
        assert body.keys() <= KEYS
        assert searchable.visible in body["query"]["bool"]["filter"]
        assert body["query"]["bool"].keys() <= {"filter", "must"}
        assert "sync" not in body["_source"]
        assert body["_source"]
        assert set(body["_source"]) <= set(searchable.fields)
        for facet in body.get("aggs", {}).values():
            assert facet.keys() in ({"terms"}, {"filter", "aggs"})


def test_everybody_sees_what_is_shared() -> None:
    request = _plain("locations")
    (one, *_), (every, *_) = (bodies(LOCATIONS, request, scope, None) for scope in (OneTenant("a"), EveryTenant()))
    assert one == every


def _plain(entity: str = "members") -> SearchRequest:
    return parse(MEMBERS if entity == "members" else LOCATIONS, [("q", "any")])
