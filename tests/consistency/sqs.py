"""A queue in memory that answers as boto3's SQS client does: at least once, in no order."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from tests.consistency.clock import Clock

VISIBILITY_SECONDS = 900.0


@dataclass
class _Held:
    body: str
    sent_at: float
    visible_at: float
    receives: int = 0
    receipt: str = ""


class Sqs:
    """One queue.

    :ivar before: called with the name of each operation ahead of it
    :ivar twice: whether the next message received stays in sight of the others
    """

    def __init__(self, clock: Clock) -> None:
        self.before: Callable[[str], None] = lambda _: None
        self.twice: Callable[[], bool] = lambda: False
        self.refuse = 0  # so many sendings fail
        self._clock = clock
        self._choose = random.Random(0)
        self._messages: list[_Held] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """All messages, those on loan and those delayed included."""
        with self._lock:
            return len(self._messages)

    def show_all(self) -> None:
        """No message is delayed any more."""
        with self._lock:
            for message in self._messages:
                message.visible_at = 0.0

    def send_message_batch(self, Entries: Any, **_: Any) -> Any:  # noqa: N803 - boto3's names
        if self.refuse:
            self.refuse -= 1
            answer = {"Error": {"Code": "ServiceUnavailable"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(answer, "SendMessageBatch")
        now = self._clock.time()
        with self._lock:
            self._messages += [_Held(entry["MessageBody"], now, now + entry["DelaySeconds"]) for entry in Entries]
        return {}

    def receive_message(self, MaxNumberOfMessages: int, **_: Any) -> Any:  # noqa: N803
        self.before("receive_message")
        now = self._clock.time()
        with self._lock:
            visible = [message for message in self._messages if message.visible_at <= now]
            found = self._choose.sample(visible, min(len(visible), MaxNumberOfMessages))
            for message in found:
                message.receives, message.receipt = message.receives + 1, uuid4().hex
                message.visible_at = now if self.twice() else now + VISIBILITY_SECONDS
            return {"Messages": [_shown(message) for message in found]}

    def delete_message_batch(self, Entries: Any, **_: Any) -> Any:  # noqa: N803
        gone = {entry["ReceiptHandle"] for entry in Entries}
        with self._lock:
            self._messages = [message for message in self._messages if message.receipt not in gone]
        return {}

    def change_message_visibility_batch(self, Entries: Any, **_: Any) -> Any:  # noqa: N803
        delays = {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in Entries}
        now = self._clock.time()
        with self._lock:
            for message in self._messages:
                if message.receipt in delays:
                    message.visible_at = now + delays[message.receipt]
        return {}

    def get_queue_attributes(self, AttributeNames: list[str], **_: Any) -> Any:  # noqa: N803
        counts = dict.fromkeys(AttributeNames, "0") | {"MaximumMessageSize": "1048576"}
        return {"Attributes": {**counts, "ApproximateNumberOfMessages": str(len(self))}}


def _shown(message: _Held) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(message.receives), "SentTimestamp": str(int(message.sent_at * 1000))}
    return {"Body": message.body, "ReceiptHandle": message.receipt, "Attributes": attributes}
