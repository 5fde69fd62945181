"""The service as a whole, with a real OpenSearch and a real Redis: what callers see, whatever happens behind it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from local import opensearch as local_opensearch
from local import redis as local_redis
from search_api import service
from search_api.cache import popular
from search_api.cache.answers import Lifetimes
from searchsync.catalog import Entity, entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from tests.search_service import Served, fill, searching, serving
from tests.steps import make_index, start_mortal, until
from tests.user_pool import bearer

PLACES = {
    "1": ("Berlin", "DE", 3_400_000, 52.52, 13.4, ["Berlino", "Berlijn"]),
    "2": ("Bern", "CH", 120_000, 46.95, 7.44, ["Berne"]),
    "3": ("Bergen", "NO", 280_000, 60.39, 5.32, []),
    "4": ("Potsdam", "DE", 180_000, 52.39, 13.06, []),
    "5": ("Bernau <b>bei</b> Berlin", "DE", 40_000, 52.68, 13.59, []),
}
NAMES = ["Ada Brontë", "Björn Müller", "Ada Silva", "Zoë Weber"]
A, B, ADMIN = bearer(tenant="a"), bearer(tenant="b"), bearer(tenant=None, groups=["admin"])
WARMER = bearer(tenant="a", groups=["service"])


def places() -> dict[str, dict[str, Any]]:
    return {
        key: {
            "location_id": int(key),
            "name": name,
            "alternate_names": others,
            "country": country,
            "region": f"{country}.1",
            "population": population,
            "coordinates": {"lat": lat, "lon": lon},
            "rate": int(key) + 0.5,
            "active": key != "4",
            "updated_at": f"2026-01-0{key}T00:00:00Z",
        }
        for key, (name, country, population, lat, lon, others) in PLACES.items()
    }


def members() -> dict[str, dict[str, Any]]:
    """Each name once in each tenant, and one that has no tenant."""
    found = {
        f"{tenant}-{n}": {"member_id": f"{tenant}-{n}", "tenant_id": tenant, "name": name, "city": f"City of {tenant}"}
        for tenant in "ab"
        for n, name in enumerate(NAMES)
    }
    return {**found, "c-0": {"member_id": "c-0", "name": "Ada Nobody", "city": "None"}}


@pytest.fixture
def locations() -> Entity:
    return replace(entity("locations"))


FILLED = {"locations": places(), "members": members()}


@pytest.fixture(scope="module")
def same(opensearch_server: local_opensearch.Server, redis_folder: Path) -> Iterator[Served]:
    """For tests that change nothing."""
    redis = local_redis.start(redis_folder).url.removesuffix("/0") + "/1"  # the other tests' own is the first
    with searching(opensearch_server, redis, FILLED) as served:
        yield served


@pytest.fixture
def api(
    client: Client,  # it empties OpenSearch, which has to happen first
    opensearch_server: local_opensearch.Server,
    redis_server: local_redis.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Served]:
    """For tests that change what is served."""
    monkeypatch.setattr(popular, "FLUSH_SECONDS", 0.1)
    with searching(opensearch_server, redis_server.url, FILLED) as served:
        yield served


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_places_are_found_as_people_ask(same: Served) -> None:
    """One service, all parts in place: words, typing errors, filters, facets, distance, highlights, a document."""
    found = same.get("/v1/locations/search", q="berlin", facets="country", highlight="true")
    assert ids(found)[0] == "1"
    assert found.json()["facets"]["country"][0] == {"value": "de", "count": len(found.json()["hits"])}
    assert "<em>Berlin</em>" in found.json()["hits"][0]["highlights"]["name"][0]
    assert "<b>" not in json.dumps([hit.get("highlights") for hit in found.json()["hits"]])
    near = same.get("/v1/locations/search", near="52.5,13.4,40")
    assert ids(near) == ["1", "5", "4"]
    assert near.json()["hits"][0]["distance_km"] == pytest.approx(2.2, abs=0.1)
    assert ids(same.get("/v1/locations/search", country="de", active="true", rate_max="2", sort="name")) == ["1"]
    asked = {"q": "ber", "country": ["DE", "CH"], "sort": "-population", "limit": 2}
    by_address = same.get("/v1/locations/search", q="ber", country=["DE", "CH"], sort="-population", limit=2)
    assert ids(same.post("/v1/locations/search", asked)) == ids(by_address)
    assert same.get("/v1/locations/suggest", q="berge").json()["suggestions"][0]["id"] == "3"
    assert same.get("/v1/locations/2").json() == {"id": "2", "document": places()["2"]}


def test_guesses_do_not_come_before_what_was_asked_for_in_any_order(same: Served) -> None:
    """By name or distance, a place that is only spelt alike would stand anywhere, also on the first page."""
    path = "/v1/locations/search"
    assert ids(same.get(path, q="berlino")) == ["1", "5"], "Berlino is Berlin, and is spelt nearly as Bernau bei Berlin"
    assert ids(same.get(path, q="berlino", sort="population")) == ["1"]
    assert ids(same.get(path, q="berln", sort="population")) == ["5", "2", "1"], "nothing is found but guesses"
    first = same.get(path, q="berlino", sort="population", limit=1)
    after = same.get(path, q="berlino", sort="population", limit=1, cursor=first.json()["next_cursor"])
    assert (ids(first), ids(after)) == (["1"], []), "the page after the last one has no guesses either"


def test_a_tenant_sees_its_own_documents_and_no_trace_of_others(same: Served) -> None:
    """The one promise that must hold whatever is asked: searches, ids, suggestions, facets, cursors and the cache."""
    path = "/v1/members/search"
    assert sorted(ids(same.get(path, A, q="ada"))) == ["a-0", "a-2"]
    assert sorted(ids(same.get(path, B, q="ada"))) == ["b-0", "b-2"]  # the answer of a is kept now
    assert sorted(ids(same.get(path, ADMIN, q="ada"))) == ["a-0", "a-2", "b-0", "b-2", "c-0"]
    facets = same.get(path, A, facets="city").json()
    assert facets["facets"]["city"] == [{"value": "city of a", "count": 4}]
    assert facets["total"] == {"value": 4, "relation": "eq"}
    assert same.get("/v1/members/a-1", A).json()["document"]["name"] == "Björn Müller"
    foreign, missing = same.get("/v1/members/b-1", A), same.get("/v1/members/b-99", A)
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["detail"] == missing.json()["detail"]
    suggested = same.get("/v1/members/suggest", A, q="ada").json()["suggestions"]
    assert {one["id"] for one in suggested} == {"a-0", "a-2"}
    page = same.get(path, A, sort="name", limit=2).json()
    stolen = same.get(path, B, sort="name", limit=2, cursor=page["next_cursor"])
    assert (stolen.status_code, stolen.json()["title"]) == (400, "Bad cursor")


def test_without_a_token_nothing_is_answered_but_what_everybody_may_know(same: Served) -> None:
    for path in ("/v1/entities", "/v1/locations/search", "/v1/members/a-1", "/v1/members/suggest?q=a"):
        answer = same.get(path, None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
    assert same.post("/v1/locations/search", {}, None).status_code == 401
    assert same.get("/health", None).json() == {"status": "ok"}
    warming = same.http.post("/v1/locations/warm?index=x", headers={"authorization": A})
    assert warming.status_code == 403


def test_what_is_asked_again_comes_from_the_cache_and_what_people_typed_is_logged_nowhere(same: Served) -> None:
    """Else OpenSearch answers each request anew, or logs become a record of what each person looks for."""
    with capture_logs() as logs:
        first = same.get("/v1/members/search", A, q="brontë", city="Typed Town")
        again = same.get("/v1/members/search", A, city="Typed Town", q=" brontë ")
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
    assert first.content == again.content
    assert {line["route"] for line in logs} == {"members.search"}
    assert logs[0]["query"] == logs[1]["query"] != ""
    assert "bront" not in str(logs).lower()
    assert "typed" not in str(logs).lower()


def test_pages_go_on_when_the_index_is_replaced(api: Served, client: Client, locations: Entity) -> None:
    """In the middle of reading, a reindex swaps: nothing is shown twice, nothing is left out, and news are seen."""
    (blue,) = EntityIndexes(client, locations).all()
    asked: dict[str, Any] = {"sort": "name", "limit": 2, "fields": "name"}
    first = api.get("/v1/locations/search", **asked)
    green = make_index(client, locations, "green")
    fill(client, locations, green, {**places(), "6": {**places()["2"], "location_id": 6, "name": "Aachen"}})
    aliases.swap(EntityIndexes(client, locations), blue=blue.name, green=green)
    until(lambda: ids(api.get("/v1/locations/search", q="aachen")) == ["6"], "the new index is asked")
    second = api.get("/v1/locations/search", **asked, cursor=first.json()["next_cursor"])
    aliases.leave(EntityIndexes(client, locations), blue.name)
    client.request("DELETE", f"/{blue.name}")
    third = api.get("/v1/locations/search", **asked, cursor=second.json()["next_cursor"])
    assert ids(first) + ids(second) + ids(third) == ["3", "1", "2", "5", "4"]
    assert third.json()["next_cursor"] is None


def test_a_warm_index_answers_frequent_queries_from_the_cache(api: Served, client: Client, locations: Entity) -> None:
    """Else the first searchers after each swap wait for a cold index."""
    asked = {"q": "bergen", "country": "no", "near": "60,5,100"}
    api.get("/v1/locations/search", **asked)
    green = make_index(client, locations, "green")
    fill(client, locations, green, places())

    def warmed() -> bool:
        answer = api.http.post(f"/v1/locations/warm?index={green}", headers={"authorization": WARMER})
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["filled"] == 1)

    until(warmed, "what was asked is counted")
    (blue,) = [one.name for one in EntityIndexes(client, locations).all() if one.name != green]
    aliases.swap(EntityIndexes(client, locations), blue=blue, green=green)
    client.request("DELETE", f"/{blue}")
    until(lambda: api.get("/v1/locations/search", q="anything new").status_code == 200, "the swap is seen")
    assert api.get("/v1/locations/search", **asked).headers["x-cache"] == "hit"
    unknown = api.http.post("/v1/locations/warm?index=.kibana", headers={"authorization": WARMER})
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Unknown index")


def test_a_new_index_is_compared_with_the_live_one_before_it_is_live(
    api: Served, client: Client, locations: Entity
) -> None:
    """Else a mapping that finds something else is noticed by searchers. Each tenant's queries find what it may see."""
    for name in ("bergen", "oslo", "lisboa"):
        api.get("/v1/locations/search", q=name)
    green = make_index(client, locations, "green")
    fill(client, locations, green, places())
    found: dict[str, Any] = {}

    def compared(index: str) -> bool:
        path = f"/v1/locations/warm?index={index}&compare=true"
        answer = api.http.post(path, headers={"authorization": WARMER})
        assert answer.status_code == 200, answer.text
        found.update(answer.json()["compared"])
        return bool(answer.json()["filled"] == 3)

    until(lambda: compared(green), "what was asked is counted")
    assert found["queries"] > 0
    assert (found["overlap"], found["rank"]) in ((1.0, 1.0), (1.0, None))
    assert found["live_ms"] > 0
    other = make_index(client, locations, "other")
    compared(other)
    assert found["overlap"] == 0.0, "it is empty"
    for wrong in ("&compare=no", "&compare=true&compare=true", "&other=1"):
        refused = api.http.post(f"/v1/locations/warm?index={green}{wrong}", headers={"authorization": WARMER})
        assert refused.status_code == 400
    hidden = api.http.post("/v1/locations/warm?index=.kibana&compare=true", headers={"authorization": WARMER})
    assert hidden.status_code == 404


