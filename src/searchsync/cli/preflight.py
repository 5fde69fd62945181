"""``searchsync preflight``: whether an environment is as its files say."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from searchsync.cli.connections import SHELL
from searchsync.preflight import run, table
from searchsync.preflight.target import Target


def add(commands: Any) -> None:
    """Add ``preflight``."""
    text = "check that an environment is as its files say; exit with 1 if it is not. It changes nothing"
    look = commands.add_parser("preflight", help=text)
    look.add_argument("--environment", required=True, help="a column of infra/environments.yaml")
    look.add_argument("--json", action="store_true", help="print the results as JSON")
    look.set_defaults(command=_preflight)


def _preflight(arguments: argparse.Namespace) -> None:
    results = run.run(Target(SHELL, arguments.environment))
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    else:
        print("\n".join(table.lines(results)))
    run.judge(arguments.environment, run.bad(results))
