"""Each bridge of `local/aws.py` closes a difference between moto and AWS that would make later tests lie.

Every check runs twice: it must hold on the bridged server, and fail on plain moto with the symptom that the bridge
removes. When a new moto no longer shows the symptom, the bridge can go. Both servers switch threads as often as Python
can, so that a race shows within a second and not once a week.
"""

import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

from local import aws, cognito, moto_functions

ROOT = Path(__file__).parents[3]
RACING = "import sys; sys.setswitchinterval(1e-6); from local.aws import main; main()"


@dataclass(frozen=True)
class Aws:
    """The clients of one server."""

    dynamodb: Any
    streams: Any
    sqs: Any
    s3: Any
    cognito: Any

    @classmethod
    def at(cls, url: str) -> "Aws":
        session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="eu-west-1")
        once = Config(retries={"total_max_attempts": 1}, max_pool_connections=20)  # a retry would hide a 500
        return cls(
            *(
                session.client(name, endpoint_url=url, config=once)
                for name in ("dynamodb", "dynamodbstreams", "sqs", "s3", "cognito-idp")
            )
        )

    def table(self, key: str = "S") -> "Stream":
        """A new table with a stream, and a key of some type."""
        name = f"t-{uuid4().hex}"
        described = self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": key}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return Stream(self, name, described["TableDescription"]["LatestStreamArn"])

    def queue(self, **attributes: str) -> str:
        url: str = self.sqs.create_queue(QueueName=f"q-{uuid4().hex}", Attributes=attributes)["QueueUrl"]
        return url

    def send(self, queue: str, count: int) -> None:
        for start in range(0, count, 10):
            entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(start, start + 10)]
            self.sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    def waiting(self, queue: str) -> dict[str, int]:
        """Messages by state: visible, not visible (received), delayed."""
        prefix = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return {state: int(found[prefix + state]) for state in ("", "NotVisible", "Delayed")}


@dataclass(frozen=True)
class Stream:
    """A table and what its stream holds."""

    aws: Aws
    name: str
    arn: str

    def put(self, **attributes: Any) -> None:
        self.aws.dynamodb.put_item(TableName=self.name, Item=attributes)

    def iterator(self) -> str:
        (shard,) = self.aws.streams.describe_stream(StreamArn=self.arn)["StreamDescription"]["Shards"]
        found: str = self.aws.streams.get_shard_iterator(
            StreamArn=self.arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return found

    def records(self) -> list[dict[str, Any]]:
        """Every record since the table was made."""
        found: list[dict[str, Any]] = []
        iterator = self.iterator()
        while True:
            page = self.aws.streams.get_records(ShardIterator=iterator)
            if not page["Records"]:
                return found
            found += page["Records"]
            iterator = page["NextShardIterator"]


def _serve(*options: str) -> Iterator[Aws]:
    command = [sys.executable, "-c", RACING, "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            yield Aws.at(_address(server))
        finally:
            server.terminate()


def _address(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    line = server.stdout.readline()  # printed when it listens
    assert line, f"the server ended with {server.wait()}"
    return line.split()[-1]


@pytest.fixture(scope="module")
def bridged() -> Iterator[Aws]:
    yield from _serve()


@pytest.fixture(scope="module")
def plain() -> Iterator[Aws]:
    yield from _serve("--plain")


def scans_succeed_during_writes(aws: Aws) -> None:
    """A reindex that scans a live table would stop with a 500 that DynamoDB never gives."""
    table = aws.table()
    table.put(id={"S": "wide"}, **{f"old-{number}": {"N": "1"} for number in range(200)})
    stop = Event()

    def write(thread: int) -> None:
        for number in itertools.count():
            table.put(id={"S": f"new-{thread}-{number}"})
            update = {"UpdateExpression": "SET #a = :v", "ExpressionAttributeNames": {"#a": f"new-{thread}-{number}"}}
            update["ExpressionAttributeValues"] = {":v": {"N": "1"}}
            aws.dynamodb.update_item(TableName=table.name, Key={"id": {"S": "wide"}}, **update)
            if stop.is_set():
                return

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, thread) for thread in range(2)]
        try:
            for _ in range(25):
                aws.dynamodb.scan(TableName=table.name, ConsistentRead=True)
        finally:
            stop.set()
    for writer in writers:
        writer.result()


def concurrent_writes_are_ordered(aws: Aws) -> None:
    """The newest record of a key would not be what the table holds: a correct index would be called wrong."""
    table = aws.table()

    def write(thread: int) -> None:
        for number in range(75):
            table.put(id={"S": f"shared-{number % 3}"}, value={"S": f"{thread}.{number}"})

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(8)))
    records = [record["dynamodb"] for record in table.records()]
    numbers = Counter(record["SequenceNumber"] for record in records)
    assert max(numbers.values()) == 1, "two changes have one position"
    assert [int(number) for number in numbers] == sorted(int(number) for number in numbers)
    newest = {record["Keys"]["id"]["S"]: record["NewImage"] for record in records}
    assert list(newest.values()) == [
        aws.dynamodb.get_item(TableName=table.name, Key={"id": {"S": key}})["Item"] for key in newest
    ]
    images = defaultdict(list)
    for record in records:
        images[record["Keys"]["id"]["S"]].append((record.get("OldImage"), record["NewImage"]))
    for chain in images.values():
        assert [old for old, _ in chain[1:]] == [new for _, new in chain[:-1]], "a change is missing or out of order"


