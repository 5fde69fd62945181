"""The queries around an entity's SQL file: PostgreSQL itself renders the rows to NDJSON, sums and hashes.

The largest of them makes a page. With a short SQL file, its text is (``%s`` is a bound value)::

    SELECT convert_to(string_agg(_line, '' ORDER BY r.location_id) FILTER (WHERE _ok), 'UTF8'),
           count(*) FILTER (WHERE _ok),
           sum(octet_length(_line)),
           array_agg(left(coalesce(_id, 'NULL'), 1000)) FILTER (WHERE NOT _ok),
           (array_agg(r.location_id::text ORDER BY r.location_id))[count(*)]
    FROM (
      SELECT *, sum(octet_length(_line)) OVER (ORDER BY r.location_id ROWS UNBOUNDED PRECEDING) AS _total
      FROM (
        SELECT r._id, coalesce(octet_length(r._id) BETWEEN 1 AND 512, false) AS _ok, r.location_id,
               concat('{"create":{"_id":', to_json(r._id),
                      '}}
                      {"sync":{"position":"<position>","deleted":false,"written_at":"<time>","bucket":',
                      (hashtextextended(r._id COLLATE "C", 0) & 1023),
                      ',"hash_high":', ((r._hash >> 32) & 4294967295),
                      ',"hash_low":', (r._hash & 4294967295),
                      '},', right(r._document, -1), chr(10)) AS _line
        FROM (
          SELECT *, hashtextextended(_document COLLATE "C", 0) AS _hash
          FROM (
            SELECT _id, r.location_id,
                   CASE WHEN strpos(_document, chr(10)) > 0 THEN translate(_document, chr(10), ' ')
                        ELSE _document END AS _document
            FROM (
              SELECT r._id, r.location_id, row_to_json(d.*)::text AS _document
              FROM (
                SELECT * FROM (
                  SELECT l.location_id::text AS _id, l.location_id, l.name FROM locations AS l
                ) AS r
                WHERE true AND (r.location_id) > (%s::integer) AND (r.location_id) < (%s::integer)
                ORDER BY r.location_id LIMIT 500
              ) AS r
              CROSS JOIN LATERAL (SELECT r.location_id, r.name) AS d OFFSET bigint '0'
            ) AS r OFFSET bigint '0'
          ) AS r OFFSET bigint '0'
        ) AS r OFFSET bigint '0'
      ) AS r
    ) AS r
    WHERE _total <= 5000000 OR _total = octet_length(_line)

Read it from the inside to the outside: the rows of the range, their documents as text, the hashes of the documents,
both lines of each document, the bytes up to each line, the lines of one page. ``_documents`` explains the OFFSETs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

from psycopg import sql

from searchsync.catalog import BUCKETS, Entity
from searchsync.documents.page import MAX_ID_BYTES
from searchsync.sources.postgres_columns import Columns


@dataclass(frozen=True)
class Partition:
    """A half-open range of keys: ``lower <= key < upper``. None is an open end. A bound has the key columns as text."""

    lower: tuple[str, ...] | None = None
    upper: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Return the name that Airflow's grid shows for this partition."""
        ends = [("" if end is None else "/".join(end)) for end in (self.lower, self.upper)]
        return f"{ends[0]}..{ends[1]}" if any(ends) else "all"


class Read(NamedTuple):
    """The position of an open read transaction, and the time when it began (ISO 8601, UTC)."""

    position: str
    at: str


