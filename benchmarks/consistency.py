"""Whether all indexes equal their source after everything that writes them did so at once, again and again.

    ./dev bench consistency [--minutes N] [--seed N] [--seconds N] [--without RULE]

Episodes of ``tests/consistency``. Members: a table in memory with skewed clocks, whose history is known, with the
product's stream function and replay; every fourth is of locations: PostgreSQL with late commits, and the sync. Beside
them reindexes, rollbacks, retirements and repairs, with crashes, zombies, conflicts, lost answers and blocked indexes;
all against a real OpenSearch. Prints a line for each episode, then one of JSON; exit code 1 after a violation, and when
five minutes have passed in which something that should happen never did.

With ``--without`` the product lacks a rule of docs/protocol.md, which a directed test notices each time and these
episodes by chance. Then ``ok`` and exit code 0 say that it was caught, 1 that it was not.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from benchmarks._bars import say
from benchmarks._loads import DSN, URL
from benchmarks.reindex import OWNER_DSN
from local.postgres import AppDatabase
from searchsync.cluster.client import Client, connect
from tests.consistency.episode import Episode
from tests.consistency.ground import Violation
from tests.consistency.places import placed
from tests.consistency.places_episode import PlacesEpisode
from tests.consistency.rules import PLACES, PROOFS
from tests.consistency.stage import staged
from tests.consistency.turmoil import SECONDS, Turmoil, speed_of

LOCATIONS_EVERY = 4
MUTANTS = PLACES | PROOFS  # a name that both have is one mutant
LONG_MINUTES = 5.0
HAPPENS = ("reindexes", "rollbacks", "retirements", "purged", "repairs", "replayed", "syncs")
"""In every long run: episodes in which all of these are refused would compare nothing but the first index."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run episodes until the time is over. Returns the exit code: 0 when all is as it should be."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.disable(logging.CRITICAL)  # the product complains of every fault, and there are thousands
    client = connect(os.environ[URL])
    total: Counter[str] = Counter()
    violations: list[dict[str, Any]] = []
    end, seed = time.monotonic() + options.minutes * 60, options.seed
    with MUTANTS[options.without].mutant() if options.without else nullcontext():
        while time.monotonic() < end:
            with _episode(client, seed, options) as episode:
                try:
                    episode.run()
                except Exception as error:  # noqa: BLE001 - an actor that fails is as bad as a wrong index
                    violations.append({"seed": seed, "what": [type(error).__name__, *str(error).splitlines()[:10]]})
                    say(f"seed {seed}: VIOLATION: {type(error).__name__}: {error}")
            total += episode.counts + Counter({"episodes": 1, "refused": episode.refused.total()})
            happened, refused = (dict(sorted(counts.items())) for counts in (episode.counts, episode.refused))
            say(f"{type(episode).__name__}, seed {seed}: {happened}, refused: {refused}")
            seed += 1
    figures: dict[str, Any] = {"benchmark": "consistency", "seed": options.seed, "without": options.without, **total}
    figures |= {"violations": len(violations), "found": violations}
    if options.without:
        figures["ok"] = any(violation["what"][0] == Violation.__name__ for violation in violations)
        say(f"{options.without}: {'caught' if figures['ok'] else 'NOT CAUGHT'}")
    else:
        figures["never"] = [name for name in HAPPENS if options.minutes >= LONG_MINUTES and not total[name]]
        figures["ok"] = total["episodes"] > 0 and not violations and not figures["never"]
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


@contextmanager
def _episode(client: Client, seed: int, options: argparse.Namespace) -> Iterator[Turmoil]:
    if _of_locations(seed, options.without):
        app = AppDatabase("app", owner_dsn=os.environ[OWNER_DSN], reader_dsn=os.environ[DSN])
        with placed(client, app, speed=speed_of(seed)) as places:
            yield PlacesEpisode(places, seed, seconds=options.seconds)
    else:
        with staged(client, speed=speed_of(seed)) as stage:
            yield Episode(stage, seed, seconds=options.seconds)


def _of_locations(seed: int, without: str | None) -> bool:
    """A mutant that is proven on one source alone is looked for there."""
    if without and (without in PLACES) != (without in PROOFS):
        return without in PLACES
    return seed % LOCATIONS_EVERY == 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench consistency", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261121, help="of the first episode (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in an episode (default: %(default)s)")
    parser.add_argument("--without", choices=sorted(MUTANTS), metavar="RULE", help=f"one of: {', '.join(MUTANTS)}")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes must be above 0: without an episode nothing is shown")
    return options


if __name__ == "__main__":
    sys.exit(main())
