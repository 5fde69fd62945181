"""The function, the runner and OpenSearch are killed while members change: afterwards the index equals the table.

Everything is the product's own: handler, runner, queue and replay; only Airflow is left out.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local import opensearch as local_opensearch
from local import stream_function
from local.event_source import EventSource, OnFailure
from local.function import Function
from local.paths import ROOT
from searchsync.catalog import entity
from searchsync.cluster.client import connect
from searchsync.documents import dynamodb_item
from searchsync.operations import replay
from tests.members import World, clients
from tests.steps import living, serve, start_mortal, until

SEED = 20261121
FUNCTION_SECONDS = 6  # of which it writes for two: it gives up soon, as at the end of a long invocation


@pytest.fixture
def world(mortal: local_opensearch.Server, aws_url: str) -> World:
    return World(connect(mortal.url), entity("members"), clients(aws_url))


@pytest.fixture
def blue(world: World) -> str:
    return serve(world.client, world.entity, identity=world.identity)


def environment(mortal: local_opensearch.Server, aws_url: str) -> dict[str, str]:
    from local.airflow import aws_environment

    return {**aws_environment(aws_url), "SEARCHSYNC_OPENSEARCH_URL": mortal.url}


@contextmanager
def delivering(
    world: World, mortal: local_opensearch.Server, aws_url: str, folder: Path, seconds: float = 60.0, **settings: Any
) -> Iterator[Function]:
    """The mapping and the real function in a process of its own."""
    paths = {
        "PYTHONPATH": str(ROOT / "src"),
        "SEARCHSYNC_ENTITY": "members",
        "SEARCHSYNC_MEMBERS_DEAD_LETTER_QUEUE": world.urls["dead"],
    }
    function = Function(stream_function.HANDLER, "handler", {**environment(mortal, aws_url), **paths}, seconds)
    source = EventSource(
        world.aws["dynamodbstreams"],
        world.stream_arn,
        function.invoke,
        {**stream_function.SETTINGS["event_source_mapping"], **settings},
        OnFailure(world.aws["sqs"], world.urls["dead"], "members_stream"),
        folder / "checkpoint",
        retry_pause=0.05,
    )
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=[stop])
    thread.start()
    try:
        yield function
    finally:
        stop.set()
        thread.join()
        function.close()


def change(world: World, choose: random.Random, count: int) -> None:
    """Puts, deletes and puts again of forty keys."""
    for number in range(count):
        key = f"m-{choose.randrange(40):02d}"
        if choose.random() < 0.3:
            world.delete(key)
        else:
            world.put(key, name=f"name {number}")


def expected(world: World) -> dict[str, Any]:
    return {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()}


def until_true_to_the_table(world: World, index: str, seconds: float = 60.0) -> None:
    def equal() -> bool:
        time.sleep(0.2)
        return living(world.client, index) == expected(world)

    until(equal, f"index and table are equal (seed {SEED})", seconds)


def test_the_function_killed_again_and_again(
    world: World, blue: str, mortal: local_opensearch.Server, aws_url: str, tmp_path: Path
) -> None:
    choose = random.Random(SEED)
    killed: list[int] = []
    with delivering(world, mortal, aws_url, tmp_path) as function:
        while len(killed) < 12:
            change(world, choose, 25)
            until(lambda: function.pid not in (None, *killed), "a function runs that was not killed")
            if pid := function.pid:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        change(world, choose, 10)
        until(lambda: _drained(world, blue), f"delivered and replayed (seed {SEED})", 90)


def test_the_runner_killed_goes_on_from_its_checkpoint(
    world: World, blue: str, mortal: local_opensearch.Server, aws_url: str, tmp_path: Path
) -> None:
    """A checkpoint written too early loses a batch, one never written delivers the whole day again."""
    choose = random.Random(SEED)
    command = [sys.executable, "-m", "local.delivery", "--entity", "members", "--folder", str(tmp_path / "stream")]
    env = {**os.environ, **environment(mortal, aws_url)}
    for _ in range(4):
        with subprocess.Popen(command, cwd=ROOT, env=env) as runner:
            before = living(world.client, blue)
            change(world, choose, 60)
            until(partial(_differs, world, blue, before), "something was delivered", 30)
            change(world, choose, 60)
            runner.kill()
    with subprocess.Popen(command, cwd=ROOT, env=env) as runner:
        until_true_to_the_table(world, blue)
        runner.terminate()


def test_opensearch_killed_for_longer_than_the_mapping_tries(
    world: World,
    blue: str,
    mortal: local_opensearch.Server,
    aws_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches end as pointers in the queue; the replay brings them, in whatever order, after the recovery."""
    choose = random.Random(SEED)
    with delivering(world, mortal, aws_url, tmp_path, FUNCTION_SECONDS, MaximumRetryAttempts=3):
        change(world, choose, 40)
        until_true_to_the_table(world, blue)
        mortal.kill()
        change(world, choose, 150)
        until(world.waits, "the mapping gave a batch up", 60)
        with monkeypatch.context() as impatient:
            impatient.setattr(replay, "PATIENCE_SECONDS", 1.0)
            with pytest.raises(Exception, match="OpenSearch does not answer"):
                world.replay()
        assert world.waits(), "the queue is whole"
        start_mortal(mortal.folder)
        change(world, choose, 20)
        until(lambda: _drained(world, blue), "delivered and replayed", 90)


def _differs(world: World, index: str, before: dict[str, Any]) -> bool:
    return living(world.client, index) != before


def _drained(world: World, index: str) -> bool:
    world.replay()
    time.sleep(0.5)
    return not world.waits() and living(world.client, index) == expected(world)
