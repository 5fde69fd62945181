"""How long a rollback takes: each drill of docs/operations/rollback.md, done on a stack of its own.

    ./dev bench rollback [--cases NAME...] [--keep-one-row-in N] [--list]

A bad version is started beside the good one, gets a share of the traffic, is judged by the DAG `canary` over Airflow's
REST API, and loses its share; an index is swapped back by `index_rollback`. What could be lost is compared, document by
document. Prints a line for each step, a table, and one line of JSON; the exit code is 1 when a verdict was wrong or
something was lost.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import requests

from benchmarks._bars import say
from benchmarks._disasters import Drill
from benchmarks._rollbacks import CASES
from local.errors import LocalError
from local.paths import ROOT, Home
from local.stack import Stack
from searchsync.errors import SearchSyncError

FOLDER = "SEARCHSYNC_BENCH_DIR"
HEAD = ("drill", "lost", "back after", "of which")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the drills. Return the exit code."""
    options = _options(arguments)
    if options.list:
        say("\n".join(CASES))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    stack = Stack(Home(Path(os.environ[FOLDER]) / "rollback", ROOT / "dags"), say)
    drills = []
    try:
        stack.up()
        for name in options.cases:
            do, of = CASES[name]
            drills.append(drill := Drill(name, stack, options.keep_one_row_in, (of,)))
            try:
                do(drill)
            except (SearchSyncError, LocalError, TimeoutError, requests.RequestException) as error:
                drill.problems.append(f"{type(error).__name__}: {error}")
            say(" | ".join(drill.cells()))
    finally:
        stack.down(wipe=True)
    lines = [HEAD, ["---"] * len(HEAD), *(drill.cells() for drill in drills)]
    say("\n".join(f"| {' | '.join(line)} |" for line in lines))
    ok = not any(drill.problems for drill in drills)
    print(json.dumps({"benchmark": "rollback", "ok": ok, "cases": [drill.as_dict() for drill in drills]}))
    return 0 if ok else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench rollback", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", default=[*CASES], nargs="+", choices=[*CASES], metavar="NAME")
    parser.add_argument("--keep-one-row-in", type=int, default=1, metavar="N", help="fewer places (default: all)")
    parser.add_argument("--list", action="store_true", help="name the drills and do nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
