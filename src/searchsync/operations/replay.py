"""Replay of the dead-letter queue (docs/protocol.md, rule 5).

Every message stands for keys. The keys are read again, consistently. They are written into the whole write set, with
the later of two positions: the parked event's and the read's. Only then the message is deleted. So neither order nor
duplicates matter, and a message that is not understood stays. A fault of one message holds up no other message.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from searchsync.cluster.indexes import EntityIndexes
from searchsync.deadline import Deadline
from searchsync.documents.page import Document, Page, Rejection, page_of, with_position
from searchsync.documents.position import MARGIN_SECONDS, second_of
from searchsync.errors import BadConnection, SourceUnavailable
from searchsync.mapping import fitting
from searchsync.operations.replay_report import Counts, ReplayReport
from searchsync.sources.base import Source
from searchsync.stream import dead_letters, gaps, pointers
from searchsync.stream.dead_letters import Content, ParkedMessage, ParkedRecord, Pointer, TooLong, Unreadable
from searchsync.stream.pointers import Origins, Resolved
from searchsync.stream.queue import Message, Queue
from searchsync.writing import writer

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Number of replays after which a message that is still poison goes to the queue of parked messages, for a person."""

MESSAGES_AT_ONCE, MESSAGE_BYTES_AT_ONCE = 500, 32_000_000
"""Number of messages that are received before they are replayed; bytes of messages after which no more are received."""

KEYS_AT_ONCE, READ_AT_ONCE = 10_000, 100
"""Number of keys after which messages are replayed; number of keys of one read, whose items have up to 400 kB each."""

WRITE_BYTES = 4_000_000
"""Bytes of the documents of one write, about. Managed domains refuse bodies over 10 MiB on small nodes."""

EMPTY_SECONDS = 1
"""Seconds that a request waits for messages of a queue that seems empty: without, it may not ask all SQS servers."""

DELAY_SECONDS = 600.0
PATIENCE_SECONDS = 30.0
"""Seconds that each step with OpenSearch may take.

A queue keeps what it has: it is better to fail soon, and to be told, than to hold messages out of sight.
"""

UNREADABLE = "unreadable"
LISTED = 100
"""Number of reasons of failure that a report names at most."""


@dataclass(frozen=True)
class Choice:
    """Which messages a run takes.

    :ivar dry_run: whether the run only counts
    :ivar cap: largest number of messages
    :ivar kind: ``record``, ``pointer``, ``given-up`` or empty for all
    :ivar reason: only messages that were parked for this reason; empty for all
    :ivar min_age: smallest age in seconds, since a message was sent or was found to be poison again
    """

    dry_run: bool = False
    cap: int = 10_000
    kind: str = ""
    reason: str = ""
    min_age: float = 0.0


@dataclass
class _Task:
    """A message with the keys that it stands for."""

    message: Message
    content: Content
    found: Resolved


@dataclass
class _Written:
    """What became of keys: some were refused, with type and reason; some were read too soon after they were parked."""

    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)


