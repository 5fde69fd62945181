"""A schema for tables that look like real ones, and the entity of the files that were written."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from searchsync import catalog
from searchsync.catalog import Entity


@pytest.fixture
def shop(app: local_postgres.AppDatabase) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection, with an empty schema ``shop`` that the reader may use."""
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC")
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC")
        yield owner
        owner.execute("DROP SCHEMA shop CASCADE")


def made(name: str) -> Entity:
    """The entity of the files that ``entity new`` wrote."""
    found, bad = catalog._load()
    assert bad == {}
    return found[name]
