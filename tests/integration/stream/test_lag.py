"""How far the index is behind the stream: what is left behind is told from what is parked, covered or on its way."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import MISSING, ORPHAN, Effort
from searchsync.errors import BadSource, StreamBehind
from searchsync.operations import reindex
from searchsync.stream import gaps
from searchsync.stream.lag import Lag
from searchsync.writing import writer
from tests.integration.compare.test_differences import behind_our_back, delete
from tests.members import World
from tests.steps import make_index, rebuild, serve, until


@pytest.fixture
def blue(world: World) -> str:
    return serve(world.client, world.entity, identity=world.identity)


def behind(world: World, index: str) -> Lag:
    world.client.request("POST", f"/{index}/_refresh")
    return world.feed.behind(EntityIndexes(world.client, world.entity), index)


def age(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """As if it were so much later."""
    monkeypatch.setattr("searchsync.stream.lag.time", SimpleNamespace(time=lambda: time.time() + seconds))


def test_an_index_that_has_everything_is_not_behind(world: World, blue: str, monkeypatch: Any) -> None:
    assert behind(world, blue) == Lag()
    for n in range(30):
        world.put(f"m-{n % 7}", name=f"name {n}")
    world.delete("m-3")
    world.apply()
    age(monkeypatch, 100)
    assert behind(world, blue) == Lag()


def test_a_mapping_that_stands_still_is_seen_with_its_age(world: World, blue: str, monkeypatch: Any) -> None:
    world.put("before", name="x")
    world.apply()
    world.put("a", name="x")
    world.put("b", name="x")
    age(monkeypatch, 100)
    found = behind(world, blue)
    assert found.records == 2
    assert found.seconds >= 98
    world.apply()
    assert behind(world, blue) == Lag()


def test_a_mapping_that_never_ran_is_seen(world: World, blue: str, monkeypatch: Any) -> None:
    """No document tells of an event, so the shard is read from its beginning."""
    for n in range(1_200):
        world.put(f"m-{n}", name="x")
    age(monkeypatch, 50)
    assert behind(world, blue).records == 1_200


def test_what_a_read_has_covered_is_no_lag_and_proves_nothing(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A reindex has all of it; a replay of one key must not hide the others that were left behind."""
    world.put("before", name="x")
    world.apply()
    world.put("left", name="x")
    world.put("replayed", name="x")
    deadline = time.monotonic() + 30
    while True:  # a read covers an event that is older than its margin
        (page,) = world.source.read(["replayed"])
        writer.apply(EntityIndexes(world.client, world.entity), [page], on_rejected=lambda _: None)
        found = behind(world, blue)
        if found.records == 1:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    green = str(rebuild(world.client, world.connect, tmp_path, run_id="green")["index"])
    assert behind(world, green) == Lag()


def test_what_is_parked_is_no_lag(world: World, blue: str, monkeypatch: Any) -> None:
    """Poison at the end of the stream waits in the queue, and it is there that it is reported."""
    world.put("good", name="x")
    world.put("poison", nickname="x")
    assert world.apply().parked.total() == 1
    age(monkeypatch, 1_000)
    found = behind(world, blue)
    assert (found.records, found.explained, found.unexplained) == (1, True, 0.0)
    assert found.seconds >= 1_000, "it may be on its way as well"
    world.put("left", name="x")
    world.put("left too", name="x")
    found = behind(world, blue)
    assert (found.records, found.explained) == (3, False), "more than wait in the queues"


def test_poison_before_what_is_applied_is_no_lag(world: World, blue: str, monkeypatch: Any) -> None:
    world.put("poison", nickname="x")
    world.put("good", name="x")
    world.apply()
    monkeypatch.setattr(world.feed.dead_letters.__class__, "waiting", lambda _: 0)
    age(monkeypatch, 1_000)
    assert behind(world, blue) == Lag()


def test_a_removal_of_what_never_was_there_says_nothing(world: World, blue: str, monkeypatch: Any) -> None:
    """Made and removed while nothing was delivered: no document will ever tell of it, but of the first record one."""
    world.put("short", name="x")
    world.delete("short")
    age(monkeypatch, 100)
    assert behind(world, blue).records == 1


class Split:
    """The stream as after a split: the shard is closed, and its child has nothing yet."""

    def __init__(self, streams: Any) -> None:
        self._streams = streams

    def describe_stream(self, **wanted: Any) -> Any:
        found = self._streams.describe_stream(**wanted)
        shards = found["StreamDescription"]["Shards"]
        shards.append({"ShardId": "child", "ParentShardId": shards[0]["ShardId"], "SequenceNumberRange": {}})
        return found

    def get_shard_iterator(self, **wanted: Any) -> Any:
        return {"ShardIterator": ""} if wanted["ShardId"] == "child" else self._streams.get_shard_iterator(**wanted)

    def get_records(self, **wanted: Any) -> Any:
        return self._streams.get_records(**wanted)