class Queries:
    """The queries of one entity. The SQL file is read by the first query, so a missing file fails the first read.

    :param select: the SELECT that an older index was made with, instead of the entity's SQL file
    """

    def __init__(self, entity: Entity, select: str | None) -> None:
        self._entity = entity
        self._select = select

    def rows(self) -> sql.SQL:
        """Return the SELECT of the SQL file.

        The file is part of the product, not input. % is escaped, because values are bound in the query (an empty list
        where there are none). The line break is there because the file may end in a comment, and what follows must not
        become part of it.
        """
        select = self._entity.sql if self._select is None else self._select
        return sql.SQL(select.replace("%", "%%") + "\n")

    def null_keys(self, column: str) -> sql.Composed:
        """Return a query for whether a key column has NULLs."""
        return sql.SQL("SELECT EXISTS (SELECT FROM ({rows}) AS r WHERE {key} IS NULL)").format(
            rows=self.rows(), key=sql.Identifier("r", column)
        )

    def repeated_key(self) -> sql.Composed:
        """Return a query for a key that several rows have, as text."""
        return sql.SQL("SELECT {texts} FROM ({rows}) AS r GROUP BY {keys} HAVING count(*) > 1 LIMIT 1").format(
            texts=self._texts(), rows=self.rows(), keys=self._keys()
        )

    def count(self) -> sql.Composed:
        """Return a query for the number of rows whose id a document can have."""
        return sql.SQL("SELECT count(*) FROM ({}) AS r WHERE {}").format(self.rows(), _ID_OK)

    def unusable(self) -> sql.Composed:
        """Return a query for the ids that no document can have, at most 10,000."""
        return sql.SQL("SELECT left(coalesce(_id, 'NULL'), 1000) FROM ({rows}) AS r WHERE NOT {ok} LIMIT 10000").format(
            rows=self.rows(), ok=_ID_OK
        )

    def bounds(self, step: int) -> sql.Composed:
        """Return a query for the key of every ``step``-th row, as text, without the first row."""
        return sql.SQL(
            "SELECT {texts} FROM (SELECT {keys}, row_number() OVER (ORDER BY {keys}) - 1 AS at"
            " FROM ({rows}) AS r) AS r WHERE at > 0 AND mod(at, {step}) = 0 ORDER BY at"
        ).format(texts=self._texts(), keys=self._keys(), rows=self.rows(), step=sql.Literal(step))

    # -- documents

    def page(
        self,
        columns: Columns,
        read: Read,
        partition: Partition,
        after: Sequence[str] | None,
        *,
        rows: int,
        page_bytes: int,
    ) -> tuple[sql.Composed, list[str]]:
        """Return a query for one page. It returns one row.

        The row has the page's body, the number of documents in it, the bytes of its lines, the ids that no document can
        have, and the last key.

        :param after: the last key of the page before; None at the beginning of a partition
        :param rows: largest number of rows
        :returns: the query, and the values that are bound in it
        """
        conditions: list[sql.Composable] = [sql.SQL("true")]
        values: list[str] = []
        first: tuple[LiteralString, Sequence[str] | None] = (">", after) if after else (">=", partition.lower)
        end: tuple[LiteralString, Sequence[str] | None] = ("<", partition.upper)
        for operator, bound in (first, end):
            if bound is not None:
                conditions.append(self._bound(operator, columns, bound))
                values += bound
        # The LIMIT fences the inner SELECT: each expression of the SQL file is computed once for each row.
        page = sql.SQL("SELECT * FROM ({}) AS r WHERE {} ORDER BY {} LIMIT {}").format(
            self.rows(), sql.SQL(" AND ").join(conditions), self._keys(), sql.Literal(rows)
        )
        # The OFFSET does the same for the lines. Without it they are made twice: for their length and for the page.
        # Every ORDER BY below is by the key. The index returns the rows in this order, so nothing is sorted.
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
            for column in self._entity.key
        )
        return (
            query.format(
                ok=_ID_OK,
                keys=self._keys(),
                last=last,
                line=_line(read),
                documents=self._documents(page, columns),
                fence=_FENCE,
                page_bytes=sql.Literal(page_bytes),
            ),
            values,
        )

    def states(self, columns: Columns, read: Read) -> sql.Composed:
        """Return a query for the documents of some ids: id, and both NDJSON lines in UTF-8."""
        wanted = sql.SQL("SELECT r.* FROM ({rows}) AS r JOIN unnest(%s::text[]) AS k ON k = r._id")
        return sql.SQL("SELECT r._id, convert_to({line}, 'UTF8') FROM {documents}").format(
            line=_line(read), documents=self._documents(wanted.format(rows=self.rows()), columns)
        )

    # -- comparison

    def sums(self, columns: Columns) -> sql.Composed:
        """Return a query for each bucket's number of documents and the sums of both halves of their hashes."""
        query = sql.SQL(
            "SELECT {bucket}, count(*), sum({high})::bigint, sum({low})::bigint FROM {documents} WHERE {ok} GROUP BY 1"
        )
        documents = self._documents(self.rows(), columns)
        return query.format(bucket=_BUCKET, high=_HIGH, low=_LOW, documents=documents, ok=_ID_OK)

    def counts(self) -> sql.Composed:
        """Return a query for each bucket's number of documents."""
        return sql.SQL(
            "SELECT {bucket}, count(*) FROM (SELECT _id FROM ({rows}) AS r) AS r WHERE {ok} GROUP BY 1"
        ).format(bucket=_BUCKET, rows=self.rows(), ok=_ID_OK)

    def hashes(self, columns: Columns) -> sql.Composed:
        """Return a query for the documents of some buckets: bucket, id, and both halves of the hash."""
        some = sql.SQL("SELECT * FROM ({rows}) AS r WHERE {ok} AND {bucket} = ANY(%s)").format(
            rows=self.rows(), ok=_ID_OK, bucket=_BUCKET
        )
        return sql.SQL("SELECT {bucket}, r._id, {high}, {low} FROM {documents}").format(
            bucket=_BUCKET, high=_HIGH, low=_LOW, documents=self._documents(some, columns)
        )

    def keys(self) -> sql.Composed:
        """Return a query for the ids of some buckets, with the columns of ``hashes``. It renders no row."""
        return sql.SQL(
            "SELECT {bucket}, _id, 0, 0 FROM (SELECT _id FROM ({rows}) AS r) AS r WHERE {ok} AND {bucket} = ANY(%s)"
        ).format(bucket=_BUCKET, rows=self.rows(), ok=_ID_OK)

    # -- parts

    def _keys(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier("r", column) for column in self._entity.key)

    def _texts(self) -> sql.Composed:
        texts = (sql.SQL("{}::text AS {}").format(sql.Identifier("r", c), sql.Identifier(c)) for c in self._entity.key)
        return sql.SQL(", ").join(texts)

    def _bound(self, operator: LiteralString, columns: Columns, bound: Sequence[str]) -> sql.Composed:
        # A row comparison is one index condition, also for a key of several columns. A bound may have only the first
        # of the columns.
        casts = sql.SQL(", ").join([sql.SQL(f"%s::{type_}") for type_ in columns.key_types[: len(bound)]])
        keys = sql.SQL(", ").join(sql.Identifier("r", column) for column in self._entity.key[: len(bound)])
        return sql.SQL("({}) {} ({})").format(keys, sql.SQL(operator), casts)

    def _documents(self, rows: sql.Composable, columns: Columns) -> sql.Composed:
        """Return rows as ``r``, with id, key, document as text and hash. Each is computed once for each row.

        Each OFFSET fences its SELECT: without it, PostgreSQL computes an expression twice that is used twice. It is a
        constant of type bigint, because with a plain 0 the planner would use no parallel workers.
        """
        fields = sql.SQL(", ").join(sql.Identifier("r", field) for field in columns.fields)
        return sql.SQL(
            '(SELECT *, hashtextextended(_document COLLATE "C", 0) AS _hash'
            " FROM (SELECT _id, {own}, {flat} AS _document"
            " FROM (SELECT r._id, {keys}, row_to_json(d.*)::text AS _document"
            " FROM ({rows}) AS r CROSS JOIN LATERAL (SELECT {fields}) AS d {fence}) AS r {fence}) AS r {fence}) AS r"
        ).format(own=self._keys(), keys=self._keys(), flat=_FLAT, rows=rows, fields=fields, fence=_FENCE)


