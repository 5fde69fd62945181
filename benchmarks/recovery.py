"""How long an index takes to come back, by a snapshot and by its source, for tables of several sizes.

    ./dev bench recovery [--rows N,N,...] [--changed SHARE]

For each size: the table is filled and reindexed, the live index is saved, a share of the rows is changed and another
deleted; then the drill takes both ways, as its DAG does. Prints a table, then one line of JSON.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks._bars import conclude, say
from benchmarks._loads import DSN, ENTITY, URL, source_of
from benchmarks.reindex import FOLDER, OWNER_DSN, environment
from local import sample_data
from searchsync.access import repository
from searchsync.cli import workflows
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.config import snapshots
from searchsync.recovery import drill, measure, snapshot
from searchsync.recovery.measure import Connect
from searchsync.sources.postgres import PostgresSource


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when each index came back equal to its source."""
    options = _options(arguments)
    if missing := {URL, DSN, OWNER_DSN, FOLDER} - os.environ.keys():
        print(f"{', '.join(sorted(missing))} not set: run it by ./dev bench recovery", file=sys.stderr)
        return 2
    client = connect(os.environ[URL])
    repository.register(client, "fs", {"location": snapshots().repository})
    found = [_measured(client, rows, options.changed) for rows in options.rows]
    lines = [f"{'documents':>10} {'way':8} {'RTO':>8} {'an hour':>12}  parts"]
    lines += [_line(row, way) for row in found for way in ("restore", "reindex")]
    different = [row for row in found if row["restore"]["different"] or row["reindex"]["different"]]
    told = {"benchmark": "recovery", "changed": options.changed, "found": found, "environment": environment(client)}
    code = conclude("\n".join(lines), told, [])
    return code or bool(different)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench recovery", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=_sizes, default=[10_000, 100_000], help="sizes, divided by commas")
    parser.add_argument("--changed", type=float, default=0.01, help="share of rows changed, and share deleted")
    return parser.parse_args(arguments)


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _measured(client: Client, rows: int, changed: float) -> dict[str, Any]:
    indexes, run = EntityIndexes(client, ENTITY), f"bench/{datetime.now(UTC).isoformat()}"
    for left in indexes.all():
        client.request("DELETE", f"/{left.name}")
    every = max(2, round(1 / changed))
    with psycopg.connect(os.environ[OWNER_DSN], autocommit=True) as owner, tempfile.TemporaryDirectory() as folder:
        sample_data.generate(owner, rows)
        owner.execute("UPDATE locations SET updated_at = now() - interval '9 days'")
        owner.execute("VACUUM (FREEZE, ANALYZE) locations")
        workflows.rebuild(indexes, source_of, run, Path(folder), workflows.Options())
        saved = snapshot.save(client, run, datetime.now(UTC))
        snapshot.verify(client, run, saved)
        owner.execute("UPDATE locations SET name = 'x', updated_at = now() WHERE location_id %% %s = 0", [every])
        owner.execute("DELETE FROM locations WHERE location_id %% %s = 1", [every])
    say(f"{rows:,} rows are live and saved; one in {every} was changed, and one in {every} deleted")
    plan = drill.prepare(indexes, run, lambda _: False)
    restored = measure.restore(indexes, plan, Connect(_source))
    built = measure.build(indexes, plan, Connect(_source))
    return {"rows": rows, "restore": restored.as_dict(), "reindex": built.as_dict()}


def _source(of: Any) -> PostgresSource:
    return PostgresSource(ENTITY, os.environ[DSN], epoch=of.epoch, identity=of.identity)


def _line(row: dict[str, Any], way: str) -> str:
    found = row[way]
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["seconds"].items())
    return f"{found['documents']:>10,} {way:8} {found['total']:>7.1f}s {found['documents_an_hour']:>12,}  {parts}"


if __name__ == "__main__":
    sys.exit(main())
