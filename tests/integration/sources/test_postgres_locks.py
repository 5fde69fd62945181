"""No read looks behind its own snapshot: what waits for a rewrite of its table sees the rows that the rewrite left."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from local import postgres as local_postgres
from searchsync.errors import BadSource, SourceUnavailable
from searchsync.sources import postgres
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from tests.steps import fresh, until

ROWS = 300
ALL = Partition()


class Shape(NamedTuple):
    """What the SQL file reads.

    :ivar made: by the table's owner, beside the table ``locations`` and its partitioned sister ``parted``
    :ivar table: that holds the rows
    """

    made: str
    reads: str
    table: str


SHAPES = {
    "table": Shape("", "locations", "locations"),
    "view": Shape("CREATE VIEW seen AS SELECT * FROM locations", "seen", "locations"),
    "view as its reader": Shape(
        "CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM locations", "seen", "locations"
    ),
    "view of a view of what the login may not read": Shape(
        "CREATE VIEW inner_seen AS SELECT * FROM hidden; CREATE VIEW seen AS SELECT * FROM inner_seen", "seen", "hidden"
    ),
    "partitions": Shape("", "parted", "parted"),
    "view of partitions": Shape("CREATE VIEW seen AS SELECT * FROM parted", "seen", "parted"),
    "one partition": Shape("GRANT SELECT ON parted_low TO PUBLIC", "parted_low", "parted_low"),
    "table in a function": Shape(
        "CREATE FUNCTION rows_of() RETURNS SETOF locations LANGUAGE plpgsql STABLE AS"
        " $$BEGIN RETURN QUERY SELECT * FROM locations; END$$",
        "rows_of()",
        "locations",
    ),
}
REWRITES = {
    "reload": "TRUNCATE {table}; " + (fill := "INSERT INTO {table} SELECT * FROM spare"),
    "new column": "ALTER TABLE {table} ADD COLUMN filled timestamptz DEFAULT clock_timestamp()",
    "other type": "ALTER TABLE {table} ALTER COLUMN unread TYPE numeric",
    "clustered": "CLUSTER {table} USING {table}_pkey",
}


@pytest.fixture
def app(postgres_server: local_postgres.Server) -> Iterator[local_postgres.AppDatabase]:
    """A database of each test's own: these tests leave tables altered."""
    app = local_postgres.create_app(postgres_server, "rewritten")
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute(
            "ALTER TABLE locations ADD COLUMN unread bigint DEFAULT 1;"
            "INSERT INTO locations (location_id, name, country, latitude, longitude)"
            f" SELECT n, CASE WHEN n > 1 THEN 'before' ELSE '' END, 'DE', 1, 2 FROM generate_series(1, {ROWS}) AS n;"
            "CREATE TABLE spare AS SELECT * FROM locations; UPDATE spare SET name = 'after' WHERE location_id > 1;"
            "CREATE TABLE hidden (LIKE locations INCLUDING ALL); INSERT INTO hidden SELECT * FROM locations;"
            "CREATE TABLE parted (LIKE locations INCLUDING ALL) PARTITION BY RANGE (location_id);"
            "CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (100000);"
            "CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100000) TO (MAXVALUE);"
            "INSERT INTO parted SELECT * FROM locations; GRANT SELECT ON parted TO PUBLIC"
        )
    yield app
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE rewritten WITH (FORCE)")


def source_of(app: local_postgres.AppDatabase, include: Path, reads: str) -> PostgresSource:
    """A source whose documents are the rows of something other than the table."""
    path = include / "sql" / "locations.sql"
    text = path.read_text()
    path.write_text(text.replace("FROM locations AS l", f"FROM {reads} AS l"))
    return PostgresSource(fresh(), app.reader_dsn)


def make(app: local_postgres.AppDatabase, shape: Shape) -> None:
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute(shape.made.encode())
        if "seen" in shape.made:
            owner.execute("GRANT SELECT ON seen TO PUBLIC")


def read_behind(app: local_postgres.AppDatabase, statements: str, read: Callable[[], Any]) -> Any:
    """What a read gives that begins while a transaction is open, and has to wait for its end."""
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(app.owner_dsn, autocommit=True) as watch,
        psycopg.connect(app.owner_dsn) as writer,
    ):
        writer.execute(statements.encode())
        found = pool.submit(read)
        until(lambda: waits(watch), "the read waits for the transaction")
        writer.commit()
        return found.result(timeout=60)


