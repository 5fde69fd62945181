"""Courses of events around a write, in which one rule alone stands between an index and a wrong document.

Time passes only by sleeping, and all steps are forced, so each ends the same way every time.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.position import MARGIN_SECONDS
from searchsync.errors import SearchSyncError
from searchsync.selection import Selection
from tests.consistency.ground import Build, Violation, blocked
from tests.consistency.stage import Stage
from tests.consistency.table import Event
from tests.consistency.wire import Crashed, Forward, Request, Wire, refused
from tests.steps import serve

Scenario = Callable[[Stage], None]
FENCED = 10.0
"""Seconds after which a read is later than anything that is on its way, as a fence is."""


def blue(stage: Stage, **names: str) -> list[Event]:
    """A live index, and items in it that came by the stream; their keys begin with m."""
    serve(stage.client, stage.entity, identity=stage.source().origin())
    events = [stage.table.put(key, name=name) for key, name in names.items()]
    stage.deliver(*events)
    try:
        stage.check()
    except Violation as error:  # of what comes before the course of events, which proves nothing
        raise AssertionError(f"already at the beginning: {error}") from error
    return events


def build(stage: Stage, name: str = "green") -> Build:
    return Build(stage, name, stage.client)


def joined(stage: Stage) -> Build:
    """A reindex whose green is in the write set, and empty yet."""
    green = build(stage)
    green.check()
    green.create()
    return green


def reconciled(stage: Stage) -> None:
    """After the last replay."""
    for queue in (stage.dead, stage.parked):
        queue.show_all()
    stage.clock.skip(FENCED)
    stage.replay()
    stage.check()
    stage.check_sound()


# -- rules 1 to 4: a write


def late_duplicate(stage: Stage) -> None:
    """A batch comes again when its successor was applied."""
    (first,) = blue(stage, m1="first")
    stage.deliver(stage.table.put("m1", name="second"))
    stage.deliver(first)
    stage.check()


def two_within_a_second(stage: Stage) -> None:
    """Their sequence numbers alone say which is later; one has a digit more."""
    first, second = (stage.table.put("m1", name=name) for name in ("first", "second"))
    for number in range(10):
        stage.table.put("m1", name=f"{number}")
    last = stage.table.put("m1", name="last")
    serve(stage.client, stage.entity, identity=stage.source().origin())
    for event in (first, last, second):
        stage.deliver(event)
    stage.check()


def answered(status: int, kind: str) -> Scenario:
    """The live index applies nothing of the first bulk, and says so by item."""

    def scenario(stage: Stage) -> None:
        blue(stage)
        left = 1

        def act(request: Request, forward: Forward) -> Any:
            nonlocal left
            if request.is_bulk and left:
                left -= 1
                return refused(request, status, kind)
            return forward()

        event = stage.table.put("m1", name="only once delivered")
        stage.stream = stage.function(Wire(stage.client, act).client)
        stage.deliver(event)
        stage.check()

    scenario.__name__ = f"answered_{status}"
    return scenario


def crash_between_targets(stage: Stage) -> None:
    """A function that was killed has acknowledged nothing: the whole batch comes again."""
    blue(stage, m1="first")
    build(stage).run()
    bulks = 0

    def act(request: Request, forward: Forward) -> Any:
        nonlocal bulks
        bulks += request.is_bulk
        if bulks == 2:
            raise Crashed
        return forward()

    event = stage.table.put("m1", name="second")
    working, stage.stream = stage.stream, stage.function(Wire(stage.client, act).client)
    try:
        outcome = stage.deliver(event)
    except Crashed:
        stage.stream = working
        outcome = stage.deliver(event)
    assert not outcome.failed
    stage.check()


def joined_during_a_write(stage: Stage) -> None:
    """Green joins, is loaded and gets blue's tombstones between a writer's look at the write set and its write."""
    late, _ = blue(stage, m1="deleted meanwhile", m2="stays")
    green = build(stage)

    def act(request: Request, forward: Forward) -> Any:
        if request.is_bulk and not green.green:
            green.check()
            green.create()
            green.load()
            green.copy_tombstones()
        return forward()

    stage.stream = stage.function(Wire(stage.client, act).client)
    stage.deliver(stage.table.delete("m1"))
    green.gate()
    green.swap()
    stage.deliver(late)
    stage.check()


def joined_during_a_replay(stage: Stage) -> None:
    """Green joins and is served after a replay has begun, and before it reads a change that nobody else brings."""
    blue(stage, m1="first")
    green = build(stage)
    begun = False

    def before(operation: str) -> None:
        nonlocal begun
        if begun:
            return
        begun = True
        green.check()
        green.create()
        green.load()
        green.copy_tombstones()
        green.gate()
        green.swap()
        stage.give_up([stage.table.put("m1", name="given up by the mapping")])

    stage.dead.before = before
    stage.replay()
    reconciled(stage)


def poison(stage: Stage) -> None:
    """A field that the mapping gets only later; the queue refuses at first, and the batch comes again."""
    blue(stage, m1="first")
    event = stage.table.put("m1", name="second", nickname="unknown yet")
    stage.dead.refuse = 1
    if stage.deliver(event).failed:
        assert not stage.deliver(event).failed
    (live,) = EntityIndexes(stage.client, stage.entity).write_set()
    mapping = {"properties": {"nickname": {"type": "keyword"}}}
    stage.client.request("PUT", f"/{live}/_mapping", body=mapping)
    reconciled(stage)


def unwritable_member(stage: Stage) -> None:
    """What a member that is not live did not take is noted, so that nobody serves it before it is healed."""
    blue(stage, m1="first")
    green = build(stage)
    green.check()
    green.create()
    green.load()
    green.copy_tombstones()
    green.gate()
    with blocked(stage.client, green.green):
        assert not stage.deliver(stage.table.put("m1", name="second")).failed
    with suppress(SearchSyncError):
        green.swap()
    green.discard()
    stage.check()


def zombie_of_a_deleted_key(stage: Stage) -> None:
    """A delete that leaves nothing behind is forgotten at once."""
    (zombie,) = blue(stage, m1="first")
    stage.deliver(stage.table.delete("m1"))
    stage.deliver(zombie)
    stage.check()


# -- what an entity selects of its table

GUESTS = Selection("kind", equals="guest")


def left_and_entered_again(stage: Stage) -> None:
    """A guest becomes staff, and a guest again; batches come late and twice, and a reindex runs in between."""
    stage.select(GUESTS)
    serve(stage.client, stage.entity, identity=stage.source().origin())
    put = stage.table.put
    first, left, outside = (put("m1", kind=kind, name=kind) for kind in ("guest", "staff", "boss"))
    put("m2", kind="staff", name="never selected")
    stage.deliver(first)
    stage.deliver(left, outside)
    stage.deliver(first)
    stage.check()
    build(stage).run()
    stage.deliver(first)
    stage.check()
    back = put("m1", kind="guest", name="back")
    stage.deliver(back)
    stage.deliver(left, outside)
    stage.check()
    stage.check_sound()
    written = EntityIndexes(stage.client, stage.entity).write_set()
    if any("m2" in stage.documents(index) for index in written):
        raise Violation("an item that never was selected is in an index")


def parked_before_it_left(stage: Stage) -> None:
    """What was parked while it was selected is replayed when it is not."""
    stage.select(GUESTS)
    serve(stage.client, stage.entity, identity=stage.source().origin())
    parked = stage.table.put("m1", kind="guest", name="guest", nickname="unknown yet")
    assert stage.deliver(parked).parked
    stage.deliver(stage.table.put("m1", kind="staff", name="staff"))
    reconciled(stage)


# -- rule 5: replay, and positions


def parked_behind_a_young_document(stage: Stage) -> None:
    """The read is five seconds older than the event that the index has."""
    blue(stage, m1="first")
    event = stage.table.put("m1", name="second, not yet applied")
    stage.give_up([event])
    stage.replay()
    stage.check()


def parked_from_the_future(stage: Stage) -> None:
    """Its position is not used; the read has to be later than the parking instead."""
    blue(stage, m1="first")
    stage.deliver(stage.table.put("m1", ahead=7200.0, name="second, stamped two hours ahead"))
    stage.replay()
    stage.clock.skip(MARGIN_SECONDS + 1)
    reconciled(stage)


def changed_after_the_future(stage: Stage) -> None:
    """An event that was written under such a position would hide all changes for two hours."""
    blue(stage, m1="first")
    stage.deliver(stage.table.put("m1", ahead=7200.0, name="second, stamped two hours ahead"))
    stage.deliver(stage.table.put("m1", name="third"))
    reconciled(stage)


def read_by_a_fast_clock(stage: Stage) -> None:
    """A change right after a read is stamped before it, by clocks that are four seconds apart."""
    blue(stage, m1="first")
    stage.clock.skip(FENCED)
    stage.table.skew_of_reads, stage.table.skew_of_events = lambda: 2.5, lambda: -1.5
    green = joined(stage)
    green.load()
    stage.deliver(stage.table.put("m1", name="second"))
    stage.check(green.green)
