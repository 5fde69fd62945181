"""What PostgreSQL says of one table: its columns with their types, its key, its indexes, and a sample of its rows."""

import json
import re
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from searchsync.errors import BadSource
from searchsync.sources import postgres_connection
from searchsync.sources.postgres_connection import Dsn, begin_asking

SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class Column:
    """One column of a table.

    :ivar quoted: its name as SQL has to write it
    :ivar declared: its type as the table declares it
    :ivar type: type of its values: of a domain the base type, of an array the type of its elements
    :ivar kind: ``typtype`` of that type: b (base), e (enum), c (composite), r (range), m (multirange)
    :ivar elements_of_domain: whether it is an array whose elements are of a domain
    :ivar comment: what ``COMMENT ON COLUMN`` says
    """

    name: str
    quoted: str
    declared: str
    type: str
    kind: str
    is_array: bool = False
    elements_of_domain: bool = False
    not_null: bool = False
    comment: str = ""


@dataclass(frozen=True)
class Table:
    """One table.

    :ivar quoted: schema and name as SQL has to write them
    :ivar key: names of the columns of the primary key, or of a unique index on columns that are NOT NULL
    :ivar key_of: which of the two it is, for people
    :ivar indexed: names of the columns that an index begins with
    :ivar sample: the first rows, as JSON shows them, without columns of bytes
    """

    quoted: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    key_of: str
    indexed: frozenset[str]
    sample: tuple[dict[str, Any], ...]


def read(dsn: Dsn, name: str) -> Table:
    """Return a table of a database.

    :param dsn: libpq connection string of the login that will read the table, or what makes one
    :param name: the table, with its schema unless that is ``public``; a name with dots stands in double quotes
    :raises SourceUnavailable: when the server does not answer
    :raises BadConnection: when the server refuses the login
    :raises BadSource: when there is no such table, the login may not read it, or it has no key
    """
    with postgres_connection.errors(name, f"the query of {name}"), postgres_connection.connect(dsn) as connection:
        begin_asking(connection)
        found = _find(connection, name)
        oid, quoted = found["oid"], found["quoted"]
        columns = tuple(Column(*row) for row in connection.execute(_COLUMNS, [oid, oid]))
        indexes = connection.execute(_INDEXES, [oid]).fetchall()
        key, key_of = _key(quoted, indexes)
        shown = ", ".join(column.quoted for column in columns if column.type != "bytea") or "NULL"
        rows = _SAMPLE.format(sql.SQL(cast(Any, shown)), sql.SQL(cast(Any, quoted)), sql.Literal(SAMPLE_ROWS))
        sample = tuple(json.loads(row[0]) for row in connection.execute(rows))
        indexed = frozenset(index[1][0] for index in indexes if index[1] and index[1][0])
    return Table(quoted, columns, key, key_of, indexed, sample)


_PART = re.compile(r'"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^".]+)')


def _candidates(name: str) -> list[tuple[str, str]]:
    """Return what a name may mean, as pairs of schema and table: as it is written, then in lower case, as SQL reads it.

    :raises BadSource: when it is no name of a table
    """
    parts = list(_PART.finditer(name))
    written = ".".join(match[0] for match in parts)
    if not parts or len(parts) > 2 or written != name:
        raise BadSource(
            f"{name!r} names no table. Nothing was written. Write TABLE or SCHEMA.TABLE; a part with dots stands in "
            "double quotes, as in SQL: 'shop.\"price.list\"'"
        )
    exact = [(part["quoted"] or "").replace('""', '"') or part["plain"] for part in parts]
    folded = [text if part["quoted"] else text.lower() for part, text in zip(parts, exact, strict=True)]
    schemas = [["public"], ["public"]] if len(parts) == 1 else [exact[:1], folded[:1]]
    return [(*schemas[0], exact[-1]), (*schemas[1], folded[-1])]


_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
    "t": "a TOAST table",
}


