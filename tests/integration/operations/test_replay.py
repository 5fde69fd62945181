"""The dead-letter queue: every message ends in the table's present state, or stays where a person can see it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace as replaced
from typing import Any

import pytest

from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents import position
from searchsync.errors import BadConnection, EmptyWriteSet, IndexUnavailable
from searchsync.operations import replay
from searchsync.operations.replay import Choice, Replay
from searchsync.operations.replay_report import NotAllReplayed, check_all
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream import dead_letters, gaps, pointers, reader
from searchsync.stream.consumer import Stream, identify
from searchsync.stream.dead_letters import ParkedRecord
from searchsync.stream.queue import Queue
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.members import World, record
from tests.steps import documents, living, serve, until

BULK = r"POST /.*/_bulk\?timeout"


@pytest.fixture
def blue(world: World) -> str:
    return serve(world.client, world.entity)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "PATIENCE_SECONDS", 1.0)


def park(world: World, key: str, **image: Any) -> None:
    """A change that the function parked, although nothing is wrong with it."""
    refusing = Stream(EntityIndexes(world.client, world.entity), world.dead.send)
    bad = {**image, "nickname": "x"}
    assert refusing.apply([record(key, **bad)], seconds=5).parked.total() == 1


def test_a_parked_record_is_written_as_the_table_has_it_now(world: World, blue: str) -> None:
    park(world, "m-1", name="then")
    world.put("m-1", name="now")
    report = world.replay().as_dict()
    (counts,) = report["reasons"].values()
    assert (counts["messages"], counts["read"], counts["written"], counts["back"]) == (1, 1, 1, 0)
    assert living(world.client, blue) == {"m-1": {"member_id": "m-1", "name": "now"}}
    assert world.messages() == []


def test_a_parked_record_of_a_member_that_is_gone_becomes_a_tombstone(world: World, blue: str) -> None:
    park(world, "m-1", name="then")
    world.replay()
    assert documents(world.client, blue)["m-1"]["sync"]["deleted"] is True


def test_a_parked_update_replayed_after_a_later_one_does_not_win(world: World, blue: str) -> None:
    park(world, "m-1", name="then")
    world.put("m-1", name="now")
    world.apply()
    world.replay()
    assert living(world.client, blue)["m-1"]["name"] == "now"


def test_a_parked_update_replayed_after_its_delete_brings_nothing_back(world: World, blue: str) -> None:
    """The image in the message is of a member that is gone: written as it stands, a search would find it for ever."""
    world.put("m-1", name="first")
    world.apply()
    world.put("m-1", name="then", nickname="x")
    assert world.apply().parked.total() == 1
    world.delete("m-1")
    world.apply()
    world.replay()
    assert documents(world.client, blue)["m-1"].keys() == {"sync"}
    assert documents(world.client, blue)["m-1"]["sync"]["deleted"] is True
    assert world.messages() == []


def test_one_replayed_within_seconds_is_not_overtaken_by_its_own_past(world: World, blue: str) -> None:
    """The read's position is seconds back: alone, it would lose to the event that the table has left behind.

    With the parked event's position it wins (rule 5), and the older event, delivered again, is stale.
    """
    now = time.time()
    world.apply([record("m-1", now, 1, name="older")])
    world.put("m-1", name="newer")
    bad = record("m-1", now, 2, name="newer", nickname="x")
    assert world.apply([bad]).parked.total() == 1
    world.replay()
    assert living(world.client, blue)["m-1"]["name"] == "newer"
    assert world.apply([record("m-1", now, 1, name="older")]).stale == 1


def test_a_record_without_a_position_waits_until_a_read_is_later_than_its_parking(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MARGIN_SECONDS", 0.5)  # twice that, and it is seen again
    world.apply([record("m-1", second=time.time() + 7_200, name="future")])
    world.put("m-1", name="present")
    (counts,) = world.replay().as_dict()["reasons"].values()
    assert (counts["written"], counts["back"]) == (0, 1)
    assert documents(world.client, blue) == {}
    monkeypatch.setattr(position, "MARGIN_SECONDS", -10)  # as if that time had passed
    until(world.waits, "the message is seen again")
    (counts,) = world.replay().as_dict()["reasons"].values()
    assert counts["written"] == 1
    assert living(world.client, blue)["m-1"]["name"] == "present"
    assert documents(world.client, blue)["m-1"]["sync"]["position"] < f"{time.time() + 3_600:.0f}"


def test_poison_again_comes_back_later_and_after_five_attempts_waits_for_a_person(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "DELAY_SECONDS", 1)
    world.put("m-1", name="x", nickname="x")
    world.apply()
    for receives in range(1, replay.MAX_ATTEMPTS):
        (counts,) = world.replay().as_dict()["reasons"].values()
        assert (counts["back"], counts["parked"]) == (1, 0), receives
        assert not world.waits(), "out of sight for a while"
        until(world.waits, "the message is seen again")
    report = world.replay().as_dict()
    (counts,) = report["reasons"].values()
    assert (counts["back"], counts["parked"]) == (0, 1)
    assert "nickname" in report["why_parked"]["strict_dynamic_mapping_exception"]
    assert world.messages() == []
    assert [message["key"] for message in world.messages("parked")] == ["m-1"]
    # The cause is removed: the mapping gets the field.
    field = {"properties": {"nickname": {"type": "keyword"}}}
    world.client.request("PUT", f"/{blue}/_mapping", body=field)
    world.replay(parked=True)
    assert living(world.client, blue)["m-1"]["nickname"] == "x"
    assert world.messages("parked") == []


@pytest.mark.parametrize("look", ["dry run", "outage", "choice"])
def test_only_what_was_tried_counts_as_an_attempt(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS counts every receive: a few looks at the queue, and the next verdict would have parked it for a person."""
    world.put("m-1", name="x", nickname="x")
    world.apply()
    direct = world.client
    for _ in range(replay.MAX_ATTEMPTS + 1):
        if look == "dry run":
            assert world.replay(dry_run=True).as_dict()["messages"] == 1
        elif look == "choice":
            assert world.replay(kind="pointer").skipped == 1
        else:
            world.client = faulty
            proxy.answer(BULK, 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)
            with monkeypatch.context() as impatient:
                impatient.setattr(replay, "PATIENCE_SECONDS", 1.0)
                with pytest.raises(IndexUnavailable):
                    world.replay()
    world.client = direct
    (counts,) = world.replay().as_dict()["reasons"].values()
    assert (counts["back"], counts["parked"]) == (1, 0)


