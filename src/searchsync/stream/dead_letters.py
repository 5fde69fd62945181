"""Messages of the dead-letter queue: what was parked, so that nothing is lost and all of it can be replayed.

Two kinds arrive there. The stream function parks a record it could not index, whole, with the reason and its position.
The event source mapping itself, after its last attempt at a batch, sends a pointer to the records in the stream: no
keys, no images, and worthless once the stream has forgotten them, after 24 hours.
"""

import base64
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from searchsync.documents.page import MAX_ID_BYTES
from searchsync.errors import SearchSyncError

REASON_CHARACTERS = 1_000
IMAGES = ["OldImage", "NewImage"]
SEQUENCE, POSITION = re.compile(r"[0-9]{1,40}"), re.compile(r"([0-9]{10}\.[0-9]{40})?")


@dataclass(frozen=True)
class ParkedMessage:
    """A record that the stream function or a replay gave up for the time being.

    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: of the event; empty when a write must not carry it (no key, a clock in the future)
    :ivar reason: type of the error
    :ivar parked_at: seconds since the epoch
    :ivar attempts: replays that found it poison again. SQS' own count rises with each look, a dry run's included
    """

    key: str
    position: str
    reason: str
    parked_at: float
    attempts: int = 0


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


class TooLong(SearchSyncError):
    """A message that no queue of this limit takes, whatever is left out of it."""


@dataclass(frozen=True)
class ParkedRecord:
    """A record to be parked.

    :ivar record: as it came; anything that JSON can hold
    :ivar key: document id; empty when the record has none that a document can have
    :ivar position: of the event; empty when a write must not carry it
    :ivar reason: type of the error, for counting
    :ivar detail: its text: which field, and why
    :ivar left_out: parts that were left out of the record already
    """

    record: Any
    key: str
    position: str
    reason: str
    detail: str
    left_out: tuple[str, ...] = ()

    def message(self) -> str:
        """The body: ASCII, because SQS refuses control characters. Whether a queue takes it as it is, ``fit`` says."""
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
    """The message so that a queue takes it: without the old image, without both, at last without the record.

    Key and position are enough for a replay, which reads the table.

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
    """The message of a record that was poison again."""
    return json.dumps({**json.loads(body), "attempts": attempts})


def _plain(value: Any) -> Any:
    """What the API's client has for base64 text and seconds."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else str(value)


def without(record: Any, images: list[str]) -> Any:
    """A record without some of its images."""
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    if not isinstance(change, Mapping):
        return record
    return {**record, "dynamodb": {name: value for name, value in change.items() if name not in images}}


def read(body: str) -> ParkedMessage | Pointer:
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
            return ParkedMessage(
                key=_id(found["key"]),
                position=_matching(POSITION, found["position"]),
                reason=str(found["reason"]),
                parked_at=_finite(found["parked_at"]),
                attempts=int(found.get("attempts", 0)),
            )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"neither a record of ours nor a pointer of the mapping ({error!r}): {body[:200]}") from None
    raise Unreadable(f"a message of the unknown kind {found['kind']!r}: {body[:200]}")


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    """Text of the form that it has to have: what is not would stop the whole replay, or win over every change."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{str(value)[:100]!r} has not the form {pattern.pattern}")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(seconds := float(value)):
        raise ValueError(f"{seconds} are no seconds")
    return seconds


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{str(value)[:100]!r} is no document id")
    return value
