"""The function on the stream of one table: every change into every index of the write set, in seconds.

``SEARCHSYNC_ENTITY`` names the entity of the table. The function answers as an event source mapping with
``ReportBatchItemFailures`` expects, and never raises: for an exception the mapping splits the batch again and again
(docs/decisions/003-retries.md). What it cannot index it parks itself, in the queue
``SEARCHSYNC_<ENTITY>_DEAD_LETTER_QUEUE`` (its URL); what it cannot park is not acknowledged. The connection is that of
``searchsync.cluster.client.connect_from_environment``. What it prints, and which traces it keeps, is described in
docs/operations/seeing.md.
"""

import json
import logging
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
from searchsync.sampling import is_sampled
from searchsync.stream.consumer import Outcome, Stream
from searchsync.stream.queue import DEAD_LETTER_QUEUE, Queue
from searchsync.telemetry import fields, lines, traces
from searchsync.telemetry.embedded import embedded

log = logging.getLogger("searchsync.function")

ENTITY = entity(setting("SEARCHSYNC_ENTITY"))

RESERVE_SECONDS = 2.0 + traces.EXPORT_SECONDS
"""Kept of the time left for what is not bounded (decoding, and the answer to the mapping), and for the trace."""

COUNTED = ("Records", "Written", "Stale", "Skipped", "Parked", "Missed", "Dropped", "Unacknowledged")
UNITS = {**dict.fromkeys(COUNTED, "Count"), "Lag": "Seconds"}
"""Of each metric that an invocation makes; ``include/policies/metrics.yaml`` describes them."""

JUDGED = {"Version": ("Records", "Parked", "Unacknowledged")}
"""Metrics that are kept for each version of the function, too: a new one is judged by them beside the one before."""

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
lines.to_stdout()


def handler(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """One batch of the stream.

    :returns: no failures, or one: the first record, from which everything is delivered again
    """
    request_id = context.aws_request_id
    lines.with_debug(is_sampled(request_id))
    with fields.within(entity=ENTITY.name, request_id=request_id):
        records = event.get("Records") if isinstance(event, dict) else None
        if not isinstance(records, list):
            log.error("an event without Records is not acknowledged: %.500r", str(event))
            return _failure([])
        return _apply(records, context)


def _apply(records: list[Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Write a batch, print the line with its metrics, and say what is to be delivered again."""
    began, request_id = time.monotonic(), context.aws_request_id
    seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    numbers = [number for number in map(_sequence_number, records) if number]
    about = {"searchsync.entity": ENTITY.name, "searchsync.records": numbers, "faas.invocation_id": request_id}
    with traces.invocation(request_id, f"{ENTITY.name}_stream", about) as span:
        outcome = STREAM.apply(records, seconds=max(seconds, 0.0))
        if span and outcome.failed:
            span.set_attribute("error.type", outcome.failed.partition(":")[0])
        level, took = "error" if outcome.failed else "info", round((time.monotonic() - began) * 1000)
        said = lines.line(level, "batch", at=time.time(), duration_ms=took, **_about(outcome, numbers))
        kept_for = {"Entity": ENTITY.name, "Version": context.function_version}
        print(json.dumps(said | embedded(_metrics(outcome), UNITS, kept_for, JUDGED)))
    return _failure(records) if outcome.failed else {"batchItemFailures": []}


def _sequence_number(record: Any) -> str:
    """Return the id of a record; an empty text when it has none that can be read."""
    try:
        return str(record["dynamodb"]["SequenceNumber"])
    except (KeyError, TypeError):
        return ""


def _failure(records: list[Any]) -> dict[str, list[dict[str, str]]]:
    """An empty identifier fails the whole batch: also one of which nothing can be read."""
    return {"batchItemFailures": [{"itemIdentifier": _sequence_number(records[0]) if records else ""}]}


def _about(outcome: Outcome, numbers: Sequence[str]) -> dict[str, Any]:
    """Return what a line says of a batch beside its metrics; a batch is a range of the records of one shard."""
    batch = {"first_record": numbers[0], "last_record": numbers[-1]} if numbers else {}
    error = {"error": outcome.failed} if outcome.failed else {}
    return batch | error | {"reasons": dict(outcome.parked), "missed": outcome.missed, "dropped": outcome.dropped}


def _metrics(outcome: Outcome) -> dict[str, float]:
    """Return the value of each metric; the mapping's own error metric stays 0 on a partial failure."""
    return {
        "Records": outcome.records,
        "Written": outcome.written,
        "Stale": outcome.stale,
        "Skipped": outcome.skipped,
        "Parked": outcome.parked.total(),
        "Missed": len(outcome.missed),
        "Dropped": sum(outcome.dropped.values()),
        "Unacknowledged": outcome.records if outcome.failed else 0,
        "Lag": max(int(time.time()) - outcome.newest, 0) if outcome.newest else 0,
    }
