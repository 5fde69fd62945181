"""Messages of the dead-letter queue: too large, or not understood, a record would be lost."""

import json
from typing import Any

import pytest

from searchsync import dead_letters
from searchsync.dead_letters import Letter, Parked, Pointer, Unreadable

POSITION = f"1700000000.{7:040d}"


def letter(record: Any = None, **changes: Any) -> Letter:
    return Letter(**{"record": record, "key": "m-1", "position": POSITION, "reason": "r", "detail": "d", **changes})


def test_what_was_parked_is_read_again() -> None:
    found = dead_letters.read(letter({"dynamodb": {"Keys": {}}}).message())
    assert isinstance(found, Parked)
    assert (found.key, found.position, found.reason) == ("m-1", POSITION, "r")


@pytest.mark.parametrize(
    ("old", "new", "left_out"),
    [(10, 10, []), (900_000, 10, ["OldImage"]), (900_000, 900_000, ["OldImage", "NewImage"])],
)
def test_a_large_record_loses_its_images_and_never_its_key(old: int, new: int, left_out: list[str]) -> None:
    change = {"Keys": {"member_id": {"S": "m-1"}}, "OldImage": "x" * old, "NewImage": "x" * new}
    record = {"dynamodb": change}
    body = letter(record).message()
    assert len(body.encode()) <= dead_letters.ROOM_BYTES
    assert json.loads(body)["left_out"] == left_out
    assert json.loads(body)["record"]["dynamodb"]["Keys"] == record["dynamodb"]["Keys"]


@pytest.mark.parametrize("record", ["x" * 2_000_000, {"other": "x" * 2_000_000}, ["x" * 2_000_000]])
def test_a_large_record_of_any_shape_fits(record: Any) -> None:
    found = dead_letters.read(letter(record, detail="y" * 2_000_000).message())
    assert isinstance(found, Parked)
    assert found.key == "m-1"


@pytest.mark.parametrize("wrong", [{"position": "9"}, {"position": None}, {"key": "x" * 513}, {"key": 5}])
def test_a_position_or_key_that_cannot_be_is_not_believed(wrong: dict[str, Any]) -> None:
    """Written, such a position would win over every change to come; such a key stops every replay."""
    body = json.loads(letter().message()) | wrong
    with pytest.raises(Unreadable):
        dead_letters.read(json.dumps(body))


def test_messages_are_ascii() -> None:
    """SQS refuses control characters, and with them the whole message."""
    assert letter({"dynamodb": {"a": "\x00\x1fé\ud800"}}, key="\x01ü").message().isascii()


def test_bytes_and_times_of_the_api_can_be_parked() -> None:
    from datetime import UTC, datetime

    body = letter({"dynamodb": {"b": b"\x00\xff", "t": datetime(2026, 1, 1, tzinfo=UTC)}}).message()
    assert json.loads(body)["record"]["dynamodb"]["b"] == "AP8="


def test_pointer_is_understood() -> None:
    batch = {
        "shardId": "s", "startSequenceNumber": "1", "endSequenceNumber": "9", "batchSize": 3, "streamArn": "arn",
        "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00Z",
        "approximateArrivalOfLastRecord": "2026-01-01T00:00:09Z",
    }  # fmt: skip
    body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": batch}
    found = dead_letters.read(json.dumps(body))
    assert isinstance(found, Pointer)
    assert (found.start, found.end, found.records, found.reason) == ("1", "9", 3, "RetryAttemptsExhausted")


@pytest.mark.parametrize(
    "body",
    ["", "no JSON", "[]", "null", "7", "{}", '{"kind": "other"}', '{"kind": "record"}', '{"DDBStreamBatchInfo": {}}'],
)
def test_what_is_not_understood_is_said_and_not_dropped(body: str) -> None:
    with pytest.raises(Unreadable):
        dead_letters.read(body)
