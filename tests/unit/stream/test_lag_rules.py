"""Streams that forget records while they are read, and what a comparison waits for: the emulator forgets nothing."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from searchsync.catalog import entity
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences
from searchsync.errors import SourceUnavailable, StreamBehind
from searchsync.stream import lag
from searchsync.stream.lag import Lag

PAGE = [("m-1", 1), ("m-2", 2)], [("m-3", 3)]

MEMBERS = entity("members")


class Streams:
    """One shard of two pages.

    :ivar trimmed: which calls find that the stream has forgotten what they ask for
    """

    def __init__(self, *trimmed: int) -> None:
        self.trimmed, self.calls = trimmed, 0

    def describe_stream(self, **_: Any) -> Any:
        return {"StreamDescription": {"Shards": [{"ShardId": "s"}]}}

    def get_shard_iterator(self, **_: Any) -> Any:
        return {"ShardIterator": "0"}

    def get_records(self, ShardIterator: str) -> Any:  # noqa: N803 - boto3's names
        self.calls += 1
        if self.calls in self.trimmed:
            raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetRecords")
        at = int(ShardIterator)
        following = str(at + 1) if at == 0 else None
        return {"Records": [_record(*of) for of in PAGE[at]], "NextShardIterator": following}


def _record(key: str, sequence: int) -> dict[str, Any]:
    stamp = datetime(2026, 1, 1, tzinfo=UTC)
    change = {"ApproximateCreationDateTime": stamp, "SequenceNumber": str(sequence), "Keys": {"member_id": {"S": key}}}
    return {"eventName": "INSERT", "dynamodb": {**change, "NewImage": {"member_id": {"S": key}}}}


@pytest.fixture(params=["", "1"], ids=["from the oldest", "from a record"])
def newest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last record that the index, which is empty, is known to have had."""
    monkeypatch.setattr(lag, "_newest_event", lambda *_: request.param)
    monkeypatch.setattr(lag, "_positions", lambda *_: {})
    monkeypatch.setattr(EntityIndexes, "live", lambda _: "blue")
    return str(request.param)


def measure(streams: Streams) -> int:
    client: Any = None
    return lag.measure(EntityIndexes(client, entity("members")), "blue", streams, "stream").records


def test_each_record_is_counted_once(newest: str) -> None:
    assert measure(Streams()) == 3


def test_the_oldest_is_asked_for_again_when_it_was_lost_meanwhile(newest: str) -> None:
    assert measure(Streams(1)) == 3


def test_a_shard_that_expired_has_nothing_left(newest: str) -> None:
    assert measure(Streams(1, 2, 3)) == 0


def test_records_lost_in_the_middle_are_not_counted_twice(newest: str) -> None:
    """What has begun cannot be begun again: the figure would be of two readings."""
    with pytest.raises(SourceUnavailable, match="run it again"):
        measure(Streams(2))


# -- what a comparison waits for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses; time passes by them alone."""
    pauses: list[float] = []
    fake = SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses))
    monkeypatch.setattr(differences, "time", fake)
    return pauses


def test_what_may_be_parked_is_waited_for_while_it_may_be_on_its_way(clock: list[float]) -> None:
    """Ten messages wait, and a mapping stands for half a minute: its keys are no differences."""
    left = [Lag(60 + n, 8, explained=True) for n in range(30)]
    differences._wait("blue", 0.0, 10.0, lambda: left.pop(0) if left else Lag(), MEMBERS)
    assert sum(clock) == 10 + 30


def test_what_is_parked_for_good_is_not_waited_for_for_ever(clock: list[float]) -> None:
    differences._wait("blue", 0.0, 10.0, lambda: Lag(1_000, 1, explained=True), MEMBERS)
    assert 300 < sum(clock) < 303


def test_what_no_message_explains_is_a_stream_behind(clock: list[float]) -> None:
    with pytest.raises(StreamBehind):
        differences._wait("blue", 0.0, 10.0, lambda: Lag(1_000, 1), MEMBERS)
