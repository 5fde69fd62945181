"""What searches see: the documents that are there, of the live index; and what OpenSearch lets past all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index, aliases_of, state_of
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import Effort
from searchsync.operations import rollback
from searchsync.writing import writer
from tests.conftest import REPO
from tests.members import World
from tests.steps import Connect, insert, living, make_index, never, page, rebuild, serve, tombstones

SEARCHING = (REPO / "docs" / "searching.md").read_text(encoding="utf-8")


def seen(client: Client, expression: str, **params: Any) -> list[tuple[str, str]]:
    """Index and id of all that a search for everything returns."""
    answer = client.request("POST", f"/{expression}/_search", body={"size": 100}, params=params)
    return sorted((hit["_index"], hit["_id"]) for hit in answer["hits"]["hits"])


def write(client: Client, name: str, *pages: Any) -> None:
    for one in pages:
        writer.compare_and_set(Index(client, name), one, on_rejected=never)
    Index(client, name).refresh()


def as_made_before(client: Client, entity: Entity) -> None:
    """Indexes and aliases as versions made them that hid none."""
    actions = []
    for alias in (entity.write_alias, entity.served_alias):
        for name, found in aliases_of(client, alias).items():
            properties = {key: value for key, value in found[alias].items() if key != "is_hidden"}
            actions.append({"remove": {"index": name, "alias": alias}})
            actions.append({"add": {"index": name, "alias": alias, **properties}})
    client.request("POST", "/_aliases", body={"actions": actions})
    for name in state_of(client, f"{entity.name}-*"):
        client.request("PUT", f"/{name}/_settings", body={"index.hidden": None})


def three_roles(client: Client, entity: Entity) -> tuple[str, str, str]:
    """A rollback candidate, the live index and one that is being built; each with a document and a tombstone."""
    blue = serve(client, entity)
    live = serve(client, entity, "live", blue)
    building = make_index(client, entity, "building")
    for name in (blue, live, building):
        write(client, name, page(1, "1", name="Bonn"), tombstones(1, "2"))
    return blue, live, building


@pytest.mark.parametrize("pattern", ["locations*", "locat*", "*s", "locations,locations*"])
def test_a_wildcard_sees_what_the_alias_shows(client: Client, locations: Entity, pattern: str) -> None:
    _, live, _ = three_roles(client, locations)
    assert seen(client, "locations") == seen(client, pattern) == [(live, "1")]
    assert seen(client, "locations-*") == seen(client, "*-writers") == seen(client, "*-served") == []


@pytest.mark.parametrize("step", ["join", "swap", "rollback"])
def test_what_an_earlier_version_made_is_hidden_by_the_next_step(client: Client, locations: Entity, step: str) -> None:
    blue, live, building = three_roles(client, locations)
    as_made_before(client, locations)
    before = {name: index["aliases"].keys() for name, index in state_of(client, "locations-*").items()}
    assert (building, "2") in seen(client, "locations*")
    steps: dict[str, Callable[[], object]] = {
        "join": lambda: make_index(client, locations, "another"),
        "swap": lambda: aliases.swap(EntityIndexes(client, locations), blue=live, green=building),
        "rollback": lambda: rollback.swap(EntityIndexes(client, locations), rollback.RollbackPlan(live, blue)),
    }
    steps[step]()
    serving = EntityIndexes(client, locations).live()
    assert seen(client, "locations*") == [(serving, "1")]
    after = {name: index["aliases"].keys() for name, index in state_of(client, "locations-*").items()}
    changed = {
        name for name, found in before.items() if not found ^ after[name] <= {locations.name, locations.served_alias}
    }
    assert not changed
    aliases.verify(EntityIndexes(client, locations), str(serving))


def test_a_blocked_index_of_an_earlier_version_holds_up_no_join(client: Client, locations: Entity) -> None:
    three_roles(client, locations)
    blocked = make_index(client, locations, "blocked", joined=False)
    as_made_before(client, locations)
    client.request("PUT", f"/{blocked}/_settings", body={"index.blocks.read_only": True})
    try:
        assert make_index(client, locations, "another") in EntityIndexes(client, locations).write_set()
        assert {name for name, _ in seen(client, "locations*")} == {EntityIndexes(client, locations).live()}
    finally:
        client.request("PUT", f"/{blocked}/_settings", body={"index.blocks.read_only": None})


@pytest.fixture
def expired(world: World, at_once: None, reports: Path) -> World:
    """A live index of two members, one of which expired an hour ago: DynamoDB has not deleted it yet."""
    world.put("m-1", name="Ada", city="Bonn", status="active")
    world.put("m-2", name="Grace", city="Oberursel", status="inactive", expires_at={"N": "1750000000"})
    rebuild(world.client, world.connect, reports)
    return world


def search(client: Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.request("POST", f"/{name}/_search", body=body)
    return answer


def test_searches_counts_and_aggregations_hide_an_expired_member(expired: World) -> None:
    client, facets = expired.client, {"terms": {"field": "status"}}
    assert [key for _, key in seen(client, "members")] == ["m-1"]
    assert client.request("POST", "/members/_count")["count"] == 1
    found = search(client, "members", {"size": 0, "aggs": {"all": {"global": {}, "aggs": {"status": facets}}}})
    assert [bucket["key"] for bucket in found["aggregations"]["all"]["status"]["buckets"]] == ["active"]
    pit = client.request("POST", "/members/_search/point_in_time", params={"keep_alive": "1m"})["pit_id"]
    paged = client.request("POST", "/_search", body={"pit": {"id": pit}})
    assert [hit["_id"] for hit in paged["hits"]["hits"]] == ["m-1"]


def _suggests(client: Client) -> bool:
    suggest = {"s": {"text": "oberurse", "term": {"field": "city"}}}
    return bool(search(client, "members", {"size": 0, "suggest": suggest})["suggest"]["s"][0]["options"])


def _looks_up(client: Client) -> bool:
    client.request("PUT", "/notes", body={"mappings": {"properties": {"status": {"type": "keyword"}}}})
    client.request("PUT", "/notes/_doc/1", body={"status": "inactive"}, params={"refresh": "true"})
    terms = {"status": {"index": "members", "id": "m-2", "path": "status"}}
    return bool(search(client, "notes", {"query": {"terms": terms}})["hits"]["hits"])


def _reads_by_id(client: Client) -> bool:
    (doc,) = client.request("POST", "/members/_mget", body={"ids": ["m-2"]})["docs"]
    return bool(doc["found"] and client.request("GET", "/members/_doc/m-2")["found"])


def _lists_terms(client: Client) -> bool:
    aggs = {"status": {"terms": {"field": "status", "min_doc_count": 0}}}
    buckets = search(client, "members", {"size": 0, "aggs": aggs})["aggregations"]["status"]["buckets"]
    return {"key": "inactive", "doc_count": 0} in buckets


def _has_vectors(client: Client) -> bool:
    return bool(client.request("GET", "/members/_termvectors/m-2", params={"fields": "city"})["term_vectors"])


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
    expired: World, way: str, sees: Callable[[Client], bool]
) -> None:
    assert sees(expired.client)
    assert way in SEARCHING


@pytest.mark.parametrize("way", ["_update_by_query", "_delete_by_query"])
def test_what_is_changed_through_the_alias_is_found_and_repaired(
    client: Client, owner: Any, locations: Entity, connect_source: Connect, reports: Path, way: str
) -> None:
    for key, name in ((1, "Bonn"), (2, "Ulm"), (3, "Trier")):
        insert(owner, key, name)
    live = rebuild(client, connect_source, reports)["index"]
    true = living(client, live)
    body: dict[str, Any] = {"query": {"ids": {"values": ["2"]}}}
    if way == "_update_by_query":
        body["script"] = {"source": "ctx._source.name = 'Wrong'"}
    changed = client.request("POST", f"/locations/{way}", body=body, params={"refresh": "true"})
    assert changed["total"] == 1
    assert living(client, live) != true
    assert f"`{way}`" in SEARCHING
    source = connect_source(None)
    report = differences.find(EntityIndexes(client, source.entity).get(live), source, effort=Effort(grace=0.0))
    assert [finding.key for finding in report.findings] == ["2"]
    assert repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False).written == 1
    source.close()
    assert living(client, live) == true
