"""What this product keeps of itself: how soon changes were found, and what full comparisons found."""

from datetime import datetime, timedelta
from typing import Final

from searchsync import alarms
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.freshness import result
from searchsync.quality.history import History
from searchsync.slo.month import Counts, Month

SECONDS: Final = 900
"""Length of a slot of freshness: three runs of the DAG, so that one which is late leaves no gap."""

LIMIT: Final = {"dynamodb": "documents-late", "postgres": "documents-old"}
"""Row of ``alarms.yaml`` that says after how long a change of a kind of source is found too late."""


def freshness(client: Client, entity: Entity, start: datetime, end: datetime) -> Counts:
    """Return the counts of measurements. One that failed is none: it says nothing about the way of a change.

    :raises IndexUnavailable: when OpenSearch does not answer
    """
    limit, counts = alarms.table(entity)[LIMIT[entity.source]], Counts()
    for found in result.kept(client, entity, start, end):
        if found.seconds is not None:
            slot = timedelta(seconds=SECONDS)
            time = start + (datetime.fromisoformat(found.at) - start) // slot * slot
            total, bad = counts.get(time, (0, 0))
            counts[time] = (total + 1, bad + limit.breaches(found.seconds))
    return counts


def exactness(client: Client, entity: Entity, month: Month) -> Counts:
    """Return the counts of documents that were compared with their source in full, by day.

    What was found different counts also when it was repaired at once: searches had shown it until then.

    :raises IndexUnavailable: when OpenSearch does not answer
    """
    days, counts = [*month.days()], Counts()
    for found in History(client).full(entity, month.start, month.end):
        if "source_documents" not in found:  # of an earlier build: a run that was repeated, and compared nothing then
            continue
        at = datetime.fromisoformat(found["at"])
        day = next(begin for begin, end in days if begin <= at < end)
        documents = max(found["source_documents"], found["index_documents"])
        different = min(found["confirmed"] + found["not_looked_at"], documents)
        total, bad = counts.get(day, (0, 0))
        counts[day] = (total + documents, bad + different)
    return counts
