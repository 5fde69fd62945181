"""``searchsync``: the same functions as the DAGs, from a shell.

The connection to OpenSearch comes from ``SEARCHSYNC_OPENSEARCH_URL`` (and ``SEARCHSYNC_OPENSEARCH_USER``,
``_PASSWORD``, ``_CA_CERTS``). The files of ``include/entities`` name those to the sources: PostgreSQL's
``searchsync_postgres`` is the variable ``SEARCHSYNC_POSTGRES_DSN``, and AWS' connections come from AWS' own variables
and files. The URLs of an entity's queues are in ``SEARCHSYNC_<ENTITY>_DEAD_LETTER_QUEUE`` and ``_PARKED_QUEUE``, the
bucket of its exports in ``_EXPORT_BUCKET``.
"""

import argparse
import json
import logging
import re
import secrets
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchsync.catalog import BAD_ENTITIES, CATALOG, NO_ENTITIES, entity
from searchsync.cli import access, canary, capacity, entities, freshness, preflight, readiness, slo, tables, workflows
from searchsync.cli import health as look_at_health
from searchsync.cli.connections import SHELL
from searchsync.cluster import unwritable
from searchsync.cluster.indexes import BuiltFrom, explain_without_entity, without_entity
from searchsync.compare import differences, repair
from searchsync.compare.differences import Effort
from searchsync.errors import BadParams, Different, SearchSyncError
from searchsync.operations import retire
from searchsync.operations.reindex import ReindexPlan
from searchsync.operations.replay import Choice, Replay
from searchsync.operations.replay_report import check_all
from searchsync.operations.retire import Decision
from searchsync.quality import health
from searchsync.sources.base import Source
from searchsync.writing.progress import Rejections


def main(argv: list[str] | None = None) -> int:
    """Run a command. Return 0 on success, 1 with one line on stderr on failure, 2 for a wrong command line."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where each of its settings comes from
    try:
        arguments.command(arguments)
    except SearchSyncError as error:
        print(f"searchsync: {type(error).__name__}: {as_options(str(error))}", file=sys.stderr)
        return 1
    return 0


def as_options(message: str) -> str:
    """Return the message with a DAG's parameters replaced by the options of this command line."""

    def options(found: re.Match[str]) -> str:
        pairs = (pair.split(": ", 1) for pair in found[1].split(", "))
        return " ".join(_option(name.strip('"'), value.strip('"')) for name, value in pairs)

    return _PARAMETERS.sub(options, message)


_PARAMETER = r'"[a-z_]+": (?:"[^",]*"|\w+)'
_PARAMETERS = re.compile(rf"\{{({_PARAMETER}(?:, {_PARAMETER})*)\}}")


def _option(name: str, value: str) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value in ("true", "on") else f"{option} {value}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="searchsync", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("indexes", help="list the physical indexes of each entity: role, documents, age")
    show.add_argument(
        "what",
        nargs="*",
        help=f"entities ({', '.join(CATALOG)}; all when none is named); or abandon NAME, which deletes an index",
    )
    show.add_argument(
        "--check",
        action="store_true",
        help="exit with 1, and say why, when an index is older than freshness.yaml allows",
    )
    show.set_defaults(command=_indexes)
    entities.add(commands)
    access.add(commands)
    _add_reindex(commands)
    _add_rollback(commands)
    _add_compare(commands)
    end = commands.add_parser("retire", help="delete indexes and tombstones that nobody needs any more, and say why")
    end.add_argument("entities", nargs="*", metavar="ENTITY", help=f"{', '.join(CATALOG)}; all when none is named")
    end.add_argument("--dry-run", action="store_true", help="only say what would be done; change nothing")
    end.set_defaults(command=_retire)
    again = commands.add_parser("replay", help="replay the dead-letter queue of an entity")
    streamed = [name for name, found in CATALOG.items() if found.source == "dynamodb"]
    again.add_argument("entity", choices=[*streamed, *BAD_ENTITIES])
    again.add_argument("--dry-run", action="store_true", help="only count what is in the queue; write nothing")
    again.add_argument("--cap", type=int, default=10_000, help="replay so many messages at most (default %(default)s)")
    again.add_argument("--parked", action="store_true", help="replay the parked messages, which wait for a person")
    _add_read_units(again)
    again.set_defaults(command=_replay)
    canary.add(commands)
    capacity.add(commands)
    freshness.add(commands)
    preflight.add(commands)
    look_at_health.add(commands)
    slo.add(commands)
    readiness.add(commands)
    return parser