class Replay:
    """One run of the replay.

    :param queue: the dead-letter queue, or the queue of parked messages when a person replays these
    :param parked: the queue for messages that wait for a person; None when this is the queue that is replayed
    :param origins: where the records are that messages only name
    """

    def __init__(
        self,
        indexes: EntityIndexes,
        source: Source,
        queue: Queue,
        parked: Queue | None,
        origins: Origins,
        choice: Choice | None = None,
    ) -> None:
        self._indexes = indexes
        self._source = source
        self._queue = queue
        self._parked = parked
        self._origins = origins
        self._choice = choice or Choice()
        self._bypass = gaps.NotedBypass()
        self._report = ReplayReport(self._choice.dry_run, missed=self._bypass.missed)
        self._held: dict[str, Message] = {}

    def run(self) -> ReplayReport:
        """Replay until the queue is empty or the cap is reached. The report names single messages that failed.

        :raises EmptyWriteSet: when there is no index to write to; then nothing was received
        :raises IndexUnavailable: when OpenSearch does not answer; what was not written is in the queue as before
        :raises SourceUnavailable: when the table does not answer; what was not written is in the queue as before
        """
        began = time.monotonic()
        self._in_time().targets_or_raise()
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
                self._queue.give_back(list(self._held.values()))
        self._report.seconds = time.monotonic() - began
        return self._report

    @cached_property
    def _table(self) -> str:
        return self._source.origin()

    def _in_time(self) -> EntityIndexes:
        """Return the indexes, for one step that must not take long."""
        return self._indexes.until(Deadline.within(PATIENCE_SECONDS))

    def _receive(self, most: int, *, wait: int = 0) -> list[Message]:
        messages: list[Message] = []
        size = 0
        while len(messages) < most and size < MESSAGE_BYTES_AT_ONCE:
            found = self._queue.receive(most - len(messages), wait=wait)
            if not found:
                break
            messages += found
            size += sum(len(message.body) for message in found)
            self._held |= {message.receipt: replace(message, body="") for message in found}  # for long, so without it
        return messages

    def _replay(self, messages: list[Message]) -> None:
        by_reason: dict[str, list[tuple[Message, Content]]] = defaultdict(list)
        for message in messages:
            try:
                content = dead_letters.read(message.body)
            except Unreadable as error:
                if self._wanted(message, "", UNREADABLE):
                    self._report.reasons[UNREADABLE].messages += 1
                    self._for_a_person(message, UNREADABLE, str(error))
                continue
            if self._wanted(message, content.kind, content.reason):
                by_reason[content.reason].append((message, content))
        for reason, found in sorted(by_reason.items()):
            counts = self._report.reasons[reason]
            counts.messages += len(found)
            for tasks in self._in_portions(found, counts):
                self._replay_tasks(tasks, counts)

    def _wanted(self, message: Message, kind: str, reason: str) -> bool:
        choice = self._choice
        wanted = (
            choice.kind in ("", kind)
            and choice.reason in ("", reason)
            and time.time() - message.sent_at >= choice.min_age
        )
        self._report.skipped += not wanted
        return wanted

    def _in_portions(self, found: list[tuple[Message, Content]], counts: Counts) -> Iterator[list[_Task]]:
        """Yield messages with their keys, in portions of so few keys that memory stays small."""
        tasks: list[_Task] = []
        keys = 0
        for message, content in found:
            resolved = self._resolve(message, content, counts)
            if resolved is None:
                continue
            tasks.append(_Task(message, content, resolved))
            keys += len(resolved.keys)
            if keys >= KEYS_AT_ONCE:
                yield tasks
                tasks, keys = [], 0
        if tasks:
            yield tasks

    def _replay_tasks(self, tasks: list[_Task], counts: Counts) -> None:
        if self._report.dry_run:
            counts.read += len({key for task in tasks for key in task.found.keys})
            return
        written = self._write(tasks, counts)
        done: list[Message] = []
        for task in tasks:
            try:
                if self._is_done(task, written, counts):
                    done.append(task.message)
            except TooLong as error:
                self._failed(f"{task.content.reason}: {error}")
        self._done(done)

    def _is_done(self, task: _Task, written: _Written, counts: Counts) -> bool:
        """Return whether a message can be deleted now: all its keys are written, or are in messages of their own."""
        if not isinstance(task.content, ParkedMessage):
            found, refused = task.found, written.refused
            parked = [self._parked_record(found, key, *refused[key]) for key in sorted(found.keys.keys() & refused)]
            early = sorted(found.keys.keys() & written.early)
            parked += [self._parked_record(found, key, "future", "read too soon after it") for key in early]
            self._queue.send([record.message() for record in parked + found.hopeless])
            return True
        key, reason = task.content.key, task.content.reason
        if not key:
            self._for_a_person(task.message, reason, "it has no key that a document can have")
        elif key in written.refused:
            self._again(task.message, task.content, *written.refused[key], counts)
        elif key in written.early:
            self._later(task.message, MARGIN_SECONDS * 3.0, counts)
        else:
            return True
        return False

    # -- keys

    def _resolve(self, message: Message, content: Content, counts: Counts) -> Resolved | None:
        """Return the keys that a message stands for; None when they cannot be found."""
        if isinstance(content, ParkedMessage):
            return Resolved({content.key: content.position} if content.key else {})
        try:
            found = pointers.resolve(self._origins, self._indexes.entity, content, table=lambda: self._table)
        except Unreadable as error:
            self._for_a_person(message, content.reason, str(error))
            return None
        except (SourceUnavailable, BadConnection) as error:  # of this shard, stream or object; others may answer
            self._failed(f"{content.reason}: {content.what}: {error}")
            return None
        if found.forgotten and isinstance(content, Pointer):
            counts.gap += found.forgotten
            gap = {
                "from": content.first_arrival,
                "to": content.last_arrival,
                "records": found.forgotten,
                "shard": content.shard,
            }
            self._report.gaps.append(gap)
            log.error("the stream has forgotten %(records)d records of %(from)s to %(to)s", gap)
            if not self._report.dry_run:
                gaps.note(self._indexes, gap)
        return found

    def _write(self, tasks: list[_Task], counts: Counts) -> _Written:
        positions: dict[str, str] = {}
        not_before: dict[str, float] = {}
        for task in tasks:
            for key, position in task.found.keys.items():
                positions[key] = max(positions.get(key, ""), position)
                if not position:  # the read has to be later than all events before the parking, by whatever clock
                    parked_at = (
                        task.content.parked_at if isinstance(task.content, ParkedMessage) else task.message.sent_at
                    )
                    not_before[key] = max(not_before.get(key, 0.0), parked_at + MARGIN_SECONDS)
        written = _Written()
        documents: list[Document] = []
        size = 0
        for key, document in self._documents(sorted(positions), written):
            if second_of(document.position) <= not_before.get(key, 0.0):
                written.early.add(key)
                continue
            documents.append(with_position(document, at_least=positions[key]))
            size += len(document.source)
            counts.read += 1
            if size >= WRITE_BYTES:
                self._apply(documents, written, counts)
                documents, size = [], 0
        self._apply(documents, written, counts)
        return written

    def _documents(self, keys: list[str], written: _Written) -> Iterator[tuple[str, Document]]:
        """Yield the present state of each key. Only a few reads are in memory.

        A key of which no document can be made is noted as refused.
        """
        for at in range(0, len(keys), READ_AT_ONCE):
            for page in self._source.read(keys[at : at + READ_AT_ONCE]):
                fitting.add(self._report.dropped, page.dropped)
                written.refused |= {one.id: (one.type, one.reason) for one in page.rejected}
                yield from _documents(page)

    def _apply(self, documents: list[Document], written: _Written, counts: Counts) -> None:
        if not documents:
            return

        def reject(rejection: Rejection) -> None:
            written.refused[rejection.id] = (rejection.type, f"{rejection.index}: {rejection.reason}")

        page = page_of(documents, position=min(document.position for document in documents))
        ledgers = writer.apply(self._in_time(), [page], on_rejected=reject, bypass=self._bypass)
        ledger = next(iter(ledgers.values()))  # of the live index
        counts.written += ledger.written + ledger.tombstoned
        counts.stale += ledger.stale

    # -- messages

    def _parked_record(self, found: Resolved, key: str, reason: str, detail: str) -> ParkedRecord:
        return ParkedRecord(found.records[key], key, found.keys[key], reason, detail, tuple(dead_letters.IMAGES))

    def _again(self, message: Message, content: ParkedMessage, kind: str, detail: str, counts: Counts) -> None:
        """Send a new message that says that it is poison again.

        SQS counts how often a message was received, but not why.
        """
        attempts = content.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            self._for_a_person(message, content.reason, f"{kind}: {detail}")
            return
        counts.back += 1
        self._queue.send([dead_letters.tried_again(message.body, attempts)], delay=DELAY_SECONDS)
        self._done([message])

    def _for_a_person(self, message: Message, reason: str, why: str) -> None:
        self._report.reasons[reason].parked += 1
        self._report.why_parked[reason] = why
        log.error("a message waits for a person: %s: %s", reason, why)
        if self._parked is None or self._report.dry_run:
            return
        try:
            self._parked.send([message.body])
        except TooLong as error:
            self._failed(f"{reason}: it stays in the dead-letter queue: {error}")
        else:
            self._done([message])

    def _failed(self, why: str) -> None:
        log.error("a message stays in the queue: %s", why)
        if len(self._report.failed) < LISTED:
            self._report.failed.append(why)

    def _later(self, message: Message, delay: float, counts: Counts) -> None:
        counts.back += 1
        self._queue.give_back([message], delay=delay)
        self._release([message])

    def _done(self, messages: list[Message]) -> None:
        self._queue.delete(messages)
        self._release(messages)

    def _release(self, messages: list[Message]) -> None:
        for message in messages:
            self._held.pop(message.receipt, None)


def _documents(page: Page) -> Iterable[tuple[str, Document]]:
    for document in page.documents():
        yield document.key, document
