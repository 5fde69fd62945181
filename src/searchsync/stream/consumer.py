"""Live changes: records of a DynamoDB stream into every index of the write set (docs/protocol.md, rules 1-4).

No record is lost: each is written, proven stale, parked durably, or not acknowledged. Nothing is raised for what a
record or OpenSearch may do: the event source mapping would answer an exception with hundreds of invocations.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from searchsync.catalog import Entity
from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.documents import dynamodb_item
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.page import Document, Rejection, page_of, written_now
from searchsync.documents.position import FUTURE_SECONDS, of_event, second_of
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped
from searchsync.stream import gaps
from searchsync.stream.dead_letters import ParkedRecord
from searchsync.writing import writer

log = logging.getLogger(__name__)

PARK_SECONDS = 15.0
"""Kept for parking: a handful of requests to the queue, or to find out that it does not answer."""


class Park(Protocol):
    """Keeps messages durably before a moment, or raises."""

    def __call__(self, messages: Sequence[str], /, *, deadline: Deadline) -> None:
        """Return when all of them are kept."""


class Change(NamedTuple):
    """What one record says about one key.

    :ivar dropped: values left out of its document, by path
    """

    key: str
    position: str
    document: Document
    record: Any
    dropped: Dropped


@dataclass
class Outcome:
    """What became of a batch; counts of records, over all indexes for ``written`` and ``stale``.

    :ivar superseded: records of a key that has a later one in the batch
    :ivar skipped: records of items that the entity selects neither before nor after them
    :ivar parked: poison, by reason
    :ivar missed: members that are not live and took no writes, and why: a gap is noted for each
    :ivar dropped: values left out of the documents, by path
    :ivar failed: why the batch is not acknowledged; empty when it is
    :ivar newest: second of the latest event, since the epoch; 0 when there is none
    """

    records: int = 0
    superseded: int = 0
    skipped: int = 0
    written: int = 0
    stale: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    missed: dict[str, str] = field(default_factory=dict)
    dropped: Dropped = field(default_factory=dict)
    failed: str = ""
    newest: int = 0


def identify(entity: Entity, record: Any) -> tuple[str, str]:
    """Which key a record is about, and the position of its event; the position is empty when it cannot be trusted.

    :raises BadItem: when it is no record, or its key is none that a document can have
    """
    try:
        change = record["dynamodb"]
        keys, stamp, sequence = change["Keys"], change["ApproximateCreationDateTime"], change["SequenceNumber"]
    except (TypeError, KeyError) as error:
        raise BadItem("malformed", f"a record without {error}") from None
    key = dynamodb_item.key_of(entity, keys)
    if not isinstance(stamp, int | float) or not 0 <= stamp < 10**10:
        raise BadItem("malformed", f"ApproximateCreationDateTime is {str(stamp)[:100]!r}, not seconds")
    if not (isinstance(sequence, str) and sequence.isascii() and sequence.isdecimal() and len(sequence) <= 40):
        raise BadItem("malformed", f"SequenceNumber is {str(sequence)[:100]!r}, not up to 40 digits")
    return key, "" if stamp > time.time() + FUTURE_SECONDS else of_event(int(stamp), sequence)


_IMAGES = {"INSERT": ["NewImage"], "MODIFY": ["OldImage", "NewImage"], "REMOVE": ["OldImage"]}
"""What an event has of an item before and after it."""


def is_outside(entity: Entity, record: Any) -> bool:
    """Whether an event is of an item that the entity selected neither before nor after it: nothing is to be written.

    An event of which that cannot be told is not outside (docs/protocol.md, What an entity does not select).
    """
    if (selection := entity.select) is None:
        return False
    try:
        change = record["dynamodb"]
        if selection.attribute in entity.key:  # both images have it
            return isinstance(change["Keys"][selection.attribute]["S"], str) and not selection.takes(change["Keys"])
        images = [change[image] for image in _IMAGES[record["eventName"]]]
    except (TypeError, KeyError):
        return False
    return all(isinstance(image, Mapping) and not selection.takes(image) for image in images)


def is_removal(entity: Entity, record: Any) -> bool:
    """Whether an event that is not outside leaves a tombstone: its item was removed, or is not selected any more."""
    if record.get("eventName") != "MODIFY":
        return bool(record.get("eventName") == "REMOVE")
    image = record["dynamodb"].get("NewImage")
    return entity.select is not None and isinstance(image, Mapping) and not entity.select.takes(image)


def _second(change: Mapping[str, Any]) -> int:
    """Return the second of an event that is skipped; 0 when it cannot be trusted."""
    stamp = change.get("ApproximateCreationDateTime")
    return int(stamp) if isinstance(stamp, int | float) and 0 <= stamp <= time.time() + FUTURE_SECONDS else 0


def decode(entity: Entity, record: Any, key: str, position: str, *, at: str) -> Change:
    """The document or tombstone that a record leaves behind.

    :param at: its ``sync.written_at``
    :raises BadItem: when no document can be made of it
    """
    if not position:
        raise BadItem("future", "the event is stamped more than an hour from now")
    name, change = record.get("eventName"), record["dynamodb"]
    dropped: Dropped = {}
    if is_removal(entity, record):
        return Change(key, position, dynamodb_item.tombstone_of(key, position=position, written_at=at), record, dropped)
    if name not in ("INSERT", "MODIFY"):
        raise BadItem("malformed", f"unknown event name {str(name)[:100]!r}")
    if not isinstance(change.get("NewImage"), Mapping):
        raise BadItem("no_image", f"{name} without a new image: is the stream's view type NEW_AND_OLD_IMAGES?")
    document = dynamodb_item.document_of(
        entity, key, change["NewImage"], position=position, written_at=at, dropped=dropped
    )
    return Change(key, position, document, record, dropped)


class Stream:
    """Applies batches, one after the other; remembers between them only which index takes no writes.

    :param park: sends messages to the dead-letter queue
    """

    def __init__(self, indexes: EntityIndexes, park: Park) -> None:
        self._indexes = indexes
        self._entity = indexes.entity
        dynamodb_item.check(self._entity)  # files that cannot be used are no fault of any record
        self._park = park
        self._bypass = gaps.NotedBypass()

    def apply(self, records: Sequence[Any], *, seconds: float) -> Outcome:
        """Write a batch. All of it may be acknowledged unless ``failed`` says why not.

        :param seconds: that all of it may take: the looks at the aliases, the writes, noting what a member misses, and
            parking, for which up to ``PARK_SECONDS`` are kept
        """
        outcome = Outcome(records=len(records))
        try:
            deadline = Deadline.within(seconds)
            written_by = Deadline.within(max(seconds - PARK_SECONDS, seconds / 2))
            latest, parked = self._decode(records, outcome)
            parked += self._write(latest, outcome, written_by)
            outcome.parked = Counter(record.reason for record in parked)
            if parked:
                self._park([record.message() for record in parked], deadline=deadline)  # rule 4
        except Exception as error:  # an outage, or a fault of ours: nothing of this batch is acknowledged
            log.exception("the batch is not acknowledged")
            outcome.failed = f"{type(error).__name__}: {error}"
        return outcome

    def _decode(self, records: Sequence[Any], outcome: Outcome) -> tuple[dict[str, Change], list[ParkedRecord]]:
        """The last change of each key, and what is none."""
        latest: dict[str, Change] = {}
        parked: list[ParkedRecord] = []
        at = written_now()
        for record in records:
            key = position = ""
            try:
                if is_outside(self._entity, record):
                    outcome.skipped += 1
                    outcome.newest = max(outcome.newest, _second(record["dynamodb"]))
                    continue
                key, position = identify(self._entity, record)
                change = decode(self._entity, record, key, position, at=at)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one record must not touch the others
                reason = error.type if isinstance(error, BadItem) else "unexpected"
                parked.append(ParkedRecord(record, key, position, reason, f"{type(error).__name__}: {error}"))
                continue
            outcome.newest = max(outcome.newest, second_of(position))
            before = latest.get(key)
            if before is None or position >= before.position:
                latest[key] = change
            outcome.superseded += before is not None
        return latest, parked

    def _write(self, latest: dict[str, Change], outcome: Outcome, deadline: Deadline) -> list[ParkedRecord]:
        """One pass through the writer; what an index did not take, by key."""
        parked: dict[str, ParkedRecord] = {}

        def reject(rejection: Rejection) -> None:
            change, detail = latest[rejection.id], f"{rejection.index}: {rejection.reason}"
            parked[rejection.id] = ParkedRecord(change.record, rejection.id, change.position, rejection.type, detail)

        self._bypass.forget()
        for change in latest.values():
            fitting.add(outcome.dropped, change.dropped)
        if latest:
            first = min(change.position for change in latest.values())
            page = page_of([change.document for change in latest.values()], position=first)
            ledgers = writer.apply(self._indexes.until(deadline), [page], on_rejected=reject, bypass=self._bypass)
            for ledger in ledgers.values():
                outcome.written += ledger.written + ledger.tombstoned
                outcome.stale += ledger.stale
            outcome.missed = self._bypass.missed
        return list(parked.values())
