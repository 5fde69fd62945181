"""Connections to PostgreSQL: the settings that each of them needs, and what their errors mean."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import sql

from searchsync.errors import BadConnection, BadSource, SearchSyncError, SourceUnavailable

Dsn = str | Callable[[], str]
"""A libpq connection string, or what makes one for each connection (``postgres_iam.IamLogin``)."""

LOCK_SECONDS = 300
"""Seconds that a read waits for a lock: a reload or a rewrite of a table takes minutes. Nobody else waits for it."""

KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""Options of libpq that notice a dead peer after 30 + 3 x 10 = 60 s. With Linux' own values it takes 30 + 9 x 75 s.

``tcp_user_timeout`` is in milliseconds, the intervals are in seconds.
"""

_SETTINGS: Mapping[str, str] = {
    # the bytes of values
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    # what the SQL means
    "search_path": "public",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",
    "transform_null_equals": "off",
    # rows and their order: with row security off, PostgreSQL refuses a query that a policy would make incomplete
    "row_security": "off",
    "gin_fuzzy_search_limit": "0",
    "synchronize_seqscans": "off",
    # how long a connection and its queries may live
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "300s",
    "jit": "off",
}


def settings(version: int) -> dict[str, str]:
    """Return the settings that every connection must make, because a role, a database or a server may have others.

    :param version: the server's version as libpq writes it (180004)
    """
    found = {**_SETTINGS, "lock_timeout": f"{LOCK_SECONDS}s"}
    return found | {"transaction_timeout": "0"} if version >= 170_000 else found


def set_local(version: int) -> sql.SQL:
    """Return ``settings`` as statements for one transaction."""
    return sql.SQL(cast(Any, " ".join(f"SET LOCAL {name} = '{value}';" for name, value in settings(version).items())))


def options(version: int) -> str:
    """Return ``settings`` as libpq's ``options``, for a library that makes its own connections and transactions."""
    own = {"default_transaction_isolation": "read committed", "default_transaction_read_only": "on"}
    own |= {"default_transaction_deferrable": "off"}
    return " ".join(
        "-c {}={}".format(name, value.replace("\\", "\\\\").replace(" ", "\\ "))
        for name, value in (settings(version) | own).items()
    )


def current(dsn: Dsn) -> str:
    """Return the connection string for a connection that is opened now. It may hold a password: never log it."""
    return dsn() if callable(dsn) else dsn


def connect(dsn: Dsn) -> psycopg.Connection[Any]:
    """Open a connection that begins no transaction by itself and notices a dead peer (``KEEPALIVES``)."""
    return psycopg.connect(
        current(dsn),
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=10,
        application_name="searchsync",
        client_encoding="UTF8",
        **cast(Any, KEEPALIVES),
    )


def rows_of(connection: psycopg.Connection[Any], query: sql.Composed) -> list[Any]:
    """Run statements. Return the first row of each statement that returns rows."""
    cursor, rows = connection.execute(query), []
    while True:
        if cursor.description is not None:
            rows.append(cursor.fetchone())
        if not cursor.nextset():
            return rows


_BEGIN_ASKING = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {settings}")


def begin_asking(connection: psycopg.Connection[Any]) -> None:
    """Begin a READ COMMITTED transaction. Each of its queries sees all that is committed when the query begins."""
    rows_of(connection, _BEGIN_ASKING.format(settings=set_local(connection.info.server_version)))


# -- errors

_STOPPED = {"08", "40", "53", "57", "58", "72", "XX", "25P03", "25P04", "55006", "55P03"}
"""SQLSTATEs, and classes of them, that may be over at the next attempt: a cancel, no room, a lock, a fault."""

_REFUSED = re.compile(
    r"authentication failed|no pg_hba\.conf entry|does not exist|certificate|not permitted to log in"
    r"|no password supplied|does not support SSL"
)


@contextmanager
def errors(name: str, file: str) -> Iterator[None]:
    """Raise each error of PostgreSQL in this block as an error of ours.

    :param name: name of the entity, for messages
    :param file: file that holds the SQL, for messages
    :raises SourceUnavailable: when the server does not answer, or stopped the query
    :raises BadConnection: when the connection string is wrong, or the server refuses the login
    :raises BadSource: when the SQL cannot be run
    """
    try:
        yield
    except psycopg.Error as error:
        told = _told(error, name, file)
        raise told from (None if isinstance(told, BadConnection) else error)


def _told(error: psycopg.Error, name: str, file: str) -> SearchSyncError:
    state, line = error.sqlstate, _first_line(error)
    if state is None and isinstance(error, psycopg.ProgrammingError):  # its text is left out: it may hold the password
        return BadConnection(f"{name}: the connection string is not one that PostgreSQL's client understands")
    if (state or "")[:2] in ("28", "3D") or (state is None and _REFUSED.search(str(error))):
        return BadConnection(f"{name}: PostgreSQL refuses the connection: {line}")
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return SourceUnavailable(
            f"{name}: PostgreSQL does not answer: {line}. Run the task again when it does: it begins anew and "
            "writes nothing twice"
        )
    if state in _STOPPED or (state or "")[:2] in _STOPPED:
        return SourceUnavailable(
            f"{name}: PostgreSQL stopped the query: {line}. Run the task again when it has room: it begins anew "
            "and writes nothing twice"
        )
    if error.diag.source_function == "check_enable_rls":
        return BadSource(
            f"{file} cannot be run: {line}. The login would see a part of the rows, and the rest would be "
            "taken for deleted, so nothing was read. ALTER ROLE ... BYPASSRLS, let the login own the table, or let "
            "it read a view whose owner may see all rows (one without security_invoker)"
        )
    return BadSource(f"{file} cannot be run: {line}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
