"""Whether anything can be killed at any point without harm: each task of each DAG, and what all of them stand on.

    ./dev bench kills [--cases PATTERN...] [--seed N] [--list]

A stack of its own, with fewer places and with retries after one second. For each case the DAG gets something to do and
is triggered; in the middle of the task, at a moment that the seed decides, the task's process, its worker, the
scheduler, OpenSearch or PostgreSQL gets a SIGKILL. The run has to end well: by Airflow's own retry, or by one plain
re-run or clear. Then every index of the write set has to be what its source is, in all documents, one index has to be
read, and nothing may be left over: no index, no run, no message. Prints a line for each case, a table, and one line of
JSON; the exit code is 1 when a case does not hold.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import psycopg

from benchmarks import _kills
from benchmarks._bars import say
from benchmarks._kills import CASES, HEAD, Case, Missed, Row
from benchmarks._kills_world import World, retry_at_once
from local import runs
from local.errors import LocalError
from local.paths import ROOT, Home
from local.stack import Stack
from searchsync.errors import SearchSyncError

FOLDER = "SEARCHSYNC_BENCH_DIR"
ONE_ROW_IN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix. Returns the exit code."""
    options = _options(arguments)
    cases = _chosen(options.cases)
    if options.list:
        say("\n".join(case.name for case in cases))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    began = time.monotonic()
    rows = _measure(cases, options.seed)
    good = sum(row.good for row in rows)
    say(_table(rows))
    say(f"\n{good} of {len(rows)} cases: exact, and nothing left over; {time.monotonic() - began:.0f} s")
    found = {"benchmark": "kills", "seed": options.seed, "ok": good == len(rows), "cases": len(rows), "good": good}
    print(json.dumps(found))
    return 0 if good == len(rows) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench kills", description=(__doc__ or "").split("\n")[0])
    text = "such as 'locations_*/load*', in this order (default: all)"
    parser.add_argument("--cases", default=["*"], nargs="+", metavar="PATTERN", help=text)
    parser.add_argument("--seed", type=int, default=20261121, help="of the moments (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    options = parser.parse_args(arguments)
    if not _chosen(options.cases):
        parser.error(f"no case is called {' or '.join(options.cases)}; --list names them")
    return options


def _chosen(patterns: Sequence[str]) -> list[Case]:
    found = [case for pattern in patterns for case in CASES if fnmatch(case.name, pattern)]
    return list(dict.fromkeys(found))


def _measure(cases: Sequence[Case], seed: int) -> list[Row]:
    home = Home(Path(os.environ[FOLDER]) / "kills", ROOT / "dags")
    retry_at_once(home)
    stack, began = Stack(home, say), datetime.now(UTC)
    rows = []
    try:
        stack.up()
        for dag in {case.dag for case in cases}:
            runs.await_dag(stack.api(), dag, parsed_since=began)
        world = World(stack)
        world.keep_one_row_in(ONE_ROW_IN)
        for case in cases:
            rows.append(_row(world, case, seed))
            say(" | ".join(rows[-1].cells()))
    finally:
        stack.down(wipe=True)
    return rows


def _row(world: World, case: Case, seed: int) -> Row:
    try:
        return _kills.run(world, case, seed)
    except (SearchSyncError, LocalError, TimeoutError, Missed, psycopg.Error) as error:
        return Row(f"{case.dag}: {case.task}", case.victim, 0.0, "nothing helped", 0.0, [f"{error}"], [])


def _table(rows: Sequence[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
