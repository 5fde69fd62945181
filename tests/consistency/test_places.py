"""Locations: positions of snapshots keep their order whatever commits late, and the indexes equal the table.

The rules of writing are proven on members (``test_rules``); here are those of positions, then everything at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.postgres import AppDatabase
from searchsync.cluster.client import Client
from tests.consistency.ground import Violation
from tests.consistency.places import Places, placed
from tests.consistency.places_episode import PlacesEpisode
from tests.consistency.rules import PLACES, Proof
from tests.consistency.test_episodes import run
from tests.consistency.turmoil import Turmoil, speed_of
from tests.crashes import Crashing


@pytest.fixture(scope="module")
def crashing(servers_dir: Path) -> Iterator[Crashing]:
    crashing = Crashing(servers_dir / "crashing-places")
    yield crashing
    crashing.stop()


@pytest.mark.parametrize("scenario", dict.fromkeys(proof.scenario for proof in PLACES.values()))
def test_the_product_gets_it_right(client: Client, crashing: Crashing, scenario: Callable[[Places], None]) -> None:
    with placed(client, crashing.app, crashing=crashing) as places:
        scenario(places)


@pytest.mark.mutant
@pytest.mark.parametrize("proof", PLACES.values(), ids=PLACES.keys())
def test_without_the_rule_it_goes_wrong(client: Client, crashing: Crashing, proof: Proof) -> None:
    with proof.mutant(), placed(client, crashing.app, crashing=crashing) as places, pytest.raises(Violation):
        proof.scenario(places)


def test_all_indexes_equal_the_table_after_the_turmoil(client: Client, app: AppDatabase) -> None:
    @contextmanager
    def made(seed: int) -> Iterator[Turmoil]:
        with placed(client, app, speed=speed_of(seed)) as places:
            yield PlacesEpisode(places, seed)

    assert run(made, "reindexes", "rollbacks", "purged", "syncs", episodes=1)["commits"] > 20
