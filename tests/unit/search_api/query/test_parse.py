"""What is understood means one thing, however it is written; what is not is refused by name, never guessed."""

import time
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.caller import EveryTenant
from search_api.problems import Problem
from search_api.query import build, parse
from search_api.query.request import Near, Sort, question
from search_api.query.searchable import Searchable
from tests.search_requests import (
    LOCATIONS,
    MEMBERS,
    any_document,
    anything,
    asked,
    document_of,
    pairs,
    printed,
    searchables,
)


def refused(call: Any, *arguments: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*arguments)
    assert caught.value.next_step
    caught.value.body("any")  # it can be sent
    return caught.value


def test_a_search_is_what_its_parameters_say() -> None:
    query = (
        b"q=+S%C3%A3o++Paulo%20&country=fr&country=de&rate_min=1.50&active=true&updated_at_max=2026-01-31&sort=-name"
    )
    found = parse.parse(LOCATIONS, parse.pairs_of(query + b"&near=52.5,13.4,25&fields=name,country&facets=region"))
    assert found.q == "São Paulo"
    assert found.filters == (
        ("active", (True,)),
        ("country", ("de", "fr")),
        ("rate_min", (1.5,)),
        ("updated_at_max", ("2026-01-31T23:59:59.999Z",)),
    )
    assert (found.near, found.sort) == (Near(52.5, 13.4, 25.0), Sort("name", descending=True))
    assert (found.fields, found.facets, found.limit) == (("name", "country"), ("region",), 10)


def test_without_a_sort_the_best_is_first() -> None:
    """The best match of what was typed; without it, the nearest of a place; without both, the most prominent."""
    for query, by in ((b"q=a&near=1,1,1", "relevance"), (b"near=1,1,1", "distance"), (b"", "relevance")):
        assert parse.parse(LOCATIONS, parse.pairs_of(query)).sort == Sort(by)


WRONG = {
    "x=1": ("unknown-parameter", "no parameter 'x'"),
    "tenant_id=acme": ("unknown-parameter", "no parameter 'tenant_id'"),
    "rate=1": ("unknown-parameter", "no parameter 'rate'"),
    "q=a&q=b": ("repeated-parameter", "q comes 2 times"),
    "active=true&active=false": ("repeated-parameter", "active comes 2 times"),
    "active=yes": ("bad-parameter", "active must be true or false"),
    "region=": ("bad-parameter", "region must not be empty"),
    f"q={'x' * 501}": ("bad-parameter", "at most 500 characters, not 501"),
    f"region={'x' * 501}": ("bad-parameter", "at most 500 characters, not 501"),
    "q=a%00b": ("bad-parameter", "control characters"),
    "region=a%0Ab": ("bad-parameter", "control characters"),
    "limit=0": ("bad-parameter", "from 1 to 50"),
    "limit=51": ("bad-parameter", "from 1 to 50"),
    "limit=1e1": ("bad-parameter", "from 1 to 50"),
    "limit=%D9%A1": ("bad-parameter", "from 1 to 50"),  # a digit, but of another script
    "rate_min=NaN": ("bad-parameter", "rate_min must be a number"),
    "rate_min=Infinity": ("bad-parameter", "rate_min must be a number"),
    "rate_min=1e999": ("bad-parameter", "rate_min must be a number"),
    f"rate_min={'9' * 400}": ("bad-parameter", "rate_min must be a number"),
    "rate_min=1_0": ("bad-parameter", "rate_min must be a number"),
    "population_min=1.5": ("bad-parameter", "population_min must be a whole number"),
    "population_min=9223372036854775808": ("bad-parameter", "population_min must be a whole number"),
    "updated_at_min=now": ("bad-parameter", "must be a day"),
    "updated_at_min=2026-02-30": ("bad-parameter", "must be a day"),
    "updated_at_min=2026-01": ("bad-parameter", "must be a day"),
    "updated_at_min=2026-01-01T10:00": ("bad-parameter", "must be a day"),
    "updated_at_min=2026-01-01T10:00:00+01:00": ("bad-parameter", "must be a day"),  # the + is a space
    "updated_at_min=0001-01-01T00:00:00%2B01:00": ("bad-parameter", "must be a day"),
    "near=52,13": ("bad-parameter", "near must be lat,lon,km"),
    "near=91,13,1": ("bad-parameter", "near must be lat,lon,km"),
    "near=52,181,1": ("bad-parameter", "near must be lat,lon,km"),
    "near=52,13,0": ("bad-parameter", "near must be lat,lon,km"),
    "near=52,13,-0": ("bad-parameter", "near must be lat,lon,km"),
    "near=52,13,1e9": ("bad-parameter", "near must be lat,lon,km"),
    "near=nan,13,1": ("bad-parameter", "near must be lat,lon,km"),
    "sort=colour": ("bad-parameter", "sort must be one of relevance, distance, name"),
    "sort=-relevance": ("bad-parameter", "sort must be one of"),
    "sort=region": ("bad-parameter", "sort must be one of"),
    "sort=distance": ("bad-parameter", "only with near"),
    "fields=name,sync": ("bad-parameter", "fields has no 'sync'"),
    "facets=name": ("bad-parameter", "facets has no 'name'"),
    "highlight=1": ("bad-parameter", "highlight must be true or false"),
    "&".join(f"region={n}" for n in range(51)): ("too-many-values", "more than 50 values"),
    "&".join(f"region={n}" for n in range(101)): ("bad-address", "more than 100 parameters"),
    "q=%ED%A0%80": ("bad-address", "not UTF-8"),
    "q=%FF": ("bad-address", "not UTF-8"),
}


