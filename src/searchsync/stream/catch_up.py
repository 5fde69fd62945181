"""Bring one index the changes that the stream has kept since a moment (docs/protocol.md, An export).

An export that is older than the index lacks the changes since its time, and whoever wrote them did not know the index.
The records themselves are written, by compare-and-set: the table is not read.
"""

import logging
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.index import Index
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.page import Document, Rejection, page_of, written_now
from searchsync.errors import BadSource
from searchsync.stream import reader
from searchsync.stream.consumer import decode, identify, is_outside
from searchsync.stream.reader import Forgotten, Record
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger, OnRejected

log = logging.getLogger(__name__)


def catch_up(
    index: Index, entity: Entity, streams: Any, stream: str, *, seconds: range, on_rejected: OnRejected
) -> Ledger:
    """Write to an index what the stream says of some seconds, and perhaps of later ones. Safe to repeat.

    Records that are poison are parked already, by the function or by those who write; they are reported, and hold up
    nothing.

    :param streams: boto3's DynamoDB Streams client
    :param stream: ARN
    :param seconds: since the epoch, by DynamoDB's clock. The last of them is after the fence (rule 6): later changes
        reach the index anyway
    :raises BadSource: when the stream forgot records while they were read
    :raises SourceUnavailable: when the stream does not answer
    """
    ledger = Ledger(index.name)
    parents = reader.shards(streams, stream)
    todo, seen = [shard for shard in parents if shard not in parents.values()], set()
    while todo:
        shard = todo.pop()
        seen.add(shard)
        reading = _Reading(index, entity, seconds.start, on_rejected)
        try:
            for records in reader.pages(streams, stream, shard):
                ledger += reading.write(records)
                if _second(records[-1]) >= seconds.stop:
                    break  # the stream goes on growing
        except Forgotten as error:
            raise BadSource(
                f"{index.name}: the stream forgot changes before they were read ({error}). What is live goes on "
                "serving; run the reindex again with a younger export, or without one"
            ) from None
        # A shard begins where its parent ended: an older record of its own proves that the parent is not needed.
        if reading.oldest >= seconds.start and (parent := parents[shard]) in parents and parent not in seen:
            todo.append(parent)
    counts = (ledger.read, seconds.start, ledger.written)
    log.info("%s: %d changes of the stream since %d, %d newer", index.name, *counts)
    return ledger.balanced()


class _Reading:
    """The records of one shard.

    :ivar oldest: time of the oldest record, in seconds since the epoch; infinite while there is none
    """

    def __init__(self, index: Index, entity: Entity, since: int, on_rejected: OnRejected) -> None:
        self.oldest = float("inf")
        self._index, self._entity, self._since, self._on_rejected = index, entity, since, on_rejected

    def write(self, records: list[Record]) -> Ledger:
        """Write the last change of each key, of those that are not too old."""
        self.oldest = min(self.oldest, *(_second(record) for record in records))
        latest: dict[str, Document] = {}
        at = written_now()
        for record in records:
            if _second(record) >= self._since:
                self._take(record, latest, at)
        if not latest:
            return Ledger(self._index.name)
        page = page_of(list(latest.values()), position=min(found.position for found in latest.values()))
        return writer.compare_and_set(self._index, page, on_rejected=self._on_rejected)

    def _take(self, record: Record, latest: dict[str, Document], at: str) -> None:
        key = ""
        if is_outside(self._entity, record):
            return
        try:
            key, position = identify(self._entity, record)
            change = decode(self._entity, record, key, position, at=at)
        except BadItem as error:
            self._on_rejected(Rejection(key, error.type, str(error)))
            return
        if key not in latest or position >= latest[key].position:
            latest[key] = change.document


def _second(record: Record) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])
