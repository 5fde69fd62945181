"""One comparison in a process of its own, so that its peak memory is its own. Prints a line of JSON."""

import json
import os
import sys
import time

from benchmarks._loads import DSN, ENTITY, URL, peak_rss
from searchsync import differences, opensearch
from searchsync.sources.postgres import PostgresSource


def main() -> None:
    """Compare the index given as the only argument."""
    client, source = opensearch.connect(os.environ[URL]), PostgresSource(ENTITY, os.environ[DSN])
    began, cpu = time.monotonic(), time.process_time()
    report = differences.find(client, source, sys.argv[1])
    figures = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "rss": peak_rss()}
    print(json.dumps({**figures, "confirmed": len(report.findings), "compared": report.index_count}))


if __name__ == "__main__":
    main()
