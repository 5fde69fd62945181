"""``searchsync``: the same functions as the DAGs, from a shell.

Connections come from ``SEARCHSYNC_OPENSEARCH_URL`` (and ``SEARCHSYNC_OPENSEARCH_USER``, ``_PASSWORD``, ``_CA_CERTS``)
and ``SEARCHSYNC_POSTGRES_DSN``; DynamoDB and SQS from AWS' own variables and files, with the queues' URLs in
``SEARCHSYNC_DEAD_LETTER_QUEUE`` and ``SEARCHSYNC_PARKED_QUEUE``.
"""

import argparse
import json
import logging
import secrets
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import opensearchpy

from searchsync import differences, freshness, gaps, indexes, reindex, retire, rollback, sick
from searchsync.entities import CATALOG, Entity, entity
from searchsync.errors import BadParams, Different, SearchSyncError
from searchsync.freshness import Feed
from searchsync.indexes import Served
from searchsync.ledgers import Rejections
from searchsync.opensearch import connect_from_environment, request, setting
from searchsync.queue import Queue
from searchsync.reindex import Plan
from searchsync.replay import Choice, Replay
from searchsync.sources import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.postgres import PostgresSource


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 on success, 1 with one line on stderr otherwise, 2 for a wrong command line."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        arguments.command(arguments)
    except SearchSyncError as error:
        print(f"searchsync: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="searchsync", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("indexes", help="physical indexes with their roles, documents, size, age and freshness")
    show.add_argument(
        "what",
        nargs="*",
        help=f"of {', '.join(CATALOG)}, all when none is named; or: abandon NAME, to give up an index",
    )
    show.add_argument(
        "--check", action="store_true", help="exit code 1, and why, when an index is older than freshness.yaml allows"
    )
    show.set_defaults(command=_indexes)
    build = commands.add_parser("reindex", help="rebuild an index from its source and serve it")
    build.add_argument("entity", choices=list(CATALOG))
    build.add_argument("--partitions", type=int, default=1, help="ranges of keys, one after the other (default 1)")
    build.add_argument("--read-units", type=float, help="read capacity units a second of a scan (default: no limit)")
    build.add_argument("--max-rejected", type=int, help="documents that may be rejected (default: thresholds.yaml)")
    build.add_argument(
        "--reports", type=Path, default=Path("reports"), help="folder for the lists of rejected documents"
    )
    for name, text in (
        ("force", "start although another reindex is under way"),
        ("new-epoch", "the source was restored or failed over"),
        ("allow-shrink", "serve an index with far fewer documents, or none"),
    ):
        build.add_argument(f"--{name}", action="store_true", help=text)
    build.add_argument("--no-swap", action="store_true", help="build and check only; `swap` serves it later")
    build.set_defaults(command=_reindex)
    serve = commands.add_parser("swap", help="serve an index that was built and not served yet, after the same gate")
    serve.add_argument("entity", choices=list(CATALOG))
    serve.add_argument("index")
    serve.add_argument("--max-rejected", type=int, help="documents that may be rejected (default: thresholds.yaml)")
    serve.add_argument("--allow-shrink", action="store_true", help="serve it with far fewer documents, or none")
    serve.set_defaults(command=_swap)
    back = commands.add_parser(
        "rollback", help="serve an index again that was served before, proven and brought up to date"
    )
    back.add_argument("entity", choices=list(CATALOG))
    back.add_argument("--index", help="a rollback candidate (default: the one that was live last)")
    back.add_argument("--force", default="", metavar="REASON", help="serve it unproven, and why")
    back.set_defaults(command=_rollback)
    for command in (serve, back):
        command.add_argument(
            "--reports", type=Path, default=Path("reports"), help="folder for the lists of rejected documents"
        )
    differ = commands.add_parser(
        "compare", help="where an index differs from its source, proven; exit code 1 if it does"
    )
    differ.add_argument("entity", choices=list(CATALOG))
    differ.add_argument("--index", help="an index of the write set (default: the live one)")
    differ.add_argument(
        "--sample", type=int, default=100, help="documents compared field by field (default 100; above 10,000: all)"
    )
    differ.add_argument("--pending", action="store_true", help="report also what the next sync has to bring")
    differ.add_argument("--repair", action="store_true", help="write the confirmed keys as the source has them")
    differ.add_argument("--cap", type=int, help="keys that a repair may write (default: thresholds.yaml)")
    differ.set_defaults(command=_compare)
    end = commands.add_parser("retire", help="delete indexes and tombstones that had their day; say why")
    end.add_argument("entities", nargs="*", metavar="ENTITY", help=f"{', '.join(CATALOG)}; all when none is named")
    end.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    end.set_defaults(command=_retire)
    again = commands.add_parser("replay", help="replay the dead-letter queue of an entity")
    again.add_argument("entity", choices=[name for name, found in CATALOG.items() if found.source == "dynamodb"])
    again.add_argument("--dry-run", action="store_true", help="count what is there, write nothing")
    again.add_argument("--cap", type=int, default=10_000, help="messages at most (default %(default)s)")
    again.add_argument("--parked", action="store_true", help="those that wait for a person")
    again.set_defaults(command=_replay)
    return parser


def _indexes(arguments: argparse.Namespace) -> None:
    client = connect_from_environment()
    if arguments.what[:1] == ["abandon"]:
        _abandon(client, arguments.what[1:])
        return
    lines: list[tuple[str, ...]] = [
        ("INDEX", "ROLE", "DOCUMENTS", "DELETED", "SIZE", "AGE", "NEWEST WRITE", "LEFT READ", "GAPS")
    ]
    for name in arguments.what or CATALOG:
        lines += [_line(client, index) for index in indexes.of_entity(client, entity(name))]
    problems = _problems(client, arguments.what) if arguments.check else []
    _print(lines)
    if problems:
        raise Different("; ".join(problems))


def _print(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _problems(client: opensearchpy.OpenSearch, names: list[str]) -> list[str]:
    return [
        problem
        for name in names or CATALOG
        for problem in freshness.check(client, entity(name), _feed(entity(name), None))
    ]


def _feed(wanted: Entity, served: Served | None) -> Feed | None:
    if wanted.source != "dynamodb":
        return None
    session = botocore.session.get_session()
    dead_letters, parked = _queues(session)
    return Feed(
        DynamoSource(wanted, session.create_client("dynamodb"), identity=served.identity if served else None),
        session.create_client("dynamodbstreams"),
        session.create_client("cloudwatch"),
        dead_letters,
        parked,
    )


def _behind(client: opensearchpy.OpenSearch, wanted: Entity, name: str) -> Callable[[], float] | None:
    feed = _feed(wanted, indexes.served(client, wanted, name))
    return (lambda: feed.behind(client, name).seconds) if feed else None


def _queues(session: Any) -> list[Queue]:
    """The dead-letter queue, and that of messages which wait for a person."""
    names = ("SEARCHSYNC_DEAD_LETTER_QUEUE", "SEARCHSYNC_PARKED_QUEUE")
    return [Queue(session.create_client("sqs"), setting(name)) for name in names]


def _line(client: opensearchpy.OpenSearch, index: indexes.Index) -> tuple[str, ...]:
    aggs = {"deleted": {"filter": {"term": {"sync.deleted": True}}}, "newest": {"max": {"field": "sync.written_at"}}}
    body = {"size": 0, "track_total_hits": True, "aggs": aggs}
    found = request(client, "POST", f"/{index.name}/_search", body=body)
    stats = request(client, "GET", f"/{index.name}/_stats/store")
    deleted = found["aggregations"]["deleted"]["doc_count"]
    newest = found["aggregations"]["newest"].get("value_as_string") or "-"
    return (
        index.name,
        index.role,
        f"{found['hits']['total']['value'] - deleted:,}",
        f"{deleted:,}",
        f"{stats['_all']['primaries']['store']['size_in_bytes'] / 1e6:,.1f} MB",
        _age(index.created),
        newest,
        _age(index.left_read_at) + " ago" if index.left_read_at else "-",
        str(len(gaps.of_index(client, index.name))),
    )


def _abandon(client: opensearchpy.OpenSearch, names: list[str]) -> None:
    if len(names) != 1:
        raise BadParams("abandon takes one index: searchsync indexes abandon NAME")
    (name,) = names
    owner = next((found for found in CATALOG.values() if name.startswith(f"{found.name}-")), None)
    if owner is None:
        raise BadParams(f"{name} is no index of {', '.join(CATALOG)}")
    sick.abandon(client, owner, name)
    print(f"{name} is abandoned: it left the write set and is deleted")


def _age(moment: datetime) -> str:
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    return f"{minutes // 1440}d{minutes % 1440 // 60:02}h" if minutes >= 1440 else f"{minutes // 60}h{minutes % 60:02}m"


def _reindex(arguments: argparse.Namespace) -> None:
    report = reindex.run(
        connect_from_environment(),
        lambda plan: _source(entity(arguments.entity), plan, read_units=arguments.read_units),
        build=f"cli/{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(4)}",
        reports=arguments.reports,
        partitions=arguments.partitions,
        force=arguments.force,
        new_epoch=arguments.new_epoch,
        allow_shrink=arguments.allow_shrink,
        max_rejected=arguments.max_rejected,
        swapping=not arguments.no_swap,
    )
    print(json.dumps(report, indent=2))


def _swap(arguments: argparse.Namespace) -> None:
    wanted = entity(arguments.entity)
    with Rejections(arguments.reports / "cli" / f"rejected-{arguments.index}.ndjson") as rejections:
        gated = reindex.serve(
            connect_from_environment(),
            wanted,
            lambda plan: _source(wanted, plan),
            arguments.index,
            rejections=rejections,
            max_rejected=arguments.max_rejected,
            allow_shrink=arguments.allow_shrink,
        )
    print(json.dumps({"index": arguments.index, "gate": gated}, indent=2))


def _rollback(arguments: argparse.Namespace) -> None:
    client, wanted = connect_from_environment(), entity(arguments.entity)
    with Rejections(arguments.reports / "cli" / f"rejected-rollback-{wanted.name}.ndjson") as rejections:
        done = rollback.run(
            client,
            wanted,
            lambda served: _source(wanted, served),
            name=arguments.index,
            rejections=rejections,
            behind=lambda name: _behind(client, wanted, name),
            force=arguments.force,
        )
    print(json.dumps(done, indent=2))


def _source(wanted: Entity, plan: Plan | Served | None, *, read_units: float | None = None) -> Source:
    if wanted.source == "dynamodb":
        client = botocore.session.get_session().create_client("dynamodb")
        identity = None if plan is None else plan.identity
        return DynamoSource(wanted, client, identity=identity, read_units=read_units)
    dsn = setting("SEARCHSYNC_POSTGRES_DSN")
    if plan is None:
        return PostgresSource(wanted, dsn)
    return PostgresSource(wanted, dsn, epoch=plan.epoch, identity=plan.identity)


def _compare(arguments: argparse.Namespace) -> None:
    client, wanted = connect_from_environment(), entity(arguments.entity)
    name = arguments.index or indexes.live_or_raise(client, wanted)
    served = indexes.served(client, wanted, name)
    since = served.synced if wanted.changed and not arguments.pending else None
    with closing(_source(wanted, served)) as source:
        report = differences.find(
            client,
            source,
            name,
            sample=arguments.sample,
            grace=differences.GRACE_SECONDS,
            since=since,
            behind=_behind(client, wanted, name),
        )
        print(json.dumps(report.as_dict(), indent=2))
        if not report.findings:
            return
        done = differences.repair(client, source, report, dry_run=not arguments.repair, cap=arguments.cap)
    print(json.dumps(asdict(done), indent=2))
    if not arguments.repair or done.left or done.rejected:
        raise Different(f"{name}: {len(report.findings)} documents differ: {report.kinds}")


def _retire(arguments: argparse.Namespace) -> None:
    client, dry_run = connect_from_environment(), arguments.dry_run
    report: list[dict[str, Any]] = []
    failures: list[SearchSyncError] = []
    for found in [entity(name) for name in arguments.entities or CATALOG]:
        try:
            if not dry_run:
                sick.abandon_sick(client, found)
            # The builds of Airflow are not known here, so none is taken for dead before it is a day old.
            report += retire.retire(client, found, lambda _: None, dry_run=dry_run)
        except SearchSyncError as error:
            failures.append(error)
    lines = [(line["index"], line["role"], line["action"], f"{line['purged']:,}", line["why"]) for line in report]
    _print([("INDEX", "ROLE", "ACTION", "TOMBSTONES TO PURGE" if dry_run else "TOMBSTONES PURGED", "WHY"), *lines])
    if failures:
        raise failures[0]


def _replay(arguments: argparse.Namespace) -> None:
    session = botocore.session.get_session()
    dead_letters, parked = _queues(session)
    report = Replay(
        connect_from_environment(),
        _source(entity(arguments.entity), None),
        parked if arguments.parked else dead_letters,
        None if arguments.parked else parked,
        session.create_client("dynamodbstreams"),
        dry_run=arguments.dry_run,
        choice=Choice(cap=arguments.cap),
    ).run()
    print(json.dumps(report.as_dict(), indent=2))


if __name__ == "__main__":
    sys.exit(main())
