"""``searchsync entity``: make the files of a new entity from its table, and prove them before anything is live."""

import argparse
import json
import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from searchsync.catalog import DEFAULT_CONNECTION, Entity, entity
from searchsync.cli.connections import SHELL
from searchsync.errors import BadParams, GateFailed
from searchsync.scaffold import check, dynamodb_entity, dynamodb_table, files, postgres_entity, postgres_table
from searchsync.scaffold.files import Made


def add(commands: Any) -> None:
    """Add ``entity new`` and ``entity check``."""
    both = commands.add_parser("entity", help="make an entity from your own table, and check it")
    actions = both.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="write the files of a new entity; no file is ever replaced")
    new.add_argument("name", help="lower-case letters, digits and underscores; people will search by this name")
    table = new.add_mutually_exclusive_group(required=True)
    table.add_argument("--postgres", metavar="TABLE", help="a table of PostgreSQL: TABLE or SCHEMA.TABLE")
    table.add_argument("--dynamodb", metavar="TABLE", help="a table of DynamoDB")
    new.add_argument(
        "--connection",
        default="",
        metavar="ID",
        help="id of the connection; its variables begin with it (default: searchsync_postgres or aws_default)",
    )
    new.add_argument(
        "--select",
        default="",
        metavar="ATTRIBUTE=VALUE",
        help="DynamoDB: take only items with this value of a string attribute; ATTRIBUTE=PREFIX* for a beginning",
    )
    new.set_defaults(command=_new)
    prove = actions.add_parser("check", help="load a sample into an index that is thrown away; exit with 1 on a loss")
    prove.add_argument("name", help="the entity")
    prove.set_defaults(command=_check)


def _new(arguments: argparse.Namespace) -> None:
    name = arguments.name
    made, paths = _of_postgres(arguments) if arguments.postgres is not None else _of_dynamodb(arguments)
    files.write({path: made.files[what] for what, path in paths.items()})
    for path in paths.values():
        print(f"wrote {path}")
    for note in made.notes:
        print(f"look at {note}")
    print(f"next: searchsync entity check {name}")


def _of_postgres(arguments: argparse.Namespace) -> tuple[Made, dict[str, Path]]:
    if arguments.select:
        raise BadParams("--select is for DynamoDB; of PostgreSQL, the SQL file selects. Nothing was written")
    paths = files.check_new(arguments.name, postgres_entity.FILES)
    connection = _connection(arguments, "postgres")
    dsn, _ = SHELL.postgres(connection)
    table = postgres_table.read(dsn, arguments.postgres)
    return postgres_entity.make(arguments.name, table, connection=connection), paths


def _of_dynamodb(arguments: argparse.Namespace) -> tuple[Made, dict[str, Path]]:
    paths = files.check_new(arguments.name, dynamodb_entity.FILES)
    made = Entity(
        name=arguments.name,
        source="dynamodb",
        key=(),
        connection=_connection(arguments, "dynamodb"),
        table=arguments.dynamodb,
        select=dynamodb_entity.selection_of(arguments.select),
    )
    dynamodb_entity.check_table(made)
    table = dynamodb_table.read(SHELL.aws(made.connection, "dynamodb"), made.table, made.select)
    return dynamodb_entity.make(table, made), paths


def _connection(arguments: argparse.Namespace, source: str) -> str:
    connection: str = arguments.connection or DEFAULT_CONNECTION[source]
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", connection):
        raise BadParams(
            f"{connection!r} cannot be the id of a connection. Nothing was written. It has lower-case letters, digits "
            "and underscores, a letter first: the variables of a shell begin with it in capitals"
        )
    return connection


def _check(arguments: argparse.Namespace) -> None:
    checked = entity(arguments.name)
    with closing(SHELL.source(checked)) as source:
        report = check.check(SHELL.opensearch(), source)
    print(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    if report.losses:
        raise GateFailed(
            f"{checked.name}: of the sample, {'; '.join(report.losses)}. Nothing is live and nothing was left behind; "
            f"when the files are corrected: searchsync entity check {checked.name}"
        )
    if report.readers:
        print(
            f"look at {', '.join(report.readers)}: their functions read the stream of one table, and a shard stands "
            f"{check.MOST_READERS} readers at once: each is slowed down (docs/entities.md, Several kinds of items)"
        )
    if not report.documents:
        print(f"{checked.name} has no documents yet: only the types are proven. An index without any needs", end=" ")
        print("searchsync reindex --allow-shrink", end="; ")
    print(f"next: searchsync reindex {checked.name}, or ./dev trigger {checked.name}_reindex")
