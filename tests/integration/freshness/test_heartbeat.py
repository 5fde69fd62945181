"""The heartbeat measures what searches see, leaves nothing behind, and disturbs nothing while it exists."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local.members import generate
from searchsync import alarms, freshness
from searchsync.cluster.client import Client, connect
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences
from searchsync.compare.differences import Effort
from searchsync.freshness import run
from searchsync.freshness.item import HeartbeatItem
from searchsync.freshness.result import FAILED, LATE, MEASURED, NONE
from searchsync.freshness.run import WAIT_SECONDS, Found
from searchsync.heartbeat import Heartbeat
from searchsync.operations import sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy
from tests.members import World
from tests.steps import connector, documents, living, rebuild, serve

KEY = "searchsync-heartbeat"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(run, "WAIT_SECONDS", 20.0)


@pytest.fixture
def live(world: World) -> str:
    """An index that is refreshed, as ``make_searchable`` leaves it."""
    name = serve(world.client, world.entity, identity=world.identity)
    world.client.request("PUT", f"/{name}/_settings", body={"index.refresh_interval": "100ms"})
    return name


@contextmanager
def delivered(world: World) -> Iterator[None]:
    """The function gets what the stream has, all the while."""
    over = threading.Event()

    def deliver() -> None:
        while not over.wait(0.05):
            world.apply()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measured(world: World, **changes: Any) -> Found:
    indexes = EntityIndexes(world.client, world.entity)
    return run.measure(indexes, lambda: item(world, **changes))


def item(world: World, **changes: Any) -> HeartbeatItem:
    described = world.entity.heartbeat
    assert described is not None
    return HeartbeatItem(world.entity, described, changes.get("client", world.aws["dynamodb"]))


def test_what_takes_longer_than_the_table_allows_is_late(
    world: World, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found, but not soon enough: the number is that of the alarm."""
    allowed = alarms.table()["documents-late"]
    assert allowed.threshold < WAIT_SECONDS, "else a change that is never found would not be told"
    monkeypatch.setattr(alarms, "table", lambda: {"documents-late": replace(allowed, threshold=0.0)})
    with delivered(world):
        found = measured(world)
    assert (found.result.state, found.news) == (LATE, LATE)
    assert found.result.seconds is not None
    assert found.result.why.startswith("a change took ")


def test_both_ways_are_measured_and_one_tombstone_is_left(world: World, live: str) -> None:
    with delivered(world):
        for _ in range(2):
            found = measured(world).result
            assert found.state == MEASURED, found
            assert found.written is not None
            assert found.deleted is not None
            assert found.seconds == max(found.written, found.deleted)
            assert min(found.written, found.deleted) > 0
    assert world.table() == {}
    ((key, left),) = documents(world.client, live).items()
    assert (key, [*left], left["sync"]["deleted"]) == (KEY, ["sync"], True)
    assert freshness.summary(world.client, world.entity) == found


