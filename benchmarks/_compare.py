"""One comparison in a process of its own, so that its peak memory is its own. Prints a line of JSON."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks._loads import URL, peak_rss, source_of
from local.airflow import MALLOC
from searchsync.catalog import entity
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import Effort
from searchsync.sources.base import Source
from searchsync.stream.lag import Lag

Job = dict[str, Any]


def run(entity: str, index: str, *, sample: int = 100, read_units: float | None = None, repair: bool = False) -> Job:
    """Compare an index with its source, and repair it if so asked; what ``main`` prints."""
    job = {"entity": entity, "index": index, "sample": sample, "read_units": read_units, "repair": repair}
    command = [sys.executable, "-m", "benchmarks._compare", json.dumps(job)]
    done = subprocess.run(command, env=os.environ | MALLOC, check=True, stdout=subprocess.PIPE, text=True)
    found: Job = json.loads(done.stdout)
    return found


def main() -> None:
    """Run the job given as the only argument."""
    job: Job = json.loads(sys.argv[1])
    client = connect(os.environ[URL])
    source, behind = _source(client, job)
    began, cpu = time.monotonic(), time.process_time()
    report = differences.find(
        EntityIndexes(client, source.entity).get(job["index"]),
        source,
        behind=behind,
        effort=Effort(sample=job["sample"]),
    )
    figures = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "rss": peak_rss()}
    repaired = repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=not job["repair"])
    source.close()
    print(json.dumps({**report.as_dict(), **figures, "repaired": asdict(repaired)}))


def _source(client: Client, job: Job) -> tuple[Source, Callable[[], Lag] | None]:
    """The source, and how to ask how far the index is behind it."""
    if job["entity"] == "locations":
        return source_of(), None
    from local import tables  # clients of AWS, whose memory is not for the figure of locations
    from searchsync.sources.dynamodb import DynamoSource
    from searchsync.stream import lag

    dynamodb, streams = (
        tables.client(name, os.environ["AWS_ENDPOINT_URL"]) for name in ("dynamodb", "dynamodbstreams")
    )
    source = DynamoSource(entity("members"), dynamodb, read_units=job["read_units"])
    stream = source.stream()
    return source, lambda: lag.measure(EntityIndexes(client, source.entity), job["index"], streams, stream)


if __name__ == "__main__":
    main()