def test_what_was_kept_for_all_tenants_is_not_shown_when_the_file_gives_it_to_one(
    api: Served,
    opensearch_server: local_opensearch.Server,
    redis_server: local_redis.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file of an entity becomes stricter, the index stays: old answers in Redis must not outlive that."""
    asked = ("/v1/locations/search", "/v1/locations/1", "/v1/locations/suggest?q=berlin")
    before = [api.get(path) for path in asked]
    assert [answer.status_code for answer in before] == [200, 200, 200]
    stricter = replace(entity("locations"), tenant="timezone")
    monkeypatch.setattr(service, "CATALOG", {"locations": stricter})
    with serving(opensearch_server.url, redis_server.url) as changed:
        until(lambda: changed.get("/ready", None).status_code == 200, "the service is ready")
        search, one, suggested = (changed.get(path) for path in asked)
    assert (search.json()["hits"], one.status_code, suggested.json()["suggestions"]) == ([], 404, [])


def test_without_redis_everything_is_answered(api: Served, redis_server: local_redis.Server) -> None:
    redis_server.kill()
    assert ids(api.get("/v1/locations/search", q="berlin"))[0] == "1"
    assert api.get("/v1/locations/search", q="berlin").headers["x-cache"] == "hit"  # of this process
    ready = api.get("/ready", None)
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


def test_without_opensearch_kept_answers_are_shown_and_all_else_is_refused_in_time(
    mortal: local_opensearch.Server, redis_server: local_redis.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search engine that is away must cost neither wrong answers nor hanging ones, and must be found again."""
    monkeypatch.setattr(service, "Lifetimes", lambda: Lifetimes(cold=0.0))
    with searching(mortal, redis_server.url, FILLED) as api:
        before = api.get("/v1/locations/search", q="berlin")
        assert before.headers["x-cache"] == "miss"
        mortal.kill()
        stale = api.get("/v1/locations/search", q="berlin")
        assert (stale.headers["x-cache"], stale.content) == ("stale", before.content)
        other = api.get("/v1/locations/search", q="bergen")
        assert (other.status_code, other.json()["title"]) == (503, "Search unavailable")
        assert int(other.headers["retry-after"]) >= 1
        until(lambda: api.get("/ready", None).json()["status"] == "degraded", "the outage is seen")
        assert api.get("/ready", None).status_code == 200  # kept answers are still shown
        start_mortal(mortal.folder)
        until(lambda: api.get("/v1/locations/search", q="bergen").status_code == 200, "it answers again", 60)
