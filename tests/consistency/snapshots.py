"""Courses of events around transactions that overlap or are given their ids again: positions alone keep the order."""

from contextlib import closing

from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.consistency.ground import Build
from tests.consistency.places import Places, write
from tests.steps import never


def begin(places: Places) -> None:
    """Three rows that are served."""
    places.keys = 3
    with places.connect() as connection:
        for key in (1, 2, 3):
            write(connection, key, "first")
    Build(places, "blue", places.client).run()


def apply(places: Places, key: str) -> None:
    """A read by key, written: what a reconciling or a repair does."""
    with closing(places.source()) as source:
        writer.apply(EntityIndexes(places.client, places.entity), source.read([key]), on_rejected=never)


def change(places: Places, key: int, name: str | None) -> None:
    """A transaction of its own. A snapshot's ``xmax`` is above the ids that have ended, so it moves by this."""
    with places.connect() as connection:
        write(connection, key, name)


def late_commit(places: Places) -> None:
    """A transaction is open while its row is read, and a later one has ended already."""
    begin(places)
    with places.connect() as late:
        write(late, 1, "second")
        change(places, 3, "second")
        apply(places, "1")
    places.sync()
    places.check()


def commit_behind_an_older_transaction(places: Places) -> None:
    """The oldest transaction stays open, so that ``xmin`` stands still as well."""
    begin(places)
    with places.connect() as oldest:
        write(oldest, 2, "never committed")
        with places.connect() as late:
            write(late, 1, "second")
            change(places, 3, "second")
            apply(places, "1")
        places.sync()
        oldest.rollback()
    places.check()


def page_written_late(places: Places) -> None:
    """What was read before a change is written after it."""
    begin(places)
    with closing(places.source()) as source:
        early = source.read(["1"])
    change(places, 1, None)
    places.sync()
    writer.apply(EntityIndexes(places.client, places.entity), early, on_rejected=never)
    places.check()


def ids_given_again(places: Places) -> None:
    """A crash takes back that transactions were rolled back, and so their ids, but no commit. Then a row changes."""
    begin(places)
    assert places.crashing is not None
    places.crashing.abort()
    apply(places, "1")
    with closing(places.source()) as source:
        before = source.snapshot()
    places.crashing.crash()
    change(places, 1, "second")
    change(places, 2, None)
    with closing(places.source()) as source:
        assert source.snapshot().xmax < before.xmax, "no id was given again: nothing is proven"
    places.sync()
    places.check()
