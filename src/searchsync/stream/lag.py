"""How far an index is behind the stream of its table: the age of the oldest record that it still has to get.

How much of it is tolerated: ``stream_lag`` of ``include/policies/freshness.yaml``.

It is measured from outside, by comparing stream and index, because a mapping that is disabled or throttled reports
nothing. The records of one shard are applied in order, and a document that was written from the stream has its event's
position. So only the records behind the last one count that is proven applied. A document that was read from the table
proves nothing of the records before it. A member that is not live may have been bypassed: what it missed is noted as
its gap, is in the live index, and does not come by the stream any more.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from searchsync.catalog import STREAM_SECONDS, Entity
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.page import sync_in
from searchsync.documents.position import known, of_event
from searchsync.errors import BadParams, SourceUnavailable
from searchsync.stream import gaps, reader
from searchsync.stream.consumer import identify, is_outside, is_removal
from searchsync.stream.reader import Forgotten, Record

MOST_PARKED = 10
"""Records at the end of the stream that waiting messages account for: poison must not hide a mapping that stands."""

_OF_AN_EVENT = {"regexp": {"sync.position": r"[0-9]{10}\.[0-9]{40}\+*"}}
_NOT_OF_A_READ = {"bool": {"must_not": [{"regexp": {"sync.position": r"[0-9]{10}\.0{40}\+*"}}]}}


class _Change(NamedTuple):
    """What one record of the stream says. ``second`` counts from the epoch."""

    key: str
    position: str
    second: float
    removed: bool


@dataclass(frozen=True)
class Lag:
    """What an index does not have yet.

    :ivar seconds: age of the oldest record
    :ivar records: number of records
    :ivar explained: whether the messages in the queues may account for all of them; they may be on their way as well
    """

    seconds: float = 0.0
    records: int = 0
    explained: bool = False

    @property
    def unexplained(self) -> float:
        """The lag in seconds, without what may be parked: the queues report that."""
        return 0.0 if self.explained else self.seconds


def measure(indexes: EntityIndexes, name: str, streams: Any, stream: str, *, waiting: int = 0) -> Lag:
    """Compare the end of each shard that has no child with the index, and of its parents until one is proven applied.

    :param streams: boto3's DynamoDB Streams client
    :param stream: ARN
    :param waiting: number of messages in the queues; as many records at the end of the stream, ten at most, may be
        parked
    :raises SourceUnavailable: when the stream does not answer, or forgets records while they are read
    """
    now = time.time()
    index = indexes.index(name)
    newest = _newest_event(index, now)
    live = indexes.live()
    noted = gaps.of_index(index) if name != live and live is not None else []
    passed_by = _PassedBy(noted, lambda: measure(indexes, str(live), streams, stream), now)
    behind, parents = Lag(), reader.shards(streams, stream)
    todo, seen = [shard for shard in parents if shard not in parents.values()], set()
    while todo:
        shard = todo.pop()
        seen.add(shard)
        try:
            pages = _from(streams, stream, shard, newest)
            found, proven = _of_shard(index, indexes.entity, pages, now, passed_by)
        except Forgotten as error:
            raise SourceUnavailable(f"the end of {shard} was lost while it was read: {error}; run it again") from error
        behind = Lag(max(behind.seconds, found.seconds), behind.records + found.records)
        if not proven and (parent := parents[shard]) in parents and parent not in seen:
            todo.append(parent)  # a shard is applied after its parent: without a record of its own it proves nothing
    return replace(behind, explained=0 < behind.records <= min(waiting, MOST_PARKED))


def _newest_event(index: Index, now: float) -> str:
    """Return the sequence number of the latest record that was written to an index; empty if the stream forgot it."""
    lately = {"range": {"sync.position": {"gte": of_event(int(now) - STREAM_SECONDS, "0")}}}
    body = {
        "size": 1,
        "query": {"bool": {"filter": [lately, _OF_AN_EVENT, _NOT_OF_A_READ]}},
        "sort": [{"sync.position": "desc"}],
        "_source": False,
    }
    hits = index.search(body)["hits"]["hits"]
    return _sequence(hits[0]["sort"][0]) if hits and known(hits[0]["sort"][0]) else ""


def _sequence(position: str) -> str:
    """Return the sequence number in an event's position, without the padding."""
    return position.split(".")[1].rstrip("+").lstrip("0")


def _from(streams: Any, stream: str, shard: str, sequence: str) -> Iterator[list[Record]]:
    """Yield the pages of a shard from one of its records on; from the oldest if the record is of another shard.

    Yield nothing of a shard that expired.

    :raises Forgotten: when records are lost behind the first page
    """
    if sequence:
        at_it = reader.pages(streams, stream, shard, at=sequence)
        try:
            first = next(at_it, [])
        except (BadParams, Forgotten):
            first = []  # it is another shard's
        if first and first[0]["dynamodb"]["SequenceNumber"] == sequence:
            yield first
            yield from at_it
            return
    for _ in range(2):  # the oldest record may be lost between two calls
        oldest = reader.pages(streams, stream, shard)
        try:
            first = next(oldest, [])
        except Forgotten:
            continue
        if first:
            yield first
            yield from oldest
        return


_SAME = 0.001
"""Seconds by which a difference of times may be off: of one stamp, which came first cannot be told."""


class _PassedBy:
    """The changes that an index lacks because it took no writes. They are noted as its gap and are in the live index.

    :param live: tells how far the live index is behind; the stream still brings what that one lacks, too
    """

    def __init__(self, noted: list[gaps.NotedGap], live: Callable[[], Lag], now: float) -> None:
        missed = [one.gap for one in noted if "why" in one.gap]
        self._times = [(_second(gap["from"]), _second(gap["to"])) for gap in missed]
        self._before = now - live().seconds - _SAME if missed else 0.0

    def __contains__(self, change: _Change) -> bool:
        return change.second < self._before and any(begin <= change.second < end for begin, end in self._times)


def _second(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _of_shard(
    index: Index, entity: Entity, pages: Iterator[list[Record]], now: float, passed_by: _PassedBy
) -> tuple[Lag, bool]:
    """Return what is left of a shard, and whether any of its records is proven applied."""
    count, oldest, proven = 0, 0.0, False
    for page in pages:
        changes = _changes(entity, page)
        have = _positions(index, sorted({change.key for change in changes}))
        for change in changes:
            there = have.get(change.key, "")
            if there >= change.position:
                if _sequence(there):
                    count, proven = 0, True
            elif change not in passed_by and (there or not change.removed):
                oldest = change.second if not count else oldest
                count += 1
        if page[-1]["dynamodb"]["ApproximateCreationDateTime"] > now:
            break  # the stream goes on growing
    return Lag(max(0.0, now - oldest), count) if count else Lag(), proven


def _changes(entity: Entity, page: list[Record]) -> list[_Change]:
    """Return the changes of the records that an index can have."""
    found = []
    for record in page:
        if is_outside(entity, record):
            continue
        try:
            key, position = identify(entity, record)
        except BadItem:
            continue
        if position:
            second = record["dynamodb"]["ApproximateCreationDateTime"]
            found.append(_Change(key, position, second, is_removal(entity, record)))
    return found


def _positions(index: Index, keys: list[str]) -> dict[str, str]:
    found = index.documents(keys, source="sync.position")
    there = ((doc["_id"], sync_in(doc["_source"]).get("position")) for doc in found if "_source" in doc)
    return {key: str(position) for key, position in there if known(position)}
