"""Everything at once, by chance: `./dev bench consistency` for as long as one likes, here for a minute.

Other seeds by SEARCHSYNC_CONSISTENCY_SEED. A seed fixes what the actors choose, not how their threads interleave.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import pytest

from searchsync.cluster.client import Client
from searchsync.errors import SearchSyncError
from tests.consistency.episode import Episode
from tests.consistency.ground import Build
from tests.consistency.stage import staged
from tests.consistency.turmoil import Turmoil, speed_of

SEED = int(os.environ.get("SEARCHSYNC_CONSISTENCY_SEED", "20261121"))
MORE = 8


def run(made: Callable[[int], AbstractContextManager[Turmoil]], *happens: str, episodes: int) -> Counter[str]:
    """So many episodes; and some more on a machine that is too slow for all that has to happen.

    Each refusal is in order; but where all reindexes were refused, say, nothing was tested.
    """
    total: Counter[str] = Counter()
    for number in range(1, episodes + MORE + 1):
        seed = SEED + number - 1
        print(f"seed {seed}")
        with made(seed) as episode:
            total += episode.run()
        print(dict(episode.counts), dict(episode.refused))
        if number >= episodes and all(total[name] for name in happens):
            return total
    raise AssertionError(f"never: {[name for name in happens if not total[name]]}")


def test_all_indexes_equal_the_source_after_the_turmoil(client: Client) -> None:
    @contextmanager
    def made(seed: int) -> Iterator[Turmoil]:
        with staged(client, speed=speed_of(seed)) as stage:
            yield Episode(stage, seed)

    happens = ("zombies", "reindexes", "rollbacks", "retirements", "purged", "replayed")
    assert run(made, *happens, episodes=4)["events"] > 400


def test_no_thread_outlives_an_episode_that_cannot_begin(client: Client) -> None:
    """It would go on writing into the indexes of the next one."""
    threads = threading.active_count()
    refused = mock.patch.object(Build, "create", side_effect=SearchSyncError("refused"))
    with staged(client) as stage, refused, pytest.raises(SearchSyncError, match="refused"):
        Episode(stage, SEED).run()
    assert threading.active_count() == threads
