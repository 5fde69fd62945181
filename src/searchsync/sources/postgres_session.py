"""Read transactions of PostgreSQL: they lock first, then take the snapshot, and get a position that no crash puts back.

A REPEATABLE READ transaction takes its snapshot with its first query. A query that then waits for a lock reads a table
that is newer than the snapshot. Rows that TRUNCATE and INSERT, or a rewriting ALTER TABLE, left there are invisible to
it: the table looks empty, without an error. So ``LOCK TABLE ... IN ACCESS SHARE MODE`` comes first. It takes no
snapshot and needs only the right to SELECT.

The planner is asked what to lock, once for each connection. A read may still use something else. Its own locks show
this at its end, and then the read is done again.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, LiteralString, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from searchsync.documents.position import Snapshot
from searchsync.errors import BadSource, SourceUnavailable
from searchsync.sources import postgres_connection
from searchsync.sources.postgres_connection import (
    KEEPALIVES,
    Dsn,
    begin_asking,
    current,
    errors,
    options,
    rows_of,
    set_local,
)
from searchsync.sources.postgres_identity import MARKS, choose_marks

TRIES = 5
"""Number of times that a read is tried, because what it uses may be altered meanwhile."""


P = ParamSpec("P")
T = TypeVar("T")


_NO_ROWS_OF_ITS_OWN = "iIt"
"""Values of ``relkind`` for indexes and TOAST tables. They need no lock of their own: they change with their table."""

_MY_LOCKS = sql.SQL(
    "(SELECT coalesce(array_agg(relation::bigint), '{}') FROM pg_locks WHERE pid = pg_backend_pid()"
    " AND locktype = 'relation' AND relation >= 16384)"  # lower oids are of the system's own relations
)
# A query before the LOCK would take the snapshot. So a transaction of its own asks for the checkpoint before the
# snapshot. All statements go in one round trip.
_BEGIN = sql.SQL(
    """
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = 0; SELECT {checkpoint}; COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings} {lock}
SELECT pg_is_in_recovery(), ({identity}), {checkpoint},
       pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
       (SELECT count(*) FROM pg_snapshot_xip(s)),
       to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), {my_locks}
FROM (SELECT pg_current_snapshot() AS s) AS current
"""
)
_LOCKED = sql.SQL("SELECT {}").format(_MY_LOCKS)
_END = sql.SQL("{}; COMMIT").format(_LOCKED)
_EXPLAIN = sql.SQL("EXPLAIN SELECT * FROM ({}) AS r")
_RELATIONS: LiteralString = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = ANY(%(used)s))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%(used)s) ORDER BY c.oid
"""
_HOLDERS: LiteralString = """
SELECT DISTINCT format('process %%s (login %%s) holds %%s', l.pid, coalesce(a.usename, 'unknown'),
                       l.relation::regclass)
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'v', 'm')
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.relation = ANY(%(oids)s::oid[]) OR cardinality(%(oids)s::oid[]) = 0) LIMIT 5
"""


class Relation(NamedTuple):
    """A table, view or the like that the SQL file reads.

    :ivar kind: ``relkind``
    :ivar lockable: whether the login may name and lock it; if not, it is locked through the view that names it
    :ivar child: whether it is a child of another relation that is read; locking the parent locks its children
    """

    oid: int
    schema: str
    name: str
    kind: str
    lockable: bool
    child: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class _Begun(NamedTuple):
    """A transaction that has begun.

    :ivar at: when it began, ISO 8601, UTC
    :ivar locked: oids of the relations that were locked before the snapshot
    """

    connection: psycopg.Connection[Any]
    snapshot: Snapshot
    at: str
    locked: set[int]


class _NotLockedBefore(Exception):
    """A read used a relation that was locked after its snapshot. This is no error: the read must be done again."""


def _altered(name: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{name}: what the SQL file reads is being altered while it is read, again and again. Run the task again when "
        "the deployment is done"
    )


