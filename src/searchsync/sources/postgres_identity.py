"""Which PostgreSQL server answers, and a value of it that grows with each recovery from a crash.

Not every server and login has the functions for the best of these marks, so there are three kinds.
"""

from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from searchsync.sources.postgres_connection import begin_asking, rows_of


class Marks(NamedTuple):
    """How to ask a server which one it is, and for the value that grows with each recovery from a crash.

    :ivar identity: a query that returns one text
    :ivar checkpoint: an expression that returns ``Snapshot.checkpoint``
    """

    identity: LiteralString
    checkpoint: LiteralString


_CHECKPOINT: LiteralString = (
    "(SELECT 'c' || lpad((checkpoint_lsn - '0/0')::text, 20, '0') FROM pg_control_checkpoint())"
)
# The recovery from each crash resets the statistics, also when the postmaster survives the crash.
_STARTED: LiteralString = (
    "(SELECT 't' || lpad((extract(epoch FROM greatest(pg_postmaster_start_time(), stats_reset)) * 1000000)::bigint"
    "::text, 20, '0') FROM pg_stat_bgwriter)"
)
MARKS = (
    # The timeline is in the name of the WAL file. pg_control_checkpoint() has it, too, but lags behind a promotion. A
    # standby has no such name.
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
"""SQLSTATEs with which Aurora and others say that they have no such function of the WAL, or not for this login."""


def choose_marks(connection: psycopg.Connection[Any]) -> Marks:
    """Return the first marks whose functions the server has and the login may call."""
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
