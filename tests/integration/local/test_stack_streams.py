"""`./dev up` starts a delivery for each DynamoDB entity, starts anew what changed, and stops what has no entity."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from local import cli, members, ports, processes, stack, stream_function, tables
from local.cognito import UserPool
from local.paths import Home
from local.stack import Stack
from searchsync.catalog import Entity
from tests.steps import until

EVENTS = Entity("events", "dynamodb", ("id",), table="app.events", read_from="export")
STREAMS = {"events_stream": EVENTS, "members_stream": members.ENTITY}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Iterator[Stack]:
    """A stack of which only the emulator and the deliveries run. There is no OpenSearch: they wait for it."""
    monkeypatch.setattr(members, "SAMPLE_MEMBERS", 30)
    monkeypatch.setattr(stack, "STREAMS", STREAMS)
    monkeypatch.setattr(stack, "PARTS", (*STREAMS, "aws"))
    monkeypatch.setattr(cli, "PARTS", (*STREAMS, "aws"))
    made = Stack(Home(tmp_path / "home", tmp_path), said.append)
    made.state.ports.update({"aws": ports.choose(), "opensearch": 1})
    try:
        yield made
    finally:
        made.down()
        assert list(processes.leftovers(tmp_path)) == []


@pytest.fixture
def events(include: Path) -> Path:
    """The mapping of an entity of a user's own, whose table is not there."""
    text = "{source: dynamodb, table: app.events, key: [id], freshness: {hours: 192}}"
    (include / "entities" / "events.yaml").write_text(text, encoding="utf-8")
    mapping = include / "mappings" / "events.json"
    mapping.write_text((include / "mappings" / "members.json").read_text(encoding="utf-8"), encoding="utf-8")
    return mapping


def start(up: Stack) -> None:
    """What `up` starts, as far as it is wanted here."""
    aws: Future[UserPool] = Future()
    aws.set_result(up._start_aws())
    up._start_streams(aws)


def test_each_entity_has_a_delivery(
    up: Stack, said: list[str], events: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start(up)
    first = up.running()
    assert set(first) == {"aws", "events_stream", "members_stream"}
    (noted,) = [text for text in said if "_stream" in text]
    assert "events_stream waits: the emulator has no table app.events" in noted
    monkeypatch.setattr(stream_function, "served", lambda: list(STREAMS.values()))
    bucket, _, prefix = tables.variables(up.address("aws"))["SEARCHSYNC_EVENTS_EXPORT_BUCKET"].partition("/")
    assert prefix == "events"
    assert tables.client("s3", up.address("aws")).list_buckets()["Buckets"][0]["Name"] == bucket
    alive = [up.home.stream(name) / "alive" for name in ("events", "members")]
    until(lambda: all(path.exists() for path in alive), "both say how it goes", 60)
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(up.home.folder))
    assert cli.main(["stream", "status"]) == 0
    shown = capfd.readouterr().out
    assert "no: the emulator has no table app.events" in shown
    assert "no: no index has the alias members-writers: run members_reindex" in shown
    assert cli.main(["logs", "events_stream"]) == 0
    assert "waiting: the emulator has no table app.events" in capfd.readouterr().out

    start(up)
    assert up.running() == first, "a second `up` starts nothing anew"

    events.write_text(events.read_text(encoding="utf-8").replace('"keyword"', '"keyword" ', 1), encoding="utf-8")
    start(up)
    changed = up.running()
    assert changed["members_stream"] == first["members_stream"]
    assert changed["events_stream"] != first["events_stream"], "the function reads its mapping once"

    monkeypatch.setattr(stack, "STREAMS", {"members_stream": members.ENTITY})
    start(up)
    assert not processes.is_alive(changed["events_stream"])
    assert processes.is_alive(changed["members_stream"])
    assert "events_stream is stopped: its entity has no file any more" in said[-1]
