"""Whether the index could come back: the newest good snapshot of our own, and the last drills."""

import time
from collections.abc import Callable, Iterator

from searchsync import recovery
from searchsync.cluster.client import Client
from searchsync.cluster.index import state_of
from searchsync.deadline import Deadline
from searchsync.health.cluster import ASK_SECONDS, SERVER
from searchsync.health.reading import Look, Reading


def looks(connect: Callable[[], Client]) -> Iterator[Look]:
    """Yield the look at snapshots and drills.

    :param connect: makes a client
    """
    yield Look(("snapshot-old", "drill-old"), SERVER, lambda: _ages(connect().until(Deadline.within(ASK_SECONDS))))


def _ages(client: Client) -> Iterator[Reading]:
    found = recovery.summary(client)
    hours, days = found["hours_since_snapshot"], found["days_since_drill"]
    kept = _days_kept(client) if hours is None or days is None else 0.0
    seen = (
        f"there is no good snapshot, and there could be one since {kept * 24:.1f} h: run index_snapshot"
        if hours is None
        else f"the newest was begun {hours:.1f} h ago"
    )
    yield Reading("snapshot-old", "", round(kept * 24 if hours is None else hours, 2), seen)
    seen = (
        f"no drill has succeeded, and one could since {kept:.1f} days: run recovery_drill"
        if days is None
        else f"the oldest was {days:.1f} days ago"
    )
    yield Reading("drill-old", "", round(kept if days is None else days, 2), seen)


def _days_kept(client: Client) -> float:
    """Return since how many days the cluster keeps anything of ours: so old is what there never was.

    The bookkeeping says it, because no reindex replaces it. On a new cluster nobody is told before the first night.
    """
    made = [
        int(state["settings"]["index"]["creation_date"]) / 1000
        for name, state in state_of(client, "searchsync-*").items()
        if not name.startswith(recovery.COPIES)
    ]
    return max(0.0, time.time() - min(made, default=time.time())) / 86_400
