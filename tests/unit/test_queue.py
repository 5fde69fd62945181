"""What SQS answers that the emulator never does: nothing although there is something, and receipts that are over."""

from typing import Any

import pytest

from searchsync.queue import Message, Queue, QueueUnavailable
from searchsync.replay import Choice, Replay

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
    monkeypatch.setattr("searchsync.replay.indexes.write_set_or_raise", lambda *_: ["blue"])
    source: Any = type("Source", (), {"entity": None})()
    monkeypatch.setattr("searchsync.queue.Queue.give_back", lambda *_, **__: None)
    client: Any = None
    run = Replay(client, source, Queue(sqs, "q"), None, None, dry_run=True, choice=Choice(kind="pointer")).run()
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