def waits(watch: psycopg.Connection[Any]) -> bool:
    return bool(watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall())


def names(source: PostgresSource) -> set[str]:
    """The names in the documents of all pages, without the row of each test that has none."""
    found = {
        match for page in source.pages(ALL, page_bytes=10**6) for match in re.findall(rb'"name":"(\w+)"', page.body)
    }
    return {name.decode() for name in found}


CASES = [
    *(("table", rewrite) for rewrite in REWRITES),
    *(("view", rewrite) for rewrite in ("reload", "new column", "clustered")),
    *(("view as its reader", rewrite) for rewrite in ("reload", "new column")),
    *(("view of a view of what the login may not read", rewrite) for rewrite in ("reload", "new column")),
    *(("partitions", rewrite) for rewrite in ("reload", "new column", "other type")),
    *(("view of partitions", rewrite) for rewrite in ("reload", "new column")),
    *(("one partition", rewrite) for rewrite in ("reload", "clustered")),
    *(("table in a function", rewrite) for rewrite in ("reload", "clustered")),
]
"""What PostgreSQL lets one do in a transaction: it refuses another type for a column that a view uses, for example."""


@pytest.mark.parametrize(("shape", "rewrite"), CASES)
def test_a_read_behind_a_rewrite_sees_what_it_left(
    app: local_postgres.AppDatabase, include: Path, shape: str, rewrite: str
) -> None:
    """A snapshot from before the wait would see no row at all, and each key would become a tombstone."""
    make(app, SHAPES[shape])
    with closing(source_of(app, include, SHAPES[shape].reads)) as source:
        source.check()
        keys = [str(n) for n in range(1, ROWS + 1)]
        statements = REWRITES[rewrite].format(table=SHAPES[shape].table)
        pages = read_behind(app, statements, lambda: source.read(keys))
        assert [line.deleted for page in pages for line in page.documents()] == [False] * ROWS
        assert names(source) == {"after" if rewrite == "reload" else "before"}


READS: dict[str, Callable[[PostgresSource], Any]] = {
    "count": lambda source: source.count(),
    "pages": lambda source: sum(page.count for page in source.pages(ALL, page_bytes=10**6)),
    "fingerprints": lambda source: sum(count for count, *_ in source.fingerprints().values()),
    "counts": lambda source: sum(source.counts().values()),
    "hashes": lambda source: sum(map(len, source.hashes([range(1024)]))),
    "keys": lambda source: sum(map(len, source.keys([range(1024)]))),
    "partitions": lambda source: bool(source.partitions(3)[1].lower) and ROWS,
    "unusable": lambda source: len(source.unusable()) + ROWS - 1,
    "check": lambda source: len(source.check().fields) and ROWS,
    "read": lambda source: sum(not line.deleted for page in source.read(["1"]) for line in page.documents()) * ROWS,
    "first": lambda source: PostgresSource(source.entity, source._dsn).count(),
}


@pytest.mark.parametrize("read", READS)
def test_every_read_waits_before_its_snapshot(app: local_postgres.AppDatabase, include: Path, read: str) -> None:
    path = include / "sql" / "locations.sql"
    if read == "unusable":  # the one row without a name
        path.write_text(path.read_text().replace("l.location_id::text", "nullif(l.name, '') || l.location_id"))
    with closing(PostgresSource(fresh(), app.reader_dsn)) as source:
        source.check()
        assert read_behind(app, REWRITES["reload"].format(table="locations"), lambda: READS[read](source)) == ROWS


def test_every_read_is_done_anew_or_asks_before_its_first_row() -> None:
    """What is read through ``_read`` is proven at the end of the transaction; rows must not have left before."""
    tree = ast.parse(inspect.getsource(postgres.PostgresSource).strip())
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    reading = [method for method in methods if "_read(" in ast.unparse(method) and method.name != "_read"]
    for method in reading:
        decorated = any(ast.unparse(decorator) == "locking_first" for decorator in method.decorator_list)
        yields = any(isinstance(node, ast.Yield) for node in ast.walk(method))
        assert (decorated and not yields) or "_read(streamed=True)" in ast.unparse(method), method.name
    assert len(reading) > 7


