"""Read the stream of a table directly: what the function did not get, or got in vain."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from searchsync import aws
from searchsync.errors import BadParams, SearchSyncError, SourceUnavailable

EMPTY_ANSWERS = 5
"""In a row, until a shard is taken for read to its end: DynamoDB answers with nothing also in the middle of one."""

PATIENCE_SECONDS, PAUSE_SECONDS = 30.0, 0.25
"""How long, and how often, to ask for a record that is known to be there; a shard may be read five times a second."""

Record = dict[str, Any]


class Forgotten(SearchSyncError):
    """The stream does not go back so far, or is gone. It keeps records for 24 hours."""


def shards(streams: Any, stream: str) -> dict[str, str]:
    """Return each shard with its parent, which the mapping reads first; the parent is empty where there is none.

    :param streams: boto3's DynamoDB Streams client
    :param stream: ARN
    """
    found: dict[str, str] = {}
    start: dict[str, str] = {}
    while True:
        with _errors():
            described = streams.describe_stream(StreamArn=stream, **start)["StreamDescription"]
        found |= {shard["ShardId"]: shard.get("ParentShardId", "") for shard in described["Shards"]}
        if not described.get("LastEvaluatedShardId"):
            return found
        start = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}


def pages(streams: Any, stream: str, shard: str, *, at: str = "", until: int = 0) -> Iterator[list[Record]]:
    """Yield pages of a shard's records in order, as the function gets them. End where there are none yet.

    :param at: sequence number to begin with; empty for the oldest record
    :param until: sequence number of a record that is known to be there: empty answers before it do not end the shard
    :raises Forgotten: when the stream does not go back so far
    :raises BadParams: when the stream refuses the shard or the number
    :raises SourceUnavailable: when it does not answer, or with nothing for half a minute before ``until``
    """
    begin = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": at}
    with _errors():
        iterator = streams.get_shard_iterator(
            StreamArn=stream, ShardId=shard, **(begin if at else {"ShardIteratorType": "TRIM_HORIZON"})
        )["ShardIterator"]
    empty, last, deadline = 0, 0, time.monotonic() + PATIENCE_SECONDS
    while iterator and (empty < EMPTY_ANSWERS or last < until):
        if empty >= EMPTY_ANSWERS:
            if time.monotonic() > deadline:
                raise SourceUnavailable(f"the stream answers with nothing before record {until}; run the task again")
            time.sleep(PAUSE_SECONDS)
        with _errors():
            answer = streams.get_records(ShardIterator=iterator)
        found = answer["Records"]
        empty = 0 if found else empty + 1
        if found:
            yield [_with_seconds(record) for record in found]
            last, deadline = int(found[-1]["dynamodb"]["SequenceNumber"]), time.monotonic() + PATIENCE_SECONDS
        iterator = answer.get("NextShardIterator")


def _with_seconds(record: Record) -> Record:
    """Return a record with its time as a number, as the function gets it. The API's client makes a date of it."""
    change = record["dynamodb"]
    stamp = change["ApproximateCreationDateTime"].timestamp()
    return {**record, "dynamodb": {**change, "ApproximateCreationDateTime": stamp}}


@contextmanager
def _errors() -> Iterator[None]:
    try:
        with aws.errors("the stream", SourceUnavailable):
            yield
    except SearchSyncError as error:
        code = aws.code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
        if code == "ValidationException":
            raise BadParams(f"the stream refuses the request: {error}") from None
        if code in ("TrimmedDataAccessException", "ResourceNotFoundException"):
            raise Forgotten(f"the stream has no such records any more: {error}") from None
        if code == "ExpiredIteratorException":
            raise SourceUnavailable(f"{error}. A shard was read too slowly; run the task again") from error
        raise
