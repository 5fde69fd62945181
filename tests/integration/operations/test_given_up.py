"""Batches that the event source mapping gave up and kept in a bucket: replayed from the table, or told clearly."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from botocore.config import Config

from local.lambda_contract import pointer
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations.replay import Choice, Replay
from searchsync.operations.replay_report import NotAllReplayed, ReplayReport, check_all
from searchsync.stream import given_up
from searchsync.stream.pointers import Origins
from tests.members import World, session
from tests.steps import documents, living, serve

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def bucket(world: World) -> str:
    name = f"records-{uuid4().hex}"
    world.aws["s3"].create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


def document(world: World, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What Lambda writes: the document of a pointer, with the whole event as text in ``payload``."""
    found = pointer(
        records, world.shard, "members-stream:live", condition="RetryAttemptsExhausted", invocations=4, raised=True
    )
    return {**found, "payload": json.dumps({"Records": records})}


def give_up(world: World, bucket: str, body: str | None) -> str:
    """Keep an object as the mapping does, and send what EventBridge makes of the bucket's event."""
    key = f"aws/lambda/{uuid4()}/{world.shard}/2026/11/30/2026-11-30T16.05.11-{uuid4()}"
    if body is not None:
        world.aws["s3"].put_object(Bucket=bucket, Key=key, Body=body.encode())
    world.dead.send([json.dumps({"kind": "given-up", "bucket": bucket, "key": key})])
    return key


def lost(world: World, bucket: str) -> str:
    """Three changes that the function never wrote, of which the table has only the last states."""
    world.put("m-1", name="recorded")
    world.put("m-2", name="recorded")
    world.put("m-3", name="stays")
    records = world.records()
    world.put("m-1", name="of now")
    world.delete("m-2")
    world.records()
    return give_up(world, bucket, json.dumps(document(world, records)))


def test_the_keys_are_read_again_and_no_recorded_image_is_written(world: World, bucket: str) -> None:
    live = serve(world.client, world.entity, identity=world.identity)
    lost(world, bucket)
    counted = world.replay(dry_run=True).as_dict()["reasons"]["given-up"]
    assert (counted["messages"], counted["read"], counted["written"]) == (1, 3, 0)
    assert documents(world.client, live) == {}
    assert world.replay(kind="record").skipped == 1
    report = world.replay(kind="given-up")
    check_all(report.as_dict())
    counted = report.as_dict()["reasons"]["given-up"]
    assert (counted["read"], counted["written"], counted["gap"], report.why_parked) == (3, 3, 0, {})
    assert {key: one["name"] for key, one in living(world.client, live).items()} == {"m-1": "of now", "m-3": "stays"}
    assert documents(world.client, live)["m-2"]["sync"]["deleted"] is True, "the deletion that came after it, too"
    assert world.messages() == world.messages("parked") == []


def test_what_comes_late_is_no_newer_for_it(world: World, bucket: str) -> None:
    """The stream has gone on for a week: what it wrote has later positions."""
    live = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="given up")
    records = world.records()
    world.put("m-1", name="newer")
    world.apply()
    before = documents(world.client, live)
    for _ in range(2):  # the event of a bucket comes at least once
        give_up(world, bucket, json.dumps(document(world, records)))
    report = world.replay()
    assert report.as_dict()["reasons"]["given-up"]["messages"] == 2
    assert living(world.client, live)["m-1"]["name"] == "newer"
    assert documents(world.client, live)["m-1"]["sync"]["hash_low"] == before["m-1"]["sync"]["hash_low"]
    assert world.messages() == []


def test_an_event_that_is_no_text_is_read_as_well(world: World, bucket: str) -> None:
    """The documentation shows ``<Whole Event>`` and does not say which of the two it is."""
    live = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="x")
    found = document(world, world.records())
    give_up(world, bucket, json.dumps({**found, "payload": json.loads(found["payload"])}))
    world.replay()
    assert [*living(world.client, live)] == ["m-1"]