def locking_first(read: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Decorate a method that reads: do it again when something that it used was not locked before its snapshot.

    :raises SourceUnavailable: after ``TRIES`` attempts, because somebody keeps altering what is read
    """

    @functools.wraps(read)
    def until_locked(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        for _ in range(TRIES):
            with suppress(_NotLockedBefore):
                return read(self, *args, **options)
        raise _altered(self.entity.name)

    return until_locked


class Session:
    """One connection and its read transactions. Not thread-safe.

    :param name: name of the entity, for messages
    :param file: file that holds the SQL, for messages
    :param dsn: libpq connection string, or what makes one for each connection
    :param source_id: an operator's name for this very database, the last part of its identity
    """

    def __init__(self, name: str, file: str, dsn: Dsn, *, source_id: str = "") -> None:
        self._name = name
        self._file = file
        self._dsn = dsn
        self._source_id = source_id
        self._connection: psycopg.Connection[Any] | None = None
        self._marks = MARKS[0]
        self._used: set[int] = set()
        self._relations: list[Relation] | None = None
        self._rowless: set[int] = set()

    def close(self) -> None:
        """Close the connection. The next read opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._relations = None, None

    def version(self) -> int:
        """Return the server's version as libpq writes it (180004)."""
        with errors(self._name, self._file):
            return self._connected().info.server_version

    def sqlalchemy_url(self) -> str:
        """Return what ``PostgresSource.sqlalchemy_url`` promises."""
        version = self.version()  # first: its error does not quote a malformed connection string, with the password
        parts = conninfo_to_dict(current(self._dsn))
        parts["options"] = f"{parts.get('options') or ''} {options(version)}".strip()
        parts |= {name: str(value) for name, value in KEEPALIVES.items()}
        names = {"host", "port", "user", "password", "dbname"}
        query = urlencode({name: str(value) for name, value in parts.items() if name not in names})
        login = f"{quote(str(parts.get('user', '')), safe='')}:{quote(str(parts.get('password') or ''), safe='')}"
        where = f"{parts.get('host', '')}:{parts.get('port') or 5432}/{quote(str(parts.get('dbname', '')), safe='')}"
        return f"postgresql+psycopg://{login}@{where}" + (f"?{query}" if query else "")

    @contextmanager
    def read(self, rows: sql.Composable | None, *, streamed: bool = False) -> Iterator[_Begun]:
        """Open a transaction in which all relations are locked before the snapshot.

        :param rows: the SELECT that names all that is read; None when only the snapshot is wanted
        :param streamed: whether the caller uses rows before the transaction ends; then the planner is asked again
            before the first row what the SELECT needs
        :raises SourceUnavailable: when the server does not answer or is a standby, or a lock is held for too long
        :raises BadConnection: when the server refuses the login
        :raises BadSource: when the SELECT cannot be run, or reads something that cannot be locked or seen whole
        """
        try:
            with errors(self._name, self._file):
                begun = self._begin(rows, streamed)
                yield begun
                if self._late(begun):
                    raise _altered(self._name) if streamed else _NotLockedBefore
        except BaseException as error:
            if not isinstance(error, _NotLockedBefore):
                self.close()
            raise

    # -- begin and end

    def _begin(self, rows: sql.Composable | None, streamed: bool) -> _Begun:
        reused = self._connection is not None
        try:
            return self._begun(self._connected(), rows, streamed)
        except psycopg.OperationalError:
            if not reused or self._connection is None or not self._connection.broken:
                raise
            self.close()  # the server closed it while it was idle
            return self._begun(self._connected(), rows, streamed)

    def _begun(self, connection: psycopg.Connection[Any], rows: sql.Composable | None, streamed: bool) -> _Begun:
        for _ in range(TRIES):
            try:
                if rows is not None and self._relations is None:
                    self._relations = self._find_relations(connection, rows)
                before, begun = self._take_snapshot(connection, locks=rows is not None)
            except pg.LockNotAvailable as error:
                raise self._waited_in_vain(connection) from error
            except (pg.UndefinedTable, pg.WrongObjectType, pg.InvalidSchemaName, pg.InsufficientPrivilege):
                if not self._relations:
                    raise
                connection.execute("ROLLBACK")  # it was altered after the planner was asked
                self._relations = None
                self._used.clear()
                continue
            if before != begun.snapshot.checkpoint:
                connection.execute("ROLLBACK")  # a checkpoint ended meanwhile: before or after the snapshot
            elif rows is None or not streamed or not self._late(begun, rows):
                return begun
        raise SourceUnavailable(
            f"{self._name}: the tables that are read, or the server's checkpoint, changed {TRIES} times while a read "
            "began. Nothing was read; run the task again"
        )

    def _take_snapshot(self, connection: psycopg.Connection[Any], *, locks: bool) -> tuple[str, _Begun]:
        named = [one for one in self._relations or () if locks and one.lockable and not one.child]
        names = sql.SQL(", ").join(sql.Identifier(one.schema, one.name) for one in named)
        lock = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE;").format(names) if named else sql.SQL("")
        query = _BEGIN.format(
            checkpoint=sql.SQL(self._marks.checkpoint),
            identity=sql.SQL(self._marks.identity),
            settings=set_local(connection.info.server_version),
            lock=lock,
            my_locks=_MY_LOCKS,
        )
        (before,), (standby, identity, checkpoint, xmin, xmax, in_progress, at, locked) = rows_of(connection, query)
        if standby:
            raise SourceUnavailable(
                f"{self._name}: the source is a standby (pg_is_in_recovery() is true). Its snapshots cannot be "
                "ordered, so nothing was read; point the connection at the primary"
            )
        identity += f".{self._source_id}" if self._source_id else ""
        return before, _Begun(connection, Snapshot(identity, checkpoint, xmin, xmax, in_progress), at, set(locked))

    def _late(self, begun: _Begun, rows: sql.Composable | None = None) -> bool:
        """Return whether anything was locked after the snapshot. If so, or if ``rows`` is None, end the transaction.

        :param rows: a SELECT that the planner is asked about; None at the end of the transaction
        """
        if rows is None:
            ((locked,),) = rows_of(begun.connection, _END)
        else:
            begun.connection.execute(_EXPLAIN.format(rows), [])
            ((locked,),) = rows_of(begun.connection, _LOCKED)
        late = set(locked) - begun.locked - self._rowless
        if not late:
            return False
        if rows is not None:
            begun.connection.execute("ROLLBACK")  # its snapshot may not show what was created since
        found = self._look_up(begun.connection, late)
        self._rowless |= {one.oid for one in found if one.kind in _NO_ROWS_OF_ITS_OWN}
        late -= self._rowless
        if not late:
            return rows is not None
        known = {one.oid: one for one in self._relations or ()}
        for oid in late & known.keys():
            if not known[oid].lockable:
                raise BadSource(
                    f"{self._file} reads {known[oid]}, which this login cannot lock, and without a lock a rewritten "
                    f"table looks empty. Nothing of it was used. GRANT SELECT ON {known[oid]} to the login, for the "
                    "whole table and not for columns, and USAGE on its schema"
                )
        self._used |= late
        self._relations = None
        return True

    # -- relations

    def _find_relations(self, connection: psycopg.Connection[Any], rows: sql.Composable) -> list[Relation]:
        """Ask the planner what is read. Add what earlier reads have shown: the planner cannot see into functions."""
        begin_asking(connection)
        connection.execute(_EXPLAIN.format(rows), [])
        ((used,),) = rows_of(connection, _LOCKED)
        found = self._look_up(connection, self._used | set(used))
        connection.execute("COMMIT")
        for one in found:
            if one.kind == "f":
                raise BadSource(
                    f"{self._file} reads the foreign table {one}: its rows are those of another server, at no snapshot "
                    "of this one, so they have no position. Nothing was read; read that server, or a copy of the table"
                )
            if one.kind not in "rpvm" + _NO_ROWS_OF_ITS_OWN:
                raise BadSource(f"{self._file} reads {one}, which is neither a table nor a view. Nothing was read")
        # A materialized view cannot be locked. It needs no lock: REFRESH writes rows that every snapshot sees.
        self._rowless |= {one.oid for one in found if one.kind in "m" + _NO_ROWS_OF_ITS_OWN}
        return [one for one in found if one.oid not in self._rowless]

    def _look_up(self, connection: psycopg.Connection[Any], oids: set[int]) -> list[Relation]:
        return [Relation(*row) for row in connection.execute(_RELATIONS, {"used": list(oids)})]

    def _waited_in_vain(self, connection: psycopg.Connection[Any]) -> SourceUnavailable:
        connection.execute("ROLLBACK")
        oids = [one.oid for one in self._relations or ()]
        held = "; ".join(row[0] for row in connection.execute(_HOLDERS, {"oids": oids}))
        seconds = postgres_connection.LOCK_SECONDS
        return SourceUnavailable(
            f"{self._name}: a table that is read was locked for {seconds} s: {held or 'it is free again now'}. "
            "Nothing was read; run the task again when that has ended"
        )

    # -- the connection

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._connection = connection = postgres_connection.connect(self._dsn)
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            raise BadSource(
                f"{self._name}: the database's encoding is SQL_ASCII: PostgreSQL does not know which letters its bytes "
                "are, so no document can be made of them. Nothing was read; the database has to be made again in "
                "UTF8, by pg_dump and a restore"
            )
        self._marks = choose_marks(connection)
        return connection
