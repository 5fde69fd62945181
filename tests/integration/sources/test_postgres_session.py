"""A login's own settings, policies and rights change no row and no byte: they are overruled, or refused by name."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cli.connections import SHELL
from searchsync.cluster.client import Client
from searchsync.documents.position import known
from searchsync.errors import BadSource, SourceUnavailable
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_connection import settings
from searchsync.sources.postgres_sql import Partition
from tests.crashes import Crashing
from tests.steps import connector, fresh, insert, living, rebuild, until, with_dsn

WILD = {
    "client_encoding": ["SQL_ASCII", "LATIN1"],
    "TimeZone": ["Asia/Kolkata"],
    "DateStyle": ["SQL, DMY"],
    "IntervalStyle": ["sql_standard"],
    "extra_float_digits": ["-5"],
    "bytea_output": ["escape"],
    "xmlbinary": ["hex"],
    "xmloption": ["document"],
    "quote_all_identifiers": ["on"],
    "lc_monetary": ["C"],
    "lc_numeric": ["C"],
    "lc_time": ["C"],
    "search_path": ["elsewhere", "pg_catalog"],
    "standard_conforming_strings": ["off"],
    "backslash_quote": ["on"],
    "array_nulls": ["off"],
    "transform_null_equals": ["on"],
    "row_security": ["on"],
    "gin_fuzzy_search_limit": ["1"],
    "synchronize_seqscans": ["on"],
    "statement_timeout": ["50ms"],
    "lock_timeout": ["50ms"],
    "transaction_timeout": ["50ms"],
    "idle_in_transaction_session_timeout": ["50ms"],
    "jit": ["on"],
}
"""What a role may say of each setting that is ours."""
AROUND = {
    "default_transaction_read_only": ["on", "off"],
    "default_transaction_isolation": ["serializable", "read uncommitted"],
    "default_transaction_deferrable": ["on"],
    "plan_cache_mode": ["force_generic_plan"],
    "idle_session_timeout": ["200ms"],
    "default_text_search_config": ["pg_catalog.german"],
    "application_name": ["theirs"],
}
"""And of some that are stated otherwise, or change nothing."""


@pytest.fixture
def app(postgres_server: local_postgres.Server) -> Iterator[local_postgres.AppDatabase]:
    """A database of each test's own, with a schema whose empty table has the name of ours."""
    app = local_postgres.create_app(postgres_server, "settings")
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        insert(owner, 1, "東京", latitude=0.1 + 0.2, longitude=1 / 3, rate="12.30", alternate_names=["a", "NULL"])
        insert(owner, 2, "Zürich")
        owner.execute("UPDATE locations SET created_at = '2026-03-29 01:30Z', updated_at = '2026-03-29 01:30Z'")
    with psycopg.connect(postgres_server.dsn(database="settings"), autocommit=True) as admin:
        admin.execute(
            "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO PUBLIC;"
            "CREATE TABLE elsewhere.locations (LIKE public.locations); GRANT SELECT ON elsewhere.locations TO PUBLIC"
        )
    yield app
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(local_postgres.READER)))
        admin.execute("DROP DATABASE settings WITH (FORCE)")


def say(server: local_postgres.Server, name: str, value: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        role = sql.Identifier(local_postgres.READER)
        admin.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), sql.Literal(value)))


def everything(source: PostgresSource) -> Any:
    """All that a read gives, without what each read has of its own."""
    lines = [line for page in source.pages(Partition(), page_bytes=10**6) for line in page.documents()]
    lines += [line for page in source.read(["1", "2", "nowhere", "東京"]) for line in page.documents()]
    documents = [json.loads(line.source) for line in lines]
    for document in documents:
        del document["sync"]["position"], document["sync"]["written_at"]
    with source._read() as (connection, _):
        ours = {name: connection.execute(f"SHOW {name}".encode()).fetchall() for name in WILD}
    return documents, source.fingerprints(), source.count(), source.origin(), source.check(), ours


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in (WILD | AROUND).items() for value in values]
)
def test_what_a_role_says_of_a_session_changes_nothing(
    app: local_postgres.AppDatabase,
    postgres_server: local_postgres.Server,
    locations: Entity,
    name: str,
    value: str,
) -> None:
    """SQL_ASCII made another identity of the same server, and LATIN1 an error that nobody could read."""
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        before = everything(source)
    say(postgres_server, name, value)
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        assert everything(source) == before
        if name == "idle_session_timeout":
            with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
                mine = "SELECT 1 FROM pg_stat_activity WHERE datname = 'settings' AND application_name = 'searchsync'"
                until(lambda: not admin.execute(mine).fetchall(), "the server ends the idle session")
        assert everything(source) == before
    with closing(PostgresSource(locations, with_dsn(app.reader_dsn, options=f"-c {name}={value}"))) as source:
        if " " not in value:
            assert everything(source) == before