def test_a_change_that_nobody_delivers_is_late_once_and_nothing_is_left(
    world: World, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the mapping is disabled. What comes of earlier runs, when it is enabled, is no sign of this one."""
    monkeypatch.setattr(run, "WAIT_SECONDS", 0.3)
    first = measured(world)
    assert (first.result.state, first.result.seconds, first.news) == (LATE, 0.3, LATE)
    assert "was written and not found" in first.result.why
    assert world.table() == {}
    old = world.records()[:1]
    old[0]["dynamodb"]["ApproximateCreationDateTime"] -= 60
    original = run._position

    def position(*args: Any) -> str:
        if world.table():
            world.apply(old)  # the change of the run before is written only now
            Index(world.client, live).refresh()
        return original(*args)

    monkeypatch.setattr(run, "_position", position)
    second = measured(world)
    assert (second.result.state, second.news) == (LATE, "")
    assert second.result.late_since == first.result.late_since
    assert [*living(world.client, live)] == [KEY], "it was seen, and not taken for the present one"
    monkeypatch.undo()
    monkeypatch.setattr(run, "POLL_SECONDS", 0.02)
    with delivered(world):
        third = measured(world)
    assert (third.result.state, third.result.late_since, third.news) == (MEASURED, "", MEASURED)


def test_a_deletion_that_nobody_delivers_is_late(world: World, live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WAIT_SECONDS", 1.0)
    original = HeartbeatItem.put

    def put(self: HeartbeatItem) -> str:
        since = original(self)
        world.apply()
        return since

    monkeypatch.setattr(HeartbeatItem, "put", put)
    found = measured(world).result
    assert (found.state, found.deleted) == (LATE, None)
    assert found.written is not None
    assert "was deleted and is still found" in found.why
    again = measured(world).result
    assert "was deleted before, and is still found" in again.why
    assert world.table() == {}


def test_what_a_killed_run_left_is_deleted_and_then_all_is_measured(
    world: World, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "OTHERS_SECONDS", 0.5)
    with delivered(world):
        item(world).put()
        assert measured(world).result.state == MEASURED
    assert world.table() == {}


def test_of_two_runs_at_once_one_waits_or_says_so(world: World, live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must neither delete the other one's item nor count it as its own."""
    item(world).put()
    threading.Timer(0.5, item(world).delete).start()
    with delivered(world):
        assert measured(world).result.state == MEASURED
    item(world).put()
    monkeypatch.setattr(HeartbeatItem, "is_there", lambda _: False)
    found = measured(world)
    assert (found.result.state, found.news) == (FAILED, "")
    assert "another run measures" in found.result.why
    assert [*world.table()] == [KEY]
    assert freshness.summary(world.client, world.entity).state == MEASURED, "the other run tells its own"


def test_an_item_of_somebody_else_is_not_touched(world: World, live: str) -> None:
    world.put(KEY, name="a member, after all")
    before = world.table()
    found = measured(world).result
    assert found.state == FAILED
    assert f"BadSource: table members: the item '{KEY}' is not the heartbeat" in found.why
    assert world.table() == before


def test_a_heartbeat_that_can_be_no_whole_document_is_not_written(world: World, live: str) -> None:
    """It would be parked, or counted as left out, every five minutes."""
    world.entity = replace(world.entity, heartbeat=Heartbeat({"member_id": KEY, "shoe_size": 43}))
    found = measured(world).result
    assert found.state == FAILED
    assert "BadEntity" in found.why
    assert "the mapping has no place for shoe_size" in found.why
    assert world.table() == {}


def test_when_opensearch_stops_answering_the_item_is_deleted_all_the_same(
    world: World, live: str, opensearch_server: local_opensearch.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ANSWER_SECONDS", 1.0)
    proxy = OpenSearchProxy(opensearch_server.url)
    original = HeartbeatItem.put

    def put(self: HeartbeatItem) -> str:
        proxy.answer("POST /members/_search", 503, {}, times=None)
        return original(self)

    monkeypatch.setattr(HeartbeatItem, "put", put)
    found = run.measure(EntityIndexes(connect(proxy.url), world.entity), lambda: item(world)).result
    proxy.close()
    assert found.state == FAILED
    assert "IndexUnavailable" in found.why
    assert world.table() == {}


def test_nothing_is_written_when_opensearch_is_away_or_nothing_is_live(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ANSWER_SECONDS", 0.5)
    found = measured(world).result
    assert (found.state, found.why) == (NONE, "nothing is live yet; run members_reindex first")
    away = EntityIndexes(connect("http://127.0.0.1:9"), world.entity)
    assert run.measure(away, lambda: item(world)).result.state == FAILED
    assert world.records() == []


def test_a_table_that_is_throttled_fails_clearly_and_the_next_run_cleans_up(
    world: World, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "WAIT_SECONDS", 0.3)
    throttled = Throttled(world.aws["dynamodb"])
    found = measured(world, client=throttled).result
    assert found.state == FAILED
    assert "ProvisionedThroughputExceededException" in found.why
    assert [*world.table()] == [KEY], "it was written and could not be deleted"
    monkeypatch.setattr(run, "OTHERS_SECONDS", 0.0)
    measured(world)
    assert world.table() == {}


class Throttled:
    """A client of DynamoDB whose deletions are refused."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def delete_item(self, **_: Any) -> Any:
        error = {"Code": "ProvisionedThroughputExceededException", "Message": "The level of throughput was exceeded"}
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}, "DeleteItem")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_comparison_gate_and_reindex_see_an_ordinary_item(
    world: World, live: str, at_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats come and go without a pause, much faster than every five minutes, and nothing is found to differ."""
    generate(world.aws["dynamodb"], 50)
    world.apply()
    over = threading.Event()
    states: list[str] = []

    def beat() -> None:
        while not over.is_set():
            states.append(measured(world).result.state)

    with delivered(world):
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            report = rebuild(world.client, world.connect, tmp_path)
            indexes = EntityIndexes(world.client, world.entity)
            index = indexes.get(report["index"])
            for _ in range(3):
                found = differences.find(index, world.source, behind=lambda: world.feed.behind(indexes, index.name))
                assert found.good, found.as_dict()
                assert found.source_count in (50, 51)
        finally:
            over.set()
            thread.join()
    assert len(states) > 3
    assert set(states) == {MEASURED}
    assert documents(world.client, report["index"])[KEY]["sync"]["deleted"] is True
    assert len(living(world.client, report["index"])) == 50


def test_a_comparison_between_put_and_delete_finds_nothing(
    world: World, live: str, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the four moments: written and not delivered, delivered, deleted and not delivered, delivered."""
    indexes = EntityIndexes(world.client, world.entity)
    beat = item(world)

    def good() -> None:
        found = differences.find(
            indexes.get(live), world.source, behind=lambda: world.feed.behind(indexes, live), effort=Effort(grace=0.0)
        )
        assert found.good, found.as_dict()

    original = differences._wait

    def wait(*args: Any) -> None:
        world.apply()  # between the two looks, the function gets what is on its way
        original(*args)

    monkeypatch.setattr(differences, "_wait", wait)
    for change in (beat.put, beat.delete):
        change()
        good()
        good()


def test_the_age_of_a_synced_index_is_that_of_what_can_be_searched(
    client: Client,
    owner: psycopg.Connection[Any],
    rows: int,
    source: PostgresSource,
    app: local_postgres.AppDatabase,
    tmp_path: Path,
) -> None:
    """The moment is noted only when the rows of the interval are found through the alias."""
    described = source.entity
    index = rebuild(client, connector(described, app.reader_dsn), tmp_path)["index"]
    indexes = EntityIndexes(client, described)
    owner.execute("UPDATE locations SET name = 'fresh', updated_at = now() WHERE location_id = 1")
    assert freshness.summary(client, described).state == MEASURED
    before = indexes.get(index).synced
    live = sync.check(indexes)
    interval = Interval(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    client.request("PUT", f"/{index}/_settings", body={"index.refresh_interval": "-1"})
    time.sleep(1.1)  # the moment is noted in whole seconds
    with Rejections(tmp_path / "rejected") as rejections:
        sync.run(indexes, source, live, interval._replace(end=datetime.now(UTC)), rejections=rejections)
    after = indexes.get(index).synced
    assert after > before
    least = datetime.now(UTC) - after
    found = freshness.summary(client, described)
    most = datetime.now(UTC) - after
    assert found.state == MEASURED
    assert found.seconds == pytest.approx(least.total_seconds(), abs=(most - least).total_seconds() + 0.05)
    assert Index(client, "locations").count({"term": {"name.exact": "fresh"}}) == 1
    owner.execute("DELETE FROM locations WHERE location_id = 1")
    with Rejections(tmp_path / "rejected") as rejections:
        sync.run(indexes, source, live, interval._replace(end=datetime.now(UTC)), rejections=rejections)
    assert Index(client, "locations").count({"term": {"name.exact": "fresh"}}) == 0


def test_an_entity_without_a_heartbeat_says_so(world: World, live: str) -> None:
    world.entity = replace(world.entity, heartbeat=None)
    found = run.measure(EntityIndexes(world.client, world.entity), lambda: None)
    assert (found.result.state, found.result.why) == (NONE, "include/entities/members.yaml describes no heartbeat")
