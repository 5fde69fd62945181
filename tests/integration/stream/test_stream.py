"""Live changes: nothing a record or OpenSearch does loses a change, revives a deletion or stops the shard."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Backoff, Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import NEVER, Deadline
from searchsync.documents import dynamodb_item, position
from searchsync.documents.position import of_event
from searchsync.stream.consumer import Stream
from searchsync.stream.dead_letters import ParkedRecord
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.members import World, record
from tests.steps import documents, living, make_index, serve

BULK = r"POST /.*/_bulk\?timeout"


@pytest.fixture
def blue(world: World) -> str:
    """The live index."""
    return serve(world.client, world.entity)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same back-off, a hundredth of the pauses."""
    original = Backoff.__init__

    def init(self: Backoff, patience: float = 300.0, *, deadline: Deadline = NEVER, **_: Any) -> None:
        original(self, patience, deadline=deadline, first=0.002, longest=0.1)

    monkeypatch.setattr(Backoff, "__init__", init)


def through(world: World, client: Client) -> Stream:
    """The same stream by way of the proxy."""
    return Stream(EntityIndexes(client, world.entity), world.dead.send)


def test_insert_update_delete_and_binary(world: World, blue: str) -> None:
    world.put("m-1", name="Ada", skills={"SS": ["python", "go"]})
    world.put("m-2", name="Zoë")
    world.put("m-1", name="Ada King")
    world.delete("m-2")
    outcome = world.apply()
    assert (outcome.records, outcome.superseded, outcome.written, outcome.failed) == (4, 2, 2, "")
    assert living(world.client, blue) == {"m-1": {"member_id": "m-1", "name": "Ada King"}}
    assert documents(world.client, blue)["m-2"]["sync"]["deleted"] is True
    assert world.messages() == []


def test_the_same_item_by_stream_and_by_read_is_the_same_document(world: World, blue: str) -> None:
    """Else every comparison would find a difference, for ever."""
    world.put("m-1", name="Ada", skills={"SS": ["b", "a"]}, expires_at={"N": "2208988800"}, tags={"L": [{"S": "x"}]})
    world.apply()
    streamed = documents(world.client, blue)["m-1"]
    (page,) = world.source.read(["m-1"])
    (line,) = page.documents()
    read = json.loads(line.source)
    for document in (streamed, read):
        del document["sync"]["position"], document["sync"]["written_at"]
    assert streamed == read


def test_every_kind_of_value_reaches_the_index_or_the_queue(world: World, blue: str) -> None:
    """Binary, numbers of 38 digits, empty values: none of them may raise, nor take the other fields along."""
    world.put("m-1", name="Ada", city={"NULL": True}, joined_date={"S": ""}, tags={"L": []})
    world.put("m-2", name="Bob", photo={"B": b"\x00\xff"}, big={"N": "12345678901234567890123456789012345678"})
    world.put("m-3", name="Cid", nickname={"B": b"\x00\xff"}, skills={"NS": ["12345678901234567890123456789012345678"]})
    outcome = world.apply()
    assert outcome.failed == ""
    assert outcome.dropped == {"photo": 1, "big": 1}
    assert living(world.client, blue) == {
        "m-1": {"member_id": "m-1", "name": "Ada", "tags": []},
        "m-2": {"member_id": "m-2", "name": "Bob"},
    }
    (message,) = world.messages()
    assert message["reason"] == "strict_dynamic_mapping_exception"
    assert message["record"]["dynamodb"]["NewImage"]["nickname"] == {"B": "AP8="}


def test_poison_is_parked_in_full_and_the_good_records_around_it_are_written(world: World, blue: str) -> None:
    """Reported as a failure, it would take the good records behind it along, and block the shard."""
    long = record("x" * 600, sequence=3, name="too long")
    batch = [
        record("m-1", sequence=1, name="good"),
        record("m-2", sequence=2, sync={"M": {"deleted": {"BOOL": True}}}),
        long,
        record("m-4", sequence=4, nickname="x"),
        record("m-5", sequence=5, name="good"),
    ]
    outcome = world.apply(batch)
    assert outcome.failed == ""
    assert sorted(living(world.client, blue)) == ["m-1", "m-5"]
    messages = {message["record"]["dynamodb"]["SequenceNumber"]: message for message in world.messages()}
    assert sorted(messages) == ["2", "3", "4"]
    assert messages["2"]["key"] == "m-2"
    assert messages["2"]["reason"] == "invalid_attribute"
    assert messages["2"]["record"] == batch[1]
    assert messages["2"]["position"].endswith("2")
    assert messages["3"]["reason"] == "invalid_id"
    assert outcome.parked.total() == 3


