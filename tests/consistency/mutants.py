"""The product without one of its rules, each a switch in the tests' copy of the wiring."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from searchsync.catalog import Entity
from searchsync.cluster import aliases, creation
from searchsync.cluster.alias_conflicts import read_action
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, Targets
from searchsync.compare import reconcile, repair
from searchsync.compare.reconcile import Reconciled
from searchsync.compare.states import index_states
from searchsync.documents import position
from searchsync.documents.page import Document, Page
from searchsync.documents.position import Snapshot
from searchsync.errors import SearchSyncError
from searchsync.operations import purge, reindex, replay
from searchsync.operations.reindex import Reindex
from searchsync.operations.replay import Replay
from searchsync.operations.replay_report import ReplayReport
from searchsync.sources import export_requests
from searchsync.sources.dynamodb import DynamoSource, Segment
from searchsync.stream import consumer, gaps
from searchsync.stream.consumer import Stream
from searchsync.writing import bulk, item_outcome, tombstones, writer
from searchsync.writing.bulk import Mode
from searchsync.writing.item_outcome import Outcome
from searchsync.writing.ledger import Ledger
from tests.consistency.ground import Build
from tests.consistency.stage import Stage

Mutant = Callable[[], AbstractContextManager[Any]]
_patch = mock.patch.object


# -- rules 1 and 2


def any_write_wins() -> AbstractContextManager[Any]:
    return _patch(bulk, "_stale", lambda *_: False)


def sequence_numbers_as_text() -> AbstractContextManager[Any]:
    return _patch(consumer, "of_event", lambda second, sequence: f"{second:010d}.{sequence}")


def seconds_alone() -> AbstractContextManager[Any]:
    return _patch(consumer, "of_event", lambda second, _: f"{second:010d}.{0:040d}")


def taken_for_done(status: int) -> Mutant:
    """An item's outcome that decides nothing, taken for a success."""

    def mutant() -> AbstractContextManager[Any]:
        decide = item_outcome.outcome_of

        def outcome(index: str, item: dict[str, Any]) -> Outcome:
            return Outcome.STALE if item["status"] == status else decide(index, item)

        return _patch(bulk, "outcome_of", outcome)

    return mutant


# -- what an entity selects of its table


def left_without_a_tombstone() -> AbstractContextManager[Any]:
    """What is not selected any more is passed by like what never was."""

    def outside(entity: Entity, record: Any) -> bool:
        image = record["dynamodb"].get("NewImage")
        return image is not None and entity.select is not None and not entity.select.takes(image)

    return _patch(consumer, "is_outside", outside)


def superseded_by_what_is_outside() -> AbstractContextManager[Any]:
    """The last record of a key decides for the whole batch, also one that changes nothing of the entity."""
    decode = Stream._decode

    def last_alone(self: Stream, records: Any, outcome: Any) -> Any:
        last = {str(record["dynamodb"]["Keys"]): record for record in records}
        return decode(self, list(last.values()), outcome)

    return _patch(Stream, "_decode", last_alone)


def read_without_the_selection() -> AbstractContextManager[Any]:
    """A read by key takes any item of the table for one of the entity."""
    read = DynamoSource._read

    def unselected(self: DynamoSource, keys: Any) -> Page:
        other = DynamoSource(replace(self.entity, select=None), self._table._client)
        other.entity.__dict__["fits"] = self.entity.fits
        return read(other, keys)

    return _patch(DynamoSource, "_read", unselected)


# -- rules 3 and 4


@contextmanager
def resolved_once() -> Iterator[None]:
    """The write set is looked at before a write, and not again after it."""
    whole, resolve = writer.apply, EntityIndexes.targets_or_raise
    seen: ContextVar[Targets | None] = ContextVar("seen", default=None)

    def apply(indexes: EntityIndexes, pages: Any, **options: Any) -> dict[str, Ledger]:
        token = seen.set(resolve(indexes))
        try:
            return whole(indexes, pages, **options)
        finally:
            seen.reset(token)

    def remembered(indexes: EntityIndexes) -> Targets:
        return seen.get() or resolve(indexes)

    with _patch(writer, "apply", apply), _patch(EntityIndexes, "targets_or_raise", remembered):
        yield


