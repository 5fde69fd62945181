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
from typing import Any, LiteralString, NamedTuple, cast
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from searchsync.catalog import BUCKETS, Entity, reserved
from searchsync.documents import position
from searchsync.documents.page import MAX_ID_BYTES, Page, Rejection, page_of, tombstone
from searchsync.documents.position import Snapshot
from searchsync.documents.transforms import Transform
from searchsync.errors import BadParams, BadSource, SourceChanged
from searchsync.mapping import field_types
from searchsync.sources.postgres_connection import KEEPALIVES, options
from searchsync.sources.postgres_session import Session, locking_first
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


class Read(NamedTuple):
    """A read transaction that is open: its position, and when it began (ISO 8601, UTC)."""

    position: str
    at: str


class Columns(NamedTuple):
    """What the SQL file returns: the document's fields, and the SQL types of the key columns."""

    fields: tuple[str, ...]
    key_types: tuple[str, ...]


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
        self._select = select
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
        parts = conninfo_to_dict(self._dsn)
        parts["options"] = f"{parts.get('options') or ''} {options(self._session.version())}".strip()
        parts |= {name: str(value) for name, value in KEEPALIVES.items()}
        names = {"host", "port", "user", "password", "dbname"}
        query = urlencode({name: str(value) for name, value in parts.items() if name not in names})
        login = f"{quote(str(parts.get('user', '')), safe='')}:{quote(str(parts.get('password') or ''), safe='')}"
        where = f"{parts.get('host', '')}:{parts.get('port') or 5432}/{quote(str(parts.get('dbname', '')), safe='')}"
        return f"postgresql+psycopg://{login}@{where}" + (f"?{query}" if query else "")

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
            self._check_fields(connection)
            nulls = sql.SQL("SELECT EXISTS (SELECT FROM ({rows}) AS r WHERE {key} IS NULL)")
            for column in self.entity.key:
                query = nulls.format(rows=self._rows(), key=sql.Identifier("r", column))
                if connection.execute(query, []).fetchone() == (True,):
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
                query = sql.SQL(
                    "SELECT {texts} FROM (SELECT {keys}, row_number() OVER (ORDER BY {keys}) - 1 AS at"
                    " FROM ({rows}) AS r) AS r WHERE at > 0 AND mod(at, {step}) = 0 ORDER BY at"
                ).format(texts=self._key_texts(), keys=self._keys(), rows=self._rows(), step=sql.Literal(step))
                bounds = [tuple(row) for row in connection.execute(query, [])]
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
            columns = self._describe(connection)
            wanted = sql.SQL("SELECT r.* FROM ({rows}) AS r JOIN unnest(%s::text[]) AS k ON k = r._id")
            query = sql.SQL("SELECT r._id, convert_to({line}, 'UTF8') FROM {documents}").format(
                line=self._line(read), documents=self._documents(wanted.format(rows=self._rows()), columns)
            )
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
            gone = connection.execute(
                sql.SQL("SELECT r._id, {bucket} FROM unnest(%s::text[]) AS r(_id)").format(bucket=_BUCKET),
                [sorted(set(keys) - seen)],
            ).fetchall()
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
            rows = connection.execute(self._sums_query(connection), [])
            return {bucket: (count, high, low) for bucket, count, high, low in rows}

    @locking_first
    def counts(self) -> dict[int, int]:
        """Per bucket, at one snapshot: documents. Without their hashes, so at a fraction of ``fingerprints``' cost."""
        with self._read() as (connection, _):
            query = sql.SQL(
                "SELECT {bucket}, count(*) FROM (SELECT _id FROM ({rows}) AS r) AS r WHERE {ok} GROUP BY 1"
            ).format(bucket=_BUCKET, rows=self._rows(), ok=_ID_OK)
            return dict(connection.execute(query, []).fetchall())

    def keys(self, batches: Sequence[Sequence[int]]) -> Iterator[set[str]]:
        """For each batch of buckets, its ids, as ``hashes`` has them."""
        query = sql.SQL(
            "SELECT {bucket}, _id, 0, 0 FROM (SELECT _id FROM ({rows}) AS r) AS r WHERE {ok} AND {bucket} = ANY(%s)"
        ).format(bucket=_BUCKET, rows=self._rows(), ok=_ID_OK)
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
            query = sql.SQL(
                "SELECT left(coalesce(_id, 'NULL'), 1000) FROM ({rows}) AS r WHERE NOT {ok} LIMIT 10000"
            ).format(rows=self._rows(), ok=_ID_OK)
            return _rejections([row[0] for row in connection.execute(query, [])])

    def hashes(self, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, tuple[int, int]]]:
        """For each batch of buckets, ids with both halves of their hashes: one pass over the table, at one snapshot.

        They wait in a temporary file, so that memory is that of a batch and the snapshot is not held open meanwhile.

        :raises BadSource: when an id occurs twice
        """
        some = sql.SQL("SELECT * FROM ({rows}) AS r WHERE {ok} AND {bucket} = ANY(%s)").format(
            rows=self._rows(), ok=_ID_OK, bucket=_BUCKET
        )

        def query(columns: Columns) -> sql.Composed:
            return sql.SQL("SELECT {bucket}, r._id, {high}, {low} FROM {documents}").format(
                bucket=_BUCKET, high=_HIGH, low=_LOW, documents=self._documents(some, columns)
            )

        with closing(self._spool(query, batches)) as spool:
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
            query, values = self._page_query(partition, after, rows, page_bytes, read, self._describe(connection))
            return read.position, cast(Any, connection.execute(query, values, binary=True).fetchone())

    # -- the transaction

    @contextmanager
    def _read(self, *, streamed: bool = False) -> Iterator[tuple[psycopg.Connection[Any], Read]]:
        with self._session.read(self._rows(), streamed=streamed) as begun:
            if self.identity is not None and begun.snapshot.identity != self.identity:
                raise SourceChanged(
                    f"{self.entity.name}: the source is now {begun.snapshot.identity}, not {self.identity}: it was "
                    "restored or failed over. Positions of the two cannot be compared, so nothing was written. If "
                    "this is the right database, run the reindex "
                    'with {"new_epoch": true}'
                )
            yield begun.connection, Read(begun.snapshot.position(self.epoch), begun.at)

    # -- SQL

    @property
    def _file(self) -> str:
        return f"include/sql/{self.entity.name}.sql"

    def _rows(self) -> sql.SQL:
        # The file is part of the product, not input; % is escaped because values are bound beside it (an empty list
        # where there are none). It may end in a
        # comment, which must not take what follows with it.
        select = self.entity.sql if self._select is None else self._select
        return sql.SQL(select.replace("%", "%%") + "\n")

    def _keys(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier("r", column) for column in self.entity.key)

    def _key_texts(self) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL("{}::text AS {}").format(sql.Identifier("r", c), sql.Identifier(c)) for c in self.entity.key
        )

    def _count(self, connection: psycopg.Connection[Any]) -> int:
        query = sql.SQL("SELECT count(*) FROM ({}) AS r WHERE {}").format(self._rows(), _ID_OK)
        return int(cast(Any, connection.execute(query, []).fetchone())[0])

    def _describe(self, connection: psycopg.Connection[Any]) -> Columns:
        if self._columns is None:
            cursor = connection.execute(sql.SQL("SELECT * FROM ({}) AS r LIMIT 0").format(self._rows()), [])
            types = {column.name: column.type_code for column in cursor.description or ()}
            if len(types) < len(cursor.description or ()):
                raise BadSource(f"{self._file} returns two columns of one name")
            if taken := [name for name in types if reserved(name)]:
                raise BadSource(f"{self._file} returns a column {taken[0]!r}: 'sync' is the document's own state")
            if "_hash" in types:
                raise BadSource(
                    f"{self._file} returns a column '_hash': the hash is taken of the document's text now, so that it "
                    "changes exactly when the document does; take the column out of the file"
                )
            for name in ("_id", *self.entity.key):
                if name not in types:
                    raise BadSource(f"{self._file} does not return the column {name!r}")
            # -1, because without it char(n) is called character, and a cast to that keeps one letter.
            names = dict(
                connection.execute(
                    "SELECT oid::bigint, format_type(oid, -1) FROM pg_type WHERE oid = ANY(%s)", [list(types.values())]
                ).fetchall()
            )
            if names[types["_id"]] != "text":
                raise BadSource(f"{self._file}: _id is {names[types['_id']]}, not text; cast it")
            fields = tuple(name for name in types if name != "_id")
            self._columns = Columns(fields, tuple(names[types[column]] for column in self.entity.key))
        return self._columns

    def _check_fields(self, connection: psycopg.Connection[Any]) -> None:
        """Refuse columns that have no field, and those whose values their field would change in silence."""
        mapping = f"include/mappings/{self.entity.name}.json"
        properties = self.entity.index_body["mappings"].get("properties", {})
        wrong = []
        for name, sql_type in self._types(connection):
            field = field_types.of_path(properties, name)
            if field is None:
                wrong.append(f"{name} has no field; add one, to every index of the write set first, or drop the column")
            elif reason := field_types.why_not(field, sql_type):
                kind = field.get("type", "object")
                wrong.append(f"{name} is {sql_type}, which a field of the type {kind} does not hold: {reason}")
        if wrong:
            raise BadSource(f"{self._file} has columns that do not fit {mapping}: {'; '.join(sorted(wrong)[:10])}")

    def _types(self, connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
        """Fields with their types in SQL: of a domain the type that it is of, of a composite ``json``."""
        cursor = connection.execute(sql.SQL("SELECT * FROM ({}) AS r LIMIT 0").format(self._rows()), [])
        described = [
            (column.name, column.type_code, cast(Any, cursor.pgresult).fmod(at))
            for at, column in enumerate(cursor.description or ())
            if column.name != "_id"
        ]
        names, types, modifiers = ([one[part] for one in described] for part in range(3))
        return connection.execute(_TYPES, [names, types, modifiers]).fetchall()

    def _bound(self, operator: LiteralString, columns: Columns, bound: Sequence[str]) -> sql.Composed:
        # A row comparison: one index condition also for a key of several columns. A bound may name the first of them.
        casts = sql.SQL(", ").join([sql.SQL(f"%s::{type_}") for type_ in columns.key_types[: len(bound)]])
        keys = sql.SQL(", ").join(sql.Identifier("r", column) for column in self.entity.key[: len(bound)])
        return sql.SQL("({}) {} ({})").format(keys, sql.SQL(operator), casts)

    def _documents(self, rows: sql.Composable, columns: Columns) -> sql.Composed:
        """Rows as ``r`` with their id, their key, their document as text and its hash, each computed once a row.

        Each OFFSET fences its SELECT: without it, an expression that is used twice is computed twice. As a constant of
        type bigint it does not keep the planner from parallel workers, which a plain 0 would.
        """
        fields = sql.SQL(", ").join(sql.Identifier("r", field) for field in columns.fields)
        return sql.SQL(
            '(SELECT *, hashtextextended(_document COLLATE "C", 0) AS _hash'
            " FROM (SELECT _id, {own}, {flat} AS _document"
            " FROM (SELECT r._id, {keys}, row_to_json(d)::text AS _document"
            " FROM ({rows}) AS r CROSS JOIN LATERAL (SELECT {fields}) AS d {fence}) AS r {fence}) AS r {fence}) AS r"
        ).format(own=self._keys(), keys=self._keys(), flat=_FLAT, rows=rows, fields=fields, fence=_FENCE)

    def _line(self, read: Read) -> sql.Composed:
        """Both NDJSON lines of a document as text. A negative ``right`` cuts the ``{`` off, counting no characters."""
        constant = f'}}}}\n{{"sync":{{"position":"{read.position}","deleted":false,"written_at":"{read.at}","bucket":'
        return sql.SQL(
            """concat('{{"create":{{"_id":', to_json(r._id), {constant}, {bucket},"""
            """ ',"hash_high":', {high}, ',"hash_low":', {low}, '}},', right(r._document, -1), chr(10))"""
        ).format(constant=sql.Literal(constant), bucket=_BUCKET, high=_HIGH, low=_LOW)

    def _page_query(
        self,
        partition: Partition,
        after: Sequence[str] | None,
        rows: int,
        page_bytes: int,
        read: Read,
        columns: Columns,
    ) -> tuple[sql.Composed, list[str]]:
        conditions: list[sql.Composable] = [sql.SQL("true")]
        values: list[str] = []
        lower: tuple[LiteralString, Sequence[str] | None] = (">", after) if after else (">=", partition.lower)
        upper: tuple[LiteralString, tuple[str, ...] | None] = ("<", partition.upper)
        for operator, bound in (lower, upper):
            if bound is not None:
                conditions.append(self._bound(operator, columns, bound))
                values += bound
        # The LIMIT fences the inner SELECT, so that each expression of the SQL file is computed once a row.
        page = sql.SQL("SELECT * FROM ({}) AS r WHERE {} ORDER BY {} LIMIT {}").format(
            self._rows(), sql.SQL(" AND ").join(conditions), self._keys(), sql.Literal(rows)
        )
        # So does OFFSET for the lines, which would else be made twice: for their length and for the page.
        # All orders below are that of the key, in which the index delivers the rows: nothing is sorted.
        query = sql.SQL(
            "SELECT convert_to(string_agg(_line, '' ORDER BY {keys}) FILTER (WHERE _ok), 'UTF8'), count(*) FILTER "
            "(WHERE _ok),"
            " sum(octet_length(_line)), array_agg(left(coalesce(_id, 'NULL'), 1000)) FILTER (WHERE NOT _ok), {last}"
            " FROM (SELECT *, sum(octet_length(_line)) OVER (ORDER BY {keys} ROWS UNBOUNDED PRECEDING) AS _total"
            " FROM (SELECT r._id, {ok} AS _ok, {keys}, {line} AS _line FROM {documents} {fence}) AS r) AS r"
            " WHERE _total <= {page_bytes} OR _total = octet_length(_line)"
        )
        last = sql.SQL(", ").join(
            sql.SQL("(array_agg({}::text ORDER BY {}))[count(*)]").format(sql.Identifier("r", column), self._keys())
            for column in self.entity.key
        )
        return (
            query.format(
                ok=_ID_OK,
                keys=self._keys(),
                last=last,
                line=self._line(read),
                documents=self._documents(page, columns),
                fence=_FENCE,
                page_bytes=sql.Literal(page_bytes),
            ),
            values,
        )

    def _sums_query(self, connection: psycopg.Connection[Any]) -> sql.Composed:
        query = sql.SQL(
            "SELECT {bucket}, count(*), sum({high})::bigint, sum({low})::bigint FROM {documents} WHERE {ok} GROUP BY 1"
        )
        documents = self._documents(self._rows(), self._describe(connection))
        return query.format(bucket=_BUCKET, high=_HIGH, low=_LOW, documents=documents, ok=_ID_OK)

    def _duplicate(self, keys: list[str]) -> BadSource:
        twice = sorted(key for key, rows in Counter(keys).items() if rows > 1)[:5]
        return BadSource(
            f"{self._file} returns more than one row for the _id {', '.join(twice)}: one of them would be lost. "
            "Make _id unique"
        )


_TYPES: LiteralString = """
WITH RECURSIVE known AS (
    SELECT name, oid, modifier FROM unnest(%s::text[], %s::oid[], %s::int[]) AS given(name, oid, modifier)
    UNION ALL
    SELECT known.name, t.typbasetype, t.typtypmod FROM known JOIN pg_type AS t USING (oid) WHERE t.typtype = 'd'
)
SELECT known.name,
       CASE WHEN t.typtype = 'c' OR e.typtype = 'c' THEN 'json' ELSE format_type(known.oid, known.modifier) END
FROM known JOIN pg_type AS t USING (oid) LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE t.typtype <> 'd'
"""
_FENCE = sql.SQL("OFFSET bigint '0'")
# A json column keeps the line breaks it was written with, and those end an NDJSON line. In strings JSON has none.
_FLAT = sql.SQL("CASE WHEN strpos(_document, chr(10)) > 0 THEN translate(_document, chr(10), ' ') ELSE _document END")
_HIGH = sql.SQL("((r._hash >> 32) & 4294967295)")
_LOW = sql.SQL("(r._hash & 4294967295)")
_BUCKET = sql.SQL(f'(hashtextextended(r._id COLLATE "C", 0) & {BUCKETS - 1})')
_ID_OK = sql.SQL(f"coalesce(octet_length(r._id) BETWEEN 1 AND {MAX_ID_BYTES}, false)")


def _some(rows: list[Any], count: int) -> Iterator[list[Any]]:
    for at in range(0, len(rows), count):
        yield rows[at : at + count]


def _rejections(ids: list[str] | None) -> tuple[Rejection, ...]:
    reason = f"an _id must have 1 to {MAX_ID_BYTES} bytes"
    return tuple(Rejection(key, "invalid_id", reason) for key in ids or ())
