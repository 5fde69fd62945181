"""``searchsync slo``: a month against its objectives, as the DAG reports it. It keeps nothing."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchsync.catalog import CATALOG, DEFAULT_CONNECTION
from searchsync.cli.connections import SHELL
from searchsync.errors import Different
from searchsync.slo import month, policy, report, run
from searchsync.slo.budget import MET


def add(commands: Any) -> None:
    """Add the command."""
    text = "show a month against its objectives; exit with 1 when one was missed, or too little is known"
    command = commands.add_parser("slo", help=text)
    command.add_argument("--month", help="such as 2026-11 (default: the last one that is over)")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.add_argument("--report", type=Path, metavar="FOLDER", help="also write summary.html and slo.json there")
    command.set_defaults(command=_slo)


def _slo(arguments: argparse.Namespace) -> None:
    now, zone = datetime.now(UTC), policy.read().zone
    wanted = month.of(arguments.month, zone) if arguments.month else month.last(now, zone)
    connection = DEFAULT_CONNECTION["dynamodb"]
    found = run.run(
        SHELL.opensearch(), lambda: SHELL.aws(connection, "cloudwatch"), [*CATALOG.values()], wanted, now=now
    )
    if arguments.report:
        report.write(found, arguments.report)
    if arguments.json:
        print(json.dumps(report.as_json(found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(report.lines(found)))
    if found.problems:
        raise Different(f"a part of the history cannot be read: {'; '.join(found.problems)}")
    if wrong := [one.name for one in found.judged if one.budget.state != MET]:
        raise Different(f"missed, or not known enough: {', '.join(wrong)}")