@contextmanager
def resolved_before_the_read() -> Iterator[None]:
    """A replay looks at the write set once, when it begins."""
    run = Replay.run

    def frozen(self: Replay) -> ReplayReport:
        members = self._indexes.write_set()

        def apply(indexes: EntityIndexes, pages: list[Page], **options: Any) -> dict[str, Ledger]:
            del options["bypass"]
            return {name: writer.compare_and_set(indexes.index(name), pages[0], **options) for name in members}

        with _patch(replay, "writer", SimpleNamespace(apply=apply)):
            return run(self)

    with _patch(Replay, "run", frozen):
        yield


@contextmanager
def only_the_live_one() -> Iterator[None]:
    resolve = EntityIndexes.targets_or_raise

    def live_alone(indexes: EntityIndexes) -> Targets:
        targets = resolve(indexes)
        return replace(targets, members=targets.members[:1])

    with _patch(EntityIndexes, "targets_or_raise", live_alone):
        yield


def not_parked() -> AbstractContextManager[Any]:
    def function(self: Stage, client: Any = None) -> Stream:
        return Stream(EntityIndexes(client or self.client, self.entity), lambda _, **__: None)

    return _patch(Stage, "function", function)


def parked_after_the_acknowledgement() -> AbstractContextManager[Any]:
    """Whether the queue has taken it, nobody asks."""

    def function(self: Stage, client: Any = None) -> Stream:
        def park(messages: Any, /, **_: Any) -> None:
            with suppress(SearchSyncError):
                self.dead_letters.send(messages)

        return Stream(EntityIndexes(client or self.client, self.entity), park)

    return _patch(Stage, "function", function)


def not_noted() -> AbstractContextManager[Any]:
    return _patch(gaps.NotedBypass, "note", lambda *_: None)


# -- rule 5, and positions


def read_position_alone() -> AbstractContextManager[Any]:
    def unchanged(document: Document, *, at_least: str) -> Document:
        return document

    return _patch(replay, "with_position", unchanged)


def read_at_any_time() -> AbstractContextManager[Any]:
    """Without a parked position, the read is not awaited to be later than the parking."""
    return _patch(replay, "second_of", lambda _: 10**11)


def future_positions_used() -> AbstractContextManager[Any]:
    return _patch(consumer, "FUTURE_SECONDS", 10**6)


def margin_below_the_skew() -> AbstractContextManager[Any]:
    return _patch(position, "MARGIN_SECONDS", 3)


def snapshots_ordered_by(parts: Callable[[Snapshot], tuple[int, int, int]]) -> Mutant:
    """Other figures of a snapshot in the places of xmin, xmax and the ids in progress; no checkpoint."""

    def text(snapshot: Snapshot, epoch: int) -> str:
        xmin, xmax, progress = parts(snapshot)
        return f"{epoch:04d}.{xmin:020d}.{xmax:020d}.{10**7 - progress:08d}"

    return lambda: _patch(Snapshot, "position", text)


# -- rules 6 to 9


def no_fence() -> AbstractContextManager[Any]:
    return _patch(reindex, "FENCE_SECONDS", 0)


def older_export_alone() -> AbstractContextManager[Any]:
    return _patch(reindex, "catch_up", lambda *_, **__: None)


def export_taken_for_exact() -> AbstractContextManager[Any]:
    return _patch(export_requests, "INEXACT_SECONDS", 0)


@contextmanager
def scanned_before_the_join() -> Iterator[None]:
    check, pages = Build.check, DynamoSource.pages
    scanned: ContextVar[list[Page]] = ContextVar("scanned")

    def scan_at_once(self: Build) -> None:
        check(self)
        scanned.set(list(pages(cast(DynamoSource, self.stage.source()), Segment(0, 1))))

    with _patch(Build, "check", scan_at_once), _patch(DynamoSource, "pages", lambda *_, **__: iter(scanned.get())):
        yield


def conflict_of_the_scan_ignored() -> AbstractContextManager[Any]:
    return _conflicts_ignored(ContextVar("always", default=True))


def _conflicts_ignored(here: ContextVar[bool]) -> AbstractContextManager[Any]:
    decided = bulk._Writing._decided

    def ignoring(self: Any, chunk: Any, items: list[dict[str, Any]] | None) -> Any:
        if chunk.mode is Mode.CREATE and here.get() and items is not None:
            items = [{"status": 200} if item["status"] == 409 else item for item in items]
        return decided(self, chunk, items)

    return _patch(bulk._Writing, "_decided", ignoring)


def scan_by_plain_index() -> AbstractContextManager[Any]:
    send = Client.send_bulk

    def overwrite(client: Client, index: str, body: bytes, count: int) -> Any:
        return send(client, index, body.replace(b'{"create":', b'{"index":'), count)

    return _patch(Client, "send_bulk", overwrite)


