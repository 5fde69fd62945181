"""The columns that an entity's SQL file returns. Columns that no document can be made of are refused by name."""

from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
from psycopg import sql

from searchsync.catalog import Entity
from searchsync.errors import BadSource
from searchsync.mapping import field_types
from searchsync.mapping.mapping_file import reserved


class Columns(NamedTuple):
    """What the SQL file returns: the fields of the document, and the SQL types of the key columns."""

    fields: tuple[str, ...]
    key_types: tuple[str, ...]


def describe(connection: psycopg.Connection[Any], file: str, rows: sql.Composable, key: Sequence[str]) -> Columns:
    """Return the columns of the SQL file, as the server describes them.

    :param file: for messages
    :param rows: the SELECT of the file
    :param key: the entity's key columns
    :raises BadSource: when a column is missing, has a reserved name or a wrong type
    """
    cursor = connection.execute(_NO_ROWS.format(rows), [])
    types = {column.name: column.type_code for column in cursor.description or ()}
    if len(types) < len(cursor.description or ()):
        raise BadSource(f"{file} returns two columns of one name")
    if taken := [name for name in types if reserved(name)]:
        raise BadSource(f"{file} returns a column {taken[0]!r}: 'sync' is the document's own state")
    if "_hash" in types:
        raise BadSource(
            f"{file} returns a column '_hash': the hash is taken of the document's text now, so that it "
            "changes exactly when the document does; take the column out of the file"
        )
    for name in ("_id", *key):
        if name not in types:
            raise missing(file, name)
    # -1, because without it the name of char(n) is character, and a cast to character keeps only one letter.
    names = dict(
        connection.execute(
            "SELECT oid::bigint, format_type(oid, -1) FROM pg_type WHERE oid = ANY(%s)", [list(types.values())]
        ).fetchall()
    )
    if names[types["_id"]] != "text":
        raise BadSource(f"{file}: _id is {names[types['_id']]}, not text; cast it")
    fields = tuple(name for name in types if name != "_id")
    return Columns(fields, tuple(names[types[column]] for column in key))


def missing(file: str, column: str) -> BadSource:
    """Return what to say when the SQL file does not return a column that is needed."""
    why = "every document needs it" if column == "_id" else "the file in include/entities names it as key or changed"
    return BadSource(f"{file} does not return the column {column!r}, and {why}. Correct one of both")


def check_fields(connection: psycopg.Connection[Any], file: str, rows: sql.Composable, entity: Entity) -> None:
    """Refuse columns that have no field in the mapping, and columns whose values their field would change in silence.

    :param file: for messages
    :param rows: the SELECT of the file
    :raises BadSource: when there are such columns; the message names them
    """
    mapping = f"include/mappings/{entity.name}.json"
    properties = entity.index_body["mappings"].get("properties", {})
    wrong = []
    for name, sql_type in _types(connection, rows):
        field = field_types.of_path(properties, name)
        if field is None:
            wrong.append(f"{name} has no field; add one, to every index of the write set first, or drop the column")
        elif reason := field_types.why_not(field, sql_type):
            kind = field.get("type", "object")
            wrong.append(f"{name} is {sql_type}, which a field of the type {kind} does not hold: {reason}")
    if wrong:
        raise BadSource(f"{file} has columns that do not fit {mapping}: {'; '.join(sorted(wrong)[:10])}")


def _types(connection: psycopg.Connection[Any], rows: sql.Composable) -> list[tuple[str, str]]:
    """Return the fields with their SQL types: for a domain its base type, for a composite type ``json``."""
    cursor = connection.execute(_NO_ROWS.format(rows), [])
    described = [
        (column.name, column.type_code, cast(Any, cursor.pgresult).fmod(at))
        for at, column in enumerate(cursor.description or ())
        if column.name != "_id"
    ]
    names, types, modifiers = ([one[part] for one in described] for part in range(3))
    return connection.execute(_TYPES, [names, types, modifiers]).fetchall()


_NO_ROWS = sql.SQL("SELECT * FROM ({}) AS r LIMIT 0")
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
