"""The function on the stream of one table: every change into every index of the write set, in seconds.

``SEARCHSYNC_ENTITY`` names the entity of the table. The function answers as an event source mapping with
``ReportBatchItemFailures`` expects, and never raises: for an exception the mapping splits the batch again and again
(docs/decisions/003-retries.md). What it cannot index it parks itself, in the queue
``SEARCHSYNC_<ENTITY>_DEAD_LETTER_QUEUE`` (its URL); what it cannot park is not acknowledged. The connection is that of
``searchsync.cluster.client.connect_from_environment``.
"""

import json
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from searchsync import aws
from searchsync.catalog import entity
from searchsync.cluster.client import connect_from_environment, setting
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.errors import SearchSyncError
from searchsync.stream.consumer import Outcome, Stream
from searchsync.stream.queue import DEAD_LETTER_QUEUE, Queue

ENTITY = entity(setting("SEARCHSYNC_ENTITY"))

RESERVE_SECONDS = 2.0
"""Kept of the time left for what is not bounded: decoding, and the answer to the mapping."""

CONNECT_SECONDS, ANSWER_SECONDS = 1, 3
"""Of one call to the queue, which is not tried again here: the mapping delivers the batch again."""


def park(messages: Sequence[str], *, deadline: Deadline) -> None:
    """Send messages to the dead-letter queue; return when it has all of them, raise otherwise."""
    _queue().send(messages, deadline=deadline)


@cache
def _queue() -> Queue:
    import boto3  # noqa: PLC0415 - most invocations park nothing, and each cold start would wait for it
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 1})
    with aws.errors("the dead-letter queue", SearchSyncError):
        client = boto3.client("sqs", config=config)
    return Queue(client, setting(ENTITY.variable(DEAD_LETTER_QUEUE)), call_seconds=CONNECT_SECONDS + ANSWER_SECONDS)


STREAM = Stream(EntityIndexes(connect_from_environment(), ENTITY), park)


def handler(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """One batch of the stream.

    :returns: no failures, or one: the first record, from which everything is delivered again
    """
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        print(f"an event without Records is not acknowledged: {str(event)[:500]!r}")
        return _failure([])
    seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    outcome = STREAM.apply(records, seconds=max(seconds, 0.0))
    print(json.dumps(_metrics(outcome)))
    return _failure(records) if outcome.failed else {"batchItemFailures": []}


def _failure(records: list[Any]) -> dict[str, list[dict[str, str]]]:
    """An empty identifier fails the whole batch: also one of which nothing can be read."""
    try:
        first = str(records[0]["dynamodb"]["SequenceNumber"])
    except (IndexError, KeyError, TypeError):
        first = ""
    return {"batchItemFailures": [{"itemIdentifier": first}]}


def _metrics(outcome: Outcome) -> dict[str, Any]:
    """One line in CloudWatch's embedded metric format; the mapping's own error metric stays 0 on a partial failure."""
    counts = {
        "Records": outcome.records,
        "Written": outcome.written,
        "Stale": outcome.stale,
        "Skipped": outcome.skipped,
        "Parked": outcome.parked.total(),
        "Missed": len(outcome.missed),
        "Dropped": sum(outcome.dropped.values()),
        "Unacknowledged": outcome.records if outcome.failed else 0,
    }
    metrics = [{"Name": name, "Unit": "Count"} for name in counts] + [{"Name": "Lag", "Unit": "Seconds"}]
    described = {"Namespace": "SearchSync", "Dimensions": [["Entity"]], "Metrics": metrics}
    now = time.time()
    return {
        "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [described]},
        "Entity": ENTITY.name,
        **counts,
        "Lag": max(int(now) - outcome.newest, 0) if outcome.newest else 0,
        "reasons": dict(outcome.parked),
        "missed": outcome.missed,
        "dropped": outcome.dropped,
        "failed": outcome.failed,
    }
