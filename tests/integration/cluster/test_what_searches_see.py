"""What searches see: the documents that are there, of the live index; and what OpenSearch lets past all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import opensearchpy
import pytest

from searchsync.catalog import Entity
from searchsync.cluster import aliases, indexes
from searchsync.cluster.client import request
from searchsync.compare import differences, repair
from searchsync.operations import rollback
from searchsync.writing import writer
from tests.conftest import REPO
from tests.members import World
from tests.steps import Connect, insert, living, make_index, never, page, rebuild, serve, tombstones

SEARCHING = (REPO / "docs" / "searching.md").read_text(encoding="utf-8")


def seen(client: opensearchpy.OpenSearch, expression: str, **params: Any) -> list[tuple[str, str]]:
    """Index and id of all that a search for everything returns."""
    answer = request(client, "POST", f"/{expression}/_search", body={"size": 100}, params=params)
    return sorted((hit["_index"], hit["_id"]) for hit in answer["hits"]["hits"])


def write(client: opensearchpy.OpenSearch, name: str, *pages: Any) -> None:
    for one in pages:
        writer.compare_and_set(client, name, one, on_rejected=never)
    indexes.refresh(client, name)


def as_made_before(client: opensearchpy.OpenSearch, entity: Entity) -> None:
    """Indexes and aliases as versions made them that hid none."""
    actions = []
    for alias in (entity.writers, entity.served):
        for name, found in indexes.aliases_of(client, alias).items():
            properties = {key: value for key, value in found[alias].items() if key != "is_hidden"}
            actions.append({"remove": {"index": name, "alias": alias}})
            actions.append({"add": {"index": name, "alias": alias, **properties}})
    request(client, "POST", "/_aliases", body={"actions": actions})
    for name in indexes.state_of(client, f"{entity.name}-*"):
        request(client, "PUT", f"/{name}/_settings", body={"index.hidden": None})


def three_roles(client: opensearchpy.OpenSearch, entity: Entity) -> tuple[str, str, str]:
    """A rollback candidate, the live index and one that is being built; each with a document and a tombstone."""
    blue = serve(client, entity)
    live = serve(client, entity, "live", blue)
    building = make_index(client, entity, "building")
    for name in (blue, live, building):
        write(client, name, page(1, "1", name="Bonn"), tombstones(1, "2"))
    return blue, live, building


@pytest.mark.parametrize("pattern", ["locations*", "locat*", "*s", "locations,locations*"])
def test_a_wildcard_sees_what_the_alias_shows(client: opensearchpy.OpenSearch, locations: Entity, pattern: str) -> None:
    _, live, _ = three_roles(client, locations)
    assert seen(client, "locations") == seen(client, pattern) == [(live, "1")]
    assert seen(client, "locations-*") == seen(client, "*-writers") == seen(client, "*-served") == []


@pytest.mark.parametrize("step", ["join", "swap", "rollback"])
def test_what_an_earlier_version_made_is_hidden_by_the_next_step(
    client: opensearchpy.OpenSearch, locations: Entity, step: str
) -> None:
    blue, live, building = three_roles(client, locations)
    as_made_before(client, locations)
    before = {name: index["aliases"].keys() for name, index in indexes.state_of(client, "locations-*").items()}
    assert (building, "2") in seen(client, "locations*")
    steps: dict[str, Callable[[], object]] = {
        "join": lambda: make_index(client, locations, "another"),
        "swap": lambda: aliases.swap(client, locations, blue=live, green=building),
        "rollback": lambda: rollback.swap(client, locations, rollback.Plan(live, blue)),
    }
    steps[step]()
    serving = indexes.live(client, locations)
    assert seen(client, "locations*") == [(serving, "1")]
    after = {name: index["aliases"].keys() for name, index in indexes.state_of(client, "locations-*").items()}
    changed = {name for name, found in before.items() if not found ^ after[name] <= {locations.name, locations.served}}
    assert not changed
    aliases.verify_served(client, locations, str(serving))


def test_a_blocked_index_of_an_earlier_version_holds_up_no_join(
    client: opensearchpy.OpenSearch, locations: Entity
) -> None:
    three_roles(client, locations)
    blocked = make_index(client, locations, "blocked", joined=False)
    as_made_before(client, locations)
    request(client, "PUT", f"/{blocked}/_settings", body={"index.blocks.read_only": True})
    try:
        assert make_index(client, locations, "another") in indexes.write_set(client, locations)
        assert {name for name, _ in seen(client, "locations*")} == {indexes.live(client, locations)}
    finally:
        request(client, "PUT", f"/{blocked}/_settings", body={"index.blocks.read_only": None})


@pytest.fixture
def expired(world: World, at_once: None, reports: Path) -> World:
    """A live index of two members, one of which expired an hour ago: DynamoDB has not deleted it yet."""
    world.put("m-1", name="Ada", city="Bonn", status="active")
    world.put("m-2", name="Grace", city="Oberursel", status="inactive", expires_at={"N": "1750000000"})
    rebuild(world.client, world.connect, reports)
    return world


def search(client: opensearchpy.OpenSearch, name: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = request(client, "POST", f"/{name}/_search", body=body)
    return answer


def test_searches_counts_and_aggregations_hide_an_expired_member(expired: World) -> None:
    client, facets = expired.client, {"terms": {"field": "status"}}
    assert [key for _, key in seen(client, "members")] == ["m-1"]
    assert request(client, "POST", "/members/_count")["count"] == 1
    found = search(client, "members", {"size": 0, "aggs": {"all": {"global": {}, "aggs": {"status": facets}}}})
    assert [bucket["key"] for bucket in found["aggregations"]["all"]["status"]["buckets"]] == ["active"]
    pit = request(client, "POST", "/members/_search/point_in_time", params={"keep_alive": "1m"})["pit_id"]
    paged = request(client, "POST", "/_search", body={"pit": {"id": pit}})
    assert [hit["_id"] for hit in paged["hits"]["hits"]] == ["m-1"]


def _suggests(client: opensearchpy.OpenSearch) -> bool:
    suggest = {"s": {"text": "oberurse", "term": {"field": "city"}}}
    return bool(search(client, "members", {"size": 0, "suggest": suggest})["suggest"]["s"][0]["options"])


def _looks_up(client: opensearchpy.OpenSearch) -> bool:
    request(client, "PUT", "/notes", body={"mappings": {"properties": {"status": {"type": "keyword"}}}})
    request(client, "PUT", "/notes/_doc/1", body={"status": "inactive"}, params={"refresh": "true"})
    terms = {"status": {"index": "members", "id": "m-2", "path": "status"}}
    return bool(search(client, "notes", {"query": {"terms": terms}})["hits"]["hits"])


def _reads_by_id(client: opensearchpy.OpenSearch) -> bool:
    (doc,) = request(client, "POST", "/members/_mget", body={"ids": ["m-2"]})["docs"]
    return bool(doc["found"] and request(client, "GET", "/members/_doc/m-2")["found"])


def _lists_terms(client: opensearchpy.OpenSearch) -> bool:
    aggs = {"status": {"terms": {"field": "status", "min_doc_count": 0}}}
    buckets = search(client, "members", {"size": 0, "aggs": aggs})["aggregations"]["status"]["buckets"]
    return {"key": "inactive", "doc_count": 0} in buckets


def _has_vectors(client: opensearchpy.OpenSearch) -> bool:
    return bool(request(client, "GET", "/members/_termvectors/m-2", params={"fields": "city"})["term_vectors"])


@pytest.mark.parametrize(
    ("way", "sees"),
    [
        ("suggesters", _suggests),
        ("`terms` look-up", _looks_up),
        ("`GET _doc`", _reads_by_id),
        ("`min_doc_count: 0`", _lists_terms),
        ("`_termvectors`", _has_vectors),
    ],
)
def test_ways_that_see_hidden_documents_are_told_to_those_who_search(
    expired: World, way: str, sees: Callable[[opensearchpy.OpenSearch], bool]
) -> None:
    assert sees(expired.client)
    assert way in SEARCHING


@pytest.mark.parametrize("way", ["_update_by_query", "_delete_by_query"])
def test_what_is_changed_through_the_alias_is_found_and_repaired(
    client: opensearchpy.OpenSearch, owner: Any, locations: Entity, connect_source: Connect, reports: Path, way: str
) -> None:
    for key, name in ((1, "Bonn"), (2, "Ulm"), (3, "Trier")):
        insert(owner, key, name)
    live = rebuild(client, connect_source, reports)["index"]
    true = living(client, live)
    body: dict[str, Any] = {"query": {"ids": {"values": ["2"]}}}
    if way == "_update_by_query":
        body["script"] = {"source": "ctx._source.name = 'Wrong'"}
    changed = request(client, "POST", f"/locations/{way}", body=body, params={"refresh": "true"})
    assert changed["total"] == 1
    assert living(client, live) != true
    assert f"`{way}`" in SEARCHING
    source = connect_source(None)
    report = differences.find(client, source, live, grace=0.0)
    assert [finding.key for finding in report.findings] == ["2"]
    assert repair.repair(client, source, report, dry_run=False).written == 1
    source.close()
    assert living(client, live) == true
