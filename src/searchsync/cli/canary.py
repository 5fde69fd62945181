"""``searchsync canary``: judge a new version by series in a file; nothing is recorded, and nobody is told."""

import argparse
import json
from pathlib import Path
from typing import Any

from searchsync.canary.policy import policy
from searchsync.canary.series import parse
from searchsync.cli import tables
from searchsync.errors import BadParams, Different

HEAD = ("METRIC", "VERDICT", "MINUTES", "BEFORE", "NEW", "WORSE BY", "EFFECT", "P", "WHY")


def add(commands: Any) -> None:
    """Add the command."""
    text = "judge a new version by the series in a file; exit with 1 unless it passes"
    parser = commands.add_parser("canary", help=text)
    parser.add_argument("subject", help="what is deployed: a subject of canary.yaml")
    parser.add_argument("stage", type=int, help="percent of the traffic that the new version has")
    parser.add_argument("file", type=Path, help="series as JSON: of each signal baseline and canary")
    parser.set_defaults(command=_canary)


def _canary(arguments: argparse.Namespace) -> None:
    from searchsync.canary.judge import PASS, judge  # noqa: PLC0415 - scipy takes a second, which no other command needs

    rules = policy()
    subject, stage = rules.subject(arguments.subject), rules.stage(arguments.stage)
    found = judge(rules, subject, stage, parse(_read(arguments.file), subject))
    lines = [
        (one.metric, one.verdict, str(one.samples), *map(_figure, figures), one.why)
        for one in found.findings
        for figures in [(one.baseline, one.canary, one.change, one.effect, one.p)]
    ]
    tables.show([HEAD, *lines])
    if found.verdict != PASS:
        raise Different(f"{found.verdict}: {found.why}")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadParams(f"cannot read the series of {file}: {error}. Nothing was judged") from None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3g}"
