"""Looks at what the DAGs have recorded in OpenSearch, and at the indexes themselves."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from searchsync import alarms
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.preflight.checks import Finding, NotAsItShould
from searchsync.preflight.target import Target
from searchsync.recovery import records

ANSWER_SECONDS: Final = 30.0
"""Seconds within which OpenSearch has to have answered all that one look asks."""

SWAP_DAYS: Final = 35
"""Days within which each entity has to have got a new index: reindexes run weekly at least."""


def _opensearch(target: Target) -> Client:
    return target.connections.opensearch().until(Deadline.within(ANSWER_SECONDS))


def _snapshots(target: Target) -> Finding:
    found = records.summary(_opensearch(target))
    hours, last = found["hours_since_snapshot"], found["last_snapshot"]
    if hours is None:
        raise NotAsItShould("there is no good one")
    problems = [f"the last one is {last['state']}: {last.get('why', '')}"] if last["state"] == records.BAD else []
    if hours < 0 or alarms.table()["snapshot-old"].breaches(hours):
        problems.append(f"the newest good one is of {hours:.0f} h ago")
    return Finding(f"{found['snapshot']['snapshot']}, {hours:.0f} h old", problems)


def _drill(target: Target) -> Finding:
    found = records.summary(_opensearch(target))["drills"]
    old, now, problems = alarms.table()["drill-old"], datetime.now(UTC), []
    for name in sorted(target.entities):
        drill = found.get(name)
        if drill is None:
            problems.append(f"{name} was never tried")
            continue
        days = (now - datetime.fromisoformat(drill["at"])) / timedelta(days=1)
        if drill["state"] != records.GOOD:
            problems.append(f"the last one of {name} is {drill['state']}: {drill['why']}")
        if days < 0 or old.breaches(days):
            problems.append(f"the last one of {name} is of {days:.0f} days ago")
    return Finding(", ".join(sorted(found)), problems if target.entities else ["there is no entity"])


def _swaps(target: Target) -> Finding:
    client, now, problems, seen = _opensearch(target), datetime.now(UTC), [], []
    for name, entity in sorted(target.entities.items()):
        indexes = EntityIndexes(client, entity)
        live = indexes.live()
        if live is None:
            problems.append(f"nothing of {name} is live")
            continue
        days = (now - indexes.get(live).created) / timedelta(days=1)
        seen.append(f"{live}, {days:.0f} days old")
        if not 0 <= days <= SWAP_DAYS:
            problems.append(f"{live} was built {days:.0f} days ago")
    return Finding(", ".join(seen), problems if target.entities else ["there is no entity"])


CHECKS: Final[Mapping[str, Callable[[Target], Finding]]] = {
    "snapshots": _snapshots,
    "drill": _drill,
    "swaps": _swaps,
}
