"""``searchsync``: the same functions as the DAGs, from a shell.

Connections come from ``SEARCHSYNC_OPENSEARCH_URL`` (and ``SEARCHSYNC_OPENSEARCH_USER``, ``_PASSWORD``, ``_CA_CERTS``)
and ``SEARCHSYNC_POSTGRES_DSN``; DynamoDB and SQS from AWS' own variables and files, with the queues' URLs in
``SEARCHSYNC_DEAD_LETTER_QUEUE`` and ``SEARCHSYNC_PARKED_QUEUE``.
"""

import argparse
import json
import logging
import os
import secrets
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import opensearchpy

from searchsync import differences, freshness, indexes, reindex, sick
from searchsync.entities import CATALOG, Entity, entity
from searchsync.errors import BadParams, Different, EmptyWriteSet, SearchSyncError
from searchsync.indexes import Served
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
    build.set_defaults(command=_reindex)
    differ = commands.add_parser(
        "compare", help="where an index differs from its source, proven; exit code 1 if it does"
    )
    differ.add_argument("entity", choices=list(CATALOG))
    differ.add_argument("--index", help="an index of the write set (default: the live one)")
    differ.add_argument("--sample", type=int, default=100, help="documents compared field by field (default 100)")
    differ.add_argument("--pending", action="store_true", help="report also what the next sync has to bring")
    differ.add_argument("--repair", action="store_true", help="write the confirmed keys as the source has them")
    differ.add_argument("--cap", type=int, help="keys that a repair may write (default: thresholds.yaml)")
    differ.set_defaults(command=_compare)
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
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if problems:
        raise Different("; ".join(problems))


def _problems(client: opensearchpy.OpenSearch, names: list[str]) -> list[str]:
    url = os.environ.get("SEARCHSYNC_DEAD_LETTER_QUEUE")
    queue = Queue(botocore.session.get_session().create_client("sqs"), url) if url else None
    return [
        problem
        for name in names or CATALOG
        for problem in freshness.check(client, entity(name), queue if entity(name).source == "dynamodb" else None)
    ]


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
        str(len(index.meta.get("gaps", []))),
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
    )
    print(json.dumps(report, indent=2))


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
    name = arguments.index or indexes.live(client, wanted)
    if name is None:
        raise EmptyWriteSet(f"{wanted.name}: nothing is live yet; run {wanted.name}_reindex first")
    served = indexes.served(client, wanted, name)
    since = served.synced if wanted.changed and not arguments.pending else None
    with closing(_source(wanted, served)) as source:
        report = differences.find(
            client, source, name, sample=arguments.sample, grace=differences.GRACE_SECONDS, since=since
        )
        print(json.dumps(report.as_dict(), indent=2))
        if not report.findings:
            return
        done = differences.repair(client, source, report, dry_run=not arguments.repair, cap=arguments.cap)
    print(json.dumps(asdict(done), indent=2))
    if not arguments.repair or done.left or done.rejected:
        raise Different(f"{name}: {len(report.findings)} documents differ: {report.kinds}")


def _replay(arguments: argparse.Namespace) -> None:
    session = botocore.session.get_session()
    names = ("SEARCHSYNC_DEAD_LETTER_QUEUE", "SEARCHSYNC_PARKED_QUEUE")
    dead_letters, parked = (Queue(session.create_client("sqs"), setting(name)) for name in names)
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