SWAPS = {
    "table": "CREATE TABLE other (LIKE locations INCLUDING ALL); INSERT INTO other SELECT * FROM spare;"
    "GRANT SELECT ON other TO PUBLIC; ALTER TABLE locations RENAME TO gone; ALTER TABLE other RENAME TO locations",
    "view": "DROP VIEW seen; CREATE VIEW seen AS SELECT * FROM spare; GRANT SELECT ON seen TO PUBLIC;"
    "TRUNCATE locations",
    "materialized view": "DROP MATERIALIZED VIEW seen; CREATE MATERIALIZED VIEW seen AS SELECT * FROM spare;"
    "GRANT SELECT ON seen TO PUBLIC",
    "partitions": "ALTER TABLE parted DETACH PARTITION parted_low; DROP TABLE parted_low;"
    "CREATE TABLE new_low (LIKE parted INCLUDING ALL); INSERT INTO new_low SELECT * FROM spare;"
    "ALTER TABLE parted ATTACH PARTITION new_low FOR VALUES FROM (MINVALUE) TO (100000)",
}


@pytest.mark.parametrize("shape", SWAPS)
def test_what_is_read_may_become_another_while_a_read_waits(
    app: local_postgres.AppDatabase, include: Path, shape: str
) -> None:
    """The locks that the read before was seen to need are not those that this one needs."""
    if shape == "materialized view":
        make(app, Shape("CREATE MATERIALIZED VIEW seen AS SELECT * FROM locations", "", ""))
    elif shape in SHAPES:
        make(app, SHAPES[shape])
    reads = {"table": "locations", "partitions": "parted"}.get(shape, "seen")
    with closing(source_of(app, include, reads)) as source:
        source.check()
        assert names(source) == {"before"}
        assert read_behind(app, SWAPS[shape], source.count) == ROWS
        assert names(source) == {"after"}


def test_a_materialized_view_that_is_refreshed_meanwhile_is_never_empty(
    app: local_postgres.AppDatabase, include: Path
) -> None:
    """It cannot be locked. REFRESH writes its rows frozen: every snapshot sees them, also one from before it."""
    make(app, Shape("CREATE MATERIALIZED VIEW seen AS SELECT * FROM locations", "", ""))
    with closing(source_of(app, include, "seen")) as source:
        source.check()
        reload = REWRITES["reload"].format(table="locations")
        assert read_behind(app, f"{reload}; REFRESH MATERIALIZED VIEW seen", source.count) == ROWS
        assert names(source) == {"after"}


def test_vacuum_full_takes_no_row_from_a_read_that_waits_for_it(app: local_postgres.AppDatabase, include: Path) -> None:
    with (
        closing(source_of(app, include, "locations")) as source,
        ThreadPoolExecutor(2) as pool,
        psycopg.connect(app.owner_dsn) as holder,
        psycopg.connect(app.owner_dsn, autocommit=True) as vacuum,
        psycopg.connect(app.owner_dsn, autocommit=True) as watch,
    ):
        source.check()
        holder.execute("LOCK TABLE locations IN ACCESS SHARE MODE")
        full = pool.submit(vacuum.execute, "VACUUM FULL locations")
        until(lambda: waits(watch), "VACUUM waits")
        found = pool.submit(source.count)
        until(lambda: len(watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall()) > 1, "the read waits")
        holder.commit()
        assert found.result(timeout=60) == ROWS
        full.result(timeout=60)


def test_a_partition_that_is_attached_later_is_read_after_its_lock(
    app: local_postgres.AppDatabase, include: Path
) -> None:
    with closing(source_of(app, include, "parted")) as source:
        assert source.count() == ROWS
        with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
            owner.execute("ALTER TABLE parted DETACH PARTITION parted_high; DROP TABLE parted_high")
            assert source.count() == ROWS
            owner.execute(
                "CREATE TABLE later (LIKE parted INCLUDING ALL);"
                "INSERT INTO later SELECT * FROM spare; UPDATE later SET location_id = location_id + 100000;"
                "ALTER TABLE parted ATTACH PARTITION later FOR VALUES FROM (100000) TO (MAXVALUE)"
            )
        assert source.count() == 2 * ROWS


