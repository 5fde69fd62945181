"""Messages of the dead-letter queue: what was parked, so that nothing is lost and all of it can be replayed.

The stream function parks a whole record that it could not index, with the reason and the position. What the event
source mapping gives up after its last attempt at a batch has two forms. A pointer leads to records in the stream; it
has no keys and no images, and it is of no use once the stream has forgotten the records, after 24 hours. Where the
mapping keeps the batch itself in a bucket, as on AWS, the bucket's event names the object (``stream.given_up``).
"""

import base64
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from searchsync.documents.page import MAX_ID_BYTES
from searchsync.errors import SearchSyncError

REASON_CHARACTERS = 1_000
IMAGES = ["OldImage", "NewImage"]
SEQUENCE, POSITION = re.compile(r"[0-9]{1,40}"), re.compile(r"([0-9]{10}\.[0-9]{40})?")


@dataclass(frozen=True)
class ParkedMessage:
    """A record that the stream function or a replay gave up for the time being.

    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: position of the event; empty when a write must not have it (no key, a clock in the future)
    :ivar reason: type of the error
    :ivar parked_at: seconds since the epoch
    :ivar attempts: number of replays that found it poison again. SQS' own count also rises with each dry run
    """

    key: str
    position: str
    reason: str
    parked_at: float
    attempts: int = 0
    kind: ClassVar = "record"


@dataclass(frozen=True)
class Pointer:
    """Records that the event source mapping gave up. They are in the stream for 24 hours.

    :ivar first_arrival: when the first record arrived, as the mapping wrote it (ISO 8601)
    :ivar last_arrival: when the last record arrived
    :ivar records: number of records
    """

    stream: str
    shard: str
    start: str
    end: str
    first_arrival: str
    last_arrival: str
    records: int
    reason: str
    kind: ClassVar = "pointer"

    @property
    def what(self) -> str:
        """What the pointer leads to, for messages."""
        return f"records {self.start} to {self.end} of {self.shard}"


@dataclass(frozen=True)
class GivenUp:
    """An object in a bucket: a batch that the event source mapping gave up. It is there for 30 days."""

    bucket: str
    key: str
    kind: ClassVar = "given-up"
    reason: ClassVar = kind

    @property
    def what(self) -> str:
        """The object, for messages."""
        return f"s3://{self.bucket}/{self.key}"


Content = ParkedMessage | Pointer | GivenUp
"""What a message of the queue says."""


class Unreadable(SearchSyncError):
    """A message of no known kind, or one that leads to nothing: a person has to look at it."""


class TooLong(SearchSyncError):
    """A message that is too long for the queue, whatever is left out of it."""


@dataclass(frozen=True)
class ParkedRecord:
    """A record that is to be parked.

    :ivar record: the record as it came; anything that JSON can hold
    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: position of the event; empty when a write must not have it
    :ivar reason: type of the error, for counting
    :ivar detail: text of the error: which field, and why
    :ivar left_out: parts that were left out of the record already
    """

    record: Any
    key: str
    position: str
    reason: str
    detail: str
    left_out: tuple[str, ...] = ()

    def message(self) -> str:
        """Return the body, in ASCII because SQS refuses control characters. ``fit`` shortens it for a queue."""
        body = {
            "kind": "record",
            "key": self.key,
            "position": self.position,
            "reason": self.reason,
            "detail": self.detail[:REASON_CHARACTERS],
            "parked_at": time.time(),
            "attempts": 0,
            "left_out": list(self.left_out),
            "record": self.record,
        }
        return json.dumps(body, default=_plain)


def fit(body: str, limit: int) -> str:
    """Return a message that is short enough for a queue.

    If it is too long, the old image is left out, then both images, then the record. Key and position are enough for a
    replay, because it reads the table.

    :param limit: bytes of one message at most
    :raises TooLong: when nothing of it can be left out
    """
    if len(body.encode()) <= limit:
        return body
    try:
        content = json.loads(body)
        record = content.pop("record")
        for left_out in (IMAGES[:1], IMAGES):
            shorter = {**content, "left_out": left_out, "record": without(record, left_out)}
            if len(text := json.dumps(shorter)) <= limit:
                return text
        if len(text := json.dumps({**content, "left_out": ["record"]})) <= limit:
            return text
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        pass  # not one of ours: nothing is known to be dispensable
    raise TooLong(f"a message of {len(body.encode())} bytes does not fit into a queue of {limit}: {body[:200]}")


def tried_again(body: str, attempts: int) -> str:
    """Return the message of a record that was poison again."""
    return json.dumps({**json.loads(body), "attempts": attempts})


def _plain(value: Any) -> Any:
    """What the API's client has for base64 text and seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else str(value)


def without(record: Any, images: list[str]) -> Any:
    """Return a record without some of its images."""
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    if not isinstance(change, Mapping):
        return record
    return {**record, "dynamodb": {name: value for name, value in change.items() if name not in images}}


def read(body: str) -> Content:
    """Return what a message says.

    :raises Unreadable: when it is of no known kind
    """
    try:
        found = json.loads(body)
        if "DDBStreamBatchInfo" in found:
            batch = found["DDBStreamBatchInfo"]
            return Pointer(
                stream=str(batch["streamArn"]),
                shard=str(batch["shardId"]),
                start=_matching(SEQUENCE, batch["startSequenceNumber"]),
                end=_matching(SEQUENCE, batch["endSequenceNumber"]),
                first_arrival=str(batch["approximateArrivalOfFirstRecord"]),
                last_arrival=str(batch["approximateArrivalOfLastRecord"]),
                records=int(batch["batchSize"]),
                reason=str(found["requestContext"]["condition"]),
            )
        if found["kind"] == "given-up":
            return GivenUp(_name(found["bucket"]), _name(found["key"]))
        if found["kind"] == "record":
            return ParkedMessage(
                key=_id(found["key"]),
                position=_matching(POSITION, found["position"]),
                reason=str(found["reason"]),
                parked_at=_finite(found["parked_at"]),
                attempts=int(found.get("attempts", 0)),
            )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"neither a record of ours nor what the mapping gave up ({error!r}): {body[:200]}") from None
    raise Unreadable(f"a message of the unknown kind {found['kind']!r}: {body[:200]}")


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    """Return a text that has the form which it must have. Any other would stop the replay, or win over every change."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{str(value)[:100]!r} has not the form {pattern.pattern}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{str(value)[:100]!r} names nothing")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(seconds := float(value)):
        raise ValueError(f"{seconds} are no seconds")
    return seconds


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{str(value)[:100]!r} is no document id")
    return value