def test_every_setting_of_ours_is_tried(postgres_server: local_postgres.Server) -> None:
    with psycopg.connect(postgres_server.dsn()) as admin:
        assert settings(admin.info.server_version).keys() == WILD.keys()
        assert settings(160_009).keys() == WILD.keys() - {"transaction_timeout"}, "PostgreSQL 17 brought it"


def test_a_library_that_connects_by_itself_has_the_same_settings(
    app: local_postgres.AppDatabase, postgres_server: local_postgres.Server, locations: Entity
) -> None:
    """An empty table of the same name in a schema that a role prefers would break no expectation."""
    for name, values in (WILD | AROUND).items():
        if not name.endswith("timeout"):
            say(postgres_server, name, values[0])
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        engine = sqlalchemy.create_engine(source.sqlalchemy_url())
        version = source._session.version()
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM locations")).scalar() == 2
        found = {name: str(connection.execute(sqlalchemy.text(f"SHOW {name}")).scalar()) for name in settings(version)}
        read_only = connection.execute(sqlalchemy.text("SHOW transaction_read_only")).scalar()
        isolation = connection.execute(sqlalchemy.text("SHOW transaction_isolation")).scalar()
    engine.dispose()
    in_seconds = {"lock_timeout": "5min", "idle_in_transaction_session_timeout": "5min"}
    assert found == {**settings(version), **in_seconds}
    assert (read_only, isolation) == ("on", "read committed")


def test_a_dead_peer_is_noticed_within_a_minute(app: local_postgres.AppDatabase, locations: Entity) -> None:
    """30 s without a word, then three questions 10 s apart; what is sent and not acknowledged waits as long."""
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        source.count()
        with socket.socket(fileno=socket.dup(source._session._connected().fileno())) as connection:
            options = {
                name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
                if hasattr(socket, name)
            }
    assert options["TCP_KEEPIDLE"] + options["TCP_KEEPINTVL"] * options["TCP_KEEPCNT"] == 60
    assert options["TCP_USER_TIMEOUT"] == 60_000


def test_a_database_without_an_encoding_is_refused_and_one_in_latin1_is_read(
    postgres_server: local_postgres.Server, locations: Entity
) -> None:
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        for encoding in ("SQL_ASCII", "LATIN1"):
            name = sql.Identifier(f"in_{encoding}")
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
            admin.execute(
                sql.SQL(
                    "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C' OWNER {}"
                ).format(name, sql.Literal(encoding), sql.Identifier(local_postgres.OWNER))
            )
    ascii_app, latin_app = (
        local_postgres.create_app(postgres_server, f"in_{name}") for name in ("SQL_ASCII", "LATIN1")
    )
    with (
        closing(PostgresSource(locations, ascii_app.reader_dsn)) as source,
        pytest.raises(BadSource, match=r"encoding is SQL_ASCII.*pg_dump and a restore") as caught,
    ):
        source.check()
    assert "new_epoch" not in str(caught.value)
    with psycopg.connect(latin_app.owner_dsn, autocommit=True) as owner:
        insert(owner, 1, "Zürich")
    with closing(PostgresSource(locations, latin_app.reader_dsn)) as source:
        source.check()
        (page,) = source.read(["1"])
        assert [json.loads(line.source)["name"] for line in page.documents()] == ["Zürich"]


# -- row security

