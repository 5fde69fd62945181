"""What OpenSearch answers to the queries of the search API: the right documents, of the right tenant, each once."""

import json
import urllib.request
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from search_api.caller import EveryTenant, OneTenant, Scope
from search_api.problems import Problem
from search_api.query import answer, build, parse
from search_api.query.cursor import Cursors, Page
from search_api.query.searchable import Searchable
from searchsync.catalog import Entity, entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.steps import line, make_index, never, page_of_documents, tombstones

CURSORS = Cursors([b"k" * 32])
ACME, GLOBEX = OneTenant("acme"), OneTenant("globex")
COUNTRIES = ("DE", "FR", "US")


@pytest.fixture
def places() -> Entity:
    """Locations that belong to tenants: they have every kind of field."""
    made = replace(entity("locations"), tenant="owner")
    assert made.search is not None
    made = replace(made, search=replace(made.search, shared=False))
    body = deepcopy(entity("locations").index_body)
    body["mappings"]["properties"]["owner"] = {"type": "keyword"}
    made.__dict__["index_body"] = body
    return made


def place(n: int, owner: str | None) -> dict[str, Any]:
    """The n-th place. Many have the same population, and some lack what they could be sorted by."""
    known: dict[str, Any] = {"population": n % 7 * 1000, "rate": n / 4, "updated_at": f"2026-01-{1 + n % 28:02d}"}
    if n % 11 == 0:
        known = {}
    else:
        known["coordinates"] = {"lat": 52.0 + n / 100, "lon": 13.0}
    name = {"name": f"Town {n % 13}", "alternate_names": [f"Stadt <{n}>, Acme"]}
    tenant = {"owner": owner} if owner else {}
    return {"location_id": n, **name, **known, **tenant, "country": COUNTRIES[n % 3], "active": n % 2 == 0}


OWNERS = {n: ("acme", "globex", None)[n % 3 if n % 9 == 8 else n % 2] for n in range(60)}


def build_index(client: Client, places: Entity, name: str, keys: list[int], shards: int = 1) -> str:
    index = make_index(client, places, name, shards=shards)
    lines = [line(str(n), 1, **place(n, OWNERS[n])) for n in keys]
    writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never)
    writer.apply(EntityIndexes(client, places), [tombstones(2, "1000", "1001")], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, places), index)
    return index


class Api:
    """Asks one index, as the service does."""

    def __init__(self, client: Client, places: Entity, index: str) -> None:
        self.searchable, self.index = Searchable.of(places), index
        host = client.transport.hosts[0]
        self._url = f"http://{host['host']}:{host['port']}"

    def send(self, index: str, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self._url}/{index}/_search", body, headers)) as answered:
            return bytes(answered.read())

    def search(self, scope: Scope, query: str, cursor: str = "") -> dict[str, Any]:
        pairs = parse.pairs_of(query.encode()) + ([("cursor", cursor)] if cursor else [])
        request = parse.parse(self.searchable, pairs)
        page = Page(request, scope, self.index, CURSORS.open(request, scope))
        raw = self.send(self.index, build.search_body(self.searchable, request, scope, page.cursor))
        found: dict[str, Any] = json.loads(answer.search_answer(self.searchable, page, raw, CURSORS))
        return found

    def ids(self, scope: Scope, query: str) -> set[int]:
        return {int(hit["id"]) for hit in self.search(scope, query)["hits"]}

    def get(self, scope: Scope, key: str) -> dict[str, Any]:
        raw = self.send(self.index, build.get_body(self.searchable, key, scope))
        found: dict[str, Any] = json.loads(answer.get_answer(raw))
        return found

    def suggest(self, scope: Scope, q: str) -> list[dict[str, Any]]:
        raw = self.send(self.index, build.suggest_body(self.searchable, q, scope, 20))
        found: list[dict[str, Any]] = json.loads(answer.suggest_answer(raw))["suggestions"]
        return found

    def pages(self, scope: Scope, query: str, *, then: str = "") -> Iterator[list[dict[str, Any]]]:
        """Yield the hits of all pages. From the second on, ask another index if one is given."""
        cursor: str | None = ""
        while cursor is not None:
            found = self.search(scope, query, cursor)
            yield found["hits"]
            cursor, self.index = found["next_cursor"], then or self.index