@pytest.mark.parametrize("query", WRONG, ids=[query[:40] for query in WRONG])
def test_what_is_not_understood_is_refused_by_name(query: str) -> None:
    code, detail = WRONG[query]
    problem = refused(lambda: parse.parse(LOCATIONS, parse.pairs_of(query.encode())))
    assert (problem.status, problem.code) == (400, code)
    assert detail in problem.detail


def test_what_an_entity_has_not_is_unknown() -> None:
    problem = refused(parse.parse, MEMBERS, [("near", "1,1,1")])
    assert problem.code == "unknown-parameter"
    assert "near" not in problem.next_step
    assert "skills" in problem.next_step
    assert "distance" not in refused(parse.parse, MEMBERS, [("sort", "x")]).detail


def test_what_is_typed_has_one_form() -> None:
    """A Mac sends letters and accents apart; and nobody means a line break."""
    apart = unicodedata.normalize("NFD", "Škoda  Ünal")
    assert parse.parse(LOCATIONS, [("q", f" {apart}\t\n")]).q == unicodedata.normalize("NFC", "Škoda Ünal")


def test_a_long_run_of_accents_is_refused_before_it_is_put_into_one_form() -> None:
    """The time of that grows with its square: for the 64 KiB of a body it was seconds, in which nobody was answered."""
    began = time.process_time()
    problem = refused(parse.parse_json, LOCATIONS, {"q": "a" + "\u0301\u0316" * 16_000})
    assert "must have at most 500 characters, not 32001" in problem.detail
    assert time.process_time() - began < 1
    assert parse.parse(LOCATIONS, [("q", " ")]).q == ""


def test_a_value_of_a_filter_is_taken_as_it_is() -> None:
    """It comes from a facet or a document, which may hold letters and accents apart."""
    apart = unicodedata.normalize("NFD", "São Paulo ")
    assert parse.parse(MEMBERS, [("city", apart)]).filters == (("city", (apart,)),)


@given(asked)
def test_a_request_that_is_printed_is_the_same_request(found: tuple[Searchable, Any]) -> None:
    searchable, request = found
    assert parse.parse(searchable, printed(request)) == request


@given(asked)
def test_json_asks_the_same_as_parameters(found: tuple[Searchable, Any]) -> None:
    searchable, request = found
    body = msgspec.json.encode(document_of(searchable, request))
    assert parse.parse_json(searchable, msgspec.json.decode(body)) == request


