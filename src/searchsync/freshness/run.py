"""Measure the freshness of an entity from the commit in its table to the answer of a search through the alias.

For DynamoDB, a reserved item is written, awaited in searches, deleted, and awaited to be gone from them. Both times are
of this process' monotonic clock: they begin when the table has answered, and end when the search has. The item is an
ordinary one: positions, tombstone, comparison and replay treat it as all others. For PostgreSQL nothing can be
written, so the age of what the last sync or reindex proved is told (``result.summary``).
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from searchsync import alarms
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.documents.page import sync_in
from searchsync.errors import SearchSyncError
from searchsync.freshness import result
from searchsync.freshness.item import HeartbeatItem, Taken
from searchsync.freshness.result import FAILED, LATE, MEASURED, NONE, Measured
from searchsync.telemetry import metrics

log = logging.getLogger(__name__)

WAIT_SECONDS = 120.0
"""Seconds after which a change that searches do not show is not waited for: longer than ``documents-late`` allows."""

POLL_SECONDS = 0.2
"""Seconds between two searches: a figure is too large by up to that and one search."""

ANSWER_SECONDS = 30.0
"""Seconds within which OpenSearch has to answer. So a heartbeat is in its table for 150 seconds at most."""

OTHERS_SECONDS = WAIT_SECONDS + ANSWER_SECONDS
"""Seconds after which a heartbeat in the table is of no run that goes on."""

_ONE_COPY = {"preference": "searchsync-freshness"}
"""Parameters that let the same copy of the shard answer each search: copies refresh at different moments."""


@dataclass(frozen=True)
class Found:
    """What a run found.

    :ivar news: LATE when it began to be late, MEASURED when it is in time again; empty when that is as it was
    """

    result: Measured
    news: str = ""


def measure(indexes: EntityIndexes, heartbeat: Callable[[], HeartbeatItem | None]) -> Found:
    """Return the freshness of an entity; keep it where a heartbeat found it. What is away becomes the result.

    :param heartbeat: makes the heartbeat; None where there is none
    """
    found = _measure(indexes, heartbeat)
    if found.result.seconds is not None:
        metrics.emit("Freshness", found.result.seconds, entity=indexes.entity.name)
        try:
            result.remember(indexes.client.until(Deadline.within(ANSWER_SECONDS)), found.result)
        except SearchSyncError as error:
            log.error("the figure of %s is lost to the objectives: %s", indexes.entity.name, error)
    return found


def _measure(indexes: EntityIndexes, heartbeat: Callable[[], HeartbeatItem | None]) -> Found:
    client, entity = indexes.client.until(Deadline.within(ANSWER_SECONDS)), indexes.entity
    try:
        before, live = result.summary(client, entity), EntityIndexes(client, entity).live()
        item = heartbeat()
        if item is None:
            return Found(before)
        if live is None:
            why = f"nothing is live yet; run {entity.name}_reindex first"
            return Found(Measured(entity.name, NONE, result.now(), why=why))
    except SearchSyncError as error:
        return Found(_failed(entity.name, error))
    try:
        found = _beat(indexes, item)
    except Taken as error:
        return Found(_failed(entity.name, error))  # the other run keeps its own result
    except SearchSyncError as error:
        found = _failed(entity.name, error)
    began = before.late_since or found.at
    found = replace(found, late_since={LATE: began, FAILED: before.late_since}.get(found.state, ""))
    try:
        result.keep(indexes.client.until(Deadline.within(ANSWER_SECONDS)), found)
    except SearchSyncError as error:
        log.error("the result of %s cannot be kept: %s", entity.name, error)
    is_news = found.state != FAILED and bool(found.late_since) != bool(before.late_since)
    return Found(found, found.state if is_news else "")


def _failed(name: str, error: SearchSyncError) -> Measured:
    return Measured(name, FAILED, result.now(), why=f"{type(error).__name__}: {error}")


def _beat(indexes: EntityIndexes, item: HeartbeatItem) -> Measured:
    name = indexes.entity.name
    _clean_up(item)
    if _seconds_until(lambda: not _position(indexes, item)) is None:
        return _late(name, f"the heartbeat {item.key!r} was deleted before, and is still found. {_LOOK}")
    written = _write(indexes, item)
    if written is None:
        return _late(name, f"the heartbeat {item.key!r} was written and not found. It is deleted. {_LOOK}")
    deleted = _seconds_until(lambda: not _position(indexes, item))
    if deleted is None:
        return _late(name, f"the heartbeat {item.key!r} was deleted and is still found. {_LOOK}", written=written)
    seconds = max(written, deleted)
    if alarms.table()["documents-late"].breaches(seconds):
        why = f"a change took {seconds:.0f} s. {_LOOK}"
        return Measured(name, LATE, result.now(), seconds, written, deleted, why=why)
    return Measured(name, MEASURED, result.now(), seconds, written, deleted)


_LOOK = "Is the event source mapping enabled, is the function throttled? See docs/operations/freshness.md"


def _late(name: str, why: str, *, written: float | None = None) -> Measured:
    return Measured(name, LATE, result.now(), WAIT_SECONDS, written, why=f"after {WAIT_SECONDS:.0f} s {why}")


def _clean_up(item: HeartbeatItem) -> None:
    """Delete the heartbeat of a run that was killed. That of a run that goes on is away before its time is over."""
    if item.is_there() and _seconds_until(lambda: not item.is_there(), within=OTHERS_SECONDS) is None:
        log.warning("the heartbeat %r was left by a run that was stopped; it is deleted", item.key)
        item.delete()


def _write(indexes: EntityIndexes, item: HeartbeatItem) -> float | None:
    """Write the item, wait until it is found, delete it in any case. Return the seconds; None when it was not found."""
    try:
        since = item.put()
    except Taken:
        raise
    except SearchSyncError:
        with suppress(SearchSyncError):
            item.delete()  # it may have been written all the same
        raise
    try:
        return _seconds_until(lambda: _position(indexes, item) >= since)
    finally:
        item.delete()


def _position(indexes: EntityIndexes, item: HeartbeatItem) -> str:
    """Return the position of the heartbeat that searches through the alias find; empty when they find none."""
    alias = Index(indexes.until(Deadline.within(ANSWER_SECONDS)).client, indexes.entity.read_alias)
    query = {"bool": {"filter": [{"ids": {"values": [item.key]}}]}}
    hits = alias.search({"size": 1, "query": query, "_source": ["sync.position"]}, _ONE_COPY)["hits"]["hits"]
    return str(sync_in(hits[0]["_source"]).get("position", "")) if hits else ""


def _seconds_until(is_so: Callable[[], bool], *, within: float | None = None) -> float | None:
    """Return the seconds until something is so, from now; None when it is not so in time."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > (WAIT_SECONDS if within is None else within):
            return None
        time.sleep(POLL_SECONDS)
    return round(time.monotonic() - began, 3)
