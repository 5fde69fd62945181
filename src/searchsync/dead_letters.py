"""Messages of the dead-letter queue: what was parked, so that nothing is lost and all of it can be replayed.

Two kinds arrive there. The stream function parks a record it could not index, whole, with the reason and its position.
The event source mapping itself, after its last attempt at a batch, sends a pointer to the records in the stream: no
keys, no images, and worthless once the stream has forgotten them, after 24 hours.
"""

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from searchsync.envelope import MAX_ID_BYTES
from searchsync.errors import SearchSyncError

ROOM_BYTES = 900_000
"""Of a message, which may have 1 MiB; above it the images are left out, the old one first
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)."""

REASON_CHARACTERS = 1_000
SEQUENCE, POSITION = re.compile(r"[0-9]{1,40}"), re.compile(r"([0-9]{10}\.[0-9]{40})?")


@dataclass(frozen=True)
class Parked:
    """A record that the stream function or a replay gave up for the time being.

    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: of the event; empty when a write must not carry it (no key, a clock in the future)
    :ivar reason: type of the error
    :ivar parked_at: seconds since the epoch
    """

    key: str
    position: str
    reason: str
    parked_at: float


@dataclass(frozen=True)
class Pointer:
    """Records that the event source mapping gave up; they are in the stream for 24 hours.

    :ivar first_arrival: of the first record, as the mapping wrote it (ISO 8601)
    :ivar last_arrival: of the last one
    :ivar records: how many there were
    """

    stream: str
    shard: str
    start: str
    end: str
    first_arrival: str
    last_arrival: str
    records: int
    reason: str


class Unreadable(SearchSyncError):
    """A message of neither kind: a person has to look at it."""


@dataclass(frozen=True)
class Letter:
    """A record to be parked.

    :ivar record: as it came; anything that JSON can hold
    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: of the event; empty when a write must not carry it
    :ivar reason: type of the error, for counting
    :ivar detail: its text
    """

    record: Any
    key: str
    position: str
    reason: str
    detail: str

    def message(self) -> str:
        """The body: ASCII, because SQS refuses control characters, and never too large."""
        body = {
            "kind": "record",
            "key": self.key,
            "position": self.position,
            "reason": self.reason,
            "detail": self.detail[:REASON_CHARACTERS],
            "parked_at": time.time(),
        }
        for left_out in ([], ["OldImage"], ["OldImage", "NewImage"]):
            text = json.dumps(body | {"left_out": left_out, "record": _without(self.record, left_out)}, default=_plain)
            if len(text) <= ROOM_BYTES:
                return text
        return json.dumps(body | {"left_out": ["record"]})


def _plain(value: Any) -> Any:
    """What the API's client has for base64 text and seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else str(value)


def _without(record: Any, images: list[str]) -> Any:
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    if not images or not isinstance(change, Mapping):
        return record
    return {**record, "dynamodb": {name: value for name, value in change.items() if name not in images}}


def read(body: str) -> Parked | Pointer:
    """A message as it was received.

    :raises Unreadable: when it is of neither kind
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
        if found["kind"] == "record":
            return Parked(
                key=_id(found["key"]),
                position=_matching(POSITION, found["position"]),
                reason=str(found["reason"]),
                parked_at=float(found["parked_at"]),
            )
    except (ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"neither a record of ours nor a pointer of the mapping ({error!r}): {body[:200]}") from None
    raise Unreadable(f"a message of the unknown kind {found['kind']!r}: {body[:200]}")


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    """Text of the form that it has to have: what is not would stop the whole replay, or win over every change."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{str(value)[:100]!r} has not the form {pattern.pattern}")
    return value


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{str(value)[:100]!r} is no document id")
    return value
