"""Whether the index could come back: the newest good snapshot of our own, and the last drills."""

from collections.abc import Callable, Iterator

from searchsync import recovery
from searchsync.cluster.client import Client
from searchsync.deadline import Deadline
from searchsync.health.cluster import ASK_SECONDS, SERVER
from searchsync.health.reading import Look, Reading

NEVER_DAYS = 3_650.0
"""The age of what there never was."""


def looks(connect: Callable[[], Client]) -> Iterator[Look]:
    """Yield the look at snapshots and drills.

    :param connect: makes a client
    """
    yield Look(("snapshot-old", "drill-old"), SERVER, lambda: _ages(connect().until(Deadline.within(ASK_SECONDS))))


def _ages(client: Client) -> Iterator[Reading]:
    found = recovery.summary(client)
    hours, days = found["hours_since_snapshot"], found["days_since_drill"]
    seen = (
        "there is no good snapshot: run index_snapshot" if hours is None else f"the newest was begun {hours:.1f} h ago"
    )
    yield Reading("snapshot-old", "", NEVER_DAYS * 24 if hours is None else round(hours, 2), seen)
    seen = "no drill has succeeded: run recovery_drill" if days is None else f"the oldest was {days:.1f} days ago"
    yield Reading("drill-old", "", NEVER_DAYS if days is None else round(days, 2), seen)
