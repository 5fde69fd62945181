"""Cheap figures that say whether an entity is kept true at all.

The quality DAGs use them, and a cron job outside Airflow, because Airflow may be what has stopped.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.config import freshness
from searchsync.errors import EmptyWriteSet
from searchsync.quality.history import History
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream import gaps, lag
from searchsync.stream.lag import Lag
from searchsync.stream.queue import Queue

LAG, WAITING, OLDEST, PARKED, SYNCED, COMPARED, BLOCKED, GAPS = (
    "stream_lag_seconds",
    "waiting_messages",
    "oldest_message_seconds",
    "parked_messages",
    "hours_since_sync",
    "hours_since_comparison",
    "blocked",
    "gaps",
)


LONGEST_SECONDS = 1_209_600
"""That a queue keeps a message; so long has one waited of which nobody knows how long."""


@dataclass(frozen=True)
class Feed:
    """The stream that brings the changes of a table, and the queues of those that could not be written.

    :ivar streams: boto3's DynamoDB Streams client
    :ivar cloudwatch: boto3's client
    """

    source: DynamoSource
    streams: Any
    cloudwatch: Any
    dead_letters: Queue
    parked: Queue

    def behind(self, indexes: EntityIndexes, name: str) -> Lag:
        """Return how far an index is behind the stream."""
        stream, waiting = self.source.stream(), self.dead_letters.waiting() + self.parked.waiting()
        return lag.measure(indexes, name, self.streams, stream, waiting=waiting)


@dataclass(frozen=True)
class Figure:
    """One figure and its limit.

    :ivar seen: what the figure says, in words
    :ivar allowed: the limit in words; empty where nothing is allowed
    :ivar next_step: what to do when it is above the limit
    """

    name: str
    value: float
    most: float
    seen: str
    allowed: str
    next_step: str

    @property
    def good(self) -> bool:
        """Whether the figure is within its limit."""
        return self.value <= self.most

    @property
    def problem(self) -> str:
        """What is wrong when it is above the limit, with the next step."""
        return f"{', '.join(filter(None, (self.seen, self.allowed)))}: {self.next_step}"


def check(indexes: EntityIndexes, feed: Feed | None, *, now: datetime | None = None) -> list[str]:
    """Return the problems of the live index, each with the next step; nothing when all is well.

    :param now: the present, for tests
    """
    try:
        live = indexes.get(indexes.live_or_raise())
    except EmptyWriteSet as error:
        return [str(error)]
    return [figure.problem for figure in figures(indexes, live, feed, now=now) if not figure.good]


def figures(
    indexes: EntityIndexes, index: PhysicalIndex, feed: Feed | None, *, now: datetime | None = None
) -> list[Figure]:
    """Return the figures of one index of the write set, and of its stream and queues.

    :param feed: None where syncs bring the changes
    """
    found = of_index(indexes, index, now=now)
    return [*found, of_stream(indexes, index, feed), *of_queues(indexes.entity, feed)] if feed else found


def of_index(indexes: EntityIndexes, index: PhysicalIndex, *, now: datetime | None = None) -> list[Figure]:
    """Return the figures that OpenSearch alone knows of one index of the write set."""
    entity = indexes.entity
    limits = freshness(entity)
    present = now or datetime.now(UTC)
    hours, allowed = (present - index.synced) / timedelta(hours=1), limits.hours
    # The gate of a reindex compares everything, too.
    compared = max(index.created, History(indexes.client).last_full(index.name) or index.created)
    unseen = (present - compared) / timedelta(hours=1)
    why = index.why_unwritable()
    known = [noted.gap["from"] for noted in gaps.of_index(index)]
    return [
        Figure(
            SYNCED,
            round(hours, 2),
            allowed,
            f"{index.name} has all changes up to {hours:.1f} h ago",
            f"{allowed:g} h are allowed",
            f"is Airflow's scheduler running, is a DAG of {entity.name} paused?",
        ),
        Figure(
            COMPARED,
            round(unseen, 2),
            limits.comparison,
            f"{index.name} was last compared in full {unseen:.1f} h ago",
            f"{limits.comparison:g} h are allowed",
            f"is {entity.name}_quality paused, did it fail? Trigger it with level = full",
        ),
        Figure(BLOCKED, bool(why), 0, f"{index.name} takes no writes", "", why),
        Figure(
            GAPS,
            len(known),
            0,
            f"{index.name} may lack changes since {known[0]}" if known else "none is known",
            "",
            f"run {entity.name}_quality with repair, then once more: a comparison without findings closes it, or "
            f"{entity.name}_reindex",
        ),
    ]


def of_stream(indexes: EntityIndexes, index: Index, feed: Feed) -> Figure:
    """Return how far an index is behind its stream."""
    behind, allowed = feed.behind(indexes, index.name), freshness(indexes.entity).stream_lag
    return Figure(
        LAG,
        round(behind.unexplained),
        allowed,
        f"{index.name} is {behind.seconds:.0f} s behind the stream",
        f"{allowed:g} s are allowed",
        f"{behind.records} records wait. Is the event source mapping enabled, is the function throttled?",
    )


def of_queues(entity: Entity, feed: Feed) -> list[Figure]:
    """Return what waits in the two queues of an entity, and for how long."""
    limits = freshness(entity)
    waiting = feed.dead_letters.waiting()
    oldest = feed.dead_letters.oldest(feed.cloudwatch) if waiting else 0.0
    parked = feed.parked.waiting()
    replay = f"see {entity.name}_dlq_replay"
    return [
        Figure(
            WAITING,
            waiting,
            limits.dead_letters,
            f"{entity.name}: {waiting} messages wait in the dead-letter queue",
            f"{limits.dead_letters:g} are allowed",
            replay,
        ),
        Figure(
            OLDEST,
            LONGEST_SECONDS if oldest is None else round(oldest),
            limits.oldest_message,
            f"{entity.name}: the oldest message of the dead-letter queue has waited "
            f"{'for nobody knows how long (CloudWatch has no figure)' if oldest is None else f'{oldest:.0f} s'}",
            f"{limits.oldest_message:g} s are allowed",
            replay,
        ),
        Figure(
            PARKED,
            parked,
            limits.parked,
            f"{entity.name}: {parked} messages wait for a person",
            f"{limits.parked:g} are allowed",
            replay,
        ),
    ]


def count_difference(source: DynamoSource, index: Index) -> float | None:
    """Return by what share the index and the table's own count, some six hours old, differ. It is a rough check.

    It is None where the table's count says nothing, because the entity selects.
    """
    counted = source.count()
    if counted is None:
        return None
    visible = index.count(source.entity.visible)
    return round(abs(counted - visible) / max(counted, visible, 1), 4)
