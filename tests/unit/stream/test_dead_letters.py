"""Messages of the dead-letter queue: too large, or not understood, a record would be lost."""

import json
from typing import Any

import pytest

from searchsync.stream import dead_letters
from searchsync.stream.dead_letters import ParkedMessage, ParkedRecord, Pointer, TooLong, Unreadable

POSITION = f"1700000000.{7:040d}"


def letter(record: Any = None, **changes: Any) -> ParkedRecord:
    return ParkedRecord(
        **{"record": record, "key": "m-1", "position": POSITION, "reason": "r", "detail": "d", **changes}
    )


def test_what_was_parked_is_read_again() -> None:
    found = dead_letters.read(letter({"dynamodb": {"Keys": {}}}).message())
    assert isinstance(found, ParkedMessage)
    assert (found.key, found.position, found.reason) == ("m-1", POSITION, "r")


LIMITS = [1_048_576, 262_144, 10_000]
"""Of the queue here; of queues that were made long ago, or by Terraform; of one that somebody set."""


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    ("old", "new", "left_out"),
    [(10, 10, []), (1.1, 10, ["OldImage"]), (0.6, 0.6, ["OldImage"]), (1.1, 1.1, ["OldImage", "NewImage"])],
)
def test_a_large_record_loses_its_images_and_never_its_key(
    limit: int, old: float, new: float, left_out: list[str]
) -> None:
    """Images are characters, or shares of the limit."""
    images = [int(part * limit) if isinstance(part, float) else part for part in (old, new)]
    change = {"Keys": {"member_id": {"S": "m-1"}}, "OldImage": "x" * images[0], "NewImage": "x" * images[1]}
    record = {"dynamodb": change}
    body = dead_letters.fit(letter(record).message(), limit)
    assert len(body.encode()) <= limit
    assert json.loads(body)["left_out"] == left_out
    assert json.loads(body)["record"]["dynamodb"]["Keys"] == record["dynamodb"]["Keys"]
    found = dead_letters.read(body)
    assert isinstance(found, ParkedMessage)
    assert (found.key, found.position) == ("m-1", POSITION)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("record", ["x" * 2_000_000, {"other": "x" * 2_000_000}, ["x" * 2_000_000]])
def test_a_large_record_of_any_shape_fits(record: Any, limit: int) -> None:
    body = dead_letters.fit(letter(record, detail="y" * 2_000_000).message(), limit)
    assert len(body) <= limit
    found = dead_letters.read(body)
    assert isinstance(found, ParkedMessage)
    assert found.key == "m-1"


@pytest.mark.parametrize(
    "body", ["x" * 2_000, json.dumps(["x" * 2_000]), json.dumps({"kind": "else", "a": "x" * 2_000})]
)
def test_what_is_not_ours_loses_nothing(body: str) -> None:
    """Cut, it could not be read by the person it waits for."""
    assert dead_letters.fit(body, 4_000) == body
    with pytest.raises(TooLong):
        dead_letters.fit(body, 1_024)


def test_characters_are_counted_as_bytes() -> None:
    with pytest.raises(TooLong):
        dead_letters.fit("ü" * 600, 1_024)


def test_attempts_are_counted_in_the_message() -> None:
    body = letter({"dynamodb": {"Keys": {}}}).message()
    for attempts in (1, 2):
        body = dead_letters.tried_again(body, attempts)
        found = dead_letters.read(body)
        assert isinstance(found, ParkedMessage)
        assert (found.attempts, found.key, found.position) == (attempts, "m-1", POSITION)


def test_a_message_of_before_there_were_attempts_is_read() -> None:
    body = json.loads(letter().message())
    del body["attempts"]
    found = dead_letters.read(json.dumps(body))
    assert isinstance(found, ParkedMessage)
    assert found.attempts == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"position": "9"},
        {"position": None},
        {"key": "x" * 513},
        {"key": 5},
        {"parked_at": float("inf")},
        {"parked_at": float("nan")},
        {"attempts": "many"},
        {"attempts": float("inf")},
    ],
)
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
    [
        *[
            "",
            "no JSON",
            "[]",
            "null",
            "7",
            "{}",
            '{"kind": "other"}',
            '{"kind": "record"}',
            '{"DDBStreamBatchInfo": {}}',
        ],
        '{"DDBStreamBatchInfo": 7}',
        '"DDBStreamBatchInfo"',
        "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_not_understood_is_said_and_not_dropped(body: str) -> None:
    with pytest.raises(Unreadable):
        dead_letters.read(body)