@pytest.fixture
def api(client: Client, places: Entity) -> Api:
    return Api(client, places, build_index(client, places, "blue", list(OWNERS)))


def of(owner: str | None, **wanted: Any) -> set[int]:
    found = {n: place(n, OWNERS[n]) for n in OWNERS if owner is None or OWNERS[n] == owner}
    return {n for n, one in found.items() if all(one.get(name) == value for name, value in wanted.items())}


def test_each_tenant_sees_its_own_documents_alone(api: Api) -> None:
    """By no way of asking: search, facet, highlight, id or suggestion."""
    for tenant, other in ((ACME, GLOBEX), (GLOBEX, ACME)):
        mine, theirs = of(tenant.id), of(other.id)
        found = api.search(tenant, "limit=50&facets=country,active&q=town")
        assert {int(hit["id"]) for hit in found["hits"]} == mine
        assert found["total"] == {"value": len(mine), "relation": "eq"}
        assert {one["value"]: one["count"] for one in found["facets"]["country"]} == {
            country.lower(): len(of(tenant.id, country=country)) for country in COUNTRIES
        }
        assert {one["value"] for one in found["facets"]["active"]} <= {True, False}
        assert {int(one["id"]) for one in api.suggest(tenant, "to")} <= mine
        key = str(min(theirs))
        with pytest.raises(Problem) as caught:
            api.get(tenant, key)
        assert caught.value.status == 404
        assert api.get(other, key)["document"]["name"] == place(int(key), other.id)["name"]
    assert api.ids(EveryTenant(), "limit=50&country=DE&country=FR") == of(None, country="DE") | of(None, country="FR")
    orphan = str(min(n for n, owner in OWNERS.items() if owner is None))
    assert api.get(EveryTenant(), orphan)["id"] == orphan
    with pytest.raises(Problem):
        api.get(ACME, orphan)


def test_a_tombstone_is_seen_by_nobody(api: Api) -> None:
    with pytest.raises(Problem) as caught:
        api.get(EveryTenant(), "1000")
    assert caught.value.status == 404
    assert api.search(EveryTenant(), "limit=1")["total"]["value"] == len(OWNERS)


def test_filters_find_what_they_say(api: Api) -> None:
    mine = {n: place(n, "acme") for n in of("acme")}
    assert api.ids(ACME, "limit=50&country=de") == of("acme", country="DE")
    assert api.ids(ACME, "limit=50&active=true") == of("acme", active=True)
    rated = {n for n, one in mine.items() if 1.25 <= one.get("rate", -1) <= 5.5}
    assert api.ids(ACME, "limit=50&rate_min=1.25&rate_max=5.50") == rated
    dated = {n for n, one in mine.items() if "2026-01-03" <= one.get("updated_at", "") <= "2026-01-09"}
    assert api.ids(ACME, "limit=50&updated_at_min=2026-01-03&updated_at_max=2026-01-09") == dated
    assert api.ids(ACME, "limit=50&population_min=9223372036854775807") == set()
    near = api.search(ACME, "limit=50&near=52.101,13,5.6")["hits"]
    assert [int(hit["id"]) for hit in near] == sorted(
        (n for n in mine if n % 11 and abs(n - 10.1) <= 5), key=lambda n: abs(n - 10.1)
    )
    assert near[0]["distance_km"] == pytest.approx(0.11, abs=0.01)
    assert near[-1]["distance_km"] == pytest.approx(4.56, abs=0.01)


