"""The runner promises what Lambda's event source mapping promises: a function that works here must work on AWS.

The stream is that of a real (emulated) table. Only what the emulator cannot have is made up between it and the runner:
records of yesterday, deletions by expiry, split shards, a stream that does not answer.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from local import cli, event_source, stream_function, tables
from local.event_source import EventSource, Interrupted, OnFailure
from local.function import Function, FunctionError
from local.stream_reader import StreamGone

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0
Answer = Callable[[list[str], list[str]], Any]


def eventually(condition: Callable[[], Any]) -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "local.aws", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


@dataclass(frozen=True)
class World:
    """A new table with a stream, a queue, and a place for the checkpoint."""

    dynamodb: Any
    streams: Any
    sqs: Any
    table: str
    arn: str
    queue: str
    checkpoint: Path

    def put(self, *names: str, **attributes: Any) -> None:
        for name in names:
            self.dynamodb.put_item(TableName=self.table, Item={"id": {"S": name}, **attributes})

    def source(self, invoke: Callable[[dict[str, Any]], Any], *, streams: Any = None, **settings: Any) -> EventSource:
        """A new runner, as after a restart; it gives up after three retries, as ours does not."""
        return EventSource(
            streams or self.streams,
            self.arn,
            invoke,
            {**stream_function.SETTINGS["event_source_mapping"], "MaximumRetryAttempts": 3, **settings},
            OnFailure(self.sqs, self.queue, "members_stream"),
            self.checkpoint,
            retry_pause=0,
        )

    def pointers(self) -> list[dict[str, Any]]:
        """Takes every message out of the queue."""
        found: list[dict[str, Any]] = []
        while page := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in page]
        return found


def make_table(dynamodb: Any, name: str) -> str:
    described = dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arn: str = described["TableDescription"]["LatestStreamArn"]
    return arn


@pytest.fixture
def world(endpoint: str, tmp_path: Path) -> World:
    dynamodb, streams, sqs = (tables.client(name, endpoint) for name in ("dynamodb", "dynamodbstreams", "sqs"))
    name = f"t-{uuid4().hex}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = make_table(dynamodb, name)
    return World(dynamodb, streams, sqs, name, arn, queue, tmp_path / "stream" / "checkpoint.json")


class Calls:
    """A function that remembers its events.

    :param answer: makes the return value from the ids and the sequence numbers of a batch.
    """

    def __init__(self, answer: Answer = lambda _ids, _numbers: None) -> None:
        self.events: list[dict[str, Any]] = []
        self._answer = answer

    def __call__(self, event: dict[str, Any]) -> Any:
        self.events.append(event)
        return self._answer(self.batches[-1], [record["dynamodb"]["SequenceNumber"] for record in event["Records"]])

    @property
    def batches(self) -> list[list[str]]:
        return [[record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]] for event in self.events]

    @property
    def ids(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for event in self.events for record in event["Records"]]


def reporting(name: str) -> Answer:
    """Reports the record with this id, whenever it is there."""

    def answer(ids: list[str], numbers: list[str]) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": numbers[ids.index(name)]}] if name in ids else []}

    return answer


def raising(name: str) -> Answer:
    """Fails whenever the record with this id is there."""

    def answer(ids: list[str], _: list[str]) -> Any:
        if name in ids:
            raise FunctionError("ValueError: poison")

    return answer


class Changed:
    """The client of a stream with one of its calls replaced by `change`, which gets the real one first."""

    def __init__(self, client: Any, name: str, change: Callable[..., Any]) -> None:
        self._client, self._name, self._change = client, name, change

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        return real if name != self._name else lambda **arguments: self._change(real, **arguments)


def names(count: int) -> list[str]:
    return [f"r{number:03d}" for number in range(count)]


@contextmanager
def running(source: EventSource) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_event_is_that_of_lambda(world: World) -> None:
    """A function written against another shape would pass here and fail on its first record on AWS."""
    world.put("a", raw={"B": b"\x00\xff"}, list={"L": [{"M": {"deep": {"BS": [b"x"]}}}]}, tags={"SS": ["x", "y"]})
    world.put("a", number={"N": "1"})
    world.dynamodb.delete_item(TableName=world.table, Key={"id": {"S": "a"}})
    calls = Calls()
    assert world.source(calls).poll_once() == 3
    insert, modify, remove = calls.records
    image = {
        "id": {"S": "a"},
        "raw": {"B": "AP8="},
        "list": {"L": [{"M": {"deep": {"BS": ["eA=="]}}}]},
        "tags": {"SS": ["x", "y"]},
    }
    change = modify["dynamodb"]
    assert modify == {
        "eventID": modify["eventID"],
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "eventSourceARN": world.arn,
        "dynamodb": {
            "ApproximateCreationDateTime": change["ApproximateCreationDateTime"],
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}, "number": {"N": "1"}},
            "OldImage": image,
            "SequenceNumber": change["SequenceNumber"],
            "SizeBytes": change["SizeBytes"],
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    assert isinstance(change["ApproximateCreationDateTime"], float)
    assert time.time() - 60 < change["ApproximateCreationDateTime"] <= time.time()
    assert "OldImage" not in insert["dynamodb"]
    assert insert["dynamodb"]["NewImage"] == image
    assert "NewImage" not in remove["dynamodb"]
    assert json.loads(json.dumps(calls.events[0])) == calls.events[0], "it travels as JSON"


def test_expiry_is_told_from_a_deletion(world: World) -> None:
    """A function that treats expired members differently would never see one."""

    def as_expired(get_records: Any, **arguments: Any) -> Any:
        page = get_records(**arguments)
        for record in page["Records"]:
            if record["eventName"] == "REMOVE":
                record["userIdentity"] = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        return page

    world.put("a")
    world.dynamodb.delete_item(TableName=world.table, Key={"id": {"S": "a"}})
    calls = Calls()
    world.source(calls, streams=Changed(world.streams, "get_records", as_expired)).poll_once()
    insert, remove = calls.records
    assert remove["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert "userIdentity" not in insert


def test_records_come_in_order_and_in_batches(world: World) -> None:
    """An older change that comes last would stay in the index."""
    world.put(*names(250))
    calls = Calls()
    source = world.source(calls)
    assert [source.poll_once() for _ in range(4)] == [100, 100, 50, 0]
    assert [len(batch) for batch in calls.batches] == [100, 100, 50]
    assert calls.ids == names(250)
    world.put("later")
    assert source.poll_once() == 1
    assert calls.batches[3:] == [["later"]]


def test_a_window_gathers_what_is_less_than_a_batch(world: World) -> None:
    """A batching window that is ignored here would hide how long sparse changes wait for it on AWS."""
    world.put("a", "b")
    calls = Calls()
    source, began = world.source(calls, MaximumBatchingWindowInSeconds=0.5, BatchSize=3), time.monotonic()
    assert source.poll_once() == 0
    assert eventually(source.poll_once) == 2
    assert time.monotonic() - began >= 0.5
    world.put(*names(3))
    assert source.poll_once() == 3, "a full batch does not wait"


def test_a_batch_ends_at_six_megabytes(world: World) -> None:
    """Large items would make an event that Lambda never sends, and its function no time to work on it."""
    for name in names(40):
        world.put(name, text={"S": "x" * 350_000})
    calls = Calls()
    source = world.source(calls)
    while source.poll_once():
        pass
    assert calls.ids == names(40)
    assert max(len(json.dumps(event)) for event in calls.events) < 6 * 1024**2
    assert len(calls.batches) == 3


@pytest.mark.parametrize("response", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_success_has_several_forms(world: World, response: Any) -> None:
    """A batch that was written would be delivered for ever, or end in the queue."""
    world.put(*names(3))
    calls = Calls(lambda _ids, _numbers: response)
    assert world.source(calls).poll_once() == 3
    assert len(calls.batches) == 1
    assert world.pointers() == []


@pytest.mark.parametrize("bisect", [True, False])
def test_partial_failure_resumes_at_the_reported_record(world: World, bisect: bool) -> None:
    """The records before it would be written twice, or worse: those behind it never."""
    world.put(*names(10))
    reports = [[7, 4, 9], []]

    def answer(_: list[str], numbers: list[str]) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": numbers[index]} for index in reports.pop(0)]}

    calls = Calls(answer)
    assert world.source(calls, BisectBatchOnFunctionError=bisect).poll_once() == 10
    assert calls.batches == [names(10), names(10)[4:]], "the lowest reported number counts"
    assert world.pointers() == []


@pytest.mark.parametrize(
    "response",
    [
        {"batchItemFailures": [{"itemIdentifier": "1"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"sequenceNumber": "1"}]},
        {"batchItemFailures": "all"},
        {"batchItemFailures": {}},
        ["r000"],
        "ok",
    ],
)
def test_what_cannot_be_understood_fails_the_whole_batch(world: World, response: Any) -> None:
    """A typing error in the response would pass for success, and every failed record would be lost unseen."""
    world.put(*names(3))
    answers = [response, None]
    calls = Calls(lambda _ids, _numbers: answers.pop(0))
    assert world.source(calls, BisectBatchOnFunctionError=False).poll_once() == 3
    assert calls.batches == [names(3)] * 2


def arrival(change: dict[str, Any]) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(change["ApproximateCreationDateTime"]))


@pytest.mark.parametrize(
    ("answer", "bisect", "raised"), [(reporting("r000"), True, False), (raising("r000"), False, True)]
)
def test_retries_end_with_one_pointer_and_the_shard_goes_on(
    world: World, answer: Answer, bisect: bool, raised: bool
) -> None:
    """An outage must cost four invocations and one message for each batch, and name exactly the records to replay."""
    world.put(*names(5))
    calls = Calls(answer)
    source = world.source(calls, BisectBatchOnFunctionError=bisect)
    assert source.poll_once() == 5
    assert calls.batches == [names(5)] * 4
    (document,) = world.pointers()
    first, *_, last = (record["dynamodb"] for record in calls.events[0]["Records"])
    assert document["DDBStreamBatchInfo"] == {
        "shardId": document["DDBStreamBatchInfo"]["shardId"],
        "startSequenceNumber": first["SequenceNumber"],
        "endSequenceNumber": last["SequenceNumber"],
        "approximateArrivalOfFirstRecord": arrival(first),
        "approximateArrivalOfLastRecord": arrival(last),
        "batchSize": 5,
        "streamArn": world.arn,
    }
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 4
    assert document["requestContext"]["functionArn"].endswith(":123456789012:function:members_stream")
    error = {"functionError": "Unhandled"} if raised else {}
    assert document["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", **error}
    assert (document["version"], document["timestamp"][-1]) == ("1.0", "Z")
    world.put("next")
    assert source.poll_once() == 1
    assert calls.batches[-1] == ["next"]


def test_reported_poison_takes_the_records_behind_it_along(world: World) -> None:
    """The reason why our function never reports poison: a runner that is kinder than AWS would hide it."""
    world.put(*names(40))
    calls = Calls(reporting("r013"))
    assert world.source(calls).poll_once() == 40
    assert calls.batches == [names(40)] + [names(40)[13:]] * 4
    (document,) = world.pointers()
    assert document["DDBStreamBatchInfo"]["batchSize"] == 27


def test_bisection_isolates_the_record_that_fails(world: World) -> None:
    """The good records of the batch would be given up with it."""
    world.put(*names(16))
    calls = Calls(raising("r005"))
    assert world.source(calls).poll_once() == 16
    failed = [batch for batch in calls.batches if "r005" in batch]
    assert [len(batch) for batch in failed] == [16, 8, 4, 2, 1, 1, 1, 1], "a split does not use up a retry"
    done = [batch for batch in calls.batches if "r005" not in batch]
    assert [name for batch in done for name in batch] == [name for name in names(16) if name != "r005"], (
        "in order, each once"
    )
    (document,) = world.pointers()
    assert document["DDBStreamBatchInfo"]["batchSize"] == 1
    assert document["DDBStreamBatchInfo"]["startSequenceNumber"] == calls.records[5]["dynamodb"]["SequenceNumber"]


def test_a_function_that_always_raises_costs_what_was_measured(world: World) -> None:
    """The price of raising instead of reporting in an outage, 199 invocations and 40 messages, has to stay visible."""
    world.put(*names(40))

    def fail(_ids: list[str], _numbers: list[str]) -> Any:
        raise FunctionError("OpenSearch is down")

    calls = Calls(fail)
    assert world.source(calls).poll_once() == 40
    assert (len(calls.batches), len(world.pointers())) == (199, 40)


def test_old_records_are_given_up_unseen(world: World) -> None:
    """After a long outage the stream would stay behind for ever: the old records have to make way."""
    old = {"r000", "r001"}

    def aged(get_records: Any, **arguments: Any) -> Any:
        page = get_records(**arguments)
        for record in page["Records"]:
            if record["dynamodb"]["Keys"]["id"]["S"] in old:
                record["dynamodb"]["ApproximateCreationDateTime"] -= timedelta(seconds=79_300)
        return page

    world.put(*names(5))
    calls = Calls()
    assert world.source(calls, streams=Changed(world.streams, "get_records", aged)).poll_once() == 5
    assert calls.batches == [names(5)[2:]]
    (document,) = world.pointers()
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 0
    assert document["DDBStreamBatchInfo"]["batchSize"] == 2


def test_retries_without_limit_end_with_the_age(world: World) -> None:
    """-1 means until the record is too old; read as a number it would mean no retry at all."""
    world.put("a")

    def fail(_ids: list[str], _numbers: list[str]) -> Any:
        time.sleep(0.01)
        raise FunctionError("OpenSearch is down")

    calls = Calls(fail)
    source = world.source(calls, MaximumRetryAttempts=-1, MaximumRecordAgeInSeconds=2)
    assert source.poll_once() == 1
    (document,) = world.pointers()
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == len(calls.batches) > 4


def test_restart_loses_and_repeats_nothing_acknowledged(world: World) -> None:
    """Each restart would lose what was on its way, or deliver a day of changes again."""
    world.put(*names(6))
    assert world.source(Calls(), BatchSize=4).poll_once() == 4

    def die(_ids: list[str], _numbers: list[str]) -> Any:
        raise KeyboardInterrupt

    died = Calls(die)
    with pytest.raises(KeyboardInterrupt):
        world.source(died).poll_once()
    again = Calls()
    assert world.source(again).poll_once() == 2
    assert died.batches == again.batches == [["r004", "r005"]]
    assert world.source(Calls()).poll_once() == 0


def test_what_is_settled_within_a_batch_is_not_repeated(world: World) -> None:
    """A stop in the middle of a bisection would repeat the half that was written."""
    world.put(*names(4))

    def stopped(ids: list[str], _: list[str]) -> Any:
        if "r002" in ids:
            if len(ids) == 1:
                world.checkpoint.with_name(stream_function.PAUSED).touch()
            raise FunctionError("poison")

    source = world.source(Calls(stopped))
    with pytest.raises(Interrupted):
        source.poll_once()
    assert world.pointers() == []
    again = Calls()
    assert world.source(again).poll_once() == 2
    assert again.batches == [["r002", "r003"]]


def test_checkpoint_of_another_stream_does_not_count(world: World) -> None:
    """A new table of the same name starts its numbers again: its first records would never be delivered."""
    world.put(*names(3))
    old = world.source(Calls())
    assert old.poll_once() == 3
    world.dynamodb.delete_table(TableName=world.table)
    arn = make_table(world.dynamodb, world.table)
    assert arn != world.arn
    world.put(*names(3))
    with pytest.raises(StreamGone):
        world.source(Calls()).poll_once()
    calls = Calls()
    assert replace(world, arn=arn).source(calls).poll_once() == 3
    assert calls.batches == [names(3)]


def test_trimmed_position_goes_on_with_the_oldest_record(world: World) -> None:
    """After a day of standing still the position is gone: the runner would repeat the same error for ever."""
    world.put(*names(3))
    assert world.source(Calls(), BatchSize=1).poll_once() == 1

    def trimmed(get_shard_iterator: Any, **arguments: Any) -> Any:
        if arguments["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            error = {"Error": {"Code": "TrimmedDataAccessException", "Message": "beyond the trim horizon"}}
            raise ClientError(error, "GetShardIterator")
        return get_shard_iterator(**arguments)

    calls = Calls()
    source = world.source(calls, streams=Changed(world.streams, "get_shard_iterator", trimmed))
    assert source.poll_once() == 3
    assert calls.batches == [names(3)]


class SplitStream:
    """A stream with several shards, of which `p` ends after three records. The emulator never has more than one.

    :param shards: each with its parent; a test adds more.
    """

    def __init__(self, arn: str) -> None:
        self._label = arn.rpartition("/")[2]
        self.shards: dict[str, str | None] = {"p": None}
        self.records = {"p": ["p1", "p2", "p3"], "a": ["a1"], "b": ["b1"], "c": ["c1"], "u": ["u1"]}

    def describe_stream(self, *, ExclusiveStartShardId: str = "", **_: Any) -> Any:  # noqa: N803
        known = list(self.shards)
        at = known.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = {"ShardId": known[at], **({"ParentShardId": self.shards[known[at]]} if self.shards[known[at]] else {})}
        last = {"LastEvaluatedShardId": known[at]} if at + 1 < len(known) else {}
        return {"StreamDescription": {"StreamLabel": self._label, "Shards": [page], **last}}

    def get_shard_iterator(self, *, ShardId: str, SequenceNumber: str = "", **_: Any) -> Any:  # noqa: N803
        return {"ShardIterator": f"{ShardId} {int(SequenceNumber or 0)}"}

    def get_records(self, *, ShardIterator: str, **_: Any) -> Any:  # noqa: N803
        shard, position = ShardIterator.split()
        ids = self.records[shard][int(position) : int(position) + 2]
        end = int(position) + len(ids)
        following = {"NextShardIterator": f"{shard} {end}"} if shard != "p" or end < 3 else {}
        return {"Records": [self._record(name, int(position) + at + 1) for at, name in enumerate(ids)], **following}

    def _record(self, name: str, number: int) -> dict[str, Any]:
        change = {"Keys": {"id": {"S": name}}, "SequenceNumber": str(number), "SizeBytes": 1}
        return {
            **dict.fromkeys(("eventID", "eventName", "eventVersion", "awsRegion"), ""),
            "dynamodb": {**change, "ApproximateCreationDateTime": time.time()},
        }


def test_a_shard_is_read_after_its_parent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes of one item lie on both sides of a split: the older one would win."""
    streams, calls = SplitStream(world.arn), Calls()
    source = world.source(calls, streams=streams, BatchSize=2)
    assert source.poll_once() == 2
    streams.shards = {"b": "p", "p": None, "a": "p"}
    assert [source.poll_once() for _ in range(3)] == [1, 2, 0], "the end of a shard makes it look for children at once"
    assert calls.batches[:2] == [["p1", "p2"], ["p3"]]
    assert sorted(calls.batches[2:]) == [["a1"], ["b1"]]
    streams.shards |= {"c": "a", "u": None}
    monkeypatch.setattr("local.stream_reader._DESCRIBE_SECONDS", 0.0)
    assert source.poll_once() == 1, "of the new shards only that without an open parent"
    assert calls.batches[-1] == ["u1"]
    again = Calls()
    restarted = world.source(again, streams=streams, BatchSize=2)
    assert [restarted.poll_once() for _ in range(3)] == [0, 0, 0], "what was settled is not repeated"
    del streams.shards["p"]
    assert [restarted.poll_once() for _ in range(2)] == [0, 0], "a parent that was trimmed holds nobody up"