def no_op_makes_no_record(aws: Aws) -> None:
    """Code that counts on a record for every write would work here and hang on AWS."""
    table = aws.table()
    item = {
        "id": {"S": "a"},
        "n": {"N": "1"},
        "tags": {"SS": ["x", "y"]},
        "nested": {"M": {"flag": {"N": "1"}, "list": {"L": []}}},
    }
    table.put(**item)
    table.put(**item)
    table.put(**item | {"n": {"N": "1.0"}, "tags": {"SS": ["y", "x"]}})  # the same values to DynamoDB
    aws.dynamodb.batch_write_item(RequestItems={table.name: [{"PutRequest": {"Item": item}}]})
    update = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    aws.dynamodb.update_item(TableName=table.name, Key={"id": {"S": "a"}}, **update)
    table.put(**item | {"nested": {"M": {"flag": {"BOOL": True}, "list": {"L": []}}}})  # not the same: the type changed
    aws.dynamodb.delete_item(TableName=table.name, Key={"id": {"S": "a"}})
    aws.dynamodb.delete_item(TableName=table.name, Key={"id": {"S": "a"}})
    names = [record["eventName"] for record in table.records()]
    assert names == ["INSERT", "MODIFY", "REMOVE"], f"{len(names)} records"


def upsert_makes_one_record(aws: Aws) -> None:
    """The bare key would be parked as poison: a document without its required fields, which the table never held."""
    table = aws.table()
    update = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    aws.dynamodb.update_item(TableName=table.name, Key={"id": {"S": "a"}}, **update)
    table.put(id={"S": "b"})
    first, second, *more = table.records()
    assert not more, "more records than changes"
    assert (first["eventName"], first["dynamodb"]["NewImage"]) == ("INSERT", {"id": {"S": "a"}, "n": {"N": "1"}})
    assert "OldImage" not in first["dynamodb"]
    assert int(second["dynamodb"]["SequenceNumber"]) == int(first["dynamodb"]["SequenceNumber"]) + 1, (
        "the stream has a hole"
    )


def records_have_the_shape_of_aws(aws: Aws) -> None:
    """Positions begin with the event's second; finer times would hide every error of order within one second."""
    table = aws.table()
    before = datetime.now(UTC).replace(microsecond=0)
    for number in range(5):
        table.put(id={"S": str(number)})
    records = table.records()
    times = [record["dynamodb"]["ApproximateCreationDateTime"] for record in records]
    assert {time.microsecond for time in times} == {0}, "finer than a second"
    assert all(before <= time <= datetime.now(UTC) for time in times), "not rounded down"
    assert {(record["eventVersion"], record["awsRegion"]) for record in records} == {("1.1", "eu-west-1")}


def old_iterators_end(aws: Aws) -> None:
    """A stack left running over a weekend would fill the memory of the machine."""
    table = aws.table()
    first = iterator = table.iterator()
    for _ in range(600):
        iterator = aws.streams.get_records(ShardIterator=iterator)["NextShardIterator"]
    aws.streams.get_records(ShardIterator=iterator)  # a reader that goes on is not disturbed
    with pytest.raises(ClientError):
        aws.streams.get_records(ShardIterator=first)  # AWS would have dropped it too, by age


