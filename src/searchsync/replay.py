"""Replay of the dead-letter queue (docs/protocol.md, rule 5).

Every message ends in keys. The keys are read again, consistently, and written with the later of the parked event's
position and the read's, into the whole write set; only then the message goes. So neither order nor duplicates matter,
and a message that is not understood stays.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import opensearchpy

from searchsync import dead_letters, gaps, indexes, records, writer
from searchsync.dead_letters import Letter, Parked, Pointer, Unreadable
from searchsync.entities import Entity
from searchsync.envelope import Line, Page, Rejection, page_of, sync_of, with_position
from searchsync.errors import BadParams
from searchsync.items import BadItem
from searchsync.opensearch import within
from searchsync.position import MARGIN_SECONDS, second_of
from searchsync.queue import Message, Queue
from searchsync.records import Forgotten, Record
from searchsync.sources import READ_KEYS, Source
from searchsync.stream import identify

log = logging.getLogger(__name__)

MAX_RECEIVES = 5
"""A message that is poison again after so many receives waits for a person, in the queue of parked ones."""

MESSAGES_AT_ONCE = 500
EMPTY_SECONDS = 1
"""How long a queue that seems to be empty is asked: without waiting it may forget some of its servers."""

DELAY_SECONDS = 600.0
PATIENCE_SECONDS = 30.0
"""A queue keeps what it has: better to fail soon, and be told, than to hold messages out of sight."""

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Choice:
    """Which messages a run is about.

    :ivar cap: messages at most
    :ivar kind: ``record``, ``pointer`` or empty for both
    :ivar reason: only messages parked for this one; empty for all
    :ivar min_age: seconds since they were sent, at least
    """

    cap: int = 10_000
    kind: str = ""
    reason: str = ""
    min_age: float = 0.0


@dataclass
class Counts:
    """What became of the messages of one reason.

    :ivar messages: received
    :ivar read: keys read again
    :ivar written: of these, written to the live index (tombstones included)
    :ivar stale: of these, proven older than what the live index has
    :ivar back: messages that are poison again, or came too early; they are seen again later
    :ivar parked: messages that now wait for a person
    :ivar gap: records that the stream has forgotten
    """

    messages: int = 0
    read: int = 0
    written: int = 0
    stale: int = 0
    back: int = 0
    parked: int = 0
    gap: int = 0


@dataclass
class Report:
    """What a run did.

    :ivar skipped: messages that did not match its choice
    :ivar missed: members that are not live and took no writes, and why: a gap is noted for each
    """

    dry_run: bool
    missed: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    gaps: list[dict[str, Any]] = field(default_factory=list)
    why_parked: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For XCom and people."""
        messages = sum(counts.messages for counts in self.reasons.values())
        return {
            "dry_run": self.dry_run,
            "reasons": {reason: asdict(counts) for reason, counts in sorted(self.reasons.items())},
            "gaps": self.gaps,
            "missed": self.missed,
            "why_parked": self.why_parked,
            "skipped": self.skipped,
            "messages": messages,
            "messages_per_second": round(messages / max(self.seconds, 0.001), 1),
            "seconds": round(self.seconds, 1),
        }


@dataclass
class _Task:
    """A message with the keys that it stands for; each with its event's position, empty when that is not to be used.

    :ivar records: of a pointer's keys, to park the poisonous ones by themselves
    """

    message: Message
    content: Parked | Pointer
    keys: dict[str, str] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    hopeless: list[Letter] = field(default_factory=list)


