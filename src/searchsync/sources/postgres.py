"""PostgreSQL as a source: rows rendered to NDJSON by the server, passed on as bytes.

The SQL file of an entity is one SELECT. A column ``_id`` (text) is the document id; every other column is a field of
the document, under its name. The entity's key columns must be among them. The hash is that of the rendered document.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import psycopg
from psycopg import sql

from searchsync.catalog import Entity
from searchsync.documents import position
from searchsync.documents.page import MAX_ID_BYTES, Page, Rejection, page_of, tombstone
from searchsync.documents.position import Snapshot
from searchsync.documents.transforms import Transform
from searchsync.errors import BadParams, BadSource, SourceChanged
from searchsync.sources import postgres_columns
from searchsync.sources.postgres_columns import Columns
from searchsync.sources.postgres_session import Session, locking_first
from searchsync.sources.postgres_sql import BUCKETS_OF_IDS, Queries, Read
from searchsync.sources.spool import Spool

log = logging.getLogger(__name__)

MAX_PARTITIONS = 256
MAX_PAGE_ROWS = 50_000
FIRST_PAGE_ROWS = 500
READ_PAGE_ROWS = 1_000
READ_BYTES = 2_000_000
"""Of a page of ``states``: it is written by compare-and-set."""


@dataclass(frozen=True)
class Partition:
    """A half-open range of keys, ``lower <= key < upper``; None is an open end. Bounds are the key columns as text."""

    lower: tuple[str, ...] | None = None
    upper: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Shown as the partition's name in the grid."""
        ends = [("" if end is None else "/".join(end)) for end in (self.lower, self.upper)]
        return f"{ends[0]}..{ends[1]}" if any(ends) else "all"