def test_what_nobody_can_replay_waits_for_a_person_at_once(world: World, blue: str) -> None:
    world.dead.send(["[]", json.dumps({"kind": "else"})])
    world.apply([{"nonsense": True}])
    report = world.replay().as_dict()
    assert {reason: counts["parked"] for reason, counts in report["reasons"].items()} == {
        "malformed": 1,
        "unreadable": 2,
    }
    assert len(world.messages("parked")) == 3
    assert world.messages() == []


# -- pointers


def test_a_pointer_is_resolved_while_the_stream_has_its_records(world: World, blue: str) -> None:
    for n in range(5):
        world.put(f"m-{n}", name=f"name {n}")
    world.delete("m-4")
    world.send_pointer(world.records())
    report = world.replay().as_dict()
    assert report["reasons"]["RetryAttemptsExhausted"]["read"] == 5
    assert report["gaps"] == []
    assert sorted(living(world.client, blue)) == ["m-0", "m-1", "m-2", "m-3"]
    assert documents(world.client, blue)["m-4"]["sync"]["deleted"] is True
    assert world.messages() == []


def test_a_pointers_keys_carry_their_events_positions(world: World, blue: str) -> None:
    """A read of this second is before an event of this second: alone, it would let an older event come back and win."""
    world.put("m-1", name="first")
    world.put("m-1", name="second")
    records = world.records()
    world.send_pointer(records[1:])
    world.replay()
    assert world.apply(records[:1]).stale == 1
    assert living(world.client, blue)["m-1"]["name"] == "second"


