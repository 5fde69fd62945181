"""Whether everything stays right while everything fails: processes killed or hung, links slow or cut, a full disk.

    ./dev bench chaos [--cases PATTERN...] [--seed N] [--faketime LIBRARY] [--list]

A stack of its own, whose servers stand behind links. Programs change rows of PostgreSQL and items of DynamoDB, people
of three tenants search, and a reindex is under way. In the middle of its load something fails for some seconds, and is
then repaired. The times are measured until people get new answers, a new item is found, and the reindex has ended. Then
nobody writes any more, all that was on its way arrives, and everything is looked at: each document of each index equals
its source, one index is read by each alias, nothing is left over, the queues are empty; and no answer was another
tenant's, late, or an error other than 503 and 429 with ``Retry-After``. Prints a line for each case, a table, and one
line of JSON; the exit code is 1 when something does not hold.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import psycopg

from benchmarks import _chaos
from benchmarks._bars import say
from benchmarks._chaos import CASES, HEAD, Case, Row
from benchmarks._chaos_world import REINDEX, REPLAY, Chaos
from local import runs
from local.errors import LocalError
from local.paths import ROOT, Home
from searchsync.errors import SearchSyncError

FOLDER = "SEARCHSYNC_BENCH_DIR"
ONE_ROW_IN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the cases happen. Return the exit code."""
    options = _options(arguments)
    if options.list:
        say("\n".join(case.name for case in options.chosen))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    began = time.monotonic()
    say(f"seed {options.seed}")
    rows = _measure(options.chosen, str(options.seed))
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    say("\n".join(f"| {' | '.join(line)} |" for line in lines))
    good = sum(not row.problems for row in rows)
    say(f"\n{good} of {len(rows)} cases: all invariants hold; {time.monotonic() - began:.0f} s")
    found = {
        "benchmark": "chaos",
        "seed": options.seed,
        "ok": good == len(rows),
        "cases": [asdict(row) for row in rows],
    }
    print(json.dumps(found))
    return 0 if good == len(rows) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench chaos", description=(__doc__ or "").split("\n")[0])
    text = "such as '*killed', in this order (default: all)"
    parser.add_argument("--cases", default=["*"], nargs="+", metavar="PATTERN", help=text)
    new = random.SystemRandom().randrange(10**6)
    parser.add_argument("--seed", type=int, default=new, help="of what is written and asked (default: a new one)")
    text = "libfaketime.so.1: adds the case in which the clock is stepped"
    parser.add_argument("--faketime", type=Path, metavar="LIBRARY", help=text)
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    options = parser.parse_args(arguments)
    if options.faketime and not options.faketime.is_file():
        parser.error(f"{options.faketime} is no file; without --faketime the clock is not stepped")
    known = [*CASES, *([_chaos.clock(options.faketime.resolve())] if options.faketime else [])]
    options.chosen = _chosen(known, options.cases)
    if not options.chosen:
        parser.error(f"no case is called {' or '.join(options.cases)}; --list names them")
    return options


def _chosen(known: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    found = [case for pattern in patterns for case in known if fnmatch(case.name, pattern)]
    return list(dict.fromkeys(found))


def _measure(cases: Sequence[Case], seed: str) -> list[Row]:
    home = Home(Path(os.environ[FOLDER]) / "chaos", ROOT / "dags")
    began, rows, chaos = datetime.now(UTC), [], Chaos(home, say)
    try:
        chaos.start(seed)
        chaos.world.keep_one_row_in(ONE_ROW_IN)
        for dag in (REINDEX, REPLAY):
            runs.await_dag(chaos.world.api, dag, parsed_since=began)
            chaos.world.api.unpause(dag)
        chaos.world.prepare(REPLAY, random.Random(seed))  # both indexes are there
        chaos.searchsync("replay", "members")
        for case in cases:
            rows.append(_row(chaos, case, seed))
            say(" | ".join(rows[-1].cells()))
    finally:
        chaos.close()
    return rows


def _row(chaos: Chaos, case: Case, seed: str) -> Row:
    try:
        return _chaos.run(chaos, case, seed)
    except (SearchSyncError, LocalError, TimeoutError, psycopg.Error) as error:
        chaos.start_dead()
        return Row(case.name, problems=[f"{type(error).__name__}: {error}"])


if __name__ == "__main__":
    sys.exit(main())
