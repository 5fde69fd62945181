"""What is lost, and how long it takes to be whole again: each disaster of docs/operations/disaster.md, made to happen.

    ./dev bench disaster [--cases NAME...] [--keep-one-row-in N] [--list]

A stack of its own with all places and members. Each case destroys something in the middle of writes, goes the way of
the page with the commands of the page, and then compares every document of every index with its source. Prints a line
for each step, a table, and one line of JSON; the exit code is 1 when something was lost that the page does not name.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks._bars import say
from benchmarks._disasters import CASES, Drill
from local.errors import LocalError
from local.paths import ROOT, Home
from local.stack import Stack
from searchsync.errors import SearchSyncError

FOLDER = "SEARCHSYNC_BENCH_DIR"
HEAD = ("case", "lost", "whole again after", "of which")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the disasters happen. Returns the exit code."""
    options = _options(arguments)
    if options.list:
        say("\n".join(CASES))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    home = Home(Path(os.environ[FOLDER]) / "disaster", ROOT / "dags")
    stack = Stack(home, say)
    drills = []
    try:
        stack.up()
        for name in options.cases:
            drills.append(drill := Drill(name, stack, options.keep_one_row_in))
            try:
                CASES[name](drill)
            except (SearchSyncError, LocalError, psycopg.Error) as error:
                drill.problems.append(f"{error}")
            stack = drill.stack
            say(" | ".join(drill.cells()))
    finally:
        stack.down(wipe=True)
    lines = [HEAD, ["---"] * len(HEAD), *(drill.cells() for drill in drills)]
    say("\n".join(f"| {' | '.join(line)} |" for line in lines))
    bad = {drill.name: drill.problems for drill in drills if drill.problems}
    print(json.dumps({"benchmark": "disaster", "ok": not bad, "cases": [drill.as_dict() for drill in drills]}))
    return 1 if bad else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench disaster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", default=[*CASES], nargs="+", choices=[*CASES], metavar="NAME")
    parser.add_argument("--keep-one-row-in", type=int, default=1, metavar="N", help="fewer places (default: all)")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