MALFORMED: list[Any] = [
    None,
    "text",
    7,
    [],
    {},
    {"dynamodb": None},
    {"dynamodb": {"Keys": {}}},
    {**record("m-1", name="x"), "eventName": "EXPLODE"},
    {**record("m-1", name="x"), "eventName": None},
    {**record("m-1"), "eventName": "INSERT"},
    {**record("m-1", name="x"), "dynamodb": {**record("m-1")["dynamodb"], "NewImage": "x"}, "eventName": "MODIFY"},
    record("m-1", name={"N": "NaN"}),
    record("m-1", name={"S": 5}),
    record("m-1", second=-5, name="x"),
    record("m-1", second=10.0**12, name="x"),
    {"eventName": "REMOVE", "dynamodb": {**record("m-1")["dynamodb"], "SequenceNumber": "x"}},
    {"eventName": "REMOVE", "dynamodb": {**record("m-1")["dynamodb"], "SequenceNumber": "1" * 41}},
    {"eventName": "REMOVE", "dynamodb": {**record("m-1")["dynamodb"], "Keys": {"member_id": {"N": "5"}}}},
    record("m-1", sync={"M": {"position": {"S": "9"}}}),
]


@pytest.mark.parametrize("bad", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_record_is_parked_and_raises_nothing(world: World, blue: str, bad: Any) -> None:
    outcome = world.apply([bad, record("m-2", name="good")])
    assert outcome.failed == ""
    assert sorted(living(world.client, blue)) == ["m-2"]
    assert len(world.messages()) == 1


def test_a_record_from_the_future_is_parked_and_its_position_is_not_believed(world: World, blue: str) -> None:
    """Written, it would win over every true change for as long as its clock is ahead."""
    world.apply([record("m-1", second=time.time() + 7_200, name="future")])
    assert documents(world.client, blue) == {}
    (message,) = world.messages()
    assert (message["reason"], message["key"], message["position"]) == ("future", "m-1", "")


def test_an_image_over_the_queues_limit_is_parked_without_it(world: World, blue: str) -> None:
    outcome = world.apply([record("m-1", name="x" * 1_500_000, sync={"M": {}})])
    assert outcome.failed == ""
    (message,) = world.messages()
    assert (message["key"], message["left_out"]) == ("m-1", ["OldImage", "NewImage"])


def test_duplicates_and_reversed_redelivery_change_nothing(world: World, blue: str) -> None:
    world.put("m-1", name="first")
    world.put("m-1", name="second")
    world.put("m-2", name="gone")
    world.delete("m-2")
    records = world.records()
    world.apply(records)
    before = documents(world.client, blue)
    for number in reversed(range(len(records))):
        assert world.apply([records[number]]).written == 0
        assert world.apply(records[number:] + records[:number]).written == 0
    assert documents(world.client, blue) == before


def test_changes_within_one_second_are_ordered_by_their_number_also_after_a_restart(world: World, blue: str) -> None:
    """Seconds alone do not order them; sequence numbers of other length do not compare as text."""
    now = time.time()
    world.apply([record("m-1", now, 9, name="ninth")])
    world.stream = Stream(EntityIndexes(world.client, world.entity), world.dead.send)
    world.apply([record("m-1", now, 10, name="tenth")])
    assert world.apply([record("m-1", now, 9, name="ninth")]).stale == 1
    assert living(world.client, blue)["m-1"]["name"] == "tenth"


def test_a_deleted_member_stays_deleted_when_an_older_event_comes_after_the_garbage_collection(
    world: World, blue: str
) -> None:
    """OpenSearch forgets real deletes after a minute; tombstones are documents."""
    world.client.request("PUT", f"/{blue}/_settings", body={"index.gc_deletes": "1ms"})
    now = time.time()
    world.apply([record("m-1", now, 2)])
    world.client.request("POST", f"/{blue}/_flush", params={"force": "true"})
    assert world.apply([record("m-1", now, 1, name="older")]).stale == 1
    assert living(world.client, blue) == {}


def test_a_removal_by_ttl_is_a_removal(world: World, blue: str) -> None:
    world.apply([record("m-1", sequence=1, name="x", expires_at={"N": "1"})])
    by_ttl = {**record("m-1", sequence=2), "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
    world.apply([by_ttl])
    assert documents(world.client, blue)["m-1"]["sync"]["deleted"] is True


def test_an_expired_member_is_not_found_although_dynamodb_has_not_removed_it_yet(world: World, blue: str) -> None:
    now = int(time.time())
    world.put("gone", name="x", expires_at={"N": str(now - 60)})
    world.put("soon", name="x", expires_at={"N": str(now + 3_600)})
    world.put("never", name="x", expires_at={"N": "0"})  # over five years ago: DynamoDB leaves it alone
    world.put("plain", name="x")
    world.apply()
    Index(world.client, blue).refresh()
    hits = world.client.request("POST", "/members/_search", body={})["hits"]["hits"]
    assert sorted(hit["_id"] for hit in hits) == ["never", "plain", "soon"]
    counted = sum(count for count, _, _ in world.source.fingerprints().values())
    assert counted == 3, "the source's side of a comparison sees the same"


def test_empty_write_set_is_not_acknowledged(world: World) -> None:
    world.put("m-1", name="x")
    outcome = world.apply()
    assert "EmptyWriteSet" in outcome.failed


def test_an_outage_is_not_acknowledged_and_ends_in_time(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, quick: None
) -> None:
    proxy.answer(BULK, 503, {"error": {"type": "unavailable", "reason": "down"}}, times=None)
    began = time.monotonic()
    outcome = through(world, faulty).apply([record("m-1", name="x")], seconds=1.0)
    assert outcome.failed.startswith("IndexUnavailable")
    assert time.monotonic() - began < 5
    assert world.messages() == [], "an outage is no poison"


def test_a_short_outage_is_waited_for_within_the_invocation(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy, quick: None
) -> None:
    proxy.answer(BULK, 503, {"error": {"type": "unavailable", "reason": "down"}}, times=3)
    assert through(world, faulty).apply([record("m-1", name="x")], seconds=10.0).written == 1


def test_what_cannot_be_parked_is_not_acknowledged(world: World, blue: str) -> None:
    def refuse(_: Any, /, **__: Any) -> None:
        raise RuntimeError("the queue is away")

    world.stream = Stream(EntityIndexes(world.client, world.entity), refuse)
    outcome = world.apply([record("m-1", nickname="x"), record("m-2", name="good")])
    assert "the queue is away" in outcome.failed


def test_a_bug_of_ours_is_parked_for_its_record_alone(world: World, blue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    render = dynamodb_item.document_of

    def buggy(entity: Entity, key: str, *arguments: Any, **options: Any) -> Any:
        if key == "m-2":
            raise ZeroDivisionError("a bug")
        return render(entity, key, *arguments, **options)

    monkeypatch.setattr(dynamodb_item, "document_of", buggy)
    world.apply([record(f"m-{n}", sequence=n, name="x") for n in (1, 2, 3)])
    assert sorted(living(world.client, blue)) == ["m-1", "m-3"]
    assert [(message["reason"], message["key"]) for message in world.messages()] == [("unexpected", "m-2")]


UNKNOWN = {"status": 400, "error": {"type": "some_new_exception", "reason": "of a kind that nobody knows"}}


def refusing(key: str) -> Callable[[Request, Forward], Answer]:
    """An OpenSearch that says of one document that it refuses it, with an error of an unknown kind."""

    def act(asked: Request, forward: Forward) -> Answer:
        said = json.loads(forward().body)
        operations = [line for line in asked.body.split(b"\n") if b'"_id":' in line]
        items = [{"index": UNKNOWN} if f'"{key}"'.encode() in line else item
                 for line, item in zip(operations, said["items"], strict=True)]  # fmt: skip
        return Answer(200, json.dumps({"errors": True, "items": items}).encode())

    return act


def test_a_document_that_is_refused_for_an_unknown_reason_holds_up_no_other(
    world: World, blue: str, faulty: Client, proxy: OpenSearchProxy
) -> None:
    """The whole batch would come again until its first record is too old: 22 hours."""
    proxy.add(BULK, refusing("m-3"), times=None)
    outcome = through(world, faulty).apply([record(f"m-{n}", sequence=n, name="x") for n in range(9)], seconds=20.0)
    assert (outcome.failed, outcome.parked) == ("", {"some_new_exception": 1})
    (message,) = world.messages()
    assert message["key"] == "m-3"
    assert "of a kind that nobody knows" in message["detail"]
    assert set(living(world.client, blue)) >= {f"m-{n}" for n in range(9) if n != 3}


FOREIGN: list[Any] = [
    None, [], [{"position": "9"}], {"position": 5}, {"position": ["8", "9"]}, {"position": []}, {"position": ""}, {}
]  # fmt: skip


def test_a_stored_position_of_any_shape_holds_up_no_batch_and_no_replay(world: World, blue: str) -> None:
    """One such document made the batch of its key fail each time, and each replay."""
    for n, sync in enumerate(FOREIGN):
        world.client.request("PUT", f"/{blue}/_doc/m-{n}", body={"name": "foreign", "sync": sync})
    batch = [record(f"m-{n}", sequence=n, name="ours") for n in range(len(FOREIGN) + 1)]
    outcome = world.apply(batch)
    assert (outcome.failed, outcome.written, outcome.parked.total()) == ("", len(batch), 0)
    for n, sync in enumerate(FOREIGN):
        world.client.request("PUT", f"/{blue}/_doc/m-{n}", body={"name": "foreign", "sync": sync})
        world.put(f"m-{n}", name="replayed")
    world.dead.send([ParkedRecord({}, f"m-{n}", "", "r", "").message() for n in range(len(FOREIGN))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position, "MARGIN_SECONDS", -10)  # as if the time after the parking had passed
        assert world.replay().as_dict()["reasons"]["r"]["written"] == len(FOREIGN)
    names = {key: doc["name"] for key, doc in living(world.client, blue).items()}
    assert set(names.values()) == {"ours", "replayed"}
    assert len(names) == len(batch)


# -- several members


def test_every_member_of_the_write_set_is_written(world: World, blue: str) -> None:
    green = make_index(world.client, world.entity, "green")
    world.apply([record("m-1", name="x")])
    assert living(world.client, blue) == living(world.client, green) != {}


def test_a_member_that_is_known_to_be_sick_is_not_tried_again_for_a_while(world: World, blue: str) -> None:
    """Each batch would wait for it in vain; what it is and misses, see test_missed."""
    green = make_index(world.client, world.entity, "green")
    world.client.request("PUT", f"/{green}/_block/write")
    began = time.monotonic()
    world.put("m-1", name="one")
    assert list(world.apply(seconds=30).missed) == [green]
    first = time.monotonic() - began
    began = time.monotonic()
    world.put("m-2", name="two")
    assert list(world.apply(seconds=30).missed) == [green]
    assert time.monotonic() - began < first
    assert sorted(living(world.client, blue)) == ["m-1", "m-2"]


def test_an_unwritable_live_index_is_an_outage(world: World, blue: str) -> None:
    make_index(world.client, world.entity, "green")
    world.client.request("PUT", f"/{blue}/_block/write")
    outcome = world.apply([record("m-1", name="x")], seconds=1)
    assert outcome.failed != ""
    assert world.messages() == []


def test_a_new_field_is_taken_once_every_member_has_it_in_its_mapping(world: World, blue: str) -> None:
    """docs/protocol.md, Changing a mapping: the mapping first, then whoever writes the field."""
    green = make_index(world.client, world.entity, "green")
    world.put("m-1", name="Ada", nickname="Countess")
    assert world.apply().parked == {"strict_dynamic_mapping_exception": 1}
    for name in (blue, green):
        world.client.request("PUT", f"/{name}/_mapping", body={"properties": {"nickname": {"type": "keyword"}}})
    world.put("m-2", name="Bob", nickname="Bobby")
    assert world.apply().parked == {}
    assert world.replay().as_dict()["reasons"]["strict_dynamic_mapping_exception"]["written"] == 1
    for name in (blue, green):
        assert {doc["nickname"] for doc in living(world.client, name).values()} == {"Countess", "Bobby"}
    assert world.messages() == []


@pytest.mark.parametrize("first", [0, 1])
def test_what_one_of_two_mappings_refuses_waits_until_both_take_it(world: World, blue: str, first: int) -> None:
    """One member has the field, the other not: lost to the other, both would be served and only one be right."""
    pair = [blue, make_index(world.client, world.entity, "green")]
    field = {"properties": {"nickname": {"type": "keyword"}}}
    world.client.request("PUT", f"/{pair[first]}/_mapping", body=field)
    world.put("m-1", name="Ada", nickname="Countess")
    assert world.apply().parked == {"strict_dynamic_mapping_exception": 1}
    assert [list(living(world.client, name)) for name in pair] == [["m-1"] * (n == first) for n in (0, 1)]
    world.client.request("PUT", f"/{pair[1 - first]}/_mapping", body=field)
    world.replay()
    wanted = {"m-1": {"member_id": "m-1", "name": "Ada", "nickname": "Countess"}}
    assert [living(world.client, name) for name in pair] == [wanted, wanted]
    assert world.messages() == []


def test_positions_of_events_are_those_of_the_protocol() -> None:
    assert of_event(1_700_000_000, "123") == "1700000000." + "123".zfill(40)
