"""SQS, as far as a dead-letter queue needs it. The outcome of each entry is read."""

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from searchsync import aws
from searchsync.deadline import NEVER, Deadline
from searchsync.errors import BadConnection, SearchSyncError
from searchsync.stream.dead_letters import fit

log = logging.getLogger(__name__)

DEAD_LETTER_QUEUE, PARKED_QUEUE = "DEAD_LETTER_QUEUE", "PARKED_QUEUE"
"""Ends of the names of the variables that hold the URLs of an entity's queues (``Entity.variable``)."""

BATCH = 10
"""Messages of one request at most."""

ASSUMED_BYTES = 262_144
"""Of a message, and of all messages of a request, where the role may not ask for the queue's limit: the default of
queues that were made before the limit was raised to 1 MiB, and of Terraform
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)."""

MAX_DELAY_SECONDS = 43_200
"""Longest time that a message can be out of sight."""

_NOT_ON_LOAN = {"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "ReceiptHandleIsInvalid"}
_NOT_ON_LOAN |= {"InvalidParameterValue"}  # so it is said of a message that others have by now


class QueueUnavailable(SearchSyncError):
    """The queue does not answer, or did not take what was sent."""


@dataclass(frozen=True)
class Message:
    """A message that was received. Others do not see it until it is given back or its time is over.

    :ivar receives: how often it was received, this time included
    :ivar sent_at: seconds since the epoch
    """

    body: str
    receipt: str
    receives: int
    sent_at: float


class Queue:
    """One queue.

    :param client: boto3's SQS client
    :param call_seconds: seconds that one call of this client may take; no call is begun when less is left
    """

    def __init__(self, client: Any, url: str, *, call_seconds: float = 0.0) -> None:
        self._client = client
        self._url = url
        self._call_seconds = call_seconds
        self._limit: int | None = None

    def limit(self, deadline: Deadline = NEVER) -> int:
        """Return the bytes that one message may have, and all messages of one request. The queue is asked once.

        :raises QueueUnavailable: when the queue does not answer
        """
        if self._limit is None:
            try:
                found = self._call("get_queue_attributes", deadline, AttributeNames=["MaximumMessageSize"])
                self._limit = int(found["Attributes"]["MaximumMessageSize"])
            except BadConnection as error:
                log.warning("%s: its limit is not told, so %d bytes are assumed: %s", self._url, ASSUMED_BYTES, error)
                self._limit = ASSUMED_BYTES
        return self._limit

    def send(self, bodies: Sequence[str], *, delay: float = 0, deadline: Deadline = NEVER) -> None:
        """Send messages, each shortened if needed (``dead_letters.fit``). Return when the queue has all of them.

        :param delay: seconds until they can be received, 900 at most
        :param deadline: moment behind which no call is begun
        :raises TooLong: when one of them is too long; then none was sent
        :raises QueueUnavailable: when the queue did not take all of them; some may have been sent
        """
        if not bodies:
            return
        limit = self.limit(deadline)
        for batch in _batches([fit(body, limit) for body in bodies], limit):
            entries = [
                {"Id": str(number), "MessageBody": body, "DelaySeconds": int(delay)}
                for number, body in enumerate(batch)
            ]
            try:
                self._call("send_message_batch", deadline, Entries=entries)
            except SearchSyncError:
                self._limit = None  # it may have been lowered
                raise

    def receive(self, most: int = BATCH, *, wait: int = 0) -> list[Message]:
        """Return up to ``most`` messages, ten at most; nothing when none was found.

        :param wait: seconds, twenty at most, to wait for one. Without waiting only some of SQS' servers are asked, so
            that none does not mean empty
            (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html)
        """
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=min(most, BATCH),
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        return [
            Message(
                found["Body"],
                found["ReceiptHandle"],
                int(found["Attributes"]["ApproximateReceiveCount"]),
                int(found["Attributes"]["SentTimestamp"]) / 1000,
            )
            for found in answer.get("Messages", [])
        ]

    def waiting(self) -> int:
        """Return about how many messages there are: those that can be received, are received, or are delayed."""
        names = ["", "NotVisible", "Delayed"]
        wanted = [f"ApproximateNumberOfMessages{name}" for name in names]
        found = self._call("get_queue_attributes", AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)

    def oldest(self, cloudwatch: Any) -> float | None:
        """Return the seconds that the oldest message has waited, by CloudWatch; None when CloudWatch has no figure.

        :param cloudwatch: boto3's client
        """
        now = datetime.now(UTC)
        with self._errors():
            found = cloudwatch.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": self._url.rsplit("/", 1)[-1]}],
                StartTime=now - timedelta(minutes=15),
                EndTime=now,
                Period=60,
                Statistics=["Maximum"],
            )["Datapoints"]
        return max(found, key=lambda point: point["Timestamp"])["Maximum"] if found else None

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages."""
        for at in range(0, len(messages), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt}
                for number, message in enumerate(messages[at : at + BATCH])
            ]
            self._call("delete_message_batch", Entries=entries)

    def give_back(self, messages: Sequence[Message], *, delay: float = 0) -> None:
        """Let others receive messages again after so many seconds, if they cannot do so already."""
        seconds = min(int(delay), MAX_DELAY_SECONDS)
        for at in range(0, len(messages), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt, "VisibilityTimeout": seconds}
                for number, message in enumerate(messages[at : at + BATCH])
            ]
            self._call("change_message_visibility_batch", Entries=entries, harmless=_NOT_ON_LOAN)

    def _call(
        self,
        operation: str,
        deadline: Deadline = NEVER,
        *,
        harmless: AbstractSet[str] = frozenset(),
        **arguments: Any,
    ) -> Any:
        if deadline.remaining < self._call_seconds:
            raise QueueUnavailable(f"{self._url}: no time was left for {operation}")
        with self._errors():
            answer = getattr(self._client, operation)(QueueUrl=self._url, **arguments)
        if failed := [one for one in answer.get("Failed", []) if one["Code"] not in harmless]:
            raise QueueUnavailable(f"{self._url}: {operation} failed for {len(failed)} messages: {failed[0]}")
        return answer

    def _errors(self) -> AbstractContextManager[None]:
        return aws.errors(self._url, QueueUnavailable)


def _batches(bodies: Sequence[str], most_bytes: int) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        more = len(body.encode())
        if batch and (len(batch) == BATCH or size + more > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += more
    if batch:
        yield batch