def test_poison_among_them_becomes_a_message_of_its_own(world: World, bucket: str) -> None:
    live = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="x")
    world.put("m-2", sync={"M": {}})
    give_up(world, bucket, json.dumps(document(world, world.records())))
    report = world.replay()
    assert [*living(world.client, live)] == ["m-1"]
    assert world.dead.waiting() == 1, "it is tried again later"
    assert sum(counts["back"] for counts in report.as_dict()["reasons"].values()) == 1


def _batch(**changes: Any) -> Change:
    return lambda found: found["DDBStreamBatchInfo"].update(changes)


def _other_function(found: dict[str, Any]) -> None:
    found["requestContext"]["functionArn"] = "arn:aws:lambda:eu-west-1:123456789012:function:orders-stream:live"


def _payload(change: Callable[[list[Any]], Any]) -> Change:
    def changed(found: dict[str, Any]) -> None:
        found["payload"] = json.dumps({"Records": change(json.loads(found["payload"])["Records"])})

    return changed


OTHER_TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/members-of-others/stream/2026-01-01T00:00:00.000"
BAD: dict[str, tuple[Change | str | None, str]] = {
    "missing": (None, "it is not there (any more)"),
    "cut off": ("half", "it is cut off, or Lambda did not write it"),
    "foreign": ('{"hello": "world"}', "it is cut off, or Lambda did not write it"),
    "a list": ("[1]", "it is cut off, or Lambda did not write it"),
    "another table": (_batch(streamArn=OTHER_TABLE), "not of a stream of arn:aws:dynamodb"),
    "another function": (_other_function, "orders-stream:live, not of members-stream"),
    "no event": (lambda found: found.pop("payload"), "its payload has no records"),
    "event cut off": (lambda found: found.update(payload=found["payload"][:-9]), "its payload has no records"),
    "fewer records": (_payload(lambda records: records[1:]), "it lists 2 records of"),
    "records of others": (
        _payload(lambda records: [records[0], {**records[1], "eventSourceARN": OTHER_TABLE}]),
        "and has 1 of them",
    ),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_replayed_is_parked_and_says_why(
    world: World, bucket: str, change: Change | str | None, said: str
) -> None:
    """No other message is held up, and nothing of it is written."""
    live = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="x")
    world.put("m-2", name="x")
    found = document(world, world.records())
    if callable(change):
        change(found)
        body: str | None = json.dumps(found)
    else:
        body = json.dumps(found)[:1000] if change == "half" else change
    key = give_up(world, bucket, body)
    world.put("m-4", name="good")
    give_up(world, bucket, json.dumps(document(world, world.records())))
    report = world.replay()
    why = report.why_parked["given-up"]
    assert said in why, why
    assert key in why
    assert [*living(world.client, live)] == ["m-4"]
    assert world.messages() == []
    assert [message["key"] for message in world.messages("parked")] == [key]
    assert world.replay(parked=True).why_parked == {"given-up": why}, "a person who tries it again is told the same"


def test_an_object_that_is_too_large_is_not_read(world: World, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the memory of the task with it, at each run."""
    serve(world.client, world.entity, identity=world.identity)
    lost(world, bucket)
    monkeypatch.setattr(given_up, "MAX_BYTES", 100)
    assert "bytes, and 100 are the most" in world.replay().why_parked["given-up"]


def test_while_s3_is_away_the_message_stays_and_all_others_are_replayed(world: World, bucket: str) -> None:
    live = serve(world.client, world.entity, identity=world.identity)
    lost(world, bucket)
    world.put("m-5", name="good")
    world.send_pointer(world.records())
    away = session().client(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1}, proxies={})
    )
    report = _replay(world, replace(world.origins, s3=away))
    with pytest.raises(NotAllReplayed, match=r"s3://records-.*: S3 does not answer"):
        check_all(report.as_dict())
    assert [*living(world.client, live)] == ["m-5"]
    assert world.replay().why_parked == {}
    assert sorted(living(world.client, live)) == ["m-1", "m-3", "m-5"]


def _replay(world: World, origins: Origins) -> ReplayReport:
    indexes = EntityIndexes(world.client, world.source.entity)
    return Replay(indexes, world.source, world.dead, world.parked, origins, Choice()).run()
