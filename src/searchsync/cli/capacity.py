"""``searchsync capacity``: sizes, forecast and advice, as the DAG sees them. It keeps nothing."""

import argparse
from typing import Any

from searchsync.capacity import report, run
from searchsync.capacity.advice import GB
from searchsync.capacity.outlook import Outlook
from searchsync.catalog import CATALOG, entity
from searchsync.cli import tables
from searchsync.cli.connections import SHELL
from searchsync.errors import Different, IndexUnavailable

HEAD = ("INDEX", "DOCUMENTS", "SHARDS", "SIZE", "LARGEST SHARD", "DOCUMENTS A DAY", "POINTS OF DAYS")


def add(commands: Any) -> None:
    """Add the command."""
    text = "show sizes, forecast, room on the disks, and what to do; exit with 1 when something must be done now"
    command = commands.add_parser("capacity", help=text)
    command.add_argument("entities", nargs="*", metavar="ENTITY", help=f"{', '.join(CATALOG)}; all when none is named")
    command.set_defaults(command=_capacity)


def _capacity(arguments: argparse.Namespace) -> None:
    names = arguments.entities or [*CATALOG]
    found = run.run(SHELL.opensearch(), [entity(name) for name in names], "cli")
    tables.show([HEAD, *(_line(outlook) for outlook in found.outlooks.values())])
    if not found.problems and (empty := [name for name in names if name not in found.outlooks]):
        print(f"nothing is live yet of {', '.join(empty)}")
    if room := found.room:
        print(
            f"\nDisks: {room.room / GB:,.1f} GB free below the low watermark ({room.low}); the largest reindex needs "
            f"{room.reindex / GB:,.1f} GB. When it no longer fits: {report.when(room.full)}"
        )
    for one in found.advice:
        print(f"\n{one.severity} {one.text}")
    if found.problems:
        raise IndexUnavailable("; ".join(found.problems))
    if urgent := [one.about for one in found.advice if one.urgent]:
        raise Different(f"must be done now: {', '.join(urgent)}")


def _line(outlook: Outlook) -> tuple[str, ...]:
    size, trend = outlook.size, outlook.trend
    return (
        size.index,
        f"{size.documents:,}",
        str(size.shards),
        f"{size.bytes / GB:,.3f} GB",
        f"{size.largest_shard_bytes / GB:,.3f} GB",
        f"{trend.per_day:+,.1f}" if trend else "?",
        str(len(outlook.points)),
    )
