"""Courses of events around a new index and the aliases, in which one rule alone stands against a wrong document."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from searchsync.cluster import aliases
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.errors import LedgerMismatch, SearchSyncError
from searchsync.operations import purge
from searchsync.writing import bulk
from tests.consistency.ground import Build
from tests.consistency.stage import Stage
from tests.consistency.table import Event
from tests.consistency.wire import Forward, Request, Wire
from tests.consistency.writes import FENCED, blue, build, joined

# -- rules 6 to 9: a new index


def zombie_from_before_the_join(stage: Stage) -> None:
    """An event that was acknowledged before the join comes again after the scan, and its successor does not."""
    stage.table.skew_of_events, stage.table.skew_of_reads = lambda: 1.5, lambda: -1.5
    (zombie,) = blue(stage, m1="first")
    stage.deliver(stage.table.put("m1", name="second"))
    build(stage).run()
    stage.deliver(zombie)
    stage.check()


def _zombie_in_green(stage: Stage) -> Build:
    """Green has an event that was delivered again after its successor, of which only blue knows."""
    (zombie,) = blue(stage, m1="first")
    stage.deliver(stage.table.put("m1", name="second"))
    green = joined(stage)
    stage.deliver(zombie)
    return green


def zombie_before_the_scan(stage: Stage) -> None:
    """It is in green before its page, which is later. Looked at ahead of the gate, which would reconcile it."""
    green = _zombie_in_green(stage)
    green.load()
    stage.check(green.green)


def change_before_its_page_is_written(stage: Stage) -> None:
    """The page is older than what the stream has brought since it was read."""
    blue(stage, m1="first")
    green = joined(stage)

    def act(request: Request, forward: Forward) -> Any:
        if request.is_bulk and not changes:
            changes.append(stage.table.put("m1", name="second"))
            stage.deliver(*changes)
        return forward()

    changes: list[Event] = []
    green.client = Wire(stage.client, act).client
    green.load()
    stage.check(green.green)


def zombie_after_a_delete(stage: Stage) -> None:
    """A key that was deleted before the join: only blue knows."""
    zombie, _ = blue(stage, m1="deleted", m2="stays")
    stage.deliver(stage.table.delete("m1"))
    build(stage).run()
    stage.deliver(zombie)
    stage.check()


def zombie_before_the_tombstones(stage: Stage) -> None:
    """It is in green before blue's tombstone. Looked at ahead of the gate, which would reconcile it."""
    zombie, _ = blue(stage, m1="deleted", m2="stays")
    stage.deliver(stage.table.delete("m1"))
    green = joined(stage)
    green.load()
    stage.deliver(zombie)
    green.copy_tombstones()
    stage.check(green.green)


def lost_by_the_load(stage: Stage) -> None:
    """A document that green lost: the gate is there to find what nobody expects."""
    blue(stage, m1="first", m2="second")
    green = joined(stage)
    green.load()
    stage.client.request("DELETE", f"/{green.green}/_doc/m1")
    green.finish()
    stage.check()


def change_during_a_repair(stage: Stage) -> None:
    """The stream brings a change between a repair's two reads, whichever comes first."""
    blue(stage, m1="first", m2="stays")
    (live,) = EntityIndexes(stage.client, stage.entity).write_set()
    broken = {"script": "ctx._source.name = 'changed around the writer'; ctx._source.sync.hash_low++"}
    stage.client.request("POST", f"/{live}/_update/m1", body=broken)
    stage.clock.skip(FENCED)
    report = differences.find(EntityIndexes(stage.client, stage.source().entity).get(live), stage.source())
    assert report.kinds == {differences.STALE: 1}
    reads = 0

    def before(operation: str) -> None:
        nonlocal reads
        reads += operation == "read"
        if operation == "read" and reads == 2:
            stage.deliver(stage.table.put("m1", name="second"))

    def act(request: Request, forward: Forward) -> Any:
        before("read" if request.path.endswith("/_mget") else "else")
        return forward()

    stage.table.before = before
    repair.repair(
        EntityIndexes(Wire(stage.client, act).client, stage.source().entity), stage.source(), report, dry_run=False
    )
    stage.check()


# -- rules 10 to 14: aliases, indexes and counts


def two_swaps(stage: Stage) -> None:
    """Two builds began when the same index was live."""
    blue(stage, m1="first")
    one, other = build(stage, "one"), build(stage, "other")
    stage.running |= {"one", "other"}
    other.force = True
    for made in (one, other):
        made.check()
        made.create()
        made.load()
    one.finish()
    with suppress(SearchSyncError):
        other.finish()
    other.discard()
    stage.check()


def swap_of_one_that_left(stage: Stage) -> None:
    """Green was taken for abandoned while its run slept, and has got nothing since."""
    blue(stage, m1="first")
    green = joined(stage)
    green.load()
    green.copy_tombstones()
    green.gate()
    aliases.leave(EntityIndexes(stage.client, stage.entity), green.green)
    stage.deliver(stage.table.put("m1", name="second"))
    with suppress(SearchSyncError):
        green.swap()
    stage.check()


def rollback_to_one_that_is_retired(stage: Stage) -> None:
    """A rollback serves the candidate that a retirement has just chosen."""
    blue(stage, m1="first")
    build(stage, "one").run()
    build(stage, "two").run()
    back = sorted(index.name for index in EntityIndexes(stage.client, stage.entity).all() if index.role != "live")
    live = EntityIndexes(stage.client, stage.entity).live_or_raise()
    begun = False

    def act(request: Request, forward: Forward) -> Any:
        nonlocal begun
        if not begun and request.method in ("POST", "PUT", "DELETE"):
            begun = True
            aliases.swap(EntityIndexes(stage.client, stage.entity), blue=live, green=back[0], served=True)
        return forward()

    with suppress(SearchSyncError):
        aliases.delete(EntityIndexes(Wire(stage.client, act).client, stage.entity), back[0])
    stage.check()


def rewritten_during_a_purge(stage: Stage) -> None:
    """A key comes back between the search for its tombstone and the delete. Another has the highest position."""
    blue(stage, m1="first", m2="first")
    stage.deliver(stage.table.delete("m1"))
    stage.deliver(stage.table.put("m2", name="second"))
    live = EntityIndexes(stage.client, stage.entity).live_or_raise()
    Index(stage.client, live).refresh()
    back: list[Event] = []

    def act(request: Request, forward: Forward) -> Any:
        if request.is_bulk and not back:
            back.append(stage.table.put("m1", name="back"))
            stage.deliver(*back)
        return forward()

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    purge.purge(EntityIndexes(Wire(stage.client, act).client, stage.entity), live, tomorrow)
    assert back, "there was nothing to purge"
    stage.check()


def lost_by_the_writer(stage: Stage) -> None:
    """The writer forgets what is to be sent again: the counts are there to say so, and the task fails."""
    green = _zombie_in_green(stage)
    decided = bulk._Writing._decided

    def forgetful(self: Any, *arguments: Any) -> Any:
        todo = list(self._todo)
        yield from decided(self, *arguments)
        self._todo = todo

    with mock.patch.object(bulk._Writing, "_decided", forgetful), suppress(LedgerMismatch):
        green.load()
        stage.check(green.green)


def created_twice(stage: Stage) -> None:
    """The task that creates green is killed, and run again."""
    blue(stage, m1="first")
    green = joined(stage)
    green.create()
    green.load()
    green.finish()
    stage.check()
