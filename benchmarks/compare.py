"""How long a comparison of a whole index with its table takes, and how much memory.

    ./dev bench compare [--rows N] [--runs N]

Locations without a difference: counts, fingerprints of all buckets on both sides, and 100 documents field by field.
Each run is a process of its own; figures are medians. Prints a table, then one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks._loads import ENTITY, URL, source_of
from benchmarks.reindex import OWNER_DSN, Bar, say
from local import sample_data
from local.airflow import MALLOC
from searchsync import indexes, opensearch, reindex

MOST_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    parser = argparse.ArgumentParser(prog="./dev bench compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="also a tenth (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args(arguments)
    small, large = (_measure(rows, options.runs) for rows in (options.rows // 10, options.rows))
    bars = [
        Bar(f"seconds at {options.rows:,} rows", large["seconds"], most=MOST_SECONDS),
        Bar("peak memory at all rows / at a tenth", large["rss"] / small["rss"], most=1.1),
    ]
    for bar in bars:
        say(f"{'met    ' if bar.met else 'NOT MET'} {bar.name}: {bar.value:.2f} (<= {bar.most:g})")
    met = all(bar.met for bar in bars)
    figures = {"benchmark": "compare", "small": small, "large": large, "ok": met}
    print(json.dumps({**figures, "bars": [{"name": bar.name, "value": bar.value, "met": bar.met} for bar in bars]}))
    return 0 if met else 1


def _measure(rows: int, runs: int) -> dict[str, Any]:
    client = opensearch.connect(os.environ[URL])
    for left in indexes.of_entity(client, ENTITY):
        opensearch.request(client, "DELETE", f"/{left.name}")
    with psycopg.connect(os.environ[OWNER_DSN]) as connection:
        sample_data.generate(connection, rows)
        connection.autocommit = True
        connection.execute("VACUUM (FREEZE, ANALYZE) locations")
    with tempfile.TemporaryDirectory() as folder:
        made = reindex.run(client, source_of, build=f"bench/{rows}", reports=Path(folder), partitions=2)
    command = [sys.executable, "-m", "benchmarks._compare", made["index"]]
    found = []
    for _ in range(runs):
        done = subprocess.run(command, env=os.environ | MALLOC, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
        if found[-1]["confirmed"] or found[-1]["compared"] != rows:
            raise RuntimeError(f"{rows} equal rows were compared as {found[-1]}")
    seconds, cpu = (median(run[name] for run in found) for name in ("seconds", "cpu"))
    rss = max(run["rss"] for run in found)
    say(f"{rows:>12,} rows: {seconds:6.2f} s, of which this process worked {cpu:.2f} s; peak memory {rss / 1e6:.0f} MB")
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "rss": rss}


if __name__ == "__main__":
    sys.exit(main())