def _find(connection: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    for schema, table in _candidates(name):
        row = connection.execute(_TABLE, [schema, table]).fetchone()
        if row is None:
            continue
        oid, kind, quoted, may_use, may_read = row
        if kind in ("v", "m"):
            raise BadSource(
                f"{quoted} is {_KINDS[kind]}: it has no key by which each row is found again. Nothing was written. "
                "Name the table that it reads; afterwards put the SELECT of the view into the SQL file, and keep _id "
                "and the key columns"
            )
        if kind not in ("r", "p"):
            raise BadSource(f"{quoted} is {_KINDS.get(kind, 'no table')}. Nothing was written; name a table")
        if not (may_use and may_read):
            login = connection.execute("SELECT quote_ident(current_user)").fetchone()
            user = login[0] if login else "the login"
            right = f"GRANT SELECT ON {quoted} TO {user}" if may_use else f"GRANT USAGE ON SCHEMA {schema} TO {user}"
            raise BadSource(
                f"{user} may not read {quoted}. Nothing was written. Let the owner run: {right}; then run this again"
            )
        return {"oid": oid, "quoted": quoted}
    raise BadSource(
        f"there is no table {name} in the database {connection.info.dbname}. Nothing was written. Is it the right "
        "connection, and does the table's schema stand before its name? Without one, it is public"
    )


def _key(quoted: str, indexes: list[tuple[Any, ...]]) -> tuple[tuple[str, ...], str]:
    """Return the columns of the primary key, else those of the unique index with the fewest columns, all NOT NULL."""
    found = sorted(
        (not primary, len(columns), name, columns)
        for name, columns, primary, is_key in indexes
        if is_key and columns and all(columns)
    )
    if not found:
        raise BadSource(
            f"{quoted} has neither a primary key nor a unique index on columns that are NOT NULL: no row could be "
            "found again. Nothing was written. Let the owner add one (ALTER TABLE ... ADD PRIMARY KEY, or SET NOT NULL "
            "for the columns of a unique index); then run this again"
        )
    secondary, _, name, columns = found[0]
    return tuple(columns), f"unique index {name}" if secondary else "primary key"


_SAMPLE = sql.SQL("SELECT row_to_json(r.*)::text FROM (SELECT {} FROM {} LIMIT {}) AS r")
_TABLE: LiteralString = """
SELECT c.oid::bigint, c.relkind::text, format('%%I.%%I', n.nspname, c.relname),
       has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
# A domain leads to its base type and an array to the type of its elements, however often; the last type counts.
_COLUMNS: LiteralString = """
WITH RECURSIVE known AS (
    SELECT attnum, atttypid AS oid, atttypmod AS modifier, false AS is_array, false AS elements_of_domain
    FROM pg_attribute WHERE attrelid = %s::bigint::oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT k.attnum, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE k.modifier END,
           k.is_array OR t.typtype <> 'd', k.elements_of_domain OR (k.is_array AND t.typtype = 'd')
    FROM known AS k JOIN pg_type AS t USING (oid) WHERE t.typtype = 'd' OR t.typcategory = 'A'
)
SELECT a.attname, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), format_type(k.oid, k.modifier),
       t.typtype::text, k.is_array, k.elements_of_domain, a.attnotnull,
       coalesce(col_description(a.attrelid, a.attnum), '')
FROM known AS k JOIN pg_type AS t USING (oid)
     JOIN pg_attribute AS a ON a.attrelid = %s::bigint::oid AND a.attnum = k.attnum
WHERE t.typtype <> 'd' AND t.typcategory <> 'A' ORDER BY a.attnum
"""
# The columns of each index that covers all rows, without INCLUDE; NULL stands for an expression.
_INDEXES: LiteralString = """
SELECT c.relname,
       ARRAY(SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
             WHERE k.at <= i.indnkeyatts ORDER BY k.at)::text[],
       i.indisprimary,
       i.indisprimary OR (i.indisunique AND i.indimmediate AND NOT EXISTS (
           SELECT FROM unnest(i.indkey::int2[]) AS k(attnum)
           LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           WHERE NOT coalesce(a.attnotnull, false)))
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::bigint::oid AND i.indisvalid AND i.indpred IS NULL ORDER BY c.relname
"""
