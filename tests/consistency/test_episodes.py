"""Everything at once, by chance: `./dev bench consistency` for as long as one likes, here for a minute.

Other seeds by SEARCHSYNC_CONSISTENCY_SEED. A seed fixes what the actors choose, not how their threads interleave.
"""

import os
from collections import Counter

import opensearchpy

from tests.consistency.episode import Episode
from tests.consistency.stage import staged
from tests.consistency.turmoil import speed_of

SEED = int(os.environ.get("SEARCHSYNC_CONSISTENCY_SEED", "20261121"))
EPISODES = 4


def test_all_indexes_equal_the_source_after_the_turmoil(client: opensearchpy.OpenSearch) -> None:
    total: Counter[str] = Counter()
    for seed in range(SEED, SEED + EPISODES):
        print(f"seed {seed}")
        with staged(client, speed=speed_of(seed)) as stage:
            episode = Episode(stage, seed)
            counts = episode.run()
        print(dict(counts), dict(episode.refused))
        assert counts["events"] > 100
        assert counts["zombies"] > 0
        total += counts
    assert [name for name in ("reindexes", "rollbacks", "replayed", "purged") if not total[name]] == []