@given(st.data(), searchables)
def test_the_canonical_form_does_not_depend_on_the_order(data: st.DataObject, searchable: Searchable) -> None:
    """Else one question would be asked and kept twice."""
    written = data.draw(pairs(searchable))
    names = [name for name, _ in written if name in searchable.parameters]
    again = data.draw(st.permutations([*written, *(pair for pair in written if names.count(pair[0]) > 1)]))
    first, second = parse.parse(searchable, written), parse.parse(searchable, again)
    assert build.canonical(first) == build.canonical(second)


@given(asked, asked)
def test_other_requests_have_other_canonical_forms(one: tuple[Searchable, Any], two: tuple[Searchable, Any]) -> None:
    """Else the answer to one question would be given to another."""
    (_, first), (_, second) = one, two
    assert (build.canonical(first) == build.canonical(second)) == (first == second)
    same = all(getattr(first, part) == getattr(second, part) for part in ("entity", "q", "filters", "near", "sort"))
    assert (question(first) == question(second)) == same


def problems(read: Any, what: Any) -> Iterator[Problem]:
    """The problems of both entities, as far as they have any. Every other error is one of ours, and rises."""
    for searchable in (LOCATIONS, MEMBERS):
        try:
            build.search_body(searchable, read(searchable, what), EveryTenant())
        except Problem as problem:
            yield problem


@given(anything)
def test_anything_else_is_a_bad_request(given_pairs: list[tuple[str, str]]) -> None:
    assert {problem.status for problem in problems(parse.parse, given_pairs) if problem.body("any")} <= {400}


@given(any_document)
def test_any_other_json_is_a_bad_request(document: Any) -> None:
    assert {problem.status for problem in problems(parse.parse_json, document) if problem.body("any")} <= {400}


WRONG_JSON: list[tuple[Any, str]] = [
    ([], "must be a JSON object"),
    ({"q": 5}, "q must be a text"),
    ({"q": ["a"]}, "q must be a text"),
    ({"q": "\ud800"}, "lone surrogates"),
    ({"limit": "10"}, "limit must be a number"),
    ({"limit": True}, "limit must be a number"),
    ({"limit": 10.5}, "limit must be a whole number"),
    ({"active": "true"}, "active must be true or false"),
    ({"region": []}, "region must be a text or a list of texts"),
    ({"region": [1]}, "region must be a text or a list of texts"),
    ({"region": None}, "region must be a text or a list of texts"),
    ({"rate_min": "1"}, "rate_min must be a number"),
    ({"rate_min": float("nan")}, "rate_min must be a number"),
    ({"rate_min": 1e300}, "rate_min must be a number"),
    ({"population_min": 10**5000}, "population_min must be a number"),
    ({"population_min": 10**300}, "population_min must be a whole number"),
    ({"updated_at_min": 5}, "updated_at_min must be a text"),
    ({"near": "1,1,1"}, "near must be an object"),
    ({"near": {"lat": 1, "lon": 1}}, "near must be an object"),
    ({"near": {"lat": 1, "lon": 1, "km": "1"}}, "near must be an object"),
    ({"fields": "name"}, "fields must be a list of names"),
    ({"x" * 1000: 1}, f"no parameter '{'x' * 100}'"),
]


@pytest.mark.parametrize(("document", "detail"), WRONG_JSON)
def test_json_of_another_type_is_refused_by_name(document: Any, detail: str) -> None:
    assert detail in refused(parse.parse_json, LOCATIONS, document).detail


def test_a_whole_number_may_be_written_with_a_point_in_json() -> None:
    assert parse.parse_json(LOCATIONS, {"limit": 20.0}).limit == 20


def test_suggestions_need_a_beginning() -> None:
    assert parse.parse_suggest(LOCATIONS, [("q", " Ber ")]).q == "Ber"
    for wrong in ([], [("q", " ")], [("q", "a"), ("q", "b")], [("q", "a"), ("limit", "21")], [("q", "a"), ("x", "1")]):
        assert refused(parse.parse_suggest, LOCATIONS, wrong).status == 400


@pytest.mark.parametrize("text", ["", "é" * 257, "\ud800"])
def test_what_can_be_no_id_is_not_found(text: str) -> None:
    assert refused(parse.parse_id, text).status == 404
    assert parse.parse_id("é" * 256) == "é" * 256