def _add_reindex(commands: Any) -> None:
    """Add ``reindex``, and ``swap``, which serves an index that ``reindex --no-swap`` built."""
    build = commands.add_parser("reindex", help="rebuild an index from its source and serve it")
    build.add_argument("entity", choices=[*CATALOG, *BAD_ENTITIES])
    build.add_argument(
        "--partitions", type=int, default=1, help="number of key ranges, loaded one after the other (default 1)"
    )
    for name, text in (
        ("force", "start although another reindex is under way"),
        ("new-epoch", "begin a new epoch: the source was restored or failed over"),
    ):
        build.add_argument(f"--{name}", action="store_true", help=text)
    text = "read this export (ARN) instead of requesting one; for an entity with read_from: export"
    build.add_argument("--export-arn", default="", metavar="ARN", help=text)
    text = "primary shards of the index, and of those after it (default: as before; docs/operations/reindex.md)"
    build.add_argument("--number-of-shards", type=int, metavar="N", help=text)
    build.add_argument("--no-swap", action="store_true", help="only build and check the index; `swap` serves it later")
    build.set_defaults(command=_reindex)
    serve = commands.add_parser("swap", help="serve an index that was built and is not live yet, after the same gate")
    serve.add_argument("entity", choices=[*CATALOG, *BAD_ENTITIES])
    serve.add_argument("index")
    serve.set_defaults(command=_swap)
    for gated in (build, serve):
        _add_read_units(gated)
        gated.add_argument(
            "--max-rejected", type=int, help="accept so many rejected documents (default: thresholds.yaml)"
        )
        gated.add_argument(
            "--allow-shrink", action="store_true", help="serve the index with far fewer documents, or none"
        )
        _add_reports(gated)


def _add_rollback(commands: Any) -> None:
    text = "make an index live again that was live before, after it is proven and brought up to date"
    back = commands.add_parser("rollback", help=text)
    back.add_argument("entity", choices=[*CATALOG, *BAD_ENTITIES])
    back.add_argument("--index", help="a rollback candidate (default: the one that was live last)")
    back.add_argument("--force", default="", metavar="REASON", help="serve it without proof, for this reason")
    _add_read_units(back)
    _add_reports(back)
    back.set_defaults(command=_rollback)


def _add_compare(commands: Any) -> None:
    text = "show where an index provably differs from its source; exit with 1 if it does"
    differ = commands.add_parser("compare", help=text)
    differ.add_argument("entity", choices=[*CATALOG, *BAD_ENTITIES])
    differ.add_argument("--index", help="an index of the write set (default: the live one)")
    differ.add_argument(
        "--sample",
        type=int,
        default=100,
        help="compare so many documents field by field (default 100; above 10,000: all)",
    )
    differ.add_argument("--pending", action="store_true", help="also report what the next sync has to bring")
    differ.add_argument("--repair", action="store_true", help="write the confirmed keys as the source has them now")
    differ.add_argument("--cap", type=int, help="let a repair write so many keys at most (default: thresholds.yaml)")
    _add_read_units(differ)
    differ.set_defaults(command=_compare)


def _add_read_units(command: Any) -> None:
    text = "read capacity units per second for all reads of a DynamoDB table together (default: thresholds.yaml)"
    command.add_argument("--read-units", type=float, help=text)


def _add_reports(command: Any) -> None:
    text = "folder for the lists of rejected documents"
    command.add_argument("--reports", type=Path, default=Path("reports"), help=text)


def _indexes(arguments: argparse.Namespace) -> None:
    if arguments.what[:1] == ["abandon"]:
        _abandon(arguments.what[1:])
        return
    if not CATALOG and not BAD_ENTITIES:
        raise BadParams(NO_ENTITIES)
    wanted = [SHELL.indexes(entity(name)) for name in arguments.what or CATALOG]
    tables.show([tables.HEAD, *tables.lines(wanted)])
    given_up = [] if arguments.what else _without_entity()
    for problem in given_up:
        print(f"searchsync: {problem}", file=sys.stderr)
    if not arguments.check:
        return
    problems = [problem for indexes in wanted for problem in health.check(indexes, SHELL.feed(indexes.entity))]
    problems += given_up
    if problems:
        raise Different("; ".join(problems))


def _without_entity() -> list[str]:
    """Return what to do about indexes whose entity has no file."""
    found = without_entity(SHELL.opensearch())
    return [explain_without_entity(name, names) for name, names in found.items()]


def _abandon(names: list[str]) -> None:
    if len(names) != 1:
        raise BadParams("abandon takes one index: searchsync indexes abandon NAME")
    (name,) = names
    of = {index.name: found for found in map(SHELL.indexes, CATALOG.values()) for index in found.all()}
    owner = of.get(name)
    if owner is None:
        raise BadParams(f"{name} is no index of {', '.join(CATALOG)}")
    unwritable.abandon(owner, name)
    print(f"{name} is abandoned: it left the write set and is deleted")


