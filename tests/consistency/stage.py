"""Members on the model of their table: the stream's function, the replay, and the promise that each document keeps."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.position import of_event
from searchsync.operations import replay
from searchsync.operations.replay import Replay
from searchsync.operations.replay_report import ReplayReport
from searchsync.selection import Selection
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream import lag
from searchsync.stream.consumer import Outcome, Stream
from searchsync.stream.lag import Lag
from searchsync.stream.pointers import Origins
from searchsync.stream.queue import Queue
from tests.consistency.clock import Clock
from tests.consistency.ground import Content, Ground, Violation
from tests.consistency.sqs import Sqs
from tests.consistency.table import STREAM_ARN, Event, Table, record_of, shard_of
from tests.members import newer

SKEW_SECONDS = 2
"""More than any clock of the model is off."""


@dataclass
class Stage(Ground):
    """Members: a table, its stream and queues, and the product around them."""

    def __post_init__(self) -> None:
        self.entity = newer(Entity(name="members", source="dynamodb", key=("member_id",), expires="expires_at"))
        super().__post_init__()
        self.table = Table(self.clock)
        self.dead, self.parked = Sqs(self.clock), Sqs(self.clock)
        self.dead_letters, self.parked_letters = Queue(self.dead, "dead"), Queue(self.parked, "parked")
        self.stream = self.function()

    def select(self, selection: Selection) -> None:
        """Let the entity be one of several that share the table. To be said before anything is indexed."""
        self.entity = newer(replace(self.entity, select=selection))
        self.table.selection = selection
        self.stream = self.function()

    # -- the source

    def source(self, _: Any = None) -> DynamoSource:
        return DynamoSource(self.entity, self.table)

    def contents(self) -> dict[str, Content]:
        return self.table.contents()

    def read(self, document: dict[str, Any]) -> Content:
        sync = document["sync"]
        fields = {name: value for name, value in document.items() if name != "sync"}
        return {**fields, "hash": f"{sync['hash_high']:08x}{sync['hash_low']:08x}"}

    def latest(self) -> str:
        return of_event(int(self.clock.time()) + SKEW_SECONDS, "9" * 40)

    def function(self, client: Client | None = None) -> Stream:
        """A container of the stream's function."""
        return Stream(EntityIndexes(client or self.client, self.entity), self.dead_letters.send)

    def deliver(self, *events: Event | None) -> Outcome:
        """A batch to the function."""
        return self.stream.apply([record_of(event) for event in events if event], seconds=10.0)

    def give_up(self, events: list[Event]) -> None:
        """What the event source mapping sends after its last attempt at a batch."""
        batch = {
            "shardId": str(shard_of(events[0].key)),
            "startSequenceNumber": str(events[0].sequence),
            "endSequenceNumber": str(events[-1].sequence),
            "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00Z",
            "approximateArrivalOfLastRecord": "2026-01-01T00:01:00Z",
            "batchSize": len(events),
            "streamArn": STREAM_ARN,
        }
        body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": batch}
        self.dead_letters.send([json.dumps(body)])

    # -- operations

    def replay(self, client: Client | None = None, *, parked: bool = False) -> ReplayReport:
        queue, other = (self.parked_letters, None) if parked else (self.dead_letters, self.parked_letters)
        return Replay(
            EntityIndexes(client or self.client, self.source().entity),
            self.source(),
            queue,
            other,
            Origins(self.table, None),
        ).run()

    def behind(self, index: str) -> Callable[[], Lag]:
        """How far an index is behind the stream, as the quality runs ask."""

        def measured() -> Lag:
            waiting = len(self.dead) + len(self.parked)
            return lag.measure(EntityIndexes(self.client, self.entity), index, self.table, STREAM_ARN, waiting=waiting)

        return measured

    def check_sound(self) -> int:
        """At any time: each document includes all changes up to its position.

        :returns: documents looked at
        :raises Violation: naming those that do not
        """
        looked, wrong = 0, []
        for index in EntityIndexes(self.client, self.entity).write_set():
            for key, (position, content) in self.documents(index).items():  # the index first, then the history
                looked += 1
                if why := self.table.why_unsound(key, position, content):
                    wrong.append(f"{index}: {why}")
        if wrong:
            raise Violation("\n".join(wrong))
        return looked


@contextmanager
def staged(client: Client, *, speed: float = 0.0) -> Iterator[Stage]:
    """A stage whose clock the product reads."""
    clock = Clock(speed)
    with (
        TemporaryDirectory() as folder,
        clock.told(),
        mock.patch.object(replay, "PATIENCE_SECONDS", 3.0),
    ):
        yield Stage(client, Path(folder), clock)
