"""Whatever the search API does, an index that passed its gate is made live; and no token goes where it should not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from search_ops import warming
from searchsync.errors import SearchSyncError

PASSWORD = "Only-for-tests-1"


@contextmanager
def api(status: int = 200, body: str = "{}", **headers: str) -> Iterator[tuple[int, list[Any]]]:
    """A search API that answers each request so; yields its port, and what it was asked: path and Authorization."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], asked
        server.shutdown()


@pytest.fixture(scope="module")
def client_id(aws_url: str) -> str:
    """An app client of a user pool with one user, ``warmer``."""
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "eu-west-1"}
    cognito = boto3.client("cognito-idp", endpoint_url=aws_url, **keys)
    pool = cognito.create_user_pool(PoolName="warming")["UserPool"]["Id"]
    cognito.admin_create_user(UserPoolId=pool, Username="warmer")
    cognito.admin_set_user_password(UserPoolId=pool, Username="warmer", Password=PASSWORD, Permanent=True)
    found: str = cognito.create_user_pool_client(UserPoolId=pool, ClientName="dags")["UserPoolClient"]["ClientId"]
    return found


@pytest.fixture
def connect_api(client_id: str, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Defines the connection; keywords replace parts of it."""
    aws = {"conn_type": "aws", "login": "any", "password": "any"}
    of_aws = {"region_name": "eu-west-1", "endpoint_url": aws_url}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({**aws, "extra": of_aws}))

    def define(**other: Any) -> None:
        address = {"conn_type": "http", "schema": "http", "host": "127.0.0.1"}
        user = {"login": "warmer", "password": PASSWORD, "extra": {"client_id": client_id}}
        monkeypatch.setenv("AIRFLOW_CONN_SEARCH_API", json.dumps({**address, **user, **other}))

    return define


def test_the_api_is_asked_for_the_index_with_a_token(connect_api: Callable[..., None]) -> None:
    with api(body='{"warmed": 3}') as (port, asked):
        connect_api(port=port)
        assert warming.warm("places", "places-1") == 'warmed: {"warmed": 3}'
    ((path, authorization),) = asked
    assert path == "/v1/places/warm?index=places-1"
    assert authorization.startswith("Bearer ey")


def test_without_a_connection_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most installations have no search API: their reindexes would fail."""
    monkeypatch.delenv("AIRFLOW_CONN_SEARCH_API", raising=False)
    assert warming.warm("places", "places-1") == "not warmed: there is no connection search_api"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"port": 1}, "ConnectionRefusedError"),
        ({"password": "wrong"}, "NotAuthorizedException"),
        ({"extra": {}}, "client_id"),
        ({"schema": "https"}, "SSLError"),
        ({"host": None}, "not warmed"),
    ],
    ids=["down", "password", "client_id", "tls", "host"],
)
def test_what_is_wrong_is_said_and_not_raised(
    other: dict[str, Any], said: str, connect_api: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with api() as (port, _):
        connect_api(**{"port": port, **other})
        outcome = warming.warm("places", "places-1")
    assert outcome.startswith("not warmed: ")
    assert said in outcome
    assert PASSWORD not in caplog.text + outcome


def test_an_error_of_the_api_is_handed_on(connect_api: Callable[..., None]) -> None:
    with api(403, '{"detail": "not your role"}') as (port, _):
        connect_api(port=port)
        assert warming.warm("places", "places-1") == 'not warmed: 403 {"detail": "not your role"}'


def test_a_redirect_does_not_take_the_token_elsewhere(connect_api: Callable[..., None]) -> None:
    with api() as (elsewhere, asked_there), api(302, Location=f"http://127.0.0.1:{elsewhere}/") as (port, _):
        connect_api(port=port)
        assert warming.warm("places", "places-1").startswith("not warmed: 302")
        assert asked_there == []


def test_an_api_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by the end of the process: the thread is a daemon."""
    never = threading.Event()
    monkeypatch.setattr(warming, "WARM_SECONDS", 0.1)
    monkeypatch.setattr(warming, "_request", lambda *_: never.wait)
    monkeypatch.setenv("AIRFLOW_CONN_SEARCH_API", '{"conn_type": "http", "host": "localhost"}')
    assert warming.warm("places", "places-1") == "not warmed: TimeoutError: no answer within 0 s"
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    never.set()


def test_a_comparison_is_handed_on(connect_api: Callable[..., None]) -> None:
    with api(body='{"filled": 3, "compared": {"queries": 3}}') as (port, asked):
        connect_api(port=port)
        assert warming.compare("places", "places-1") == {"queries": 3}
    assert asked[0][0] == "/v1/places/warm?index=places-1&compare=true"


@pytest.mark.parametrize(("status", "body"), [(403, "{}"), (200, "{}"), (200, "no JSON")])
def test_no_comparison_is_no_pass(connect_api: Callable[..., None], status: int, body: str) -> None:
    """Of an API that refuses, or of an older version: nobody can say that the index answers alike."""
    with api(status, body) as (port, _):
        connect_api(port=port)
        with pytest.raises(SearchSyncError, match="has not compared places-1"):
            warming.compare("places", "places-1")


def test_without_a_connection_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SEARCH_API", raising=False)
    with pytest.raises(SearchSyncError, match="has not compared places-1"):
        warming.compare("places", "places-1")
