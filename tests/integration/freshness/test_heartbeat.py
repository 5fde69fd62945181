"""The heartbeat measures what searches see, leaves nothing behind, and disturbs nothing while it exists."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from searchsync import freshness
from searchsync.cluster.indexes import EntityIndexes
from searchsync.freshness import run
from searchsync.freshness.item import HeartbeatItem
from searchsync.freshness.result import MEASURED
from searchsync.freshness.run import Found
from tests.members import World
from tests.steps import documents, serve

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
