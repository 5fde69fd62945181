"""The physical indexes as a table for people, who look when something is wrong: each has a line, even then."""

from collections.abc import Sequence
from datetime import UTC, datetime

from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.deadline import Deadline
from searchsync.errors import IndexUnavailable, RequestRejected
from searchsync.quality.history import History
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


def lines(wanted: Sequence[EntityIndexes]) -> list[tuple[str, ...]]:
    """Return a line for each index of some entities."""
    return [_line(index) for indexes in wanted for index in indexes.all()]


def _line(index: PhysicalIndex) -> tuple[str, ...]:
    why = index.why_unwritable()
    try:
        documents, deleted, size, newest = _figures(index.until(Deadline.within(ANSWER_SECONDS)))
    except (IndexUnavailable, RequestRejected):  # red or closed
        documents, deleted, size, newest = "?", "?", "?", "?"
    try:
        in_time = index.client.until(Deadline.within(ANSWER_SECONDS))
        compared = History(in_time).last_full(index.name)
        last = f"{_age(compared)} ago" if compared else "-"
    except IndexUnavailable:
        last = "?"
    left = f"{_age(index.left_read_at)} ago" if index.left_read_at else "-"
    known_gaps = str(len(gaps.of_index(index)))
    return (
        index.name, index.role, documents, deleted, size, _age(index.created), newest, last, left, known_gaps,
        f"no: {why}" if why else "yes",
    )  # fmt: skip


def _figures(index: Index) -> tuple[str, str, str, str]:
    aggs = {"deleted": {"filter": {"term": {"sync.deleted": True}}}, "newest": {"max": {"field": "sync.written_at"}}}
    found = index.search({"size": 0, "track_total_hits": True, "aggs": aggs})
    stats = index.client.request("GET", f"/{index.name}/_stats/store")
    deleted = found["aggregations"]["deleted"]["doc_count"]
    newest = found["aggregations"]["newest"].get("value_as_string") or "-"
    size = stats["_all"]["primaries"]["store"]["size_in_bytes"] / 1e6
    return f"{found['hits']['total']['value'] - deleted:,}", f"{deleted:,}", f"{size:,.1f} MB", newest


def _age(moment: datetime) -> str:
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    return f"{minutes // 1440}d{minutes % 1440 // 60:02}h" if minutes >= 1440 else f"{minutes // 60}h{minutes % 60:02}m"
