"""Locations: positions of snapshots keep their order whatever commits late, and the indexes equal the table.

The rules of writing are proven on members (``rules.py``); here are those of positions, then everything at once.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple
from unittest import mock

import opensearchpy
import pytest

from local.postgres import AppDatabase
from searchsync import writer
from searchsync.position import Snapshot
from tests.consistency import mutants
from tests.consistency.ground import Build, Violation
from tests.consistency.places import Places, placed, write
from tests.consistency.places_episode import PlacesEpisode
from tests.consistency.test_episodes import SEED
from tests.consistency.turmoil import speed_of
from tests.steps import never


def begin(places: Places) -> None:
    """Three rows that are served."""
    places.keys = 3
    with places.connect() as connection:
        for key in (1, 2, 3):
            write(connection, key, "first")
    Build(places, "blue", places.client).run()


def apply(places: Places, key: str) -> None:
    """A read by key, written: what a settling or a repair does."""
    with closing(places.source()) as source:
        writer.apply(places.client, places.entity, source.read([key]), on_rejected=never)


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
    writer.apply(places.client, places.entity, early, on_rejected=never)
    places.check()


class Proof(NamedTuple):
    scenario: Callable[[Places], None]
    mutant: Callable[[], AbstractContextManager[Any]]


def ordered_by(position: Callable[[Snapshot], tuple[int, int, int]]) -> Callable[[], AbstractContextManager[Any]]:
    def text(snapshot: Snapshot, epoch: int) -> str:
        xmin, xmax, progress = position(snapshot)
        return f"{epoch:04d}.{xmin:020d}.{xmax:020d}.{10**7 - progress:08d}"

    return lambda: mock.patch.object(Snapshot, "position", text)


PROOFS = {
    "positions are the next id alone": Proof(late_commit, ordered_by(lambda s: (0, s.xmax, 0))),
    "ids in progress are not counted": Proof(
        commit_behind_an_older_transaction, ordered_by(lambda s: (s.xmin, s.xmax, 0))
    ),
    "any write wins": Proof(page_written_late, mutants.any_write_wins),
}


@pytest.mark.parametrize("scenario", dict.fromkeys(proof.scenario for proof in PROOFS.values()))
def test_the_product_gets_it_right(
    client: opensearchpy.OpenSearch, app: AppDatabase, scenario: Callable[[Places], None]
) -> None:
    with placed(client, app) as places:
        scenario(places)


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS.keys())
def test_without_the_rule_it_goes_wrong(client: opensearchpy.OpenSearch, app: AppDatabase, proof: Proof) -> None:
    with proof.mutant(), placed(client, app) as places, pytest.raises(Violation):
        proof.scenario(places)


def test_all_indexes_equal_the_table_after_the_turmoil(client: opensearchpy.OpenSearch, app: AppDatabase) -> None:
    print(f"seed {SEED}")
    with placed(client, app, speed=speed_of(SEED)) as places:
        episode = PlacesEpisode(places, SEED)
        counts = episode.run()
    print(dict(counts), dict(episode.refused))
    assert counts["commits"] > 20