def test_pause_and_resume(world: World) -> None:
    """A paused mapping that delivers would write into an index that is just being repaired."""
    paused = world.checkpoint.with_name(stream_function.PAUSED)
    paused.parent.mkdir()
    paused.touch()
    looked = threading.Event()
    calls = Calls()
    source = world.source(calls)
    with running(source):
        world.put("a")
        looked.wait(0.6)  # two polls of an idle runner
        assert calls.batches == []
        paused.unlink()
        eventually(lambda: calls.batches == [["a"]])
        paused.touch()
        looked.wait(0.6)
        world.put("b")
        looked.wait(0.6)
        assert calls.batches == [["a"]]
        paused.unlink()
        eventually(lambda: calls.batches == [["a"], ["b"]])


def test_an_emulator_that_is_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner would end with the first refused connection, and nobody would deliver afterwards."""
    monkeypatch.setattr(event_source, "_AWAY_SECONDS", 0.01)
    away = threading.Event()
    refused: list[int] = []

    def call(get_records: Any, **arguments: Any) -> Any:
        if away.is_set():
            refused.append(1)
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return get_records(**arguments)

    calls = Calls()
    with running(world.source(calls, streams=Changed(world.streams, "get_records", call))):
        world.put("a")
        eventually(lambda: calls.batches == [["a"]])
        away.set()
        eventually(lambda: len(refused) > 3)
        world.put("b")
        away.clear()
        eventually(lambda: calls.batches == [["a"], ["b"]])


def test_nothing_is_given_up_without_its_pointer(world: World) -> None:
    """A queue that does not answer would turn a failed batch into a lost one."""
    world.put("a")
    calls, errors = Calls(raising("a")), [ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")]

    def unavailable(send_message: Any, **arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return send_message(**arguments)

    source = replace(world, sqs=Changed(world.sqs, "send_message", unavailable)).source(calls)
    with pytest.raises(ClientError):
        source.poll_once()
    assert source.poll_once() == 1
    assert len(world.pointers()) == 1
    assert calls.batches == [["a"]] * 8


def test_settings_that_are_not_imitated_are_refused(world: World) -> None:
    """They would be ignored here and change everything on AWS."""
    with pytest.raises(ValueError, match="StartingPosition"):
        world.source(Calls(), StartingPosition="LATEST")
    with pytest.raises(ValueError, match="FunctionResponseTypes"):
        world.source(Calls(), FunctionResponseTypes=[])


HANDLER = """
import pathlib, time

