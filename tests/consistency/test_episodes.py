"""Everything at once, by chance: `./dev bench consistency` for as long as one likes, here for a minute.

Other seeds by SEARCHSYNC_CONSISTENCY_SEED. A seed fixes what the actors choose, not how their threads interleave.
"""

import os

import opensearchpy
import pytest

from tests.consistency.episode import Episode
from tests.consistency.stage import staged
from tests.consistency.turmoil import speed_of

SEED = int(os.environ.get("SEARCHSYNC_CONSISTENCY_SEED", "20261121"))
EPISODES = 4


@pytest.mark.parametrize("seed", range(SEED, SEED + EPISODES))
def test_all_indexes_equal_the_source_after_the_turmoil(client: opensearchpy.OpenSearch, seed: int) -> None:
    print(f"seed {seed}")
    with staged(client, speed=speed_of(seed)) as stage:
        episode = Episode(stage, seed)
        counts = episode.run()
    print(dict(counts), dict(episode.refused))
    assert counts["events"] > 100
    assert counts["zombies"] > 0
