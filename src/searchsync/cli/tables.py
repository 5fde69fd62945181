"""The physical indexes as a table for people, who look when something is wrong: each has a line, even then."""

from collections.abc import Sequence
from datetime import UTC, datetime

import opensearchpy

from searchsync.catalog import Entity
from searchsync.cluster import indexes, reads, unwritable
from searchsync.cluster.client import request
from searchsync.cluster.indexes import Index
from searchsync.deadline import within
from searchsync.errors import IndexUnavailable, RequestRejected
from searchsync.quality import history
from searchsync.stream import gaps

HEAD = (
    *("INDEX", "ROLE", "DOCUMENTS", "DELETED", "SIZE", "AGE", "NEWEST WRITE"),
    *("COMPARED", "LEFT READ", "GAPS", "TAKES WRITES"),
)
ANSWER_SECONDS = 5.0


def show(table: Sequence[tuple[str, ...]]) -> None:
    """Print a table, its head first."""
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def lines(client: opensearchpy.OpenSearch, entities: Sequence[Entity]) -> list[tuple[str, ...]]:
    """A line for each index."""
    found = [index for entity in entities for index in indexes.of_entity(client, entity)]
    return [_line(client, index) for index in found]


def _line(client: opensearchpy.OpenSearch, index: Index) -> tuple[str, ...]:
    why = unwritable.refuses_writes(client, index.name)
    try:
        with within(ANSWER_SECONDS):
            documents, deleted, size, newest = _figures(client, index.name)
    except (IndexUnavailable, RequestRejected):  # red or closed
        documents, deleted, size, newest = "?", "?", "?", "?"
    try:
        with within(ANSWER_SECONDS):
            compared = history.last_full(client, index.name)
            last = f"{_age(compared)} ago" if compared else "-"
    except IndexUnavailable:
        last = "?"
    left = f"{_age(index.left_read_at)} ago" if index.left_read_at else "-"
    known_gaps = str(len(gaps.of_index(client, index.name)))
    return (
        index.name, index.role, documents, deleted, size, _age(index.created), newest, last, left, known_gaps,
        f"no: {why}" if why else "yes",
    )  # fmt: skip


def _figures(client: opensearchpy.OpenSearch, name: str) -> tuple[str, str, str, str]:
    aggs = {"deleted": {"filter": {"term": {"sync.deleted": True}}}, "newest": {"max": {"field": "sync.written_at"}}}
    found = reads.search(client, name, {"size": 0, "track_total_hits": True, "aggs": aggs})
    stats = request(client, "GET", f"/{name}/_stats/store")
    deleted = found["aggregations"]["deleted"]["doc_count"]
    newest = found["aggregations"]["newest"].get("value_as_string") or "-"
    size = stats["_all"]["primaries"]["store"]["size_in_bytes"] / 1e6
    return f"{found['hits']['total']['value'] - deleted:,}", f"{deleted:,}", f"{size:,.1f} MB", newest


def _age(moment: datetime) -> str:
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    return f"{minutes // 1440}d{minutes % 1440 // 60:02}h" if minutes >= 1440 else f"{minutes // 60}h{minutes % 60:02}m"
