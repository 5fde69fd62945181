"""A login by IAM at a real server with TLS; RDS takes the token where PostgreSQL has a password."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.errors import BadConnection
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_iam import IamLogin
from tests.certificates import self_signed
from tests.steps import with_dsn

SSL_REQUEST_BYTES = 8


class Tls:
    """Speaks TLS in front of a server, whose build here has none."""

    def __init__(self, server: local_postgres.Server, folder: Path) -> None:
        self.certificate, self._context = self_signed(folder)
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                threading.Thread(target=self._serve, args=self._listening.accept()[:1], daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            plain.recv(SSL_REQUEST_BYTES)
            plain.sendall(b"S")
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(("127.0.0.1", self._server.port)) as server,
            ):
                threading.Thread(target=_copy, args=(server, client), daemon=True).start()
                _copy(client, server)


def _copy(origin: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := origin.recv(65_536):
            target.sendall(some)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tls(postgres_server: local_postgres.Server, tmp_path: Path) -> Iterator[Tls]:
    proxy = Tls(postgres_server, tmp_path)
    yield proxy
    proxy.close()


class Tokens:
    """Stands for RDS: the server takes only the token that was made last, as RDS takes none that is old."""

    def __init__(self, server: local_postgres.Server, port: int) -> None:
        self._server, self._port, self.made = server, port, 0

    def generate_db_auth_token(self, *, DBHostname: str, Port: int, DBUsername: str) -> str:  # noqa: N803
        assert (DBHostname, Port) == ("127.0.0.1", self._port)
        self.made += 1
        token = f"127.0.0.1:{Port}/?Action=connect&DBUser={DBUsername}&X-Amz-Signature={'ab' * 400}{self.made}"
        say_password(self._server, token)
        return token


def say_password(server: local_postgres.Server, password: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        role = sql.Identifier(local_postgres.READER)
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))


@pytest.fixture
def tokens(postgres_server: local_postgres.Server, app: local_postgres.AppDatabase, tls: Tls) -> Iterator[Tokens]:
    yield Tokens(postgres_server, tls.port)
    say_password(postgres_server, str(psycopg.conninfo.conninfo_to_dict(app.reader_dsn)["password"]))


def login_of(app: local_postgres.AppDatabase, tls: Tls, tokens: Tokens, certificate: Path) -> IamLogin:
    parts = psycopg.conninfo.conninfo_to_dict(app.reader_dsn)
    del parts["password"]
    changed: dict[str, Any] = {**parts, "port": tls.port, "sslmode": "verify-full", "sslrootcert": certificate}
    return IamLogin(with_dsn("", **changed), "the source", lambda: tokens)


def test_each_connection_logs_in_by_a_new_token(
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    tls: Tls,
    tokens: Tokens,
) -> None:
    """A run of hours connects again; Great Expectations connects by itself."""
    source = PostgresSource(locations, login_of(app, tls, tokens, tls.certificate))
    assert source.count() == 0
    with source._read() as (connection, _):
        assert connection.pgconn.ssl_in_use
    assert tokens.made == 1, "an open connection stays open"
    source.close()
    assert source.count() == 0
    assert tokens.made == 2
    with sqlalchemy.create_engine(source.sqlalchemy_url()).connect() as found:
        assert found.execute(sqlalchemy.text("SELECT current_user")).scalar() == local_postgres.READER
    source.close()


def test_no_token_goes_to_a_server_with_another_certificate(
    app: local_postgres.AppDatabase, locations: Entity, tls: Tls, tokens: Tokens, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other, _ = self_signed(tmp_path / "other")
    with pytest.raises(BadConnection, match="certificate verify failed") as caught:
        PostgresSource(locations, login_of(app, tls, tokens, other)).count()
    assert "X-Amz" not in str(caught.value)
