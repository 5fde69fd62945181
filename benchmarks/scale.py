"""What a whole DAG run takes as the table grows: time per row of each task, and the memory of each task's process.

    ./dev bench scale [--sizes N...] [--partitions N]

A stack of its own. For each size, smallest first, the table gets so many rows, ``locations_reindex`` runs, the index
that was live before is deleted, and a process of its own compares the whole index with the table. The memory of a task
is the peak of its process, which includes Airflow's own. Prints a table, then one line of JSON; the exit code is 1 when
the time per row or the memory grows with the table. 10,000,000 rows need about 25 GB of disk.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import _compare
from benchmarks._bars import Bar, conclude, say
from benchmarks._loads import DSN, ENTITY, URL, peak_rss_of
from local import postgres, runs, sample_data
from local.airflow_api import AirflowApi
from local.errors import LocalError
from local.paths import ROOT, Home
from local.stack import Stack
from searchsync.cluster import aliases
from searchsync.cluster.client import connect
from searchsync.cluster.indexes import EntityIndexes

DAG = "locations_reindex"
FOLDER = "SEARCHSYNC_BENCH_DIR"
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SHOWN = ("load", "make_searchable", "gate")
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 4 * 3600.0


class WrongResult(Exception):
    """A run that failed, or an index that is not what its table is: its speed means nothing."""


@dataclass(frozen=True)
class Size:
    """What one size took.

    :ivar seconds: of the DAG run, from its start to its end
    :ivar tasks: seconds by task; of the mapped one from the first start to the last end
    :ivar compare: seconds of the comparison
    :ivar task_rss: bytes, of the largest process of a task
    :ivar compare_rss: bytes, of the process that compared
    """

    rows: int
    seconds: float
    tasks: dict[str, float]
    compare: float
    task_rss: int
    compare_rss: int

    def per_row(self, seconds: float) -> float:
        """Microseconds."""
        return seconds / self.rows * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0 when all bars are met."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up also then
    stack = Stack(Home(Path(os.environ[FOLDER]) / "scale", ROOT / "dags"), say)
    began = datetime.now(UTC)
    sizes: list[Size] = []
    try:
        stack.up()
        api = stack.api()
        runs.await_dag(api, DAG, parsed_since=began)
        api.unpause(DAG)
        for rows in options.sizes:
            sizes.append(_measure(stack, api, rows, options.partitions))
            say(_line(sizes[-1]))
    finally:
        stack.down(wipe=True)
    told = {"benchmark": "scale", "sizes": [asdict(size) for size in sizes]}
    return conclude("\n".join([_head(), *map(_line, sizes)]), told, bars(sizes))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows (default: %(default)s)")
    parser.add_argument("--partitions", type=int, default=4, help="key ranges of a load (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.sizes = sorted(set(options.sizes))
    if options.sizes[0] < 1_000 or not 1 <= options.partitions <= 64:
        parser.error("sizes from 1000 rows, and 1 to 64 partitions")
    return options


def _measure(stack: Stack, api: AirflowApi, rows: int, partitions: int) -> Size:
    variables = stack.variables()
    with psycopg.connect(stack.server("postgres").dsn(postgres.OWNER, "app")) as owner:
        sample_data.generate(owner, rows)
        owner.autocommit = True
        owner.execute("VACUUM (FREEZE, ANALYZE) locations")  # else autovacuum does it in the middle of a run
    run_id = api.trigger(DAG, {"partitions": partitions, "approve": "never"})
    with _watched(stack) as peaks:
        outcome = runs.follow(api, DAG, run_id, lambda _: None, patience=PATIENCE_SECONDS)
    if not outcome.succeeded or outcome.result["documents"] != rows:
        raise WrongResult("\n".join(runs.explain_failure(api, outcome)))
    tasks = api.tasks(DAG, run_id)
    indexes = EntityIndexes(connect(variables["SEARCHSYNC_OPENSEARCH_URL"]), ENTITY)
    for index in indexes.all():  # the table has other rows now; and the write set has room for a few only
        if not index.is_live:
            aliases.delete(indexes, index.name)
    os.environ |= {URL: variables["SEARCHSYNC_OPENSEARCH_URL"], DSN: variables["SEARCHSYNC_POSTGRES_DSN"]}
    compared = _compare.run(ENTITY.name, outcome.result["index"])
    if compared["confirmed"] or compared["index_count"] != rows:
        raise WrongResult(f"{rows} rows were compared as {compared}")
    return Size(
        rows=rows,
        seconds=outcome.seconds,
        tasks={name: _seconds([task for task in tasks if task["task_id"] == name]) for name in SHOWN},
        compare=compared["seconds"],
        task_rss=max(peaks.values()),
        compare_rss=compared["rss"],
    )


def _seconds(tasks: Sequence[dict[str, Any]]) -> float:
    moments = {name: [datetime.fromisoformat(task[name]) for task in tasks] for name in ("start_date", "end_date")}
    return (max(moments["end_date"]) - min(moments["start_date"])).total_seconds()


@contextmanager
def _watched(stack: Stack) -> Iterator[dict[int, int]]:
    """The peak memory in bytes of each process of a task that runs meanwhile, by its id; looked at twice a second."""
    peaks: dict[int, int] = {}
    over = threading.Event()

    def watch() -> None:
        api = stack.api()  # a client is for one thread
        while not over.wait(LOOK_SECONDS):
            for run in api.runs(DAG, states=("running",)):
                for task in api.tasks(DAG, run["dag_run_id"]):
                    if task["state"] == "running" and task["pid"]:
                        peaks[task["pid"]] = max(peak_rss_of(task["pid"]), peaks.get(task["pid"], 0))

    def keep_watching() -> None:
        while not over.is_set():
            try:
                watch()
            except LocalError:  # the API was busy; the next look finds the same peak
                time.sleep(LOOK_SECONDS)

    thread = threading.Thread(target=keep_watching)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def bars(sizes: Sequence[Size]) -> list[Bar]:
    """What was promised: the largest beside the one before it, whose start-up is not all of its time."""
    if len(sizes) < 2:
        return []
    small, large = sizes[-2:]
    names = f"{large.rows:,} / at {small.rows:,} rows"
    slower = {
        f"time per row of {name} at {names}": large.per_row(large.tasks[name]) / small.per_row(small.tasks[name])
        for name in ("load", "gate")
    }
    slower[f"time per row of the comparison at {names}"] = large.per_row(large.compare) / small.per_row(small.compare)
    return [
        *(Bar(name, value, most=1.1) for name, value in slower.items()),
        Bar(f"peak memory of a task at {names}", large.task_rss / small.task_rss, most=1.1),
        Bar(f"peak memory of the comparison at {names}", large.compare_rss / small.compare_rss, most=1.1),
    ]


def _head() -> str:
    names = ["rows", "run s", *(f"{name} s" for name in SHOWN), "compare s", "load us/row", "task MB", "compare MB"]
    return "".join(f"{name:>18}" for name in names)


def _line(size: Size) -> str:
    seconds = [size.seconds, *(size.tasks[name] for name in SHOWN), size.compare]
    memory = (size.task_rss / 1e6, size.compare_rss / 1e6)
    cells = [f"{size.rows:,}", *(f"{value:,.1f}" for value in (*seconds, size.per_row(size.tasks["load"]), *memory))]
    return "".join(f"{cell:>18}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
