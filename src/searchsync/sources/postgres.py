"""PostgreSQL as a source: the server renders rows to NDJSON, and Python passes the bytes on.

The SQL file of an entity is one SELECT. Its column ``_id`` (text) is the document id. Every other column is a field of
the document, with the same name. The entity's key columns must be among them. The hash is taken of the rendered
document.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
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
from searchsync.sources.postgres_connection import Dsn
from searchsync.sources.postgres_session import Session, locking_first
from searchsync.sources.postgres_sql import BUCKETS_OF_IDS, Partition, Queries, Read
from searchsync.sources.spool import Spool

log = logging.getLogger(__name__)

MAX_PARTITIONS = 256
MAX_PAGE_ROWS = 50_000
FIRST_PAGE_ROWS = 500
"""Number of rows that the first page of a range asks for. Each later number follows from the page before."""

READ_PAGE_ROWS = 1_000
READ_BYTES = 2_000_000
"""Largest number of bytes in a page of ``states``, unless a document is larger. Compare-and-set writes these pages."""


class PostgresSource:
    """The rows of one entity. Not thread-safe: it has one connection and does one read at a time.

    :param dsn: libpq connection string of a login that may SELECT, or what makes one for each connection
    :param epoch: first part of all positions; a new one after a restore or failover (protocol.md, Position)
    :param identity: the expected server; a read from any other raises ``SourceChanged``
    :param select: the SELECT that an older index was made with, instead of the entity's SQL file
    :param source_id: an operator's name for this very database, the last part of its identity; it tells the original
        from a restored copy that kept the server's own identity
    """

    rounds = 5

    def __init__(
        self,
        entity: Entity,
        dsn: Dsn,
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
        """Return the same database as a source of another entity."""
        return PostgresSource(entity, self._dsn, epoch=self.epoch, identity=self.identity, source_id=self._source_id)

    def sqlalchemy_url(self) -> str:
        """Return the address for a library that connects by itself, with the settings of our own connection.

        It contains the password, or a token that is good for 15 minutes: never log or store it.
        """
        return self._session.sqlalchemy_url()

    def close(self) -> None:
        """Close the connection. The next read opens a new one."""
        self._session.close()

    def snapshot(self) -> Snapshot:
        """Return the current snapshot of the server, with the server's identity.

        :raises SourceUnavailable: when the server does not answer or is a standby
        :raises BadConnection: when the server refuses the login
        """
        with self._session.read(None) as begun:
            return begun.snapshot

    def origin(self) -> str:
        """Return the identity of the server that answers now: its system identifier and timeline."""
        return self.snapshot().identity

    def lost_history(self, highest: str) -> str:
        """Return why the server is in an earlier state than a position that was read from it; empty when it is not."""
        return position.behind(self.snapshot(), highest)

    def latest(self) -> str:
        """Return an upper bound: the present snapshot's position, and what a repair may have added to it (``+``)."""
        return f"{self.snapshot().position(self.epoch)}~"

    @locking_first
    def check(self) -> Columns:
        """Prove that the SQL file can be run here and returns what it must. Return its columns.

        :raises BadSource: when it does not; the message names the column or the database error
        """
        with self._read() as (connection, _):
            columns = self._describe(connection)
            postgres_columns.check_fields(connection, self._file, self._queries.rows(), self.entity)
            if (changed := self.entity.changed) and changed not in columns.fields:
                raise postgres_columns.missing(self._file, changed)
            for column in self.entity.key:
                if connection.execute(self._queries.null_keys(column), []).fetchone() == (True,):
                    raise BadSource(
                        f"{self._file}: key column {column!r} has NULLs, which no range of keys contains; "
                        "use columns that are NOT NULL"
                    )
            if repeated := connection.execute(self._queries.repeated_key(), []).fetchone():
                raise BadSource(
                    f"{self._file}: several rows have the key {', '.join(repeated)} ({', '.join(self.entity.key)}): a "
                    "page may end between them, and the next one begins after the key. Nothing was written; name "
                    f"columns that are unique together in include/entities/{self.entity.name}.yaml"
                )
            return columns

    @locking_first
    def count(self) -> int:
        """Return how many rows a document can be made of, at one snapshot. ``fingerprints`` counts the same rows."""
        with self._read() as (connection, _):
            return self._count(connection)

    @locking_first
    def partitions(self, n: int) -> list[Partition]:
        """Return at most ``n`` ranges of about equal size.

        Together they hold every possible key, also the keys of rows that come later. It takes one ordered pass over the
        key (an index-only scan). Its memory does not depend on the size of the table.

        :raises BadParams: when ``n`` is less than 1 or too large
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
        """Return the partition that JSON describes."""
        lower, upper = (
            described[end] if described[end] is None else tuple(described[end]) for end in ("lower", "upper")
        )
        return Partition(lower, upper)

    def pages(self, partition: Partition, *, page_bytes: int, after: Sequence[str] | None = None) -> Iterator[Page]:
        """Yield all rows of a range in key order, in pages of at most ``page_bytes`` (or one larger document).

        Each page is read in a transaction of its own and has a position of its own, so a long load holds no snapshot
        open. The next page begins after the last key of the page before, so an interruption skips no rows.

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
            del body  # only the caller keeps the page in memory
            rows = max(1, min(MAX_PAGE_ROWS, int(total * page_bytes / max(size, 1) * 0.98)))

    def states(self, keys: Sequence[str]) -> Generator[Page, None, None]:
        """Read some keys at one snapshot. Yield pages of the documents that exist, then of tombstones for the rest.

        The rows come one by one and a page ends at ``READ_BYTES``, so memory does not grow with their number. The
        snapshot is open until the last page of documents is taken. A caller that stops before must close the generator.

        :param keys: document ids, without repetition, at most ``sources.base.READ_KEYS``
        :raises BadSource: when two rows have the same id
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
        """Return all pages of ``states`` at once. Use it for few keys."""
        return list(self.states(keys))

    @locking_first
    def fingerprints(self) -> dict[int, tuple[int, int, int]]:
        """Return for each bucket the number of documents and the sums of both halves of their hashes, at one snapshot.

        The server renders every row for it.
        """
        with self._read() as (connection, _):
            rows = connection.execute(self._queries.sums(self._describe(connection)), [])
            return {bucket: (count, high, low) for bucket, count, high, low in rows}

    @locking_first
    def counts(self) -> dict[int, int]:
        """Return for each bucket the number of documents, at one snapshot.

        It needs no hashes, so it costs a fraction of ``fingerprints``.
        """
        with self._read() as (connection, _):
            return dict(connection.execute(self._queries.counts(), []).fetchall())

    def keys(self, batches: Sequence[Sequence[int]]) -> Iterator[set[str]]:
        """Yield the ids of each batch of buckets, the same ids that ``hashes`` has."""
        query = self._queries.keys()
        with closing(self._spool(lambda _: query, batches)) as spool:
            for batch in batches:
                yield {key for key, _ in spool.of(batch)}

    def read_at(self, _: Sequence[str]) -> dict[str, str]:
        """Return nothing: ``fingerprints`` sees one snapshot."""
        return {}

    def dropped(self) -> dict[str, int]:
        """Return nothing: ``check`` refuses a column that the mapping does not have."""
        return {}

    @locking_first
    def unusable(self) -> tuple[Rejection, ...]:
        """Return the rows whose ``_id`` no document can have, at one snapshot, at most 10,000.

        They are in no fingerprint.
        """
        with self._read() as (connection, _):
            return _rejections([row[0] for row in connection.execute(self._queries.unusable(), [])])

    def hashes(self, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, tuple[int, int]]]:
        """Yield for each batch of buckets the ids with both halves of their hashes: one pass over one snapshot.

        They wait in temporary files: so only one batch is in memory, and no snapshot is open between the batches.

        :raises BadSource: when two rows have the same id
        """
        with closing(self._spool(self._queries.hashes, batches)) as spool:
            for batch in batches:
                rows = spool.of(batch)
                if len(hashes := dict(rows)) < len(rows):
                    raise self._duplicate([key for key, _ in rows])
                yield hashes

    @locking_first
    def _spool(self, query: Callable[[Columns], sql.Composed], batches: Sequence[Sequence[int]]) -> Spool:
        """Write to disk what a query finds in some buckets, row by row in one pass. The caller closes the spool."""
        with ExitStack() as stack:
            spool = stack.enter_context(closing(Spool()))
            with self._read() as (connection, _):
                if buckets := [bucket for batch in batches for bucket in batch]:
                    for row in connection.cursor(binary=True).stream(query(self._describe(connection)), [buckets]):
                        spool.add(*row)
            stack.pop_all()
            return spool

    def renderings(self, made: Transform | None) -> list["PostgresSource"]:
        """Return this source; before it the same table with the SQL that an index was made with, if that is another.

        Return nothing when the index does not say its SQL, or when its SQL cannot be run any more. Then only keys can
        be compared.
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
        """Prove that the SQL can be run and returns what it must.

        :raises BadSource: when it cannot or does not
        """
        with self._read() as (connection, _):
            self._describe(connection)

    @locking_first
    def _page(
        self, partition: Partition, after: Sequence[str] | None, rows: int, page_bytes: int
    ) -> tuple[str, tuple[Any, ...]]:
        """Return the position of a page, and the one row that its query returns."""
        with self._read() as (connection, read):
            query, values = self._queries.page(
                self._describe(connection), read, partition, after, rows=rows, page_bytes=page_bytes
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
        return self.entity.sql_path

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
