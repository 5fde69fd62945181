"""A table that several entities share: each index has its own kind of items, whichever way they come."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.documents import transforms
from searchsync.quality import health
from searchsync.selection import Selection
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream import lag
from tests.members import World, clients, newer
from tests.steps import documents, living, rebuild

SELECTIONS = {"an attribute": Selection("city", equals="Bern"), "the key": Selection("member_id", prefix="BE#")}


@pytest.fixture(params=SELECTIONS)
def shared(request: pytest.FixtureRequest, client: Client, aws_url: str) -> World:
    """A table of which members are the items of one kind."""
    return World(client, newer(replace(entity("members"), select=SELECTIONS[request.param])), clients(aws_url))


def fill(world: World) -> None:
    """Five items of members, and seven of other kinds."""
    for n in range(5):
        world.put(f"BE#{n}", name=f"first {n}", city="Bern")
    for n in range(6):
        world.put(f"ZH#{n}", name=f"other {n}", city="Zug")
    world.put("ZH#sync", sync="of a kind whose items can be no documents")


def behind(world: World, index: str) -> lag.Lag:
    indexes = EntityIndexes(world.client, world.entity)
    return lag.measure(indexes, index, world.aws["dynamodbstreams"], world.stream_arn)


def test_an_index_has_the_selected_items_and_nothing_of_the_others(shared: World, at_once: None, reports: Path) -> None:
    """Not even tombstones: an index would fill up with those of all other kinds."""
    fill(shared)
    shared.records()
    live = rebuild(shared.client, shared.connect, reports)["index"]
    assert sorted(living(shared.client, live)) == [f"BE#{n}" for n in range(5)]
    shared.put("BE#1", name="changed", city="Bern")
    shared.put("ZH#1", name="changed", city="Zug")
    shared.delete("BE#2")
    shared.delete("ZH#2")
    shared.put("ZH#sync", sync="changed", city="Zug")
    outcome = shared.apply()
    assert (outcome.skipped, outcome.superseded, outcome.written, outcome.parked) == (3, 0, 2, {})
    assert behind(shared, live).records == 0
    found = documents(shared.client, live)
    assert sorted(found) == [f"BE#{n}" for n in range(5)]
    assert found["BE#1"]["name"] == "changed"
    assert found["BE#2"]["sync"]["deleted"]


def test_comparison_and_repair_see_the_selection_alone(shared: World, at_once: None, reports: Path) -> None:
    fill(shared)
    live = rebuild(shared.client, shared.connect, reports)["index"]
    indexes = EntityIndexes(shared.client, shared.entity)
    everything = newer(replace(shared.entity, select=None))
    (page,) = DynamoSource(everything, shared.aws["dynamodb"]).read(["ZH#1"])
    (stray,) = page.documents()
    shared.client.request("PUT", f"/{live}/_doc/ZH%231", body=stray.source.decode())
    shared.client.request("DELETE", f"/{live}/_doc/BE%231")
    found = differences.find(indexes.get(live), shared.source)
    assert found.kinds == {differences.MISSING: 1, differences.ORPHAN: 1}
    repair.repair(indexes, shared.source, found, dry_run=False)
    assert sorted(living(shared.client, live)) == [f"BE#{n}" for n in range(5)]


def test_a_pointer_brings_no_tombstones_of_other_kinds(shared: World, at_once: None, reports: Path) -> None:
    fill(shared)
    live = rebuild(shared.client, shared.connect, reports)["index"]
    shared.records()
    shared.put("BE#1", name="given up", city="Bern")
    shared.put("ZH#1", name="given up", city="Zug")
    shared.delete("ZH#2")
    shared.send_pointer(shared.records())
    report = shared.replay().as_dict()
    assert [counts["read"] for counts in report["reasons"].values()] == [1]
    assert (report["failed"], report["gaps"]) == ([], [])
    assert sorted(documents(shared.client, live)) == [f"BE#{n}" for n in range(5)]
    assert living(shared.client, live)["BE#1"]["name"] == "given up"


def test_what_leaves_is_gone_and_what_enters_is_there(client: Client, aws_url: str, reports: Path) -> None:
    shared = World(client, newer(replace(entity("members"), select=SELECTIONS["an attribute"])), clients(aws_url))
    shared.put("m-1", name="there", city="Bern")
    shared.put("m-2", name="not yet", city="Zug")
    live = rebuild(client, shared.connect, reports)["index"]
    shared.records()
    shared.put("m-1", name="left", city="Zug")
    shared.put("m-2", name="entered", city="Bern")
    assert behind(shared, live).records == 2
    assert shared.apply().written == 2
    assert behind(shared, live).records == 0
    assert living(client, live).keys() == {"m-2"}
    shared.put("m-1", name="again", city="Bern")
    shared.apply()
    assert living(client, live).keys() == {"m-1", "m-2"}


def test_the_tables_own_count_says_nothing(shared: World, reports: Path) -> None:
    """It counts all kinds: as a number of documents it would fail every check, or let every loss pass."""
    fill(shared)
    assert shared.source.count() is None
    live = rebuild(shared.client, shared.connect, reports)["index"]
    index = EntityIndexes(shared.client, shared.entity).index(live)
    assert health.count_difference(shared.source, index) is None


def test_the_server_leaves_out_what_is_not_selected(shared: World) -> None:
    """Else all of the table would cross the network for each of its entities."""
    fill(shared)
    asked: list[dict[str, Any]] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(shared.aws["dynamodb"], name)

        def scan(self, **arguments: Any) -> Any:
            answer = shared.aws["dynamodb"].scan(**arguments)
            asked.append(answer)
            return answer

    source = DynamoSource(shared.entity, Watched())
    assert sum(page.count for part in source.partitions(2) for page in source.pages(part)) == 5
    assert [sum(answer[name] for answer in asked) for name in ("Count", "ScannedCount")] == [5, 12]


def test_another_selection_asks_for_a_reindex() -> None:
    one, other = (replace(entity("members"), select=selection) for selection in SELECTIONS.values())
    assert transforms.present(one) != transforms.present(other)
    assert transforms.present(one) != transforms.present(entity("members"))
