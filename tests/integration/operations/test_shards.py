"""A reindex into another number of primary shards, and all that has to hold with several."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.members import generate
from searchsync.catalog import Entity
from searchsync.cli import main
from searchsync.cluster import schema
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import MISSING, ORPHAN, STALE
from searchsync.errors import BadMapping, BadParams
from searchsync.sources.postgres import PostgresSource
from tests.integration.compare.test_differences import behind_our_back, copy, delete, found
from tests.members import World
from tests.steps import Connect, connector, documents, fresh, living, rebuild

pytestmark = pytest.mark.usefixtures("at_once")


def shards_of(client: Client, index: str) -> list[int]:
    """Documents of each primary shard."""
    client.request("POST", f"/{index}/_refresh")
    shards = client.request("GET", f"/{index}/_stats/docs", params={"level": "shards"})["indices"][index]["shards"]
    return [copy["docs"]["count"] for copies in shards.values() for copy in copies if copy["routing"]["primary"]]


@pytest.fixture
def build(client: Client, connect_source: Connect, tmp_path: Path) -> Any:
    """One more reindex of locations; returns the index' name."""
    return lambda **options: str(rebuild(client, connect_source, tmp_path, **options)["index"])


def test_a_choice_holds_until_the_file_says_something_else(
    client: Client, rows: int, connect_source: Connect, app: Any, build: Any, include: Path, tmp_path: Path
) -> None:
    """The next scheduled reindex would otherwise undo what a person had decided, and make one shard of 60 GB again."""
    first = build()
    assert len(shards_of(client, first)) == 1
    assert "shards" not in EntityIndexes(client, fresh()).get(first).meta
    chosen = build(number_of_shards=3)
    counts = shards_of(client, chosen)
    assert len(counts) == 3
    assert sum(counts) == rows
    assert all(counts), "every shard has documents"
    scheduled = build()
    assert len(shards_of(client, scheduled)) == 3
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    body["settings"]["number_of_shards"] = 2
    path.write_text(json.dumps(body))
    assert schema.differences(EntityIndexes(client, fresh()), scheduled) == [
        "settings.number_of_shards: '3' instead of 2"
    ]
    by_file = rebuild(client, connector(fresh(), app.reader_dsn), tmp_path)["index"]
    assert len(shards_of(client, by_file)) == 2
    assert "shards" not in EntityIndexes(client, fresh()).get(by_file).meta


def test_the_gate_refuses_another_number_than_was_chosen(
    client: Client, rows: int, locations: Entity, build: Any
) -> None:
    """It demands what the run was to make, and nothing looser."""
    name = build(number_of_shards=3)
    indexes = EntityIndexes(client, locations)
    schema.check(indexes, name)
    meta = indexes.get(name).meta
    for other in ({**meta, "shards": {"chosen": 4, "instead_of": 1}}, {k: v for k, v in meta.items() if k != "shards"}):
        indexes.index(name).put_meta(other)
        with pytest.raises(BadMapping, match="number_of_shards: '3' instead of"):
            schema.check(indexes, name)


@pytest.mark.parametrize("number", [0, -1, 1025])
def test_a_number_that_opensearch_does_not_take_is_refused_before_anything(
    client: Client, owner: psycopg.Connection[Any], build: Any, locations: Entity, number: int
) -> None:
    with pytest.raises(BadParams, match=f"1 to 1024 primary shards, not {number}. Nothing was changed"):
        build(number_of_shards=number)
    assert EntityIndexes(client, locations).all() == []


def test_a_number_that_the_cluster_refuses_is_named(
    client: Client, owner: psycopg.Connection[Any], build: Any, locations: Entity
) -> None:
    """A node holds a limited number of shards: who asked for too many must not look for a fault in the file."""
    client.request("PUT", "/_cluster/settings", body={"persistent": {"cluster.max_shards_per_node": 5}})
    try:
        with pytest.raises(BadMapping, match=r"locations\.json with number_of_shards = 12: .*shards"):
            build(number_of_shards=12)
    finally:
        client.request("PUT", "/_cluster/settings", body={"persistent": {"cluster.max_shards_per_node": None}})
    assert EntityIndexes(client, locations).all() == []


def test_differences_in_three_shards_are_found_and_repaired(
    client: Client, owner: psycopg.Connection[Any], rows: int, locations: Entity, source: PostgresSource, build: Any
) -> None:
    """Fingerprints are summed over all shards: one shard left out would hide every third fault."""
    name = build(number_of_shards=3)
    indexes = EntityIndexes(client, locations)
    assert differences.find(indexes.get(name), source).good
    for key in range(1, 10):
        delete(client, name, str(key))
        behind_our_back(client, name, str(key + 10), sync={"hash_low": key})
        copy(client, name, str(key + 20), str(900_000 + key))
    report = differences.find(indexes.get(name), source)
    wanted = {str(key): MISSING for key in range(1, 10)} | {str(key + 10): STALE for key in range(1, 10)}
    assert found(report) == wanted | {str(900_000 + key): ORPHAN for key in range(1, 10)}
    assert repair.repair(indexes, source, report, dry_run=False, cap=100).left == 0
    assert differences.find(indexes.get(name), source).good


def test_tombstones_reach_every_shard_and_the_way_back_is_open(
    client: Client, owner: psycopg.Connection[Any], rows: int, locations: Entity, build: Any, shell: None
) -> None:
    """One that stays behind in a shard would let a late write bring the row back; a rollback may change the number."""
    first = build()
    owner.execute("DELETE FROM locations WHERE location_id <= 30")
    assert main.main(["compare", "locations", "--pending", "--repair", "--cap", "100"]) == 0
    second = build(number_of_shards=3)
    buried = {key for key, doc in documents(client, second).items() if doc["sync"]["deleted"]}
    assert buried == {str(key) for key in range(1, 31)}
    assert len(living(client, second)) == rows - 30
    assert main.main(["rollback", "locations"]) == 0
    indexes = EntityIndexes(client, locations)
    assert indexes.live() == first
    assert main.main(["rollback", "locations"]) == 0
    assert indexes.live() == second
    assert len(shards_of(client, build())) == 3


def test_the_stream_and_a_replay_write_to_the_shard_of_each_key(world: World, tmp_path: Path) -> None:
    """Looking up a position and writing by it must meet in one shard: else an older change would win in another."""
    generate(world.aws["dynamodb"], 60)
    late = world.records()
    name = rebuild(world.client, world.connect, tmp_path, number_of_shards=3)["index"]
    keys = sorted(world.table())
    for key in keys[:20]:
        world.put(key, name=f"changed {key}")
    for key in keys[20:30]:
        world.delete(key)
    assert world.apply().failed == ""
    world.apply(late)  # delivered again, after all: each of them is older than what is there
    there = living(world.client, name)
    assert there.keys() == world.table().keys()
    assert {there[key]["name"] for key in keys[:20]} == {f"changed {key}" for key in keys[:20]}
    assert len(shards_of(world.client, name)) == 3
    world.put("new", name="new")
    world.send_pointer(world.records())
    assert world.replay().failed == []
    assert living(world.client, name).keys() == world.table().keys()
