"""How long a comparison of a whole index with its source takes, how much memory, and whether it finds what is wrong.

    ./dev bench compare [--rows N] [--runs N] [--members N] [--seed N]

(a) Locations without a difference: counts, fingerprints of all buckets on both sides, and 100 documents field by field.
Figures are medians. (b) Members at 100 writes a second, a fifth of them to one member, with deletes and re-creates,
delivered by the stream all the while; and twelve faults in their index. The comparison looks at every document field by
field: it must confirm exactly these twelve, none after the repair, and no difference at all when the writes have ended
and are delivered, or the benchmark fails. Each comparison is a process of its own. Either part is left out by 0. Prints
a table, then one line of JSON.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks import _compare, _compare_live
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import ENTITY, URL, source_of
from benchmarks.reindex import OWNER_DSN
from local import sample_data
from searchsync.cli import workflows
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes

MOST_SECONDS = 10.0
FOLDER = "SEARCHSYNC_BENCH_DIR"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    bars: list[Bar] = []
    figures: dict[str, Any] = {"benchmark": "compare"}
    if options.rows:
        small, large = (_measure(rows, options.runs) for rows in (options.rows // 10, options.rows))
        bars.append(Bar(f"seconds at {options.rows:,} rows", large["seconds"], most=MOST_SECONDS))
        bars.append(Bar("peak memory at all rows / at a tenth", large["rss"] / small["rss"], most=1.1))
        figures |= {"small": small, "large": large}
    if options.members:
        client, folder = connect(os.environ[URL]), Path(os.environ[FOLDER]) / "stream"
        compared = _compare_live.run(client, folder, options.members, options.seed)
        bars += compared.bars()
        figures["members"] = compared.as_dict()
    return conclude("", figures, bars)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="also a tenth; 0 for none (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of locations (default: %(default)s)")
    parser.add_argument("--members", type=int, default=100_000, help="0 for none (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261121, help="of faults and writes (default: %(default)s)")
    options = parser.parse_args(arguments)
    if 0 < options.members < _compare_live.LEAST_MEMBERS:
        parser.error(f"at least {_compare_live.LEAST_MEMBERS} members, or 0")
    if not options.rows and not options.members:
        parser.error("nothing is left to compare: --rows or --members must be above 0")
    return options


def _measure(rows: int, runs: int) -> dict[str, Any]:
    client = connect(os.environ[URL])
    for left in EntityIndexes(client, ENTITY).all():
        client.request("DELETE", f"/{left.name}")
    with psycopg.connect(os.environ[OWNER_DSN]) as connection:
        sample_data.generate(connection, rows)
        connection.autocommit = True
        connection.execute("VACUUM (FREEZE, ANALYZE) locations")
    with tempfile.TemporaryDirectory() as folder:
        indexes, options = EntityIndexes(client, ENTITY), workflows.Options(partitions=2)
        made = workflows.rebuild(indexes, source_of, f"bench/{rows}", Path(folder), options)
    found = []
    for _ in range(runs):
        found.append(_compare.run(ENTITY.name, made.index))
        if found[-1]["confirmed"] or found[-1]["index_count"] != rows:
            raise RuntimeError(f"{rows} equal rows were compared as {found[-1]}")
    seconds, cpu = (median(run[name] for run in found) for name in ("seconds", "cpu"))
    rss = max(run["rss"] for run in found)
    say(f"{rows:>12,} rows: {seconds:6.2f} s, of which this process worked {cpu:.2f} s; peak memory {rss / 1e6:.0f} MB")
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "rss": rss}


if __name__ == "__main__":
    sys.exit(main())
