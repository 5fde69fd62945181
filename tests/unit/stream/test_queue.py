"""What SQS answers that the emulator never does: nothing although there is something, and receipts that are over."""

import logging
from typing import Any

import pytest
from botocore.exceptions import ClientError

from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes, Targets
from searchsync.deadline import Deadline
from searchsync.errors import BadConnection
from searchsync.operations.replay import Choice, Replay
from searchsync.stream.pointers import Origins
from searchsync.stream.queue import ASSUMED_BYTES, Message, Queue, QueueUnavailable

MESSAGE = {"Body": "{}", "ReceiptHandle": "r", "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"}}
GIVEN = [Message("{}", f"r{number}", 1, 0.0) for number in range(2)]


class Sqs:
    """Answers nothing without waiting; the first entry of each batch fails."""

    def __init__(self, messages: int = 0, code: str = "") -> None:
        self.messages, self.code = messages, code
        self.waits: list[int] = []

    def receive_message(self, WaitTimeSeconds: int, **_: Any) -> Any:  # noqa: N803 - boto3's names
        self.waits.append(WaitTimeSeconds)
        found = self.messages > 0 and WaitTimeSeconds > 0
        self.messages -= found
        return {"Messages": [MESSAGE]} if found else {}

    def change_message_visibility_batch(self, Entries: Any, **_: Any) -> Any:  # noqa: N803
        return {"Failed": [{"Id": Entries[0]["Id"], "Code": self.code, "SenderFault": True, "Message": "x"}]}

    delete_message_batch = change_message_visibility_batch


def test_a_false_empty_answer_ends_no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    sqs = Sqs(messages=3)
    monkeypatch.setattr(EntityIndexes, "targets_or_raise", lambda _: Targets(["blue"], "blue"))
    source: Any = type("Source", (), {"entity": None})()
    monkeypatch.setattr("searchsync.stream.queue.Queue.give_back", lambda *_, **__: None)
    indexes = EntityIndexes(connect("http://127.0.0.1:9"), source.entity)
    run = Replay(
        indexes, source, Queue(sqs, "q"), None, Origins(None, None), Choice(dry_run=True, kind="pointer")
    ).run()
    assert run.skipped + run.as_dict()["messages"] == 3
    assert sqs.waits[-1] > 0, "only an answer that was waited for says that it is empty"


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.MessageNotInflight", "InvalidParameterValue"])
def test_a_message_that_others_can_see_already_is_given_back(code: str) -> None:
    Queue(Sqs(code=code), "q").give_back(GIVEN)


def test_other_failures_are_raised() -> None:
    with pytest.raises(QueueUnavailable, match="InternalError"):
        Queue(Sqs(code="InternalError"), "q").give_back(GIVEN)
    with pytest.raises(QueueUnavailable, match="ReceiptHandleIsInvalid"):
        Queue(Sqs(code="ReceiptHandleIsInvalid"), "q").delete(GIVEN)


class Sized:
    """A queue with a limit, which the role may not ask for when it is None."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.asked = 0
        self.batches: list[list[str]] = []

    def get_queue_attributes(self, **_: Any) -> Any:
        self.asked += 1
        if self.limit is None:
            answer: Any = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "GetQueueAttributes")
        return {"Attributes": {"MaximumMessageSize": str(self.limit)}}

    def send_message_batch(self, Entries: Any, **_: Any) -> Any:  # noqa: N803
        bodies = [entry["MessageBody"] for entry in Entries]
        if sum(len(body.encode()) for body in bodies) > (self.limit or ASSUMED_BYTES):
            answer: Any = {"Error": {"Code": "BatchRequestTooLong"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, "SendMessageBatch")
        self.batches.append(bodies)
        return {}


@pytest.mark.parametrize("limit", [None, 262_144, 1_048_576])
def test_messages_go_in_requests_that_the_queue_takes(limit: int | None, caplog: pytest.LogCaptureFixture) -> None:
    sqs = Sized(limit)
    queue = Queue(sqs, "q")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            queue.send(["\u00fc" * 50_000 for _ in range(12)])
    assert sum(map(len, sqs.batches)) == 24
    assert sqs.asked == 1, "the queue is asked once"
    assert (f"{ASSUMED_BYTES} bytes are assumed" in caplog.text) == (limit is None)


def test_a_limit_that_was_lowered_is_asked_for_again() -> None:
    """Remembered for the life of a container, nothing could be parked for hours."""
    sqs = Sized(1_048_576)
    queue = Queue(sqs, "q")
    bodies = ["x" * 90_000 for _ in range(10)]
    queue.send(bodies)
    sqs.limit = 262_144
    with pytest.raises(BadConnection, match="BatchRequestTooLong"):
        queue.send(bodies)
    queue.send(bodies)


def test_nothing_is_begun_that_cannot_end_in_time() -> None:
    sqs = Sized(262_144)
    with pytest.raises(QueueUnavailable, match="no time was left"):
        Queue(sqs, "q", call_seconds=2.0).send(["{}"], deadline=Deadline.within(1.0))
    assert sqs.asked == 0
