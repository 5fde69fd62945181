"""Locations: the real PostgreSQL, whose transactions overlap, and the sync."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from local.postgres import AppDatabase
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from tests.consistency.clock import Clock
from tests.consistency.ground import Content, Ground
from tests.crashes import Crashing

HOUR = timedelta(hours=1)


@dataclass
class Places(Ground):
    """The table ``locations`` and the product around it.

    :ivar app: its database
    :ivar crashing: its server, where a course of events crashes it
    :ivar keys: ids of all rows that may ever be
    """

    app: AppDatabase = field(kw_only=True)
    crashing: Crashing | None = None
    keys: int = 0

    def __post_init__(self) -> None:
        self.entity = Entity(name="locations", source="postgres", key=("location_id",), changed="updated_at")
        super().__post_init__()
        with self.connect() as connection:
            connection.execute("TRUNCATE locations")

    def connect(self) -> psycopg.Connection[Any]:
        """As the product that writes the table; what it does is committed at the end."""
        return psycopg.connect(self.app.owner_dsn)

    def source(self, plan: Any = None) -> PostgresSource:
        known = {"epoch": plan.epoch, "identity": plan.identity} if plan is not None else {}
        return PostgresSource(self.entity, self.app.reader_dsn, **known)

    def contents(self) -> dict[str, Content]:
        with self.connect() as connection:
            found = dict(connection.execute("SELECT location_id, name FROM locations").fetchall())
        return {str(key): {"name": found[key]} if key in found else None for key in range(1, self.keys + 1)}

    def read(self, document: dict[str, Any]) -> Content:
        return {"name": document["name"]}

    def sync(self, client: Client | None = None) -> sync.SyncReport:
        """Of the last hour."""
        served = sync.check(EntityIndexes(self.client, self.entity))
        now = datetime.now(UTC)
        with closing(self.source(served)) as source, self.rejections() as rejections:
            return sync.run(
                EntityIndexes(client or self.client, source.entity),
                source,
                served,
                Interval(now - HOUR, now + HOUR),
                rejections=rejections,
            )


def write(connection: psycopg.Connection[Any], key: int, name: str | None) -> None:
    """One row, in the transaction under way; without a name it is deleted."""
    if name is None:
        connection.execute("DELETE FROM locations WHERE location_id = %s", [key])
        return
    connection.execute(
        "INSERT INTO locations (location_id, name, country, latitude, longitude, updated_at)"
        " VALUES (%s, %s, 'DE', 52.5, 13.4, clock_timestamp()) ON CONFLICT (location_id)"
        " DO UPDATE SET name = EXCLUDED.name, updated_at = EXCLUDED.updated_at",
        [key, name],
    )


@contextmanager
def placed(
    client: Client, app: AppDatabase, *, speed: float = 0.0, crashing: Crashing | None = None
) -> Iterator[Places]:
    """Places whose clock the product reads."""
    clock = Clock(speed)
    with TemporaryDirectory() as folder, clock.told():
        yield Places(client, Path(folder), clock, app=app, crashing=crashing)
