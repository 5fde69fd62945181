"""One loading process of a benchmark, fresh for each measurement so that its peak memory is its own.

Started by ``benchmarks._runs`` with a job as JSON. It prepares, says that it is ready, waits for the word, loads, and
prints what it used. All ways write the same documents, ``sync`` fields included, as ``create``.
"""

import json
import os
import re
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from searchsync.catalog import entity
from searchsync.cluster.client import BULK, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import reindex
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from searchsync.writing.progress import Rejections
from searchsync.writing.writer import IN_FLIGHT

ENTITY = entity("locations")
URL, DSN = "SEARCHSYNC_OPENSEARCH_URL", "SEARCHSYNC_POSTGRES_DSN"

Job = dict[str, Any]


def main() -> None:
    """Run the job given as the only argument."""
    run(WAYS)


def run(ways: Mapping[str, Callable[[Job], Callable[[], int]]]) -> None:
    """Run the job given as the only argument, in one of some ways."""
    job: Job = json.loads(sys.argv[1])
    load = ways[job["way"]](job)
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever started it has gone
    cpu = time.process_time()
    documents = load()
    print(json.dumps({"documents": documents, "cpu": time.process_time() - cpu, "rss": peak_rss()}), flush=True)


def partition_of(bounds: list[list[str] | None]) -> Partition:
    """A partition as it comes out of JSON."""
    lower, upper = (tuple(end) if end is not None else None for end in bounds)
    return Partition(lower, upper)


def source_of(plan: reindex.ReindexPlan | None = None) -> PostgresSource:
    """The source of a load, as a task makes it; without a plan, whatever server it is."""
    if plan is None:
        return PostgresSource(ENTITY, os.environ[DSN])
    return PostgresSource(ENTITY, os.environ[DSN], epoch=plan.epoch, identity=plan.identity)


def send_bodies(job: Job) -> Callable[[], int]:
    """The ceiling: bodies rendered beforehand, sent by bare HTTP; of each answer only ``errors`` is looked at.

    Same bodies, response filter and number of requests in flight as our path. A body is read from its file just before
    it is sent, so this process is small, too.
    """
    import urllib3

    pool = urllib3.connection_from_url(os.environ[URL], maxsize=IN_FLIGHT)
    # The filter is ours, whatever it becomes: part of what is compared.
    url = f"/{job['index']}/{BULK}"
    headers = {"content-type": "application/x-ndjson"}

    def send(path: Path) -> int:
        answer = pool.urlopen("POST", url, body=path.read_bytes(), headers=headers, retries=False)
        if answer.status != 200 or b'"errors":false' not in answer.data[:100]:
            raise RuntimeError(f"{path.name} was answered {answer.status}: {answer.data[:500]!r}")
        return int(path.stem.split("-")[1])  # the file's name tells its documents

    def load() -> int:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            return sum(threads.map(send, [path for folder in job["bodies"] for path in sorted(Path(folder).iterdir())]))

    return load


def _ours(job: Job) -> Callable[[], int]:
    """Our path, as the DAG's ``load`` runs it: partition after partition, a client and a source for each."""
    plan = reindex.ReindexPlan(**job["plan"])

    def load_one(partition: Partition, folder: Path) -> int:
        client, source = connect(os.environ[URL]), source_of(plan)
        with Rejections(folder / "rejected.ndjson") as rejections:
            ledger = reindex.Reindex(EntityIndexes(client, source.entity), plan, job["index"]).load(
                source, partition, rejections=rejections
            )
        source.close()
        return ledger.written

    def load() -> int:
        with TemporaryDirectory() as folder:
            return sum(load_one(partition_of(bounds), Path(folder)) for bounds in job["partitions"])

    return load


_ROWS = """
    SELECT location_id, name, alternate_names, region, country, latitude, longitude, population, timezone, rate, active,
           created_at, updated_at, hash_record_extended(l, 0) AS hash,
           hashtextextended(location_id::text COLLATE "C", 0) & 1023 AS bucket
    FROM locations AS l WHERE location_id >= %s AND location_id < %s"""
_MAX = 2**63 - 1


def _documents(job: Job, batch: int) -> Iterator[dict[str, Any]]:
    """Rows by a server-side cursor, documents built in Python: how one writes it with the helpers of opensearch-py.

    :param batch: rows fetched at once
    """
    import psycopg
    from psycopg.rows import dict_row

    plan = reindex.ReindexPlan(**job["plan"])
    source = source_of(plan)
    position = source.snapshot().position(plan.epoch)
    source.close()
    sync = {"position": position, "deleted": False, "written_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    with psycopg.connect(os.environ[DSN], options="-c timezone=UTC") as connection:
        for lower, upper in job["partitions"]:
            with connection.cursor("rows", row_factory=dict_row) as cursor:
                cursor.itersize = batch
                for row in cursor.execute(_ROWS, [int(lower[0]) if lower else 0, int(upper[0]) if upper else _MAX]):
                    row["coordinates"] = {"lat": row.pop("latitude"), "lon": row.pop("longitude")}
                    row["created_at"] = row["created_at"].isoformat()
                    row["updated_at"] = row["updated_at"].isoformat()
                    row["rate"] = float(row["rate"])
                    hashed = row.pop("hash")
                    halves = {"hash_high": hashed >> 32 & 0xFFFFFFFF, "hash_low": hashed & 0xFFFFFFFF}
                    row["sync"] = {**sync, "bucket": row.pop("bucket"), **halves}
                    yield {"_op_type": "create", "_id": str(row["location_id"]), "_source": row}


def _streaming_bulk(job: Job) -> Callable[[], int]:
    from opensearchpy import OpenSearch, helpers

    client = OpenSearch(os.environ[URL], timeout=60)
    chunk = job["chunk"]
    return lambda: drain(helpers.streaming_bulk(client, _documents(job, chunk), index=job["index"], chunk_size=chunk))


def _parallel_bulk(job: Job) -> Callable[[], int]:
    from opensearchpy import OpenSearch, helpers

    chunk, threads = job["chunk"], job["threads"]
    client = OpenSearch(os.environ[URL], timeout=60, pool_maxsize=threads)
    return lambda: drain(
        helpers.parallel_bulk(
            client, _documents(job, chunk), index=job["index"], chunk_size=chunk, thread_count=threads
        )
    )


def drain(results: Iterator[Any]) -> int:
    """Documents written; the helpers raise at the first one that was not."""
    last: deque[tuple[int, Any]] = deque(enumerate(results, 1), maxlen=1)
    return last[0][0] if last else 0


WAYS: dict[str, Callable[[Job], Callable[[], int]]] = {
    "bodies": send_bodies,
    "ours": _ours,
    "streaming_bulk": _streaming_bulk,
    "parallel_bulk": _parallel_bulk,
}


def peak_rss() -> int:
    """Bytes that this process held at most.

    ``ru_maxrss`` of a child that was forked begins with its parent's, so Linux' own figure is preferred.
    """
    if found := peak_rss_of("self"):
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_rss_of(process: int | str) -> int:
    """Bytes that a process held at most, by Linux' own figure; 0 when there is none, or the process has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