class PostgresSource:
    """One entity's rows. Not thread-safe: one connection, one read at a time.

    :param dsn: libpq connection string of a login that may SELECT
    :param epoch: first part of all positions; a new one after a restore or failover (protocol.md, Position)
    :param identity: the server expected; a read on any other raises ``SourceChanged``
    :param select: instead of the entity's SQL file; the one that an older index was made with
    :param source_id: an operator's name for this very database, the last part of its identity: a restore that keeps
        the server's own is told from the original by another name
    """

    rounds = 5

    def __init__(
        self,
        entity: Entity,
        dsn: str,
        *,
        epoch: int = 1,
        identity: str | None = None,
        source_id: str = "",
        select: str | None = None,
    ) -> None:
        self.entity = entity
        self._queries = Queries(entity, select)
        self.epoch = epoch
        self.identity = identity
        self._dsn = dsn
        self._source_id = source_id
        self._session = Session(entity.name, self._file, dsn, source_id=source_id)
        self._columns: Columns | None = None

    def __repr__(self) -> str:
        return f"PostgresSource({self.entity.name!r})"

    def of(self, entity: Entity) -> "PostgresSource":
        """The same database as seen by another entity."""
        return PostgresSource(entity, self._dsn, epoch=self.epoch, identity=self.identity, source_id=self._source_id)

    def sqlalchemy_url(self) -> str:
        """The address, with its password and the settings of our own connection, for a library that connects by itself.

        Never to be logged or stored.
        """
        return self._session.sqlalchemy_url()

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        self._session.close()

    def snapshot(self) -> Snapshot:
        """The server's identity and its current snapshot.

        :raises SourceUnavailable: when it does not answer or is a standby
        :raises BadConnection: when it refuses the login
        """
        with self._session.read(None) as begun:
            return begun.snapshot

    def origin(self) -> str:
        """The server that answers now: its system identifier and timeline."""
        return self.snapshot().identity

    def lost_history(self, highest: str) -> str:
        """Why the server is in the past of a position that was read of it; empty when nothing says so."""
        return position.behind(self.snapshot(), highest)

    def latest(self) -> str:
        """The present snapshot's position, and what a repair may have put just above it."""
        return f"{self.snapshot().position(self.epoch)}~"

    @locking_first
    def check(self) -> Columns:
        """Prove that the SQL file can be run here and returns what it has to.

        :raises BadSource: naming the column or the database error
        """
        with self._read() as (connection, _):
            columns = self._describe(connection)
            postgres_columns.check_fields(connection, self._file, self._queries.rows(), self.entity)
            for column in self.entity.key:
                if connection.execute(self._queries.null_keys(column), []).fetchone() == (True,):
                    raise BadSource(
                        f"{self._file}: key column {column!r} has NULLs, which no range of keys contains; "
                        "use columns that are NOT NULL"
                    )
            return columns

    @locking_first
    def count(self) -> int:
        """Rows that a document can be made of, as ``fingerprints`` has them, at one snapshot."""
        with self._read() as (connection, _):
            return self._count(connection)

    @locking_first
    def partitions(self, n: int) -> list[Partition]:
        """At most ``n`` ranges of about equal size that together hold every possible key, those of later rows too.

        One ordered pass over the key (an index-only scan), memory independent of the table.
        """
        if not 1 <= n <= MAX_PARTITIONS:
            raise BadParams(f"partitions must be between 1 and {MAX_PARTITIONS}, not {n}")
        with self._read() as (connection, _):
            step = -(-self._count(connection) // n)
            bounds: list[tuple[str, ...]] = []
            if step:
                bounds = [tuple(row) for row in connection.execute(self._queries.bounds(step), [])]
        ends = [None, *dict.fromkeys(bounds), None]
        return [Partition(lower, upper) for lower, upper in pairwise(ends)]

    def partition(self, described: dict[str, Any]) -> Partition:
        """A partition as it comes out of JSON."""
        lower, upper = (
            described[end] if described[end] is None else tuple(described[end]) for end in ("lower", "upper")
        )
        return Partition(lower, upper)

    def pages(self, partition: Partition, *, page_bytes: int, after: Sequence[str] | None = None) -> Iterator[Page]:
        """All rows of a range in key order, in pages of at most ``page_bytes`` (or one larger document).

        Each page is its own transaction with its own position: a long load holds no snapshot open, and rows are
        passed over by no interruption, because the next page begins after the last key of the one before.

        :param after: the last key of the page before, as text
        """
        rows = FIRST_PAGE_ROWS
        while True:
            position, (body, count, size, bad, *last) = self._page(partition, after, rows, page_bytes)
            total = count + len(bad or ())
            if not total:
                return
            after = last
            yield Page(body or b"", count, position, rejected=_rejections(bad), resume=last)
            del body  # whoever took the page decides how long it lives
            rows = max(1, min(MAX_PAGE_ROWS, int(total * page_bytes / max(size, 1) * 0.98)))

    def states(self, keys: Sequence[str]) -> Generator[Page, None, None]:
        """The state of some documents at one snapshot: pages of those that exist, then of tombstones for the rest.

        The rows come one by one and a page ends at ``READ_BYTES``, so memory does not grow with them. The snapshot is
        open until the last page was taken; whoever takes no more has to close it.

        :param keys: document ids, without repetition, at most ``sources.READ_KEYS``
        :raises BadSource: when an id occurs twice
        """
        with self._read(streamed=True) as (connection, read):
            query = self._queries.states(self._describe(connection), read)
            seen: set[str] = set()
            lines: list[bytes] = []
            size = 0
            with connection.cursor(binary=True) as cursor:
                for key, line in cursor.stream(query, [list(keys)], binary=True):
                    if key in seen:
                        raise self._duplicate([key, key])
                    seen.add(key)
                    if lines and size + len(line) > READ_BYTES:
                        yield Page(b"".join(lines), len(lines), read.position)
                        lines, size = [], 0
                    lines.append(line)
                    size += len(line)
            if lines:
                yield Page(b"".join(lines), len(lines), read.position)
            gone = connection.execute(BUCKETS_OF_IDS, [sorted(set(keys) - seen)]).fetchall()
        for some in _some(gone, READ_PAGE_ROWS):
            tombstones = [
                tombstone(key, position=read.position, bucket=bucket, written_at=read.at) for key, bucket in some
            ]
            yield page_of(tombstones, position=read.position)

    def read(self, keys: Sequence[str]) -> list[Page]:
        """The same at once, of keys that are few."""
        return list(self.states(keys))

    @locking_first
    def fingerprints(self) -> dict[int, tuple[int, int, int]]:
        """Per bucket, at one snapshot: documents, and the sums of both halves of their hashes. It renders every row."""
        with self._read() as (connection, _):
            rows = connection.execute(self._queries.sums(self._describe(connection)), [])
            return {bucket: (count, high, low) for bucket, count, high, low in rows}

    @locking_first
    def counts(self) -> dict[int, int]:
        """Per bucket, at one snapshot: documents. Without their hashes, so at a fraction of ``fingerprints``' cost."""
        with self._read() as (connection, _):
            return dict(connection.execute(self._queries.counts(), []).fetchall())

    def keys(self, batches: Sequence[Sequence[int]]) -> Iterator[set[str]]:
        """For each batch of buckets, its ids, as ``hashes`` has them."""
        query = self._queries.keys()
        with closing(self._spool(lambda _: query, batches)) as spool:
            for batch in batches:
                yield {key for key, _ in spool.of(batch)}

    def read_at(self, _: Sequence[str]) -> dict[str, str]:
        """Empty: ``fingerprints`` sees one snapshot."""
        return {}

    def dropped(self) -> dict[str, int]:
        """Nothing: a column that the mapping does not have is refused by ``check``."""
        return {}

    @locking_first
    def unusable(self) -> tuple[Rejection, ...]:
        """Rows whose ``_id`` no document can have, at one snapshot, 10,000 at most: they are in no fingerprint."""
        with self._read() as (connection, _):
            return _rejections([row[0] for row in connection.execute(self._queries.unusable(), [])])

    def hashes(self, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, tuple[int, int]]]:
        """For each batch of buckets, ids with both halves of their hashes: one pass over the table, at one snapshot.

        They wait in a temporary file, so that memory is that of a batch and the snapshot is not held open meanwhile.

        :raises BadSource: when an id occurs twice
        """
        with closing(self._spool(self._queries.hashes, batches)) as spool:
            for batch in batches:
                rows = spool.of(batch)
                if len(hashes := dict(rows)) < len(rows):
                    raise self._duplicate([key for key, _ in rows])
                yield hashes

    @locking_first
    def _spool(self, query: Callable[[Columns], sql.Composed], batches: Sequence[Sequence[int]]) -> Spool:
        """What a query finds in some buckets: in one pass, and row by row. The caller closes it."""
        with ExitStack() as stack:
            spool = stack.enter_context(closing(Spool()))
            with self._read() as (connection, _):
                if buckets := [bucket for batch in batches for bucket in batch]:
                    for row in connection.cursor(binary=True).stream(query(self._describe(connection)), [buckets]):
                        spool.add(*row)
            stack.pop_all()
            return spool

    def renderings(self, made: Transform | None) -> list["PostgresSource"]:
        """This one, and before it the same table by the SQL that an index was made with, when that is another.

        An index that does not say it, or whose SQL cannot be run any more, can be compared by its keys only.
        """
        if made is None:
            return []
        if made.sql == self.entity.sql:
            return [self]
        older = PostgresSource(
            self.entity,
            self._dsn,
            epoch=self.epoch,
            identity=self.identity,
            source_id=self._source_id,
            select=made.sql,
        )
        try:
            older._prove()
        except BadSource as error:
            log.warning("%s: an index was made by SQL that cannot be run any more: %s", self.entity.name, error)
            older.close()
            return []
        return [older, self]

    @locking_first
    def _prove(self) -> None:
        """That the SQL can be run, and what it returns."""
        with self._read() as (connection, _):
            self._describe(connection)

    @locking_first
    def _page(
        self, partition: Partition, after: Sequence[str] | None, rows: int, page_bytes: int
    ) -> tuple[str, tuple[Any, ...]]:
        """A page's position, and the one row of its query."""
        with self._read() as (connection, read):
            query, values = self._queries.page(
                self._describe(connection),
                read,
                after=after,
                lower=partition.lower,
                upper=partition.upper,
                rows=rows,
                page_bytes=page_bytes,
            )
            return read.position, cast(Any, connection.execute(query, values, binary=True).fetchone())

    # -- the transaction

    @contextmanager
    def _read(self, *, streamed: bool = False) -> Iterator[tuple[psycopg.Connection[Any], Read]]:
        with self._session.read(self._queries.rows(), streamed=streamed) as begun:
            if self.identity is not None and begun.snapshot.identity != self.identity:
                raise SourceChanged(
                    f"{self.entity.name}: the source is now {begun.snapshot.identity}, not {self.identity}: it was "
                    "restored or failed over. Positions of the two cannot be compared, so nothing was written. If "
                    "this is the right database, run the reindex "
                    'with {"new_epoch": true}'
                )
            yield begun.connection, Read(begun.snapshot.position(self.epoch), begun.at)

    # -- the SQL file

    @property
    def _file(self) -> str:
        return f"include/sql/{self.entity.name}.sql"

    def _describe(self, connection: psycopg.Connection[Any]) -> Columns:
        if self._columns is None:
            self._columns = postgres_columns.describe(connection, self._file, self._queries.rows(), self.entity.key)
        return self._columns

    def _count(self, connection: psycopg.Connection[Any]) -> int:
        return int(cast(Any, connection.execute(self._queries.count(), []).fetchone())[0])

    def _duplicate(self, keys: list[str]) -> BadSource:
        twice = sorted(key for key, rows in Counter(keys).items() if rows > 1)[:5]
        return BadSource(
            f"{self._file} returns more than one row for the _id {', '.join(twice)}: one of them would be lost. "
            "Make _id unique"
        )


def _some(rows: list[Any], count: int) -> Iterator[list[Any]]:
    for at in range(0, len(rows), count):
        yield rows[at : at + count]


def _rejections(ids: list[str] | None) -> tuple[Rejection, ...]:
    reason = f"an _id must have 1 to {MAX_ID_BYTES} bytes"
    return tuple(Rejection(key, "invalid_id", reason) for key in ids or ())
