"""Which server of PostgreSQL answers, and what of it moves on at each crash: by the best marks that it has."""

from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from searchsync.sources.postgres_connection import begin_asking, rows_of


class Marks(NamedTuple):
    """How a server says which one it is, and what moves on at each crash.

    :ivar identity: a query of one text
    :ivar checkpoint: an expression of ``Snapshot.checkpoint``
    """

    identity: LiteralString
    checkpoint: LiteralString


_CHECKPOINT: LiteralString = (
    "(SELECT 'c' || lpad((checkpoint_lsn - '0/0')::text, 20, '0') FROM pg_control_checkpoint())"
)
# Statistics are reset by the recovery from each crash, also from one that the same postmaster survives.
_STARTED: LiteralString = (
    "(SELECT 't' || lpad((extract(epoch FROM greatest(pg_postmaster_start_time(), stats_reset)) * 1000000)::bigint"
    "::text, 20, '0') FROM pg_stat_bgwriter)"
)
MARKS = (
    # pg_control_checkpoint() lags behind a promotion; the name of the WAL file does not. A standby has none.
    Marks(
        "SELECT system_identifier || '.' || CASE WHEN NOT pg_is_in_recovery() THEN"
        " left(pg_walfile_name(pg_current_wal_lsn()), 8) ELSE '' END FROM pg_control_system()"
        " WHERE to_regproc('aurora_version') IS NULL",
        _CHECKPOINT,
    ),
    Marks("SELECT system_identifier || '.starts' FROM pg_control_system()", _STARTED),
    Marks("SELECT 'database ' || oid || '.starts' FROM pg_database WHERE datname = current_database()", _STARTED),
)
_MISSING = {"55000", "0A000", "42883", "42501"}
"""How Aurora and others say that a function of the WAL is not theirs, or not for this login."""


def choose_marks(connection: psycopg.Connection[Any]) -> Marks:
    """The first marks whose functions this server and this login have."""
    for marks in MARKS[:-1]:
        try:
            begin_asking(connection)
            query = sql.SQL("SELECT ({}), {}; COMMIT").format(sql.SQL(marks.identity), sql.SQL(marks.checkpoint))
            ((identity, _),) = rows_of(connection, query)
            if identity is not None:
                return marks
        except psycopg.Error as error:
            if error.sqlstate not in _MISSING:
                raise
            connection.execute("ROLLBACK")
    return MARKS[-1]
