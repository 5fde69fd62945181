"""PostgreSQL: the server that entities are read from, and what their login may do there."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from searchsync.catalog import Entity
from searchsync.preflight.checks import Check, Finding
from searchsync.preflight.target import Target
from searchsync.sources import postgres_connection

# Rights count however the login has them: by a role that it is a member of, on a column alone, as the table's owner.
_ASK = """
SELECT current_user, pg_is_in_recovery(), current_setting('server_encoding'),
       (SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb) FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')),
       (SELECT string_agg(n.nspname || '.' || c.relname, ', ' ORDER BY n.nspname, c.relname)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
          AND (has_table_privilege(c.oid, 'DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')))
"""


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of each connection's server, and of each entity's rights in it."""
    connections = {entity.connection: entity for entity in target.of("postgres")}
    for connection, entity in sorted(connections.items()):
        yield Check(
            "PostgreSQL login",
            connection,
            "nothing could be read",
            "Correct the connection, or let the login in",
            partial(_login, target, entity),
        )
        yield Check(
            "PostgreSQL is primary",
            connection,
            "a standby lags behind, and its positions are not those of the primary",
            "Name the primary in the connection",
            partial(_primary, target, entity),
        )
        yield Check(
            "PostgreSQL encoding",
            connection,
            "documents are UTF-8, and other encodings have characters that are not",
            "Make the database anew with ENCODING 'UTF8'",
            partial(_encoding, target, entity),
        )
        yield Check(
            "PostgreSQL login's power",
            connection,
            "who gets hold of it could change what it only has to read",
            "ALTER ROLE ... NOSUPERUSER NOCREATEROLE NOCREATEDB; REVOKE INSERT, UPDATE, DELETE, TRUNCATE",
            partial(_power, target, entity),
        )
    for entity in target.of("postgres"):
        yield Check(
            "rows", entity.name, "a reindex would fail", f"Correct {entity.sql_path}, or GRANT SELECT",
            partial(_rows, target, entity),
        )  # fmt: skip


def _asked(target: Target, entity: Entity) -> tuple[Any, ...]:
    dsn, _ = target.connections.postgres(entity.connection)
    with (
        postgres_connection.errors(entity.name, entity.sql_path),
        postgres_connection.connect(dsn) as connection,
    ):
        (asked,) = connection.execute(_ASK).fetchall()
        return tuple(asked)


def _login(target: Target, entity: Entity) -> Finding:
    return Finding(f"as {_asked(target, entity)[0]}")


def _primary(target: Target, entity: Entity) -> Finding:
    return Finding("primary", ["it is a standby"] if _asked(target, entity)[1] else [])


def _encoding(target: Target, entity: Entity) -> Finding:
    encoding = _asked(target, entity)[2]
    return Finding(encoding, [] if encoding == "UTF8" else [f"it is {encoding}"])


def _power(target: Target, entity: Entity) -> Finding:
    login, _, _, administers, changes = _asked(target, entity)
    problems = [f"{login} may administer the server"] if administers else []
    return Finding(f"{login} may read alone", problems + ([f"{login} may change rows of {changes}"] if changes else []))


def _rows(target: Target, entity: Entity) -> Finding:
    with closing(target.connections.rows(entity)) as source:
        columns = source.check()
    return Finding(f"{len(columns.fields)} fields of {entity.sql_path}")
