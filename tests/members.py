"""Members on the emulator: a table with its stream, both queues, and the function's library beside them."""

import json
import time
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from local.lambda_contract import event_record
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents import dynamodb_item
from searchsync.mapping.fitting import object_of
from searchsync.operations import reindex
from searchsync.operations.replay import Choice, Replay
from searchsync.operations.replay_report import ReplayReport
from searchsync.quality.health import Feed
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream.consumer import Outcome, Stream
from searchsync.stream.pointers import Origins
from searchsync.stream.queue import Message, Queue


@cache
def session() -> boto3.Session:
    """One for all tests: a session reads botocore's descriptions of the services once, and they are large."""
    return boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="eu-west-1")


def clients(url: str) -> dict[str, Any]:
    """Clients of one emulator, each attempt once: a retry would hide an error."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=20, proxies={})
    names = ("dynamodb", "dynamodbstreams", "sqs", "cloudwatch", "s3")
    return {name: session().client(name, endpoint_url=url, config=config) for name in names}


def newer(entity: Entity) -> Entity:
    """The entity of a deployment that knows the field ``nickname``, which no index has got yet: it is refused there."""
    known = replace(entity)
    properties = {**entity.index_body["mappings"]["properties"], "nickname": {"type": "keyword"}}
    known.__dict__["fits"] = object_of({"properties": properties})
    return known


@dataclass
class World:
    """One table, its stream and its queues, new for each test."""

    client: Client
    entity: Entity
    aws: dict[str, Any]
    iterator: str = ""
    stream_arn: str = ""
    urls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dynamodb = self.aws["dynamodb"]
        if self.entity.name in dynamodb.list_tables()["TableNames"]:
            dynamodb.delete_table(TableName=self.entity.name)
        made = dynamodb.create_table(
            TableName=self.entity.name,
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(self.entity.key, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind}
                for name, kind in zip(self.entity.key, self.entity.key_types, strict=True)
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.stream_arn = made["TableDescription"]["LatestStreamArn"]
        for name in ("dead", "parked"):
            self.urls[name] = self.aws["sqs"].create_queue(QueueName=f"{name}-{uuid4().hex}")["QueueUrl"]
        self.stream = Stream(EntityIndexes(self.client, self.entity), self.dead.send)

    @property
    def dead(self) -> Queue:
        """The dead-letter queue."""
        return Queue(self.aws["sqs"], self.urls["dead"])

    @property
    def parked(self) -> Queue:
        """Messages that wait for a person."""
        return Queue(self.aws["sqs"], self.urls["parked"])

    @property
    def feed(self) -> Feed:
        """As the quality runs see it."""
        aws = self.aws
        return Feed(self.source, aws["dynamodbstreams"], aws["cloudwatch"], self.dead, self.parked)

    @property
    def source(self) -> DynamoSource:
        return DynamoSource(self.entity, self.aws["dynamodb"])

    def connect(self, plan: reindex.ReindexPlan | None) -> DynamoSource:
        """As ``operations.rebuild`` wants it."""
        return DynamoSource(self.entity, self.aws["dynamodb"], identity=plan.identity if plan else None)

    @property
    def identity(self) -> str:
        """Of the table, as an index notes it."""
        return self.source.origin()

    def put(self, key: str, **attributes: Any) -> None:
        """Attributes are plain text, or DynamoDB's JSON; ``member_id`` may be among them."""
        self.aws["dynamodb"].put_item(TableName=self.entity.name, Item=_typed(key, attributes))

    def delete(self, key: str, **rest: Any) -> None:
        """Delete an item; ``rest`` is of the key, too."""
        self.aws["dynamodb"].delete_item(TableName=self.entity.name, Key=_typed(key, rest))

    def table(self) -> dict[str, dict[str, Any]]:
        """All items, as DynamoDB's JSON."""
        pages = self.aws["dynamodb"].get_paginator("scan").paginate(TableName=self.entity.name, ConsistentRead=True)
        return {dynamodb_item.key_of(self.entity, item): item for page in pages for item in page["Items"]}

    def records(self) -> list[dict[str, Any]]:
        """What the stream has had since the last call, as the function gets it."""
        streams = self.aws["dynamodbstreams"]
        found: list[dict[str, Any]] = []
        if not self.iterator:
            self.iterator = streams.get_shard_iterator(
                StreamArn=self.stream_arn, ShardId=self.shard, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        while True:
            answer = streams.get_records(ShardIterator=self.iterator, Limit=1000)
            self.iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return found
            found += [event_record(record, self.stream_arn) for record in answer["Records"]]

    @property
    def shard(self) -> str:
        """The only one: moto does not split."""
        described = self.aws["dynamodbstreams"].describe_stream(StreamArn=self.stream_arn)
        return str(described["StreamDescription"]["Shards"][0]["ShardId"])

    def apply(self, records: list[Any] | None = None, seconds: float = 10.0) -> Outcome:
        """Records, or all new ones, through the function's library."""
        return self.stream.apply(self.records() if records is None else records, seconds=seconds)

    def messages(self, queue: str = "dead") -> list[dict[str, Any]]:
        """The bodies of all messages that can be seen; they stay."""
        messages: list[Message] = []
        source = Queue(self.aws["sqs"], self.urls[queue])
        while found := source.receive():
            messages += found
        source.give_back(messages)
        return [json.loads(message.body) for message in messages]

    @property
    def origins(self) -> Origins:
        """Where the records are that messages only name."""
        return Origins(self.aws["dynamodbstreams"], self.aws["s3"])

    def waits(self) -> bool:
        """Whether the dead-letter queue has a message that can be seen; without looking at it."""
        asked = self.aws["sqs"].get_queue_attributes(QueueUrl=self.urls["dead"], AttributeNames=["All"])
        return int(asked["Attributes"]["ApproximateNumberOfMessages"]) > 0

    def replay(self, *, parked: bool = False, **choice: Any) -> ReplayReport:
        """One run of the replay."""
        queue, other = (self.parked, None) if parked else (self.dead, self.parked)
        return Replay(
            EntityIndexes(self.client, self.source.entity),
            self.source,
            queue,
            other,
            self.origins,
            Choice(**choice),
        ).run()

    def send_pointer(self, records: list[dict[str, Any]], **changes: Any) -> None:
        """What the event source mapping sends after its last attempt at some records."""
        batch = {
            "shardId": self.shard,
            "startSequenceNumber": records[0]["dynamodb"]["SequenceNumber"],
            "endSequenceNumber": records[-1]["dynamodb"]["SequenceNumber"],
            "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00Z",
            "approximateArrivalOfLastRecord": "2026-01-01T00:01:00Z",
            "batchSize": len(records),
            "streamArn": self.stream_arn,
            **changes,
        }
        body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": batch}
        self.dead.send([json.dumps(body)])


def _typed(key: str, attributes: dict[str, Any]) -> dict[str, Any]:
    typed = {name: value if isinstance(value, dict) else {"S": value} for name, value in attributes.items()}
    return {"member_id": {"S": key}, **typed}


def record(key: str, second: float | None = None, sequence: int = 1, **image: Any) -> dict[str, Any]:
    """One record of an event, made by hand; without an image a removal."""
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": time.time() if second is None else second,
        "Keys": {"member_id": {"S": key}},
        "SequenceNumber": str(sequence),
    }
    if image:
        change["NewImage"] = _typed(key, image)
    return {"eventName": "MODIFY" if image else "REMOVE", "dynamodb": change}