class Replay:
    """One run.

    :param queue: the dead-letter queue, or the queue of parked messages when a person replays those
    :param parked: where messages go that wait for a person; None when they are just being replayed
    :param streams: boto3's DynamoDB Streams client
    """

    def __init__(
        self,
        client: opensearchpy.OpenSearch,
        source: Source,
        queue: Queue,
        parked: Queue | None,
        streams: Any,
        *,
        dry_run: bool = False,
        choice: Choice | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._entity: Entity = source.entity
        self._queue = queue
        self._parked = parked
        self._streams = streams
        self._choice = choice or Choice()
        self._bypass = gaps.Bypass(client)
        self._report = Report(dry_run, missed=self._bypass.missed)
        self._held: list[Message] = []

    def run(self) -> Report:
        """Replay until the queue is empty, or the cap is reached.

        :raises EmptyWriteSet: there is no index to write to; nothing was received
        :raises IndexUnavailable: OpenSearch does not answer; what was not written is in the queue as before
        :raises SourceUnavailable: the table or its stream does not answer; as before
        """
        began = time.monotonic()
        with within(PATIENCE_SECONDS):
            indexes.write_set_or_raise(self._client, self._entity)
        seen = 0
        try:
            while seen < self._choice.cap:
                most = min(MESSAGES_AT_ONCE, self._choice.cap - seen)
                messages = self._receive(most) or self._receive(most, wait=EMPTY_SECONDS)
                if not messages:
                    break
                seen += len(messages)
                self._replay(messages)
                rate = seen / (time.monotonic() - began)
                log.info("%d messages so far, %.0f a second", seen, rate)
        finally:
            if self._held:
                self._queue.give_back(self._held)
        self._report.seconds = time.monotonic() - began
        return self._report

    def _receive(self, most: int, *, wait: int = 0) -> list[Message]:
        messages: list[Message] = []
        while len(messages) < most and (found := self._queue.receive(most - len(messages), wait=wait)):
            messages += found
            self._held += found
        return messages

    def _replay(self, messages: list[Message]) -> None:
        by_reason: dict[str, list[_Task]] = defaultdict(list)
        for message in messages:
            try:
                content = dead_letters.read(message.body)
            except Unreadable as error:
                if self._wanted(message, "", UNREADABLE):
                    self._report.reasons[UNREADABLE].messages += 1
                    self._for_a_person(message, UNREADABLE, str(error))
                continue
            kind = "record" if isinstance(content, Parked) else "pointer"
            if self._wanted(message, kind, content.reason):
                by_reason[content.reason].append(_Task(message, content))
        for reason, tasks in sorted(by_reason.items()):
            counts = self._report.reasons[reason]
            counts.messages += len(tasks)
            self._replay_reason(tasks, counts)

    def _wanted(self, message: Message, kind: str, reason: str) -> bool:
        choice = self._choice
        wanted = (
            choice.kind in ("", kind)
            and choice.reason in ("", reason)
            and time.time() - message.sent_at >= choice.min_age
        )
        self._report.skipped += not wanted
        return wanted

    def _replay_reason(self, tasks: list[_Task], counts: Counts) -> None:
        tasks = [task for task in tasks if self._resolved(task, counts)]
        if self._report.dry_run:
            counts.read += len({key for task in tasks for key in task.keys})
            return
        refused, early = self._write(tasks, counts)
        done: list[Message] = []
        for task in tasks:
            if isinstance(task.content, Pointer):
                letters = [self._letter(task, key, *refused[key]) for key in task.keys.keys() & refused]
                letters += [
                    self._letter(task, key, "future", "read too soon after it") for key in task.keys.keys() & early
                ]
                letters += task.hopeless
                self._queue.send([letter.message() for letter in letters])
                done.append(task.message)
            elif not task.content.key:
                self._for_a_person(task.message, task.content.reason, "it has no key that a document can have")
            elif task.content.key in refused:
                self._again(task.message, task.content.reason, *refused[task.content.key], counts)
            elif task.content.key in early:
                self._later([task.message], MARGIN_SECONDS * 3.0, counts)
            else:
                done.append(task.message)
        self._done(done)

    # -- keys

    def _resolved(self, task: _Task, counts: Counts) -> bool:
        """Find the keys that a message stands for; one whose pointer leads nowhere is a person's."""
        if isinstance(task.content, Parked):
            if task.content.key:
                task.keys[task.content.key] = task.content.position
            return True
        try:
            self._resolve(task, task.content, counts)
        except Unreadable as error:
            self._for_a_person(task.message, task.content.reason, str(error))
            return False
        return True

    def _resolve(self, task: _Task, pointer: Pointer, counts: Counts) -> None:
        """The records that a pointer stands for, while the stream has them; what it has not is a gap."""
        found = 0
        for record in self._records(pointer):
            found += 1
            try:
                key, position = identify(self._entity, record)
            except BadItem as error:
                task.hopeless.append(Letter(record, "", "", error.type, str(error)))
                continue
            task.keys[key] = max(task.keys.get(key, ""), position)
            task.records[key] = record
        if found < pointer.records:
            counts.gap += pointer.records - found
            gap = {
                "from": pointer.first_arrival,
                "to": pointer.last_arrival,
                "records": pointer.records - found,
                "shard": pointer.shard,
            }
            self._report.gaps.append(gap)
            log.error("the stream has forgotten %(records)d records of %(from)s to %(to)s", gap)
            if not self._report.dry_run:
                gaps.note(self._client, self._entity, gap)

    def _records(self, pointer: Pointer) -> Iterable[Record]:
        """A pointer's records; those that are left, when the first ones are gone."""
        start, end = int(pointer.start), int(pointer.end)
        for at in (pointer.start, ""):
            try:
                for page in records.pages(self._streams, pointer.stream, pointer.shard, at=at, until=end):
                    for record in page:
                        sequence = int(record["dynamodb"]["SequenceNumber"])
                        if start <= sequence <= end:
                            start = sequence + 1
                            yield record
                        if sequence >= end:
                            return
            except BadParams as error:
                raise Unreadable(f"the pointer leads nowhere: {error}") from None
            except Forgotten:
                continue
            return

    def _write(self, tasks: list[_Task], counts: Counts) -> tuple[dict[str, tuple[str, str]], set[str]]:
        """Keys that are poison again, with type and reason; and keys read too soon after they were parked."""
        positions: dict[str, str] = {}
        not_before: dict[str, float] = {}
        for task in tasks:
            for key, position in task.keys.items():
                positions[key] = max(positions.get(key, ""), position)
                if not position:  # the read has to be later than all events before the parking, by whatever clock
                    parked_at = task.content.parked_at if isinstance(task.content, Parked) else task.message.sent_at
                    not_before[key] = max(not_before.get(key, 0.0), parked_at + MARGIN_SECONDS)
        refused: dict[str, tuple[str, str]] = {}
        early: set[str] = set()
        keys = sorted(positions)
        for at in range(0, len(keys), READ_KEYS):
            pages = self._source.read(keys[at : at + READ_KEYS])
            for page in pages:
                refused |= {rejection.id: (rejection.type, rejection.reason) for rejection in page.rejected}
            lines = []
            for key, line in _lines(pages):
                if second_of(sync_of(line)["position"]) <= not_before.get(key, 0.0):
                    early.add(key)
                else:
                    lines.append(with_position(line, at_least=positions[key]))
            counts.read += len(lines)
            self._apply(lines, refused, counts)
        return refused, early

    def _apply(self, lines: list[Line], refused: dict[str, tuple[str, str]], counts: Counts) -> None:
        if not lines:
            return

        def reject(rejection: Rejection) -> None:
            refused[rejection.id] = (rejection.type, f"{rejection.index}: {rejection.reason}")

        page = page_of(lines, position=min(sync_of(line)["position"] for line in lines))
        with within(PATIENCE_SECONDS):
            ledgers = writer.apply(self._client, self._entity, [page], on_rejected=reject, detour=self._bypass)
            served = indexes.live(self._client, self._entity)
        ledger = ledgers.get(served or "") or next(iter(ledgers.values()))
        counts.written += ledger.written + ledger.tombstoned
        counts.stale += ledger.stale

    # -- messages

    def _letter(self, task: _Task, key: str, reason: str, detail: str) -> Letter:
        return Letter(task.records[key], key, task.keys[key], reason, detail)

    def _again(self, message: Message, reason: str, kind: str, detail: str, counts: Counts) -> None:
        if message.receives >= MAX_RECEIVES:
            self._for_a_person(message, reason, f"{kind}: {detail}")
        else:
            self._later([message], DELAY_SECONDS, counts)

    def _for_a_person(self, message: Message, reason: str, why: str) -> None:
        self._report.reasons[reason].parked += 1
        self._report.why_parked[reason] = why
        log.error("a message waits for a person: %s: %s", reason, why)
        if self._parked is not None and not self._report.dry_run:
            self._parked.send([message.body])
            self._done([message])

    def _later(self, messages: list[Message], delay: float, counts: Counts) -> None:
        counts.back += len(messages)
        self._queue.give_back(messages, delay=delay)
        self._release(messages)

    def _done(self, messages: list[Message]) -> None:
        self._queue.delete(messages)
        self._release(messages)

    def _release(self, messages: list[Message]) -> None:
        gone = {message.receipt for message in messages}
        self._held = [message for message in self._held if message.receipt not in gone]


def _lines(pages: list[Page]) -> Iterable[tuple[str, Line]]:
    for page in pages:
        for line in page.lines():
            yield line.key, line
