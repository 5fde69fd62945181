"""The checks of OpenSearch and PostgreSQL, on real ones: what somebody changes there turns its row red."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.config import snapshots
from searchsync.connections import Connections
from searchsync.preflight import rows, search
from searchsync.preflight.checks import Outcome, Result
from searchsync.preflight.target import Target
from tests.steps import connector, rebuild, serve, with_dsn

Look = Callable[[], dict[str, Result]]


def _look(target: Target) -> dict[str, Result]:
    return {check.name: check.run() for part in (search.checks, rows.checks) for check in part(target)}


def _target(client: Client, locations: Entity, dsn: str) -> Target:
    def no_aws(*_: str) -> Any:
        raise AssertionError("nothing of AWS is asked")

    return Target(Connections(lambda: client, lambda _: (dsn, ""), no_aws), "dev", {"locations": locations})


@pytest.fixture
def look(client: Client, locations: Entity, app: local_postgres.AppDatabase, rows: int, reports: Path) -> Look:
    """All checks of an environment with a live index and a table with rows."""
    rebuild(client, connector(locations, app.reader_dsn), reports)
    _register(client)
    return partial(_look, _target(client, locations, app.reader_dsn))


def _register(client: Client, **settings: str) -> None:
    body = {"type": "fs", "settings": {"location": "looked-at", **settings}}
    client.request("PUT", f"/_snapshot/{snapshots().repository}", body=body)


def _red(found: dict[str, Result]) -> dict[str, str]:
    return {name: result.seen for name, result in found.items() if result.outcome is Outcome.FAILED}


def test_an_environment_as_its_files_say_is_green(look: Look) -> None:
    found = look()
    assert _red(found) == {}
    assert found["snapshot repository"].seen == "fs; 1 nodes can write to it"
    assert found["PostgreSQL encoding"].seen == "UTF8"


def test_nothing_live_is_red(client: Client, locations: Entity, app: local_postgres.AppDatabase, rows: int) -> None:
    _register(client)
    red = _red(_look(_target(client, locations, app.reader_dsn)))
    assert list(red) == ["mapping"]
    assert "locations" in red["mapping"]


def test_another_setting_of_the_live_index_is_red(look: Look, client: Client) -> None:
    client.request("PUT", "/locations/_settings", body={"index": {"refresh_interval": "7s"}})
    assert _red(look()) == {"mapping": "settings.refresh_interval: '7s' instead of '1s'"}


def test_a_login_that_may_write_is_red(look: Look, owner: psycopg.Connection) -> None:
    owner.execute(f"GRANT DELETE ON locations TO {local_postgres.READER}")
    try:
        assert _red(look()) == {
            "PostgreSQL login's power": f"{local_postgres.READER} may change rows of public.locations"
        }
    finally:
        owner.execute(f"REVOKE DELETE ON locations FROM {local_postgres.READER}")


@pytest.mark.parametrize(
    ("given", "taken", "said"),
    [
        ("GRANT pg_write_all_data TO {}", "REVOKE pg_write_all_data FROM {}", "may change rows of public.locations"),
        (
            "GRANT UPDATE (name) ON locations TO {}",
            "REVOKE UPDATE (name) ON locations FROM {}",
            "may change rows of public.locations",
        ),
        ("ALTER ROLE {} CREATEDB", "ALTER ROLE {} NOCREATEDB", "may administer the server"),
        (
            "CREATE ROLE administrators CREATEROLE ROLE {}",
            "DROP ROLE administrators",
            "may administer the server",
        ),
    ],
)
def test_power_that_a_login_has_in_another_way_is_red(
    look: Look,
    app: local_postgres.AppDatabase,
    postgres_server: local_postgres.Server,
    given: str,
    taken: str,
    said: str,
) -> None:
    """By a role, or on a column: the tables that are granted to the login itself are only a part."""
    reader, database = (
        sql.Identifier(local_postgres.READER),
        psycopg.conninfo.conninfo_to_dict(app.reader_dsn)["dbname"],
    )
    with psycopg.connect(postgres_server.dsn(), dbname=database, autocommit=True) as admin:
        admin.execute(sql.SQL(given).format(reader))
        try:
            assert _red(look()) == {"PostgreSQL login's power": f"{local_postgres.READER} {said}"}
        finally:
            admin.execute(sql.SQL(taken).format(reader))


def test_a_login_that_may_not_read_is_red(look: Look, owner: psycopg.Connection) -> None:
    owner.execute(f"REVOKE SELECT ON locations FROM {local_postgres.READER}")
    try:
        red = _red(look())
        assert list(red) == ["rows"]
        assert "permission denied" in red["rows"]
    finally:
        owner.execute(f"GRANT SELECT ON locations TO {local_postgres.READER}")


def test_a_login_that_is_refused_is_red_everywhere(
    client: Client, locations: Entity, app: local_postgres.AppDatabase, rows: int
) -> None:
    serve(client, locations)
    red = _red(_look(_target(client, locations, with_dsn(app.reader_dsn, password="wrong", user="nobody"))))
    assert {"PostgreSQL login", "rows"} <= red.keys()
    assert "wrong" not in str(red)


def test_a_repository_that_is_read_only_or_missing_is_red(look: Look, client: Client) -> None:
    """Every night would end without a snapshot, and nobody would miss it before the day it is wanted."""
    _register(client, readonly="true")
    assert _red(look()) == {"snapshot repository": "it is read-only"}
    client.request("DELETE", f"/_snapshot/{snapshots().repository}")
    red = _red(look())
    assert list(red) == ["snapshot repository"]
    assert "repository_missing_exception" in red["snapshot repository"]
