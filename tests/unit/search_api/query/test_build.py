"""What is sent to OpenSearch: one order of hits that lasts from page to page, and no more than is needed."""

import json
from typing import Any

from hypothesis import given

from search_api.caller import EveryTenant, OneTenant
from search_api.query import build, text
from search_api.query.cursor import Cursor
from search_api.query.parse import parse
from search_api.query.request import SearchRequest
from search_api.query.searchable import Searchable
from tests.search_requests import LOCATIONS, MEMBERS, asked, texts


def body(pairs: list[tuple[str, str]], searchable: Searchable = LOCATIONS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build.search_body(searchable, parse(searchable, pairs), OneTenant("acme")))
    return found


def is_constant(clause: dict[str, Any]) -> bool:
    """Whether the score of a clause depends on nothing but which of its parts find a document."""
    ((kind, inner),) = clause.items()
    if kind == "dis_max":
        return all(map(is_constant, inner["queries"]))
    return kind == "constant_score"


@given(texts)
def test_scores_are_constants(q: str) -> None:
    """A page goes on after the score of the last hit, also across a swap.

    Statistics of an index change with every write: the next page would repeat hits, or skip all of the same score.
    """
    assert is_constant(text.text_query(LOCATIONS, q))
    assert is_constant(text.text_query(MEMBERS, q))


@given(asked)
def test_no_two_hits_have_the_same_place(what: tuple[Searchable, SearchRequest]) -> None:
    searchable, request = what
    made = json.loads(build.search_body(searchable, request, EveryTenant(), Cursor("i", 2, 0, ["x"])))
    ordered = [order if isinstance(order, str) else next(iter(order)) for order in made["sort"]]
    assert set(searchable.key) <= set(ordered)
    assert made["search_after"] == ["x"]
    assert len(made["sort"]) == len({json.dumps(order) for order in made["sort"]})


def test_the_best_come_first() -> None:
    greatest = {"population": {"order": "desc", "missing": "_last", "unmapped_type": "long"}}
    assert body([("q", "berlin")])["sort"] == ["_score", greatest, {"location_id": "asc"}]
    assert body([])["sort"] == [greatest, {"location_id": "asc"}]
    assert body([], MEMBERS)["sort"] == [{"member_id": "asc"}]
    assert body([("sort", "-name")])["sort"][0] == {
        "name.exact": {"order": "desc", "missing": "_last", "unmapped_type": "keyword"}
    }


def test_bounds_of_a_field_are_one_clause() -> None:
    filters = body([("rate_min", "1"), ("rate_max", "2.5"), ("updated_at_max", "2026-01-31")])["query"]["bool"][
        "filter"
    ]
    assert filters[1:] == [
        {"range": {"rate": {"gte": 1.0, "lte": 2.5}}},
        {"range": {"updated_at": {"lte": "2026-01-31T23:59:59.999Z", "format": "strict_date_optional_time"}}},
    ]


def test_only_what_is_asked_for_is_computed() -> None:
    """Facets and highlights cost more than the hits."""
    assert body([("q", "a"), ("fields", "name")]).keys() == {
        "query", "size", "timeout", "_source", "track_total_hits", "sort",
    }  # fmt: skip
    assert "highlight" not in body([("highlight", "true")])
    assert body([("facets", "region")])["aggs"] == {
        "region": {"terms": {"field": "region", "size": 20, "shard_size": 1000}}
    }
