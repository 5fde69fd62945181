"""What a connection's extra says reaches the library."""

from datetime import UTC, datetime

import pytest

from search_ops import hook
from searchsync.catalog import Entity, entity
from searchsync.cli.connections import SHELL
from searchsync.cluster.indexes import BuiltFrom
from searchsync.sources.postgres import PostgresSource


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
        assert "shop" in source._session._dsn
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