def test_a_lock_that_is_never_given_back_is_named(
    app: local_postgres.AppDatabase, include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchsync.sources.postgres_connection.LOCK_SECONDS", 1)
    with closing(source_of(app, include, "locations")) as source, psycopg.connect(app.owner_dsn) as holder:
        holder.execute("LOCK TABLE locations IN ACCESS EXCLUSIVE MODE")
        for _ in ("at first, when the planner is asked", "and when it is known what to lock"):
            wanted = rf"locked for 1 s: process {holder.info.backend_pid} \(login locations_owner\) holds .*locations"
            with pytest.raises(SourceUnavailable, match=wanted):
                source.count()
            holder.rollback()
            assert source.count() == ROWS
            holder.execute("LOCK TABLE locations IN ACCESS EXCLUSIVE MODE")


class Refused(NamedTuple):
    """What cannot be locked.

    :ivar made: by the owner
    :ivar says: the error
    """

    made: str
    reads: str
    says: str


CANNOT_BE_LOCKED = {
    "columns alone": Refused(
        "REVOKE SELECT ON locations FROM locations_reader;"
        "GRANT SELECT (location_id, name) ON locations TO locations_reader",
        "(SELECT location_id, name FROM locations)",
        "GRANT SELECT ON public.locations",
    ),
    "through a function of its owner": Refused(
        "CREATE FUNCTION hidden_rows() RETURNS SETOF hidden LANGUAGE plpgsql STABLE SECURITY DEFINER AS"
        " $$BEGIN RETURN QUERY SELECT * FROM public.hidden; END$$",
        "hidden_rows()",
        "GRANT SELECT ON public.hidden",
    ),
    "sequence": Refused(
        "CREATE SEQUENCE numbers; GRANT SELECT ON numbers TO PUBLIC",
        "(SELECT last_value AS location_id, 'x'::text AS name FROM numbers)",
        "public.numbers, which is neither a table nor a view",
    ),
}


@pytest.mark.parametrize("case", CANNOT_BE_LOCKED)
def test_what_cannot_be_locked_is_refused_by_name(app: local_postgres.AppDatabase, include: Path, case: str) -> None:
    refused = CANNOT_BE_LOCKED[case]
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute(refused.made.encode())
    path = include / "sql" / "locations.sql"
    head = path.read_text().split("l.location_id::text")[0]
    hashed = "0::bigint AS _hash, " if "_hash" in path.read_text() else ""
    path.write_text(f"{head} l.location_id::text AS _id, {hashed} l.location_id, l.name FROM {refused.reads} AS l")
    with closing(PostgresSource(fresh(), app.reader_dsn)) as source:
        with pytest.raises(BadSource, match=re.escape(refused.says)):
            source.check()
        with pytest.raises(BadSource, match=re.escape(refused.says)):
            source.count()


def test_a_foreign_table_is_refused(
    app: local_postgres.AppDatabase, include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None can be made here, where PostgreSQL has no foreign-data wrapper: what is asked of its kind is answered so."""
    with closing(source_of(app, include, "locations")) as source:
        look_up = source._session._look_up
        monkeypatch.setattr(
            source._session, "_look_up", lambda *arguments: [one._replace(kind="f") for one in look_up(*arguments)]
        )
        with pytest.raises(BadSource, match=r"reads the foreign table public\.locations: .*Nothing was read"):
            source.check()


def test_ddl_without_end_is_unavailable(
    app: local_postgres.AppDatabase, include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a read begins, the view reads something new."""
    make(app, SHAPES["view"])
    with closing(source_of(app, include, "seen")) as source, psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        source.check()
        session = source._session
        original, n = session._take_snapshot, iter(range(1000))

        def altered_first(*arguments: Any, **options: Any) -> Any:
            name = sql.Identifier(f"other_{next(n)}")
            owner.execute(sql.SQL("CREATE TABLE {} AS SELECT * FROM spare").format(name))
            owner.execute(
                sql.SQL(
                    "CREATE OR REPLACE FUNCTION more() RETURNS bigint LANGUAGE plpgsql AS"
                    " $$BEGIN RETURN (SELECT count(*) FROM {}); END$$"
                ).format(name)
            )
            owner.execute(sql.SQL("GRANT SELECT ON {} TO PUBLIC").format(name))
            return original(*arguments, **options)

        owner.execute(
            "CREATE FUNCTION more() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';"
            "CREATE OR REPLACE VIEW seen AS SELECT * FROM locations WHERE more() >= 0"
        )
        monkeypatch.setattr(session, "_take_snapshot", altered_first)
        with pytest.raises(SourceUnavailable, match="is being altered while it is read"):
            source.count()
        monkeypatch.undo()
        assert source.count() == ROWS
