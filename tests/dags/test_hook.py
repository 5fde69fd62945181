"""What a connection's extra says reaches the library."""

from datetime import UTC, datetime

import pytest

from search_ops import hook
from searchsync.catalog import Entity, entity
from searchsync.cli.connections import SHELL
from searchsync.cluster.indexes import BuiltFrom
from searchsync.errors import BadConnection
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_iam import IamLogin


def test_each_entity_has_the_connection_that_its_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one connection for all, a second database would be taken for the first."""
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_POSTGRES", "postgres://reader:secret@127.0.0.1:1/app")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://reader:secret@127.0.0.1:2/shop?source_id=the-shop")
    monkeypatch.setenv("SHOP_DSN", "postgresql://reader@127.0.0.1:3/shop")
    monkeypatch.setenv("SHOP_SOURCE_ID", "the-shop")
    products = Entity("products", "postgres", ("id",), connection="shop")
    for connections in (hook.connections(), SHELL):
        source = connections.rows(products)
        assert source._source_id == "the-shop"
        assert "shop" in str(source._session._dsn)
    assert hook.connections().rows(entity("locations"))._source_id == ""


@pytest.mark.parametrize(("extra", "wanted"), [("", ""), ("?source_id=restored-2026&sslmode=disable", "restored-2026")])
def test_a_name_for_the_database_reaches_its_identity(monkeypatch: pytest.MonkeyPatch, extra: str, wanted: str) -> None:
    """A restored disk has the identity of its original: only a person can tell the two apart."""
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_POSTGRES", f"postgres://reader:secret@127.0.0.1:1/app{extra}")
    locations = entity("locations")
    connections = hook.connections()
    of = BuiltFrom("index", "identity", 2, datetime.now(UTC))
    for source in (connections.source(locations), connections.source(locations, of)):
        assert isinstance(source, PostgresSource)
        assert source._source_id == wanted


IAM = "iam=true&sslmode=verify-full&sslrootcert=/certificates.pem"


def test_a_login_by_iam_is_that_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shell and in Airflow, with the same region and role as all else."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "extra": {"region_name": "eu-west-1"}}')
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_POSTGRES", f"postgres://reader@db.example.org/app?{IAM}")
    settings = "sslmode=verify-full sslrootcert=/certificates.pem"
    monkeypatch.setenv("SEARCHSYNC_POSTGRES_DSN", f"host=db.example.org dbname=app user=reader {settings}")
    monkeypatch.setenv("SEARCHSYNC_POSTGRES_IAM", "true")
    for connections in (hook.connections(), SHELL):
        login, _ = connections.postgres("searchsync_postgres")
        assert isinstance(login, IamLogin)
        assert "db.example.org:5432/?Action=connect&DBUser=reader&" in login()
        assert "eu-west-1%2Frds-db" in login()


def test_a_login_by_iam_without_a_checked_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_POSTGRES", "postgres://reader@db.example.org/app?iam=true")
    with pytest.raises(BadConnection, match="the connection searchsync_postgres logs in by a token of IAM, but"):
        hook.connections().rows(entity("locations"))