def tombstones_not_copied() -> AbstractContextManager[Any]:
    return _patch(Reindex, "copy_tombstones", lambda run: Ledger(run.green))


@contextmanager
def tombstones_by_create() -> Iterator[None]:
    """As ``create``, with a conflict taken for done."""
    here: ContextVar[bool] = ContextVar("here", default=False)

    def create(index: Index, page: Page, **options: Any) -> Ledger:
        token = here.set(True)
        try:
            return bulk.write(index, page, Mode.CREATE, on_rejected=options["on_rejected"], patience=60.0)
        finally:
            here.reset(token)

    wiring = SimpleNamespace(compare_and_set=create)
    with _conflicts_ignored(here), _patch(tombstones, "writer", wiring):
        yield


def gate_without_reconciling() -> AbstractContextManager[Any]:
    return _patch(reconcile, "make_equal", lambda *_, **__: Reconciled())


@contextmanager
def source_read_before_the_index() -> Iterator[None]:
    """In a repair."""
    look, states, mend = index_states, DynamoSource.states, repair.repair
    repairing: ContextVar[DynamoSource | None] = ContextVar("repairing", default=None)
    early: ContextVar[list[Page]] = ContextVar("early")

    def reversed_repair(indexes: Any, source: DynamoSource, report: Any, **options: Any) -> repair.Repaired:
        token = repairing.set(source)
        try:
            return mend(indexes, source, report, **options)
        finally:
            repairing.reset(token)

    def look_late(index: Index, keys: list[str]) -> Any:
        if source := repairing.get():
            early.set(list(states(source, keys)))
        return look(index, keys)

    def as_it_was(source: DynamoSource, keys: list[str]) -> Iterator[Page]:
        yield from early.get() if repairing.get() else states(source, keys)

    with ExitStack() as stack:
        for place, name, changed in (
            (repair, "repair", reversed_repair),
            (repair, "index_states", look_late),
            (DynamoSource, "states", as_it_was),
        ):
            stack.enter_context(_patch(place, name, changed))
        yield


# -- rules 10 to 14


def swapped_blindly() -> AbstractContextManager[Any]:
    def swap(indexes: EntityIndexes, *, blue: str | None, green: str, **_: Any) -> None:
        entity = indexes.entity
        leave = {"remove": {"index": blue, "alias": entity.name, "must_exist": False}}
        serve = [
            aliases._add(entity.write_alias, green),
            aliases._add(entity.served_alias, green),
            read_action(entity, green),
        ]
        indexes.client.request("POST", "/_aliases", body={"actions": [leave, *serve] if blue else serve})

    return _patch(aliases, "swap", swap)


def deleted_without_leaving() -> AbstractContextManager[Any]:
    return _patch(aliases, "leave", lambda *_: None)


@contextmanager
def really_deleted() -> Iterator[None]:
    """A delete instead of a tombstone."""
    replacing, decide = bulk._replacing, item_outcome.outcome_of

    def operation(document: Document, stored: dict[str, Any]) -> bytes:
        return b'{"delete":{"_id":%b}}\n' % document.id if document.deleted else replacing(document, stored)

    def outcome(index: str, item: dict[str, Any]) -> Outcome:
        gone = item["status"] == 404 and "error" not in item
        return Outcome.WRITTEN if gone else decide(index, item)

    with ExitStack() as stack:
        stack.enter_context(_patch(bulk, "_replacing", operation))
        stack.enter_context(_patch(bulk, "outcome_of", outcome))
        yield


def purged_blindly() -> AbstractContextManager[Any]:
    return _patch(purge, "_line", lambda hit: json.dumps({"delete": {"_id": hit["_id"]}}).encode() + b"\n")


def counts_not_compared() -> AbstractContextManager[Any]:
    return _patch(Ledger, "balanced", lambda ledger: ledger)


@contextmanager
def created_again() -> Iterator[None]:
    """A second attempt at creating green makes another."""
    create, every = creation.find_or_create, EntityIndexes.all
    creating: ContextVar[bool] = ContextVar("creating", default=False)

    def another(*arguments: Any, **options: Any) -> Any:
        token = creating.set(True)
        try:
            return create(*arguments, **options)
        finally:
            creating.reset(token)

    def found(indexes: EntityIndexes) -> list[Any]:
        return [] if creating.get() else every(indexes)

    with _patch(creation, "find_or_create", another), _patch(EntityIndexes, "all", found):
        yield