POLICIES = {
    "table": ("SELECT 1", "locations"),
    "view as its reader": ("CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM locations", "seen"),
    "view of an owner who is under the policy": (
        "CREATE VIEW seen AS SELECT * FROM locations; ALTER TABLE locations FORCE ROW LEVEL SECURITY",
        "seen",
    ),
    "function": (
        (
            "CREATE FUNCTION seen() RETURNS SETOF locations LANGUAGE plpgsql STABLE AS"
            " $$BEGIN RETURN QUERY SELECT * FROM locations; END$$"
        ),
        "seen()",
    ),
}


def with_policy(app: local_postgres.AppDatabase, include: Path, made: str, reads: str) -> Entity:
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute(made.encode())
        if made.startswith("CREATE VIEW"):
            owner.execute("GRANT SELECT ON seen TO PUBLIC")
        owner.execute(
            "CREATE POLICY one ON locations USING (location_id = 1); ALTER TABLE locations ENABLE ROW LEVEL SECURITY"
        )
    path = include / "sql" / "locations.sql"
    path.write_text(path.read_text().replace("FROM locations AS l", f"FROM {reads} AS l"))
    return fresh()


@pytest.mark.parametrize("case", POLICIES)
def test_rows_that_a_policy_hides_are_not_taken_for_deleted(
    client: Client, app: local_postgres.AppDatabase, include: Path, tmp_path: Path, case: str
) -> None:
    made, reads = POLICIES[case]
    entity = fresh()
    index = rebuild(client, connector(entity, app.reader_dsn), tmp_path)["index"]
    entity = with_policy(app, include, made, reads)
    with closing(PostgresSource(entity, app.reader_dsn)) as source:
        for read in (source.check, source.count, lambda: source.read(["1", "2"]), source.fingerprints):
            with pytest.raises(BadSource, match=r"row-level security.*so nothing was read.*BYPASSRLS.*own the table"):
                read()
    with pytest.raises(BadSource, match="BYPASSRLS"):
        rebuild(client, connector(entity, app.reader_dsn), tmp_path)
    assert living(client, index).keys() == {"1", "2"}


def test_a_login_that_may_see_all_rows_reads_them(
    app: local_postgres.AppDatabase, postgres_server: local_postgres.Server, include: Path
) -> None:
    entity = with_policy(app, include, "SELECT 1", "locations")
    role = sql.Identifier(local_postgres.READER)
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} BYPASSRLS").format(role))
        try:
            with closing(PostgresSource(entity, app.reader_dsn)) as source:
                assert source.count() == 2
        finally:
            admin.execute(sql.SQL("ALTER ROLE {} NOBYPASSRLS").format(role))


def test_a_view_whose_owner_may_see_all_rows_shows_them(app: local_postgres.AppDatabase, include: Path) -> None:
    entity = with_policy(app, include, "CREATE VIEW seen AS SELECT * FROM locations", "seen")
    with closing(PostgresSource(entity, app.reader_dsn)) as source:
        assert source.count() == 2


# -- what a person calls it


