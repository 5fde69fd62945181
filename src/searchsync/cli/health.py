"""``searchsync health``: one look at everything, as ``cluster_health`` makes it every five minutes."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from searchsync.cli.connections import SHELL
from searchsync.errors import Different
from searchsync.health import maintenance, report, run
from searchsync.health.airflow import Api
from searchsync.health.memory import Memory
from searchsync.health.verdict import State

URL, USER, PASSWORD = "SEARCHSYNC_AIRFLOW_URL", "SEARCHSYNC_AIRFLOW_USER", "SEARCHSYNC_AIRFLOW_PASSWORD"


def add(commands: Any) -> None:
    """Add ``health``."""
    text = "look at OpenSearch, sources, queues and Airflow; exit with 1 if anything is wrong or cannot be looked at"
    look = commands.add_parser("health", help=text)
    look.add_argument("--json", action="store_true", help="print the results as JSON")
    look.add_argument("--report", type=Path, metavar="FOLDER", help="also write summary.html and health.json there")
    look.set_defaults(command=_health)


def _health(arguments: argparse.Namespace) -> None:
    url = os.environ.get(URL, "")
    api = Api(url.rstrip("/"), os.environ.get(USER, ""), os.environ.get(PASSWORD, ""))
    health = run.look(SHELL, run.Airflow(api) if url else None, Memory(), maintenance.windows())
    if arguments.report:
        report.write(health, arguments.report)
    if arguments.json:
        print(json.dumps(report.as_json(health), indent=2, ensure_ascii=False))
    else:
        for one in report.ordered(health):
            print(f"{one.state.value:<8}{one.severity:<4}{one.name}: {one.seen}")
    if wrong := [one.name for one in health.verdicts if one.state is not State.GOOD]:
        raise Different(f"wrong, or not known: {', '.join(sorted(set(wrong)))}")