def test_records_that_the_stream_has_forgotten_are_a_gap_and_never_silence(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("m-1", name="x")
    records = world.records()
    real = reader.pages

    def pages(streams: Any, stream: str, *arguments: Any, **options: Any) -> Any:
        if stream.endswith("-before"):  # the emulator looks at the table's name alone
            raise reader.Forgotten
        return real(streams, stream, *arguments, **options)

    monkeypatch.setattr(reader, "pages", pages)
    world.send_pointer(records, streamArn=f"{world.stream_arn}-before", batchSize=40)
    world.send_pointer(records, batchSize=3)
    report = world.replay().as_dict()
    assert sorted(gap["records"] for gap in report["gaps"]) == [2, 40]
    assert {gap["from"] for gap in report["gaps"]} == {"2026-01-01T00:00:00Z"}
    assert sorted(living(world.client, blue)) == ["m-1"], "what is still there is replayed"
    assert len(gaps.of_index(Index(world.client, blue))) == 2, "noted on the index until a comparison closes it"
    assert world.messages() == []


def test_poison_behind_a_pointer_is_parked_by_itself(world: World, blue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointer is worthless after a day: as long as it waits for one poisonous record, so do all others."""
    world.put("m-1", name="good")
    world.put("m-2", name="bad", nickname="x")
    world.send_pointer(world.records())
    monkeypatch.setattr(replay, "DELAY_SECONDS", 1)  # the run itself receives the new message, and lets it rest
    world.replay()
    assert sorted(living(world.client, blue)) == ["m-1"]
    until(world.waits, "the message is seen again")
    (message,) = world.messages()
    assert (message["kind"], message["key"], message["reason"]) == ("record", "m-2", "strict_dynamic_mapping_exception")
    assert message["position"] > "1"


def test_a_pointer_to_a_record_from_the_future_keeps_its_key(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be written yet, and the pointer goes with the good records: without a message of its own it is lost."""
    world.put("m-1", name="good")
    world.put("m-2", name="ahead")
    monkeypatch.setattr(pointers, "identify", lambda entity, found: _untrusted(identify(entity, found), "m-2"))
    world.send_pointer(world.records())
    world.replay()
    assert sorted(living(world.client, blue)) == ["m-1"]
    monkeypatch.undo()
    monkeypatch.setattr(position, "MARGIN_SECONDS", -10)
    until(world.waits, "the message is seen again", 15)
    world.replay()
    assert sorted(living(world.client, blue)) == ["m-1", "m-2"]
    assert world.messages() == []


def _untrusted(found: tuple[str, str], key: str) -> tuple[str, str]:
    return (key, "") if found[0] == key else found


def test_a_pointer_that_leads_nowhere_stops_no_other_message(world: World, blue: str) -> None:
    world.put("m-1", name="good")
    records = world.records()
    world.send_pointer(records, endSequenceNumber="no number")
    world.send_pointer(records)
    world.replay()
    assert sorted(living(world.client, blue)) == ["m-1"]
    assert len(world.messages("parked")) == 1


def test_a_pointer_to_another_tables_stream_is_left_to_a_person(world: World, blue: str) -> None:
    """Its positions are another table's: with a higher one, an item would refuse its own later changes."""
    entity = replaced(world.entity, name="others", table="others")
    entity.__dict__["index_body"] = world.entity.index_body  # it has no files of its own
    other = World(world.client, entity, world.aws)
    other.put("m-1", name="another table's")
    world.put("m-1", name="first")
    world.send_pointer(other.records(), streamArn=other.stream_arn, shardId=other.shard)
    report = world.replay().as_dict()
    assert "not to a stream of" in str(report["why_parked"])
    assert len(world.messages("parked")) == 1
    assert living(world.client, blue) == {}, "nothing was written"


def test_a_shard_that_does_not_answer_stops_no_other_message(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run would end at this message, until the records of all others are forgotten."""
    monkeypatch.setattr(reader, "PATIENCE_SECONDS", 0.5)
    world.put("m-1", name="good")
    found = world.records()
    world.send_pointer(found, endSequenceNumber="9" * 40)
    world.send_pointer(found)
    report = world.replay().as_dict()
    assert sorted(living(world.client, blue)) == ["m-1"]
    assert len(report["failed"]) == 1
    with pytest.raises(NotAllReplayed, match="answers with nothing"):
        check_all(report)
    assert len(world.messages()) == 1, "it stays"


def test_a_stream_that_this_role_may_not_read_stops_no_other_message(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("m-1", name="good")
    found = world.records()
    world.send_pointer(found, streamArn=world.stream_arn + "-of-somebody-else")
    world.send_pointer(found)
    real = reader.pages

    def pages(streams: Any, stream: str, *arguments: Any, **options: Any) -> Any:
        if stream.endswith("else"):
            raise BadConnection("the stream: AccessDeniedException")
        return real(streams, stream, *arguments, **options)

    monkeypatch.setattr(reader, "pages", pages)
    report = world.replay().as_dict()
    assert sorted(living(world.client, blue)) == ["m-1"]
    assert "AccessDeniedException" in report["failed"][0]
    assert len(world.messages()) == 1


def test_a_pointers_records_are_held_without_their_images(world: World, blue: str) -> None:
    """Hundreds of pointers of hundreds of records of 400 kB are resolved before the first key is written."""
    for n in range(3):
        world.put(f"m-{n}", name="x" * 100_000, sync={"M": {}})
    world.send_pointer(world.records())
    (message,) = world.dead.receive()
    content = dead_letters.read(message.body)
    assert isinstance(content, dead_letters.Pointer)
    resolved = pointers.resolve(world.origins, world.entity, content, table=lambda: world.identity)
    assert sorted(resolved.keys) == ["m-0", "m-1", "m-2"]
    assert len(json.dumps(list(resolved.records.values()), default=str)) < 3_000


# -- sizes


def sized(world: World, queue: str, limit: int) -> None:
    """A limit that the emulator holds messages against, as SQS does."""
    attributes = {"MaximumMessageSize": str(limit)}
    world.aws["sqs"].set_queue_attributes(QueueUrl=world.urls[queue], Attributes=attributes)


@pytest.mark.parametrize("limit", [65_536, 262_144])
def test_a_record_larger_than_the_queue_takes_is_parked_and_replayed(world: World, blue: str, limit: int) -> None:
    """Parking would fail for ever, and with it the whole batch: every change of the shard would wait behind it."""
    sized(world, "dead", limit)
    world.put("m-1", name="x", sync={"M": {}}, unknown="x" * 300_000)
    world.put("m-2", name="good")
    outcome = world.apply()
    assert (outcome.failed, outcome.parked.total()) == ("", 1)
    (message,) = world.messages()
    assert (message["key"], message["left_out"]) == ("m-1", ["OldImage", "NewImage"])
    world.put("m-1", name="corrected")
    world.replay()
    assert living(world.client, blue)["m-1"]["name"] == "corrected"
    assert world.messages() == []


def test_nothing_is_parked_that_the_second_queue_cannot_take(
    world: World, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of parked messages is the smaller one: every replay failed at the first large message."""
    sized(world, "parked", 65_536)
    monkeypatch.setattr(replay, "MAX_ATTEMPTS", 1)
    world.put("m-1", name="x", sync={"M": {}}, unknown="x" * 200_000)
    world.apply()
    (message,) = world.messages()
    assert message["left_out"] == []
    foreign = json.dumps({"kind": "of somebody else", "text": "x" * 100_000})
    world.dead.send([foreign, "[]"])
    world.put("m-2", name="good")
    park(world, "m-2", name="good")
    report = world.replay().as_dict()
    assert sorted(living(world.client, blue)) == ["m-2"]
    parked = world.messages("parked")
    assert [message.get("key") for message in parked if isinstance(message, dict)] == ["m-1"]
    assert len(parked) == 2
    with pytest.raises(NotAllReplayed, match="does not fit"):
        check_all(report)
    assert world.messages() == [json.loads(foreign)], "it stays, whole"


def test_documents_are_read_and_written_a_few_at_a_time(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand keys of up to 400 kB were read, and sent, as one page."""
    monkeypatch.setattr(replay, "READ_AT_ONCE", 10)
    bodies: list[int] = []

    def act(request: Request, forward: Forward) -> Answer:
        bodies.append(len(request.body))
        return forward()

    proxy.add(BULK, act, times=None)
    messages = []
    for n in range(50):
        world.put(f"m-{n:02d}", name="x" * 300_000)
        messages.append({"kind": "record", "key": f"m-{n:02d}", "position": "", "reason": "r", "parked_at": 0.0})
    world.dead.send([json.dumps(message) for message in messages])
    world.client = faulty
    assert world.replay().as_dict()["reasons"]["r"]["written"] == 50
    assert max(bodies) < replay.WRITE_BYTES + 500_000
    assert len(bodies) >= 3


def test_messages_are_held_without_their_bodies(world: World, blue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run, or a choice, holds all of them until it ends."""
    monkeypatch.setattr(replay, "MESSAGE_BYTES_AT_ONCE", 100_000)
    messages = [ParkedRecord({"dynamodb": "x" * 50_000}, f"m-{n}", "", "r", "").message() for n in range(25)]
    world.dead.send(messages)
    run = Replay(
        EntityIndexes(world.client, world.source.entity),
        world.source,
        world.dead,
        world.parked,
        world.origins,
        Choice(dry_run=True),
    )
    at_once: list[int] = []
    monkeypatch.setattr(Replay, "_replay", lambda _, messages: at_once.append(sum(len(one.body) for one in messages)))
    held: list[int] = []
    received = Queue.receive

    def receive(self: Queue, *arguments: Any, **options: Any) -> Any:
        held.append(sum(len(message.body) for message in run._held.values()))
        return received(self, *arguments, **options)

    monkeypatch.setattr(Queue, "receive", receive)
    run.run()
    assert sum(at_once) == sum(map(len, messages))
    assert max(at_once) < 100_000 + 10 * 60_000
    assert max(held) == 0


# -- choices


def test_dry_run_counts_and_changes_nothing(world: World, blue: str) -> None:
    park(world, "m-1", name="x")
    world.put("m-2", name="x")
    world.send_pointer(world.records())
    report = world.replay(dry_run=True).as_dict()
    assert {reason: counts["read"] for reason, counts in report["reasons"].items()} == {
        "RetryAttemptsExhausted": 1,
        "strict_dynamic_mapping_exception": 1,
    }
    assert documents(world.client, blue) == {}
    assert len(world.messages()) == 2, "both can be seen again at once"


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ({"kind": "pointer"}, {"m-1"}),
        ({"kind": "record"}, {"m-2"}),
        ({"reason": "RetryAttemptsExhausted"}, {"m-1"}),
        ({"min_age": 3_600}, {"m-1", "m-2"}),
    ],
)
def test_choices_leave_everything_else_in_sight(
    world: World, blue: str, choice: dict[str, Any], left: set[str]
) -> None:
    park(world, "m-1", name="x")
    world.put("m-2", name="x")
    world.send_pointer(world.records())
    report = world.replay(**choice)
    assert report.skipped == len(left)
    assert set(documents(world.client, blue)) == {"m-1", "m-2"} - left
    assert len(world.messages()) == len(left)


def test_the_cap_holds(world: World, blue: str) -> None:
    for n in range(25):
        park(world, f"m-{n}", name="x")
    assert world.replay(cap=13).as_dict()["messages"] == 13
    assert len(world.messages()) == 12


# -- faults


def test_opensearch_down_fails_fast_and_deletes_nothing(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, impatient: None
) -> None:
    park(world, "m-1", name="x")
    proxy.answer("GET /.*members-writers.*/_alias", 503, {}, times=None)
    world.client = faulty
    began = time.monotonic()
    with pytest.raises(IndexUnavailable):
        world.replay()
    assert time.monotonic() - began < 5
    assert len(world.messages()) == 1


def test_opensearch_going_down_in_the_middle_deletes_nothing_that_is_not_written(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, impatient: None
) -> None:
    park(world, "m-1", name="x")
    world.put("m-1", name="x")
    direct, world.client = world.client, faulty
    proxy.answer(BULK, 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)
    with pytest.raises(IndexUnavailable):
        world.replay()
    assert len(world.messages()) == 1, "in sight again at once"
    world.client = direct
    world.replay()
    assert living(world.client, blue)["m-1"]["name"] == "x"
    assert world.messages() == []


def test_without_an_index_nothing_is_received(world: World) -> None:
    world.dead.send(["{}"])
    with pytest.raises(EmptyWriteSet, match="members_reindex"):
        world.replay()
    (message,) = world.dead.receive()
    assert message.receives == 1


class Dies(Queue):
    """A queue whose client dies before the first deletion."""

    def delete(self, _: Any) -> None:
        raise KeyboardInterrupt


def test_killed_before_the_deletion_the_message_is_replayed_again_to_no_harm(world: World, blue: str) -> None:
    park(world, "m-1", name="x")
    world.put("m-1", name="x")
    dying = Dies(world.aws["sqs"], world.urls["dead"])
    with pytest.raises(KeyboardInterrupt):
        Replay(
            EntityIndexes(world.client, world.source.entity),
            world.source,
            dying,
            world.parked,
            world.origins,
        ).run()
    before = documents(world.client, blue)["m-1"]
    world.replay()
    assert {**documents(world.client, blue)["m-1"], "sync": None} == {**before, "sync": None}
    assert world.messages() == []


def test_unprocessed_keys_are_read_again(world: World, blue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB answers a part when it is throttled: taken for absent, the rest would become tombstones."""
    for n in range(4):
        world.put(f"m-{n}", name="x")
    dynamodb = _Throttled(world.aws["dynamodb"])
    pages = DynamoSource(world.entity, dynamodb).read([f"m-{n}" for n in range(5)])
    lines = {line.key: line.deleted for page in pages for line in page.documents()}
    assert lines == {"m-0": False, "m-1": False, "m-2": False, "m-3": False, "m-4": True}
    assert dynamodb.calls > 2


class _Throttled:
    """Answers one key at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0

    def batch_get_item(self, RequestItems: dict[str, Any], **options: Any) -> Any:  # noqa: N803 - boto3's names
        self.calls += 1
        ((table, asked),) = RequestItems.items()
        first, rest = asked["Keys"][:1], asked["Keys"][1:]
        answer = self._client.batch_get_item(RequestItems={table: {**asked, "Keys": first}}, **options)
        return {**answer, "UnprocessedKeys": {table: {**asked, "Keys": rest}} if rest else {}}


def test_thousands_of_messages(world: World, blue: str, record_property: Callable[[str, object], None]) -> None:
    """Each of them is accounted for; how fast is for the benchmark to say."""
    count = 2_000
    messages = [
        json.dumps({"kind": "record", "key": f"m-{n}", "position": "", "reason": "r", "parked_at": 0.0})
        for n in range(count)
    ]
    world.dead.send(messages)
    report = world.replay().as_dict()
    assert report["reasons"]["r"]["written"] == report["messages"] == count
    record_property("messages_per_second", report["messages_per_second"])
    print(f"{report['messages_per_second']} messages/s")
    assert len(documents(world.client, blue)) == count
    assert world.messages() == []
