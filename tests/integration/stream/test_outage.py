"""An outage of OpenSearch waits in the stream, poison does not: docs/decisions/003-retries.md.

The real function in a process of its own, and the runner with the deployment's settings on a clock that is moved.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import event_source, stream_function
from local.airflow import aws_environment
from local.event_source import EventSource, OnFailure
from local.function import Function
from local.paths import ROOT
from tests.faults import OpenSearchProxy
from tests.members import World
from tests.steps import documents, living, serve

INVOCATION_SECONDS = stream_function.SETTINGS["function"]["timeout_seconds"]
SHORT_SECONDS = 4.0
"""Of an invocation while OpenSearch is away: it waits for one second of them, where it has 43 on AWS."""

HOUR = 3_600.0


class Clock:
    """The runner's: an invocation takes a minute on it, and its pauses no time at all.

    :ivar ahead: seconds, of the machine's
    """

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def wait(self, seconds: float) -> bool:
        """In the place of the event that stops the runner."""
        self.ahead += seconds
        return False

    def is_set(self) -> bool:
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_source, "time", SimpleNamespace(time=clock.time, monotonic=time.monotonic))
    return clock


@pytest.fixture
def function(world: World, proxy: OpenSearchProxy, aws_url: str) -> Iterator[Function]:
    """The real one."""
    environment = {
        **aws_environment(aws_url),
        "SEARCHSYNC_OPENSEARCH_URL": proxy.url,
        "SEARCHSYNC_ENTITY": "members",
        "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": world.urls["dead"],
        "PYTHONPATH": str(ROOT / "src") + os.pathsep + os.environ.get("PYTHONPATH", ""),
    }
    with closing(Function(stream_function.HANDLER, "handler", environment, INVOCATION_SECONDS)) as function:
        yield function


def mapping(world: World, clock: Clock, invoke: Callable[[Any], Any], folder: Path) -> EventSource:
    settings = stream_function.SETTINGS["event_source_mapping"]
    queue = OnFailure(world.aws["sqs"], world.urls["dead"], "members_stream")
    arguments = (world.stream_arn, invoke, settings, queue, folder / "stream" / "checkpoint.json")
    source = EventSource(world.aws["dynamodbstreams"], *arguments)
    source._stop = clock  # type: ignore[assignment]
    return source


def test_an_outage_of_an_hour_gives_up_nothing(
    world: World, clock: Clock, function: Function, proxy: OpenSearchProxy, tmp_path: Path
) -> None:
    """After four attempts each batch ended as a pointer: all changes of the hour waited for a replay, out of order."""
    blue = serve(world.client, world.entity)
    for n in range(250):
        world.put(f"m-{n:03d}", name="old")
    world.put("m-000", name="new")
    world.put("m-001", name="new", sync={"M": {}})
    world.delete("m-002")
    proxy.answer("", 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)
    failed = 0

    def invoke(event: Any) -> Any:
        nonlocal failed
        function._timeout = SHORT_SECONDS
        if clock.ahead > HOUR:
            proxy.clear()
            function._timeout = INVOCATION_SECONDS
        answer = function.invoke(event)
        failed += answer["batchItemFailures"] != []
        clock.ahead += INVOCATION_SECONDS
        return answer

    source = mapping(world, clock, invoke, tmp_path)
    while source.poll_once():
        pass
    print(f"{failed} invocations failed in {clock.ahead:.0f} s")
    assert HOUR / (INVOCATION_SECONDS + 10) - 1 <= failed <= HOUR / INVOCATION_SECONDS + 1
    messages = world.messages()
    assert [(message["kind"], message["key"]) for message in messages] == [("record", "m-001")], "poison alone"
    wanted = {key: {"member_id": key, "name": item["name"]["S"]} for key, item in world.table().items()}
    assert living(world.client, blue) == wanted | {"m-001": {"member_id": "m-001", "name": "old"}}
    assert documents(world.client, blue)["m-002"]["sync"]["deleted"] is True


def test_poison_takes_one_invocation(world: World, clock: Clock, function: Function, tmp_path: Path) -> None:
    """Tried until it is too old, it would stand in its shard's way for 22 hours."""
    blue = serve(world.client, world.entity)
    for n in range(30):
        world.put(f"m-{n:03d}", name="x", **({"sync": {"M": {}}} if n % 3 else {}))
    invocations = 0

    def invoke(event: Any) -> Any:
        nonlocal invocations
        invocations += 1
        return function.invoke(event)

    source = mapping(world, clock, invoke, tmp_path)
    assert source.poll_once() == 30
    assert invocations == 1
    assert len(living(world.client, blue)) == 10
    assert len(world.messages()) == 20
    assert clock.ahead == 0


def test_what_waits_for_longer_than_the_stream_promises_becomes_a_pointer_in_time(
    world: World, clock: Clock, function: Function, proxy: OpenSearchProxy, tmp_path: Path
) -> None:
    """Two hours before the stream forgets it, so that a replay still finds the records."""
    blue = serve(world.client, world.entity)
    world.put("m-1", name="x")
    proxy.answer("", 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)

    function._timeout = SHORT_SECONDS

    def invoke(event: Any) -> Any:
        answer = function.invoke(event)
        clock.ahead += 11 * HOUR
        return answer

    source = mapping(world, clock, invoke, tmp_path)
    assert source.poll_once() == 1
    (message,) = world.messages()
    assert message["requestContext"]["condition"] == "RecordAgeExceeded"
    assert clock.ahead < 24 * HOUR
    world.replay()
    assert living(world.client, blue) == {"m-1": {"member_id": "m-1", "name": "x"}}
