"""The servers that tests and benchmarks stand on: what was acknowledged survives a kill, and the reader only reads."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import opensearch, postgres, sample_data
from local.errors import LocalError


def send(url: str, method: str = "GET", body: str = "{}") -> Any:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(url, data=body.encode(), headers=headers, method=method)
    ) as response:
        return json.load(response)


def test_postgres_keeps_data_port_and_passwords_over_a_kill(tmp_path: Path) -> None:
    server = postgres.start(tmp_path / "postgres")
    try:
        app = postgres.create_app(server)
        with psycopg.connect(app.owner_dsn) as connection:
            sample_data.generate(connection, 100)
        assert postgres.start(tmp_path / "postgres") == server, "a second start finds the running server"
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(app.owner_dsn)
        server = postgres.start(tmp_path / "postgres")
        with psycopg.connect(app.reader_dsn) as connection:
            assert connection.execute("SELECT count(*), max(location_id) FROM locations").fetchone() == (100, 100)
    finally:
        server.stop()


def test_a_taken_port_is_refused_before_the_server_fails_on_it(
    tmp_path: Path, postgres_server: postgres.Server, opensearch_server: opensearch.Server
) -> None:
    with pytest.raises(LocalError, match="wanted for PostgreSQL, is taken"):
        postgres.start(tmp_path / "postgres", port=postgres_server.port)
    with pytest.raises(LocalError, match="wanted for OpenSearch, is taken"):
        opensearch.start(tmp_path / "opensearch", port=opensearch_server.port)


def test_logins_are_needed_and_the_reader_may_only_select(postgres_server: postgres.Server) -> None:
    app = postgres.create_app(postgres_server, "logins")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host="127.0.0.1", port=postgres_server.port, user=postgres.READER, dbname="logins", passfile="")
    with psycopg.connect(app.reader_dsn, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM locations").fetchone() == (0,)
        for statement in ("DELETE FROM locations", "TRUNCATE locations", "CREATE TABLE mine (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_psql_is_a_shell_of_the_owner(postgres_server: postgres.Server, capfd: pytest.CaptureFixture[str]) -> None:
    """A newcomer makes a table with it; the server's packages are all that is installed."""
    postgres.create_app(postgres_server)
    made = "CREATE SCHEMA shop; CREATE TABLE shop.products (id int PRIMARY KEY); DROP SCHEMA shop CASCADE"
    assert postgres_server.psql(postgres.OWNER, "app", ["-qAtc", made, "-c", "SELECT current_user"]) == 0
    assert capfd.readouterr().out == f"{postgres.OWNER}\n"
    assert postgres_server.psql(postgres.OWNER, "app", ["-c", "SELEKT"]) == 1


def test_the_sample_is_loaded_once_and_whole(postgres_server: postgres.Server) -> None:
    app = postgres.create_app(postgres_server, "sample")
    assert sample_data.load(app.owner_dsn) == sample_data.SAMPLE_ROWS
    with psycopg.connect(app.owner_dsn) as connection:
        row = connection.execute("SELECT name, region, rate::text, active FROM locations WHERE location_id = 2950159")
        assert row.fetchone() == ("Berlin", "DE.16", "140.97", True)
        connection.execute("DELETE FROM locations WHERE location_id = 2950159")
    postgres.create_app(postgres_server, "sample")
    assert sample_data.load(app.owner_dsn) == 0, "what a person changed is kept"


def test_generated_rows_are_the_same_every_time(postgres_server: postgres.Server) -> None:
    app = postgres.create_app(postgres_server, "generated")
    digest = "SELECT count(*), sum(hash_record_extended(l, 0)) FROM locations AS l"
    with psycopg.connect(app.owner_dsn) as connection:
        sample_data.generate(connection, 1_000)
        first = connection.execute(digest).fetchone()
        sample_data.generate(connection, 500)
        sample_data.generate(connection, 1_000)
        assert connection.execute(digest).fetchone() == first
        assert first is not None
        assert first[0] == 1_000
    assert sample_data.load(app.owner_dsn) == 0, "whoever generated rows keeps them when the stack is brought up"
    with psycopg.connect(app.owner_dsn) as connection:
        assert connection.execute(digest).fetchone() == first


def test_opensearch_keeps_data_and_port_over_a_kill_and_makes_no_index_by_itself(tmp_path: Path) -> None:
    server = opensearch.start(tmp_path / "opensearch", heap="512m")
    try:
        send(f"{server.url}/kept", "PUT", '{"settings": {"number_of_replicas": 0}}')
        send(f"{server.url}/kept/_doc/1", "PUT", '{"name": "one"}')
        with pytest.raises(urllib.error.HTTPError, match="404"):
            send(f"{server.url}/not_made/_doc/1", "PUT", '{"name": "one"}')
        server.kill()
        again = opensearch.start(tmp_path / "opensearch", heap="512m")
        assert (again.port, again.pid == server.pid) == (server.port, False)
        server = again
        send(f"{server.url}/_cluster/health?wait_for_status=green&timeout=30s")
        assert send(f"{server.url}/kept/_doc/1")["_source"] == {"name": "one"}
    finally:
        server.stop()
