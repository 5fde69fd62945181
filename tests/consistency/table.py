"""A DynamoDB table with its stream, in memory: fast, its clocks are skewed at will, and its whole history is known.

It answers as boto3's clients do, so that the product reads it unchanged.
"""

import json
import threading
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from searchsync.catalog import entity
from searchsync.documents import dynamodb_item
from searchsync.documents.position import of_event
from searchsync.selection import Selection
from tests.consistency.clock import Clock
from tests.consistency.ground import Content
from tests.members import newer

NAME, KEY = "members", "member_id"
MEMBERS = newer(entity(NAME))
ARN = f"arn:aws:dynamodb:eu-west-1:000000000000:table/{NAME}"
STREAM_ARN = f"{ARN}/stream/1"
SHARDS = 2
PAGE = 12
"""Items of one page of a scan: many pages, so that much happens between them."""

RECORDS = 50
"""Of one answer of the stream."""

Item = dict[str, Any]


def content_of(item: Item | None, selection: Selection | None = None) -> Content:
    """What a state of a key is in an index: the fields and both halves of the hash."""
    if item is None or (selection is not None and not selection.takes(item)):
        return None
    text = dynamodb_item.text_of(MEMBERS, item)
    high, low = dynamodb_item.hash_of(text)
    return {**json.loads(text), "hash": f"{high:08x}{low:08x}"}


class Event(NamedTuple):
    """One change. The position is empty when its clock cannot be trusted: it must not be used.

    :ivar made: when, by the real clock, by which ``written_at`` is stamped
    :ivar before: what the item was before
    """

    key: str
    second: int
    sequence: int
    image: Item | None
    position: str
    made: datetime
    before: Item | None