def _source_for(arguments: argparse.Namespace) -> Callable[[ReindexPlan | BuiltFrom | None], Source]:
    return lambda of: SHELL.source(entity(arguments.entity), of, read_units=arguments.read_units)


def _reindex(arguments: argparse.Namespace) -> None:
    options = workflows.Options(
        partitions=arguments.partitions,
        force=arguments.force,
        new_epoch=arguments.new_epoch,
        allow_shrink=arguments.allow_shrink,
        max_rejected=arguments.max_rejected,
        number_of_shards=arguments.number_of_shards,
        swap=not arguments.no_swap,
    )
    run_id = f"cli/{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"
    indexes = SHELL.indexes(entity(arguments.entity))

    def connect(plan: ReindexPlan | None) -> Source:
        return SHELL.to_reindex(indexes.entity, plan, read_units=arguments.read_units, export=arguments.export_arn)

    report = workflows.rebuild(indexes, connect, run_id, arguments.reports, options)
    print(json.dumps(asdict(report), indent=2))


def _swap(arguments: argparse.Namespace) -> None:
    with Rejections(arguments.reports / "cli" / f"rejected-{arguments.index}.ndjson") as rejections:
        gated = workflows.serve(
            SHELL.indexes(entity(arguments.entity)),
            _source_for(arguments),
            arguments.index,
            rejections=rejections,
            max_rejected=arguments.max_rejected,
            allow_shrink=arguments.allow_shrink,
        )
    print(json.dumps({"index": arguments.index, "gate": asdict(gated)}, indent=2))


def _rollback(arguments: argparse.Namespace) -> None:
    indexes = SHELL.indexes(entity(arguments.entity))
    with Rejections(arguments.reports / "cli" / f"rejected-rollback-{arguments.entity}.ndjson") as rejections:
        done = workflows.roll_back(
            indexes,
            _source_for(arguments),
            name=arguments.index,
            rejections=rejections,
            behind=lambda name: SHELL.behind(indexes, name),
            force=arguments.force,
        )
    print(json.dumps(done, indent=2))


def _compare(arguments: argparse.Namespace) -> None:
    indexes = SHELL.indexes(entity(arguments.entity))
    name = arguments.index or indexes.live_or_raise()
    index, built_from = indexes.get(name), indexes.built_from(name)
    since = index.synced if indexes.entity.changed and not arguments.pending else None
    effort = Effort(sample=arguments.sample)
    with closing(_source_for(arguments)(built_from)) as source:
        report = differences.find(index, source, since=since, behind=SHELL.behind(indexes, name), effort=effort)
        print(json.dumps(report.as_dict(), indent=2))
        if report.not_looked_at:
            raise Different(
                f"{name}: at least {report.not_looked_at} documents differ, more than can be looked at: run the reindex"
            )
        if report.good:
            return
        done = repair.repair(indexes, source, report, dry_run=not arguments.repair, cap=arguments.cap)
    print(json.dumps(asdict(done), indent=2))
    if not arguments.repair or done.left or done.rejected:
        raise Different(f"{name}: {len(report.findings)} documents differ: {report.kinds}")


def _retire(arguments: argparse.Namespace) -> None:
    retire.check_policy(datetime.now(UTC))
    decisions: list[Decision] = []
    failures: list[SearchSyncError] = []
    for indexes in [SHELL.indexes(entity(name)) for name in arguments.entities or CATALOG]:
        try:
            if not arguments.dry_run:
                unwritable.evict(indexes)
            # The runs of Airflow are not known here, so none is taken for dead before it is a day old.
            decisions += retire.retire(indexes, lambda _: None, dry_run=arguments.dry_run)
        except SearchSyncError as error:
            failures.append(error)
    purged = "TOMBSTONES TO PURGE" if arguments.dry_run else "TOMBSTONES PURGED"
    lines = [(one.index, one.role, one.action, f"{one.purged:,}", one.why) for one in decisions]
    tables.show([("INDEX", "ROLE", "ACTION", purged, "WHY"), *lines])
    for problem in [] if arguments.entities else _without_entity():
        print(f"searchsync: {problem}", file=sys.stderr)
    if failures:
        raise failures[0]


def _replay(arguments: argparse.Namespace) -> None:
    indexes = SHELL.indexes(entity(arguments.entity))
    dead_letters, parked = SHELL.queues(indexes.entity)
    queue, for_people = (parked, None) if arguments.parked else (dead_letters, parked)
    choice = Choice(dry_run=arguments.dry_run, cap=arguments.cap)
    source, origins = _source_for(arguments)(None), SHELL.origins(indexes.entity)
    report = Replay(indexes, source, queue, for_people, origins, choice).run()
    print(json.dumps(report.as_dict(), indent=2))
    check_all(report.as_dict())


if __name__ == "__main__":
    sys.exit(main())