def test_a_facet_counts_the_values_beside_the_chosen_one(api: Api) -> None:
    """Else nobody could add a second country, and the hits would not be those of the chosen one."""
    found = api.search(ACME, "limit=50&country=DE&active=true&facets=country,active")
    assert {int(hit["id"]) for hit in found["hits"]} == of("acme", country="DE", active=True)
    assert found["total"]["value"] == len(found["hits"])
    counts = {one["value"]: one["count"] for one in found["facets"]["country"]}
    assert counts == {
        country.lower(): size for country in COUNTRIES if (size := len(of("acme", country=country, active=True)))
    }
    activity = {one["value"]: one["count"] for one in found["facets"]["active"]}
    assert activity == {
        active: size for active in (True, False) if (size := len(of("acme", country="DE", active=active)))
    }


def test_highlights_are_safe_to_show(api: Api) -> None:
    """What is typed is shown, and nothing of the filters, such as the tenant's name."""
    found = api.search(ACME, "q=stadt&highlight=true&limit=1&fields=name")
    (hit,) = found["hits"]
    assert hit["highlights"] == {"alternate_names": [f"<em>Stadt</em> &lt;{hit['id']}&gt;, Acme"]}
    assert hit["document"].keys() == {"name"}


SORTS = [
    "", "q=town", "sort=name", "sort=-name", "sort=population", "sort=-population", "sort=rate", "sort=-rate",
    "sort=updated_at", "sort=-updated_at", "near=52.3,13,2000", "q=town&near=52.3,13,2000", "q=town&sort=-population",
    "sort=name&near=52.3,13,2000",
]  # fmt: skip


def test_all_pages_together_have_each_document_once(api: Api) -> None:
    """Many documents are equal in what they are sorted by, and some lack it."""
    for query in SORTS:
        pages = [[hit["id"] for hit in page] for page in api.pages(EveryTenant(), f"{query}&limit=7")]
        there = [str(n) for n in OWNERS if "near" not in query or n % 11]
        assert sorted((key for page in pages for key in page), key=int) == there, query
        assert {len(page) for page in pages[:-1]} == {7}, query


def test_pages_go_on_in_the_index_of_a_swap(client: Client, places: Entity, api: Api) -> None:
    """Loaded in another order, into other shards, with other numbers inside: what stands after a hit is the same."""
    green = build_index(client, places, "green", list(reversed(OWNERS)), shards=3)
    blue = api.index
    for query in SORTS:
        whole = [hit["id"] for page in api.pages(EveryTenant(), f"{query}&limit=50") for hit in page]
        across = [hit["id"] for page in api.pages(EveryTenant(), f"{query}&limit=7", then=green) for hit in page]
        assert across == whole, query
        api.index = blue


def test_an_index_that_is_older_than_its_fields_is_searched(client: Client, places: Entity) -> None:
    """The service may be deployed before the reindex: what the index lacks yet finds, counts and orders nothing."""
    old = replace(places)
    old.__dict__["index_body"] = deepcopy(places.index_body)
    properties = old.index_body["mappings"]["properties"]
    for name in ("population", "rate", "updated_at", "coordinates", "region"):
        del properties[name]
    for name in ("name", "alternate_names"):
        del properties[name]["fields"]
    index = make_index(client, old, "old")
    lines = [line(str(n), 1, location_id=n, name=f"Town {n}", owner="acme", country="DE") for n in range(9)]
    writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, old), index)
    api = Api(client, places, index)
    for query in ("q=town", "sort=rate", "sort=-population", "sort=name", "sort=-updated_at", "highlight=true&q=town"):
        pages = [hit["id"] for page in api.pages(ACME, f"{query}&limit=4") for hit in page]
        assert pages == [str(n) for n in range(9)], query
    assert api.search(ACME, "facets=region,country")["facets"] == {
        "country": [{"value": "de", "count": 9}],
        "region": [],
    }
    for query in ("near=52,13,100", "near=52,13,100&q=town&sort=name", "rate_min=1", "region=DE-BE"):
        assert api.ids(ACME, query) == set(), query