class Table:
    """The table.

    :ivar skew_of_events: seconds by which the clock that stamps the next event is off
    :ivar skew_of_reads: likewise for the response to a read, from read to response included
    :ivar before: called with ``scan`` or ``read`` ahead of each
    :ivar history: all changes of each key, oldest first
    :ivar selection: what the entity selects of the table
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.skew_of_events: Callable[[], float] = lambda: 0.0
        self.skew_of_reads: Callable[[], float] = lambda: 0.0
        self.splits: Callable[[], bool] = lambda: False  # whether a read by key leaves keys unprocessed
        self.before: Callable[[str], None] = lambda _: None
        self.history: dict[str, list[Event]] = defaultdict(list)
        self.selection: Selection | None = None
        self.items: dict[str, Item] = {}
        self._shards: list[list[Event]] = [[] for _ in range(SHARDS)]
        self._sequence = 95  # numbers of unequal length come soon
        self._lock = threading.RLock()

    @property
    def events(self) -> int:
        """Changes so far."""
        with self._lock:
            return sum(map(len, self._shards))

    def put(self, key: str, *, ahead: float = 0.0, **attributes: Any) -> Event:
        """Write an item.

        :param ahead: seconds by which the stamp of the event is wrong altogether
        :param attributes: plain text, or DynamoDB's JSON
        """
        typed = {name: value if isinstance(value, dict) else {"S": value} for name, value in attributes.items()}
        return self._change(key, {KEY: {"S": key}, **typed}, ahead)

    def delete(self, key: str) -> Event | None:
        """Delete an item; one that is not there makes no event."""
        with self._lock:
            return self._change(key, None, 0.0) if key in self.items else None

    def _change(self, key: str, image: Item | None, ahead: float) -> Event:
        with self._lock:
            known = [event.second for event in self.history[key] if event.position]
            second = max([int(self.clock.time() + self.skew_of_events()), *known])  # per key it does not step back
            self._sequence += 1
            position = "" if ahead else of_event(second, str(self._sequence))
            before = self.items.get(key)
            event = Event(key, second + int(ahead), self._sequence, image, position, datetime.now(UTC), before)
            self.history[key].append(event)
            self._shards[shard_of(key)].append(event)
            if image is None:
                del self.items[key]
            else:
                self.items[key] = image
            return event

    def contents(self) -> dict[str, Content]:
        """What the index has to hold of each key that ever was."""
        with self._lock:
            return {key: content_of(self.items.get(key), self.selection) for key in self.history}

    def why_unsound(self, key: str, position: str, content: Content) -> str:
        """Why a document breaks the protocol's one promise, if it does.

        Its state must include every change of its key with a position not above its own.
        """
        with self._lock:
            known = self.history[key]
            states = [None, *(event.image for event in known)]
            for number, state in enumerate(states):
                after = next((event.position for event in known[number:] if event.position), "~")
                if after > position and content_of(state, self.selection) == content:
                    return ""
            included = [event.image for event in known if event.position and event.position <= position]
        was = content_of(included[-1], self.selection) if included else None
        return f"{key} at {position} is {content}, its source was {was}"

    # -- DynamoDB

    def describe_table(self, **_: Any) -> Any:
        specification = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        table = {
            "TableArn": ARN,
            "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": KEY, "AttributeType": "S"}],
            "StreamSpecification": specification,
            "LatestStreamArn": STREAM_ARN,
            "ItemCount": len(self.items),
        }
        return {"Table": table}

    def scan(self, *, Segment: int = 0, TotalSegments: int = 1, Limit: int = PAGE, **rest: Any) -> Any:  # noqa: N803 - boto3's names
        """A page in the order of a hash, as DynamoDB has it: no snapshot of the table."""
        self.before("scan")
        after = rest.get("ExclusiveStartKey")
        start = _place(after[KEY]["S"]) if after else (-1, "")
        with self._lock:
            mine = sorted(_place(key) for key in self.items if _place(key)[0] % TotalSegments == Segment)
            left = [key for key in mine if key > start]
            found = [self.items[key] for _, key in left[:Limit]]
            if "FilterExpression" in rest and self.selection:
                found = [item for item in found if self.selection.takes(item)]
            more = {"LastEvaluatedKey": {KEY: {"S": left[Limit - 1][1]}}} if len(left) > Limit else {}
            return {"Items": found, **more, "ConsumedCapacity": {"CapacityUnits": 1.0}, **self._stamp()}

    def batch_get_item(self, RequestItems: Any, **_: Any) -> Any:  # noqa: N803
        self.before("read")
        wanted = RequestItems[NAME]["Keys"]
        cut = len(wanted) // 2 if len(wanted) > 1 and self.splits() else len(wanted)
        with self._lock:
            found = [self.items[key[KEY]["S"]] for key in wanted[:cut] if key[KEY]["S"] in self.items]
            consumed = [{"CapacityUnits": float(cut)}]
            answer: dict[str, Any] = {"Responses": {NAME: found}, "ConsumedCapacity": consumed, **self._stamp()}
        if cut < len(wanted):
            answer["UnprocessedKeys"] = {NAME: {"Keys": wanted[cut:]}}
        return answer

    def _stamp(self) -> Any:
        """Of a response: to be made while what it tells is still so."""
        date = formatdate(int(self.clock.time() + self.skew_of_reads()), usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    # -- its stream

    def describe_stream(self, **_: Any) -> Any:
        shards = [{"ShardId": str(number), "SequenceNumberRange": {}} for number in range(SHARDS)]
        return {"StreamDescription": {"Shards": shards}}

    def get_shard_iterator(self, *, ShardId: str, SequenceNumber: str = "0", **_: Any) -> Any:  # noqa: N803
        if not ShardId.isdecimal() or int(ShardId) >= SHARDS:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetShardIterator")
        with self._lock:
            numbers = [event.sequence for event in self._shards[int(ShardId)]]
        return {"ShardIterator": f"{ShardId}:{bisect_left(numbers, int(SequenceNumber))}"}

    def get_records(self, ShardIterator: str) -> Any:  # noqa: N803
        shard, at = map(int, ShardIterator.split(":"))
        with self._lock:
            found = self._shards[shard][at : at + RECORDS]
        records = [record_of(event) for event in found]
        for record in records:
            change = record["dynamodb"]
            change["ApproximateCreationDateTime"] = datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC)
        return {"Records": records, "NextShardIterator": f"{shard}:{at + len(found)}"}

    def after(self, shard: int, sequence: int, most: int) -> list[Event]:
        """The next events of a shard."""
        with self._lock:
            events = self._shards[shard]
            at = bisect_left(events, sequence + 1, key=lambda event: event.sequence)
            return events[at : at + most]


def shard_of(key: str) -> int:
    """All changes of a key go to one shard."""
    return zlib.crc32(key.encode()) % SHARDS


def record_of(event: Event) -> dict[str, Any]:
    """An event as the function gets it."""
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": float(event.second),
        "Keys": {KEY: {"S": event.key}},
        "SequenceNumber": str(event.sequence),
    }
    images = {"OldImage": event.before, "NewImage": event.image}
    change |= {name: image for name, image in images.items() if image is not None}
    name = "REMOVE" if event.image is None else "MODIFY" if event.before is not None else "INSERT"
    return {"eventName": name, "dynamodb": change}


def _place(key: str) -> tuple[int, str]:
    return zlib.crc32(key.encode()[::-1]), key
