"""What goes on beside the searches of ``./dev bench saturation``: a whole reindex, and a sync of some changed rows."""

import os
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks._loads import DSN, ENTITY, URL, source_of
from searchsync.cli import workflows
from searchsync.cluster import aliases
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import sync as operation
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections

OWNER_DSN = "SEARCHSYNC_POSTGRES_OWNER_DSN"
CHANGED = 20_000


def reindex() -> float:
    """Rebuild the index, make it live, and delete the one before. Return the seconds of the rebuild."""
    client = connect(os.environ[URL])
    indexes, began = EntityIndexes(client, ENTITY), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        options = workflows.Options(partitions=2)
        made = workflows.rebuild(indexes, source_of, f"bench/{time.time_ns()}", Path(folder), options)
    seconds = time.monotonic() - began
    for old in indexes.all():
        if old.name != made.index:
            aliases.leave(indexes, old.name)
            client.request("DELETE", f"/{old.name}")
    return seconds


def sync() -> float:
    """Change some rows, and bring them into the index. Return the seconds of the sync."""
    indexes = EntityIndexes(connect(os.environ[URL]), ENTITY)
    start = datetime.now(UTC)
    with psycopg.connect(os.environ[OWNER_DSN]) as owner:
        some = "SELECT location_id FROM locations ORDER BY location_id LIMIT %s"
        query = f"UPDATE locations SET rate = rate + 0.01, updated_at = now() WHERE location_id IN ({some})"
        owner.execute(query, [CHANGED])
    began, built = time.monotonic(), operation.check(indexes)
    with (
        tempfile.TemporaryDirectory() as folder,
        Rejections(Path(folder, "rejected.ndjson")) as rejections,
        closing(PostgresSource(ENTITY, os.environ[DSN], epoch=built.epoch, identity=built.identity)) as source,
    ):
        operation.run(indexes, source, built, Interval(start, datetime.now(UTC)), rejections=rejections)
    return time.monotonic() - began