def test_an_empty_child_of_a_shard_that_was_not_read_proves_nothing(world: World, blue: str, monkeypatch: Any) -> None:
    """A shard is closed after hours; a mapping that stands still since before would look as if it had everything."""
    feed = replace(world.feed, streams=Split(world.aws["dynamodbstreams"]))
    for n in range(12):
        world.put(f"m-{n}", name="x")
    age(monkeypatch, 100)
    assert feed.behind(EntityIndexes(world.client, world.entity), blue).records == 12
    world.apply()
    world.client.request("POST", f"/{blue}/_refresh")
    assert feed.behind(EntityIndexes(world.client, world.entity), blue) == Lag()


def test_many_parked_messages_do_not_hide_a_mapping_that_stands(world: World, blue: str, monkeypatch: Any) -> None:
    world.parked.send(["{}"] * 50)
    for n in range(12):
        world.put(f"m-{n}", name="x")
    assert behind(world, blue).records == 12


def test_a_table_without_a_stream_is_said(world: World, blue: str) -> None:
    world.aws["dynamodb"].update_table(TableName=world.entity.name, StreamSpecification={"StreamEnabled": False})
    with pytest.raises(BadSource, match="no stream"):
        behind(world, blue)


# -- as the gate of a comparison


def compare(world: World, index: str) -> differences.DiffReport:
    feed, indexes = world.feed, EntityIndexes(world.client, world.entity)
    return differences.find(
        indexes.get(index), world.source, behind=lambda: feed.behind(indexes, index), effort=Effort(grace=0.0)
    )


def test_a_stalled_stream_is_reported_as_lag_and_never_as_differences(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(50):
        world.put(f"m-{n}", name="x")
    age(monkeypatch, 400)
    with pytest.raises(StreamBehind, match="mapping"):
        compare(world, blue)


def test_a_comparison_waits_for_what_the_stream_had_when_it_looked(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five seconds behind is normal after a burst: none of it may be reported, all else must."""
    for n in range(20):
        world.put(f"m-{n}", name="x")
    world.apply()
    delete(world.client, blue, "m-7")
    behind_our_back(world.client, blue, "m-8", name="edited")
    world.put("late", name="x")
    world.delete("m-9")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            world.apply()  # only now the mapping comes round
            world.client.request("POST", f"/{blue}/_refresh")

    monkeypatch.setattr("searchsync.compare.differences.time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    age(monkeypatch, 30)
    report = compare(world, blue)
    assert {found.key: found.kind for found in report.findings} == {"m-7": MISSING, "m-8": differences.CONTENT}
    assert len(pauses) >= 3


def test_without_the_gate_they_would_have_been_reported(world: World, blue: str) -> None:
    world.put("there", name="x")
    world.apply()
    world.put("late", name="x")
    world.delete("there")
    assert differences.find(
        EntityIndexes(world.client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0)
    ).kinds == {ORPHAN: 1, MISSING: 1}


def test_what_a_member_missed_is_no_lag_and_can_be_repaired_at_once(
    world: World, blue: str, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further change may ever come: a member that was passed by at the end must not wait for one to be healed."""
    monkeypatch.setattr(writer, "UNWRITABLE_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(gaps, "UNWRITABLE_SECONDS", 0.0)
    other = make_index(world.client, world.entity, "other", identity=world.identity)
    world.put("both", name="x")
    world.apply()
    world.client.request("PUT", f"/{other}/_settings", body={"index.blocks.write": True})
    world.put("missed", name="x")
    assert world.apply().missed
    world.client.request("PUT", f"/{other}/_settings", body={"index.blocks.write": None})
    age(monkeypatch, 1_000)
    assert behind(world, other) == Lag()
    missed_at = int(time.time())
    until(lambda: int(time.time()) > missed_at, "a later stamp")
    world.put("under way", name="x")  # nobody has it yet: that is the stream's to bring, gap or not
    assert behind(world, other).records == 1
    world.apply()

    def find() -> differences.DiffReport:
        return differences.find(
            EntityIndexes(world.client, world.source.entity).get(other),
            world.source,
            behind=lambda: behind(world, other),
        )

    found = find()
    assert found.kinds == {MISSING: 1}
    repair.repair(EntityIndexes(world.client, world.source.entity), world.source, found, dry_run=False)
    assert find().good
    assert gaps.of_index(Index(world.client, other)) == []
