"""``searchsync readiness``: thirty items, each proven or open."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from searchsync.cli.connections import SHELL
from searchsync.preflight import report, table
from searchsync.preflight.target import Target
from searchsync.readiness import run


def add(commands: Any) -> None:
    """Add ``readiness``."""
    text = "look whether each of the thirty items before production is proven; exit with 0 only then"
    look = commands.add_parser("readiness", help=text)
    look.add_argument("--environment", required=True, help="a column of infra/environments.yaml")
    look.add_argument("--json", action="store_true", help="print the results as JSON")
    look.add_argument("--report", type=Path, metavar="FOLDER", help="also write summary.html and readiness.json there")
    look.set_defaults(command=_readiness)


def _readiness(arguments: argparse.Namespace) -> None:
    results = run.run(Target(SHELL, arguments.environment))
    if arguments.report:
        report.write(arguments.report, run.title(arguments.environment), results, name=run.NAME)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    else:
        print("\n".join(table.lines(results)))
    run.judge(arguments.environment, run.open_items(results))