def handler(event, context):
    folder = pathlib.Path(__file__).parent
    if (folder / "hang").exists():
        (folder / "hang").unlink()
        (folder / "hanging").touch()
        time.sleep(600)
    with (folder / "seen").open("a") as seen:
        for record in event["Records"]:
            (key,) = record["dynamodb"]["Keys"].values()
            print(key["S"], file=seen)
"""


def test_killed_function_is_a_failed_invocation(world: World, tmp_path: Path) -> None:
    """A function that is killed in the middle of a batch, for its memory say, would lose the batch."""
    (tmp_path / "handler.py").write_text(HANDLER, encoding="utf-8")
    (tmp_path / "hang").touch()
    function = Function(tmp_path / "handler.py", "handler", {}, 60.0)
    failures: list[str] = []

    def invoke(event: dict[str, Any]) -> Any:
        try:
            function.invoke(event)
        except FunctionError as error:
            failures.append(str(error))
            raise

    world.put("a", "b")
    with closing(function), running(world.source(invoke, BisectBatchOnFunctionError=False)):
        eventually((tmp_path / "hanging").exists)
        assert function.pid is not None
        os.kill(function.pid, signal.SIGKILL)
        eventually((tmp_path / "seen").exists)
        world.put("c")
        eventually(lambda: (tmp_path / "seen").read_text(encoding="utf-8") == "a\nb\nc\n")
    assert failures == ["the function's process ended: exit code -9"]
    assert world.pointers() == []


def test_commands_pause_and_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person would believe that nothing is written, while everything is."""
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(tmp_path))
    paused = tmp_path / "stream" / "members" / stream_function.PAUSED
    for action, expected in (("status", False), ("pause", True), ("status", True), ("resume", False)):
        assert cli.main(["stream", action, "members"]) == 0
        assert paused.exists() == expected
        shown = capsys.readouterr().out
        assert "`./dev up` starts it" in shown
        assert ("no: paused" in shown) == expected
