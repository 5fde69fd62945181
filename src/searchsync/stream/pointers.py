"""What the event source mapping gave up: the records that a message stands for, in the stream or in a bucket."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from searchsync.catalog import Entity
from searchsync.documents.dynamodb_values import BadItem
from searchsync.errors import BadParams
from searchsync.stream import given_up, reader
from searchsync.stream.consumer import identify, is_outside
from searchsync.stream.dead_letters import IMAGES, GivenUp, ParkedRecord, Pointer, Unreadable, without
from searchsync.stream.reader import Forgotten, Record


@dataclass(frozen=True)
class Origins:
    """Where the records are that a message only names.

    :ivar streams: boto3's DynamoDB Streams client
    :ivar s3: boto3's S3 client
    """

    streams: Any
    s3: Any


@dataclass
class Resolved:
    """What a message stands for.

    :ivar keys: the keys, each with the position of its latest event; the position is empty when it must not be used
    :ivar records: the records of the keys, without images, because a thousand pointers are resolved at once
    :ivar hopeless: records without a key
    :ivar forgotten: number of records that the stream does not have any more
    """

    keys: dict[str, str] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    hopeless: list[ParkedRecord] = field(default_factory=list)
    forgotten: int = 0


def resolve(origins: Origins, entity: Entity, named: Pointer | GivenUp, *, table: Callable[[], str]) -> Resolved:
    """Read the records of a batch that was given up.

    :param table: returns the ARN of the entity's table
    :raises Unreadable: when there is no such stream or shard of this entity's table, or no such object of this entity
    :raises SourceUnavailable: when the stream or S3 does not answer
    :raises BadConnection: when the role may not read them
    """
    resolved, found = Resolved(), 0
    for record in (
        _records(origins.streams, table(), named)
        if isinstance(named, Pointer)
        else given_up.records(origins.s3, entity, table(), named)
    ):
        found += 1
        if is_outside(entity, record):
            continue
        light = without(record, IMAGES)
        try:
            key, position = identify(entity, record)
        except BadItem as error:
            resolved.hopeless.append(ParkedRecord(light, "", "", error.type, str(error), tuple(IMAGES)))
            continue
        resolved.keys[key] = max(resolved.keys.get(key, ""), position)
        resolved.records[key] = light
    if isinstance(named, Pointer):
        resolved.forgotten = max(named.records - found, 0)
    return resolved


def _records(streams: Any, table: str, pointer: Pointer) -> Iterable[Record]:
    """Yield a pointer's records; only those that are left, when the first ones are gone."""
    if not pointer.stream.startswith(f"{table}/stream/"):  # its positions would not be this table's
        raise Unreadable(f"the pointer leads to {pointer.stream}, not to a stream of {table}")
    start, end = int(pointer.start), int(pointer.end)
    for at in (pointer.start, ""):
        try:
            for page in reader.pages(streams, pointer.stream, pointer.shard, at=at, until=end):
                for record in page:
                    sequence = int(record["dynamodb"]["SequenceNumber"])
                    if start <= sequence <= end:
                        start = sequence + 1
                        yield record
                    if sequence >= end:
                        return
        except BadParams as error:
            raise Unreadable(f"the pointer leads nowhere: {error}") from None
        except Forgotten:
            continue
        return
