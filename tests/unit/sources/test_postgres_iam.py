"""A login by IAM: a token goes to the server that it is for, each connection has its own, and none is ever shown."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.config import Config
from psycopg.conninfo import conninfo_to_dict

from searchsync.catalog import Entity
from searchsync.errors import BadConnection, BadParams
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_iam import IamLogin, is_wanted

HOST = "source.abc.eu-west-1.rds.amazonaws.com"
DSN = f"host={HOST} port=5433 dbname=app user=locations_reader sslmode=verify-full sslrootcert=/certificates.pem"


def rds(key: str | None = "AKIDEXAMPLE") -> Any:
    session = botocore.session.Session()
    keys = {"aws_access_key_id": key, "aws_secret_access_key": "secret-key"} if key else {}
    return session.create_client("rds", region_name="eu-west-1", config=Config(), **keys)


def test_a_token_is_for_one_login_at_one_server_and_15_minutes() -> None:
    """It is the password of the connection string, which keeps all else that it says."""
    parts = conninfo_to_dict(IamLogin(DSN, "the source", rds)())
    token = str(parts.pop("password"))
    assert parts == conninfo_to_dict(DSN)
    address = urlsplit(f"https://{token}")
    query = parse_qs(address.query)
    assert address.netloc == f"{HOST}:5433"
    assert (query["Action"], query["DBUser"], query["X-Amz-Expires"]) == (["connect"], ["locations_reader"], ["900"])
    assert "/eu-west-1/rds-db/" in query["X-Amz-Credential"][0]


def test_each_connection_has_a_token_of_its_own() -> None:
    """One that was kept would be refused after 15 minutes: in the middle of a long run that connects again."""
    made = iter(["first", "second"])

    class Client:
        def generate_db_auth_token(self, **_: Any) -> str:
            return next(made)

    login = IamLogin(DSN, "the source", Client)
    assert [conninfo_to_dict(login())["password"] for _ in range(2)] == ["first", "second"]


def test_nothing_shows_a_token() -> None:
    login = IamLogin(DSN, "the source", lambda: pytest.fail("no token is made before there is a connection"))
    shown = repr(login) + repr(PostgresSource(Entity("locations", "postgres", ("location_id",)), login))
    assert "X-Amz" not in shown
    assert "Client" not in shown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda dsn: dsn.replace("verify-full", "require"), "sslmode is require"),
        (lambda dsn: dsn.replace("sslmode=verify-full ", ""), "sslmode is not set"),
        (lambda dsn: f"{dsn} password=hunter2", "it has a password, too"),
        (lambda dsn: dsn.replace(" user=locations_reader", ""), "it names no user"),
        (lambda dsn: dsn.replace(HOST, f"{HOST},other"), "it does not name one host"),
        (lambda dsn: dsn.replace(HOST, "/run/postgresql"), "it does not name one host"),
        (lambda dsn: f"{dsn} hostaddr=10.0.0.1", "it does not name one host"),
        (lambda _: "postgres//reader:hunter2@somewhere", "is not one that PostgreSQL's client understands"),
    ],
)
def test_a_connection_that_could_give_the_token_away_is_refused(change: Callable[[str], str], why: str) -> None:
    """The default of libpq would send it to whoever answers, and even without TLS."""
    with pytest.raises(BadConnection, match=why) as caught:
        IamLogin(change(DSN), "the source", rds)
    assert "Nothing was read; correct the connection" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_without_credentials_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(BadConnection, match=r"the token of locations_reader.*Set the credentials"):
        IamLogin(DSN, "the source", lambda: rds(None))()


@pytest.mark.parametrize(
    ("said", "wanted"), [(True, True), ("True", True), (" yes ", True), (False, False), ("", False), ("0", False)]
)
def test_what_says_yes_and_no(said: object, wanted: bool) -> None:
    assert is_wanted(said, "X_IAM") is wanted


def test_what_says_neither_is_refused() -> None:
    with pytest.raises(BadParams, match="X_IAM is 'ja': it has to be true or false"):
        is_wanted("ja", "X_IAM")