def test_an_operators_name_is_part_of_the_identity(
    app: local_postgres.AppDatabase, locations: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCHSYNC_POSTGRES_DSN", app.reader_dsn)
    with closing(SHELL.source(locations, None)) as source:
        nameless = source.origin()
    monkeypatch.setenv("SEARCHSYNC_POSTGRES_SOURCE_ID", "restored")
    with closing(SHELL.source(locations, None)) as source:
        assert source.origin() == f"{nameless}.restored"
        assert isinstance(source, PostgresSource)
        with closing(source.of(locations)) as same:
            assert same.origin() == f"{nameless}.restored"


# -- what errors mean


def test_a_view_that_has_no_rows_yet_is_a_mistake_to_correct(app: local_postgres.AppDatabase, include: Path) -> None:
    """Its SQLSTATE is of the class in which PostgreSQL says that it is in recovery: no reason to wait for it."""
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM locations WITH NO DATA")
        owner.execute("GRANT SELECT ON seen TO PUBLIC")
    path = include / "sql" / "locations.sql"
    path.write_text(path.read_text().replace("FROM locations AS l", "FROM seen AS l"))
    with (
        closing(PostgresSource(fresh(), app.reader_dsn)) as source,
        pytest.raises(BadSource, match="not been populated"),
    ):
        source.check()


# -- where functions of the WAL are missing or refused, as on Aurora: emulated, never run there

ERRORS = {"55000": "object_not_in_prerequisite_state", "0A000": "feature_not_supported"}
FUNCTIONS = {
    "pg_current_wal_lsn": "pg_lsn",
    "pg_control_checkpoint": "TABLE (checkpoint_lsn pg_lsn)",
    "pg_control_system": "TABLE (system_identifier bigint)",
}


def without(app: local_postgres.AppDatabase, server: local_postgres.Server, state: str, functions: list[str]) -> None:
    """Functions of one database that answer as where they are not to be had."""
    with psycopg.connect(server.dsn(database=app.name), autocommit=True) as admin:
        for name in functions:
            if state == "42501":
                admin.execute(f"REVOKE EXECUTE ON FUNCTION pg_catalog.{name}() FROM PUBLIC".encode())
                continue
            admin.execute(f"ALTER FUNCTION pg_catalog.{name}() RENAME TO {name}_of_postgres".encode())
            if state in ERRORS:
                admin.execute(
                    f"CREATE FUNCTION pg_catalog.{name}() RETURNS {FUNCTIONS[name]} LANGUAGE plpgsql AS"
                    f" $$BEGIN RAISE EXCEPTION 'not supported' USING ERRCODE = '{state}'; END$$".encode()
                )


@pytest.fixture(scope="module")
def elsewhere(servers_dir: Path) -> Iterator[Crashing]:
    crashing = Crashing(servers_dir / "without-wal")
    yield crashing
    crashing.stop()


@pytest.mark.parametrize("functions", [["pg_current_wal_lsn"], ["pg_control_checkpoint"], list(FUNCTIONS)], ids=len)
@pytest.mark.parametrize("state", ["55000", "0A000", "42883", "42501"])
def test_a_server_without_functions_of_the_wal_is_read_and_its_crashes_count(
    elsewhere: Crashing, locations: Entity, state: str, functions: list[str]
) -> None:
    app = local_postgres.create_app(elsewhere.server, f"without_{state.lower()}_{functions[-1]}_{len(functions)}")
    without(app, elsewhere.server, state, functions)
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        insert(owner, 1, "first")
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        first = source.snapshot()
        assert first.identity.endswith(".starts")
        assert first.identity.startswith("database " if "pg_control_system" in functions else tuple("0123456789"))
        (page,) = source.read(["1"])
        assert page.position[:6] == "0001.t"
        assert known(page.position)
        if functions == ["pg_current_wal_lsn"]:
            elsewhere.crash_one_process()
            second = source.snapshot()
            assert (second.checkpoint > first.checkpoint, second.identity == first.identity) == (True, True)
            elsewhere.crash()
            assert source.snapshot().checkpoint > second.checkpoint
            assert source.lost_history(page.position) == ""


def test_aurora_is_told_by_its_own_function(elsewhere: Crashing, locations: Entity) -> None:
    """With logical replication its functions of the WAL answer, but nobody says that a crash moves a checkpoint."""
    app = local_postgres.create_app(elsewhere.server, "aurora")
    with psycopg.connect(elsewhere.server.dsn(database="aurora"), autocommit=True) as admin:
        admin.execute("CREATE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql AS $$SELECT '17.4'$$")
    with closing(PostgresSource(locations, app.reader_dsn)) as source:
        assert source.snapshot().checkpoint[0] == "t"


def test_a_standby_without_those_functions_is_refused_as_one(elsewhere: Crashing, locations: Entity) -> None:
    """The reader endpoint of Aurora."""
    app = local_postgres.create_app(elsewhere.server, "reader_endpoint")
    without(app, elsewhere.server, "0A000", ["pg_current_wal_lsn", "pg_control_checkpoint"])
    with psycopg.connect(elsewhere.server.dsn(database="reader_endpoint"), autocommit=True) as admin:
        admin.execute("ALTER FUNCTION pg_catalog.pg_is_in_recovery() RENAME TO really_in_recovery")
        admin.execute("CREATE FUNCTION pg_catalog.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
    with (
        closing(PostgresSource(locations, app.reader_dsn)) as source,
        pytest.raises(SourceUnavailable, match="is a standby"),
    ):
        source.count()