def thousands_of_messages_drain_quickly(aws: Aws) -> None:
    """Replaying a queue after an outage could not be shown: a few thousand messages would take moto minutes."""
    queue, count = aws.queue(), 2_000
    started = time.monotonic()

    def require_speed(messages: int) -> None:
        seconds = time.monotonic() - started
        assert seconds < 2 or messages / seconds > 100, f"too slow: {messages} messages in {seconds:.1f} s"

    for sent in range(0, count, 100):
        aws.send(queue, 100)
        require_speed(sent)
    for drained in range(0, count, 10):
        messages = aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        assert len(aws.sqs.delete_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 10
        require_speed(count + drained)
    assert aws.waiting(queue) == {"": 0, "NotVisible": 0, "Delayed": 0}


def deletions_at_once_delete_each_their_message(aws: Aws) -> None:
    """Replayed messages would come back, and messages parked meanwhile be lost: "once" and "nothing lost" in doubt."""
    queue = aws.queue()

    def delete(message: dict[str, Any]) -> None:
        aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    for _ in range(4):
        aws.send(queue, 150)
        received = [aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"] for _ in range(15)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(delete, itertools.chain.from_iterable(received)))
        assert sum(aws.waiting(queue).values()) == 0, "a message came back"


def reads_cost_by_size(aws: Aws) -> None:
    """A budget of read capacity that holds at one unit a page would be broken 256 times over."""
    table = aws.table()
    for number in range(10):
        table.put(id={"S": str(number)}, text={"S": "x" * 10_000})
    asked = {"TableName": table.name, "ReturnConsumedCapacity": "TOTAL"}
    cost = aws.dynamodb.scan(**asked, ConsistentRead=True)["ConsumedCapacity"]["CapacityUnits"]
    assert cost == 25, f"{cost} units for 100 kB"
    assert aws.dynamodb.scan(**asked)["ConsumedCapacity"]["CapacityUnits"] == 12.5
    keys = [{"id": {"S": str(number)}} for number in (1, 2, 99)]
    request = {table.name: {"Keys": keys, "ConsistentRead": True}}
    answer = aws.dynamodb.batch_get_item(RequestItems=request, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"][0]["CapacityUnits"] == 3 + 3 + 1, "each item by itself, and an absent one"


def binary_keys_are_scanned_in_segments(aws: Aws) -> None:
    """A reindex of such a table could not be tried here at all."""
    table = aws.table("B")
    for number in range(20):
        table.put(id={"B": bytes([number, 255])})
    pages = [aws.dynamodb.scan(TableName=table.name, Segment=n, TotalSegments=3)["Items"] for n in range(3)]
    assert sorted(item["id"]["B"][0] for page in pages for item in page) == list(range(20))


def binary_keys_of_records_are_those_of_the_items(aws: Aws) -> None:
    """Each change would reach the document of another key."""
    table = aws.table("B")
    table.put(id={"B": b"\x01\xff\xfe"})
    (record,) = table.records()
    assert record["dynamodb"]["Keys"] == {"id": {"B": b"\x01\xff\xfe"}}


def exports_have_manifests(aws: Aws) -> None:
    """A reindex from an export would find no file; one that asks twice would pay for two exports."""
    table = aws.table()
    for number in range(20):
        table.put(id={"S": str(number)})
    arn = aws.dynamodb.describe_table(TableName=table.name)["Table"]["TableArn"]
    recovery = {"PointInTimeRecoveryEnabled": True}
    aws.dynamodb.update_continuous_backups(TableName=table.name, PointInTimeRecoverySpecification=recovery)
    aws.s3.create_bucket(Bucket=table.name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    asked = {"TableArn": arn, "S3Bucket": table.name, "S3Prefix": "some", "ClientToken": "mine"}
    first, second = (aws.dynamodb.export_table_to_point_in_time(**asked)["ExportDescription"] for _ in range(2))
    assert first["ExportArn"] == second["ExportArn"], "two exports for one token"
    assert first["ExportArn"].startswith(f"{arn}/export/0")
    while (described := aws.dynamodb.describe_export(ExportArn=first["ExportArn"])["ExportDescription"])[
        "ExportStatus"
    ] == "IN_PROGRESS":
        time.sleep(0.01)
    assert abs(described["ExportTime"].timestamp() - time.time()) < 60
    summary = json.loads(aws.s3.get_object(Bucket=table.name, Key=described["ExportManifest"])["Body"].read())
    assert (summary["itemCount"], summary["tableArn"], described["ItemCount"]) == (20, arn, 20)
    with pytest.raises(aws.dynamodb.exceptions.ExportNotFoundException):
        aws.dynamodb.describe_export(ExportArn=f"{arn}/export/0-0")


def users_cannot_change_their_tenant(aws: Aws) -> None:
    """Whoever has a token of the local stack would search as any tenant."""
    pool = cognito.ensure(aws.cognito.meta.endpoint_url)
    cognito.ensure_user(pool, tenant="a", role="tenant_user")
    login = {"USERNAME": cognito.name_of(tenant="a", role="tenant_user"), "PASSWORD": cognito.PASSWORD}
    opened = aws.cognito.initiate_auth(AuthFlow="USER_PASSWORD_AUTH", ClientId=pool.client_id, AuthParameters=login)[
        "AuthenticationResult"
    ]

    def write(name: str) -> None:
        aws.cognito.update_user_attributes(
            AccessToken=opened["AccessToken"], UserAttributes=[{"Name": name, "Value": "b"}]
        )

    with pytest.raises(aws.cognito.exceptions.NotAuthorizedException):
        write("custom:tenant_id")
    write("email")


CHECKS: dict[Callable[[Aws], None], str] = {  # with the symptom on plain moto
    scans_succeed_during_writes: "Internal Server Error",
    concurrent_writes_are_ordered: "two changes have one position",
    no_op_makes_no_record: "7 records",
    upsert_makes_one_record: "more records than changes",
    records_have_the_shape_of_aws: "finer than a second",
    old_iterators_end: "DID NOT RAISE",
    thousands_of_messages_drain_quickly: "too slow",
    deletions_at_once_delete_each_their_message: "a message came back",
    binary_keys_are_scanned_in_segments: "Internal Server Error",
    binary_keys_of_records_are_those_of_the_items: "Af",
    reads_cost_by_size: "1.0 units for 100 kB",
    exports_have_manifests: "two exports for one token",
    users_cannot_change_their_tenant: "DID NOT RAISE",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_bridged_server(check: Callable[[Aws], None], bridged: Aws) -> None:
    check(bridged)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_plain_moto_still_differs(check: Callable[[Aws], None], plain: Aws) -> None:
    with pytest.raises((AssertionError, ClientError, pytest.fail.Exception), match=CHECKS[check]):
        check(plain)


def test_queue_counts_messages_by_state(bridged: Aws) -> None:
    """The counts are ours now: an alarm on waiting messages would be tested against wrong numbers."""
    queue = bridged.queue(VisibilityTimeout="600")
    bridged.send(queue, 20)
    bridged.sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=600)
    (message,) = bridged.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)["Messages"]
    assert bridged.waiting(queue) == {"": 19, "NotVisible": 1, "Delayed": 1}
    bridged.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    received = [
        found["Body"]
        for _ in range(2)
        for found in bridged.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    ]
    assert sorted(received, key=int) == [str(number) for number in range(20)], (
        "a message that is visible again is delivered, a delayed one is not"
    )
    assert "Messages" not in bridged.sqs.receive_message(QueueUrl=queue)


def test_queue_forgets_what_is_older_than_its_retention(bridged: Aws) -> None:
    """The age test is ours too: a message past its retention must be gone, as it would be on AWS."""
    queue = bridged.queue(MessageRetentionPeriod="0")
    bridged.send(queue, 10)
    assert "Messages" not in bridged.sqs.receive_message(QueueUrl=queue)


@pytest.mark.parametrize("range_key", [None, "at"])
def test_scan_order_is_that_of_moto_without_comparisons(range_key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages follow this order: another would skip or repeat items. Compared in Python, a scan would stop all writes."""
    keys = ["id"] + ([range_key] if range_key else [])
    types = {"id": "S", "at": "N"}
    make: Any = Table  # abstract to a type checker only
    table: Table = make(
        "t",
        account_id="123456789012",
        region="eu-west-1",
        schema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        attr=[{"AttributeName": key, "AttributeType": types[key]} for key in keys],
    )
    for number in range(600):
        values = {"id": {"S": f"{number * 7919 % 600 // (2 if range_key else 1)}"}, "at": {"N": f"{number}"}}
        table.put_item({key: values[key] for key in keys})

    expected = [item.to_json() for item in table.all_items()]
    monkeypatch.setattr(Table, "all_items", Table.all_items)  # restores it
    aws.scan_sorts_in_c()
    for comparison in ("__lt__", "__le__", "__gt__", "__ge__"):
        monkeypatch.setattr(DynamoType, comparison, lambda *_: pytest.fail("compared in Python"))
    assert [item.to_json() for item in table.all_items()] == expected
    assert len(expected) == 600


@pytest.mark.parametrize(("name", "parameters"), [("all_things", ("self",)), ("all_items", ("self", "page"))])
def test_a_moto_that_changed_is_refused(name: str, parameters: tuple[str, ...]) -> None:
    """A bridge would replace something else, or nothing, and the tests on top would meet an unknown server."""
    with pytest.raises(SystemExit, match=rf"has no Table\.{name}\(.*adapt the bridge"):
        moto_functions.current(Table, name, *parameters)


def test_command_serves_on_loopback_with_a_date_and_ends_on_sigterm() -> None:
    """Read positions come from the Date header; `dev down` must not wait for, or have to kill, this server."""
    command = [sys.executable, "-m", "local.aws", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        address = _address(server)
        assert address.startswith("http://127.0.0.1:")
        clients = Aws.at(address)
        headers = clients.dynamodb.list_tables()["ResponseMetadata"]["HTTPHeaders"]
        now = datetime.now(UTC)
        assert (
            abs(
                datetime.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) - now
            ).total_seconds()
            < 5
        )
        with ThreadPoolExecutor() as pool:  # a long poll is under way when the signal comes
            queue = clients.queue()
            poll = pool.submit(clients.sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20)
            started = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
            assert time.monotonic() - started < 5
            assert poll.exception() is not None
        assert server.stderr is not None
        assert server.stderr.read() == "", "one line per request would fill the disk"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)
