"""``searchsync freshness``: how soon a change of each source is found by searches."""

import argparse
from functools import partial
from typing import Any

from searchsync.catalog import CATALOG, entity
from searchsync.cli import tables
from searchsync.cli.connections import SHELL
from searchsync.errors import Different
from searchsync.freshness import run
from searchsync.freshness.result import FAILED, LATE, Measured

HEAD = ("ENTITY", "STATE", "SECONDS", "WRITTEN", "DELETED", "WHY")


def add(commands: Any) -> None:
    """Add the command."""
    text = "measure how soon a change of each source is found by searches; exit with 1 when it is not in time"
    parser = commands.add_parser("freshness", help=text)
    parser.add_argument("entities", nargs="*", metavar="ENTITY", help=f"{', '.join(CATALOG)}; all when none is named")
    parser.set_defaults(command=_freshness)


def _freshness(arguments: argparse.Namespace) -> None:
    wanted = [entity(name) for name in arguments.entities or CATALOG]
    found = [run.measure(SHELL.indexes(one), partial(SHELL.heartbeat, one)).result for one in wanted]
    tables.show([HEAD, *map(_line, found)])
    if bad := [one for one in found if one.state in (LATE, FAILED)]:
        raise Different("; ".join(f"{one.entity}: {one.why}" for one in bad))


def _line(found: Measured) -> tuple[str, ...]:
    seconds = ("-" if one is None else f"{one:,.1f}" for one in (found.seconds, found.written, found.deleted))
    return (found.entity, found.state, *seconds, found.why or "-")
