"""One deadline for all of an invocation: killed by Lambda's time-out, it would be an error, and the batch bisected."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.config import Config

from local import stream_function
from local.airflow import aws_environment
from local.function import Function
from local.paths import ROOT
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import IndexUnavailable
from searchsync.stream import gaps
from searchsync.stream.consumer import Stream
from searchsync.stream.queue import Queue
from searchsync.writing import writer
from tests.faults import OpenSearchProxy
from tests.members import World, record
from tests.steps import documents, make_index, serve

SECONDS = 2.0
GOOD = record("m-1", name="x")
POISON = record("m-2", sync={"M": {}})
LOOK, WRITE = r"/_bulk\?_source", r"/_bulk\?timeout"
STEPS = {
    "the first look at the aliases": ("GET /.*members-writers.*/_alias", 0),
    "the look at what is stored": ("POST /{blue}" + LOOK, 0),
    "the write": ("POST /{blue}" + WRITE, 0),
    "the look at what another member stores": ("POST /{other}" + LOOK, 0),
    "the write to another member": ("POST /{other}" + WRITE, 0),
    "the second look at the aliases": ("GET /.*members-writers.*/_alias", 1),
    "what a member misses": ("PUT /searchsync-gaps/", 0),
}


class Deaf:
    """A server that accepts connections and answers nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def blue(world: World) -> str:
    """The live index."""
    return serve(world.client, world.entity)


@pytest.fixture
def hold(proxy: OpenSearchProxy) -> Iterator[threading.Event]:
    """Until it is set, what it holds is not answered."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_not_answered_ends_in_time(
    world: World,
    blue: str,
    faulty: Client,
    proxy: OpenSearchProxy,
    hold: threading.Event,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "UNWRITABLE_PATIENCE_SECONDS", 0.3)
    pattern, skip = STEPS[step]
    other = make_index(world.client, world.entity, "other")
    if step == "what a member misses":
        world.client.request("PUT", f"/{other}/_block/write")
    fault = proxy.before(pattern.format(blue=blue, other=other), lambda: hold.wait(30), times=None, skip=skip)
    began = time.monotonic()
    outcome = Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply([GOOD], seconds=SECONDS)
    assert time.monotonic() - began < SECONDS + 0.5
    assert fault.hits > 0, "this step is not taken any more"
    if "another member" in step:  # it is not live: it is passed by
        assert (outcome.failed, list(outcome.missed)) == ("", [other])
        assert len(gaps.of_index(Index(world.client, other))) == 1
    else:
        assert outcome.failed.startswith("IndexUnavailable")


def test_steps_that_are_each_slow_end_in_time(world: World, blue: str, faulty: Client, proxy: OpenSearchProxy) -> None:
    """None of them is slow enough for its own time-out."""
    proxy.before("", lambda: time.sleep(0.6), times=None)
    began = time.monotonic()
    outcome = Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply([GOOD, POISON], seconds=SECONDS)
    assert time.monotonic() - began < SECONDS + 0.5
    assert outcome.failed
    proxy.clear()
    assert (
        Stream(EntityIndexes(faulty, world.entity), world.dead.send).apply([GOOD, POISON], seconds=SECONDS).failed == ""
    )


def test_a_queue_that_does_not_answer_ends_in_time(world: World, blue: str) -> None:
    session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="eu-west-1")
    config = Config(connect_timeout=0.2, read_timeout=0.6, retries={"total_max_attempts": 1}, proxies={})
    with closing(Deaf()) as deaf:
        queue = Queue(session.client("sqs", endpoint_url=deaf.url, config=config), f"{deaf.url}/1/q", call_seconds=0.8)
        began = time.monotonic()
        outcome = Stream(EntityIndexes(world.client, world.entity), queue.send).apply([GOOD, POISON], seconds=SECONDS)
        assert time.monotonic() - began < SECONDS
    assert outcome.failed.startswith("QueueUnavailable"), "it is not parked, so it is not acknowledged"
    assert "m-1" in documents(world.client, blue)


def test_writes_leave_the_time_to_park(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, hold: threading.Event
) -> None:
    left: list[float] = []
    proxy.before("POST /.*/_bulk", lambda: hold.wait(30), times=None)
    stream = Stream(EntityIndexes(faulty, world.entity), lambda _, *, deadline: left.append(deadline.remaining))
    assert stream.apply([GOOD, POISON], seconds=SECONDS).failed
    proxy.clear()
    assert stream.apply([GOOD, POISON], seconds=40.0).failed == ""
    assert 20 < left[0] < 40


def test_no_request_is_begun_when_time_is_over(faulty: Client, proxy: OpenSearchProxy) -> None:
    with pytest.raises(IndexUnavailable, match="no time was left"):
        faulty.until(Deadline.within(-1.0)).request("GET", "/", patience=0)
    assert proxy.requests == []
    assert faulty.until(Deadline.within(5.0)).until(Deadline.within(50.0)).deadline.remaining <= 5.0


def test_a_real_function_answers_before_it_is_killed(
    world: World, blue: str, proxy: OpenSearchProxy, hold: threading.Event
) -> None:
    """Not answered: the write; then what a blocked member misses; then the queue."""
    timeout = 16.0
    other = make_index(world.client, world.entity, "other")
    with closing(Deaf()) as deaf:
        environment = {
            **aws_environment(deaf.url),
            "SEARCHSYNC_OPENSEARCH_URL": proxy.url,
            "SEARCHSYNC_ENTITY": "members",
            "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": f"{deaf.url}/1/q",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src")]),
        }
        with closing(Function(stream_function.HANDLER, "handler", environment, timeout)) as function:
            assert function.invoke({"Records": [GOOD]}) == {"batchItemFailures": []}
            failure = {"batchItemFailures": [{"itemIdentifier": "1"}]}
            proxy.before("POST /.*/_bulk", lambda: hold.wait(60), times=None)
            assert function.invoke({"Records": [GOOD]}) == failure
            proxy.clear()
            world.client.request("PUT", f"/{other}/_block/write")
            proxy.before("PUT /searchsync-gaps/", lambda: hold.wait(60), times=None)
            assert function.invoke({"Records": [GOOD]}) == failure
            proxy.clear()
            aliases.delete(EntityIndexes(world.client, world.entity), other)
            assert function.invoke({"Records": [POISON]}) == failure