def _line(read: Read) -> sql.Composed:
    """Return an expression for both NDJSON lines of a document, as text.

    ``right`` with -1 cuts the ``{`` off and does not count the characters.
    """
    constant = f'}}}}\n{{"sync":{{"position":"{read.position}","deleted":false,"written_at":"{read.at}","bucket":'
    return sql.SQL(
        """concat('{{"create":{{"_id":', to_json(r._id), {constant}, {bucket},"""
        """ ',"hash_high":', {high}, ',"hash_low":', {low}, '}},', right(r._document, -1), chr(10))"""
    ).format(constant=sql.Literal(constant), bucket=_BUCKET, high=_HIGH, low=_LOW)


_FENCE = sql.SQL("OFFSET bigint '0'")
# A json column keeps the line breaks that it was written with, and a line break would end the NDJSON line. JSON has no
# line breaks inside strings, so a space in place of each changes no value.
_FLAT = sql.SQL("CASE WHEN strpos(_document, chr(10)) > 0 THEN translate(_document, chr(10), ' ') ELSE _document END")
_HIGH = sql.SQL("((r._hash >> 32) & 4294967295)")
_LOW = sql.SQL("(r._hash & 4294967295)")
_BUCKET = sql.SQL(f'(hashtextextended(r._id COLLATE "C", 0) & {BUCKETS - 1})')
_ID_OK = sql.SQL(f"coalesce(octet_length(r._id) BETWEEN 1 AND {MAX_ID_BYTES}, false)")

BUCKETS_OF_IDS = sql.SQL("SELECT r._id, {bucket} FROM unnest(%s::text[]) AS r(_id)").format(bucket=_BUCKET)
"""Query for the buckets of some ids, whether or not the ids have rows."""
