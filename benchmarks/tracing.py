"""What traces and their fields of the log cost the load of an index.

    ./dev bench tracing [--documents N] [--runs N]

The same pages are loaded again and again: without a trace, as nine of ten runs do, and with one, whose spans go to a
collector in a process of its own. The ways take turns in one process; the first round is not counted. The figure is the
median of the ratios of neighbours. Prints a table, then one line of JSON.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection
from statistics import median

from benchmarks._bars import Bar, conclude
from benchmarks._loads import URL
from searchsync.cluster.client import Client, connect
from searchsync.cluster.index import Index
from searchsync.documents.page import Document, Page, page_of
from searchsync.sampling import is_sampled
from searchsync.telemetry import traces
from searchsync.writing import writer
from tests.collector import collecting

INDEX, PAGE, LEAST = "bench-tracing", 2_000, 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit code: 0 when the bar is met."""
    parser = argparse.ArgumentParser(prog="./dev bench tracing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--documents", type=int, default=100_000, help="of each load (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each way (default: %(default)s)")
    options = parser.parse_args(arguments)
    ours, theirs = multiprocessing.Pipe()
    collector = multiprocessing.Process(target=_collect, args=(theirs,), daemon=True)
    collector.start()
    os.environ[traces.COLLECTOR] = ours.recv()
    client, pages = connect(os.environ[URL]), _pages(options.documents)
    rounds = [
        (_seconds(client, pages, traced=False), _seconds(client, pages, traced=True)) for _ in range(options.runs + 1)
    ]
    ours.send(None)
    spans = ours.recv()
    rates = {
        way: options.documents / median(seconds)
        for way, seconds in zip(("without", "traced"), zip(*rounds[1:], strict=True), strict=True)
    }
    ratio = median(without / traced for without, traced in rounds[1:])
    bars = [Bar("rate when traced / without", ratio, least=LEAST), Bar("spans", spans, least=1)]
    text = "\n".join(f"{rate:>12,.0f} docs/s {way}" for way, rate in rates.items())
    return conclude(text, {"benchmark": "tracing", **rates, "spans": spans}, bars)


def _pages(count: int) -> list[Page]:
    def document(number: int) -> Document:
        body = {"sync": {"position": ""}, "name": f"a place with the number {number}", "population": number}
        return Document(b'"%d"' % number, json.dumps(body).encode(), "", False)

    return [page_of([document(n) for n in range(first, first + PAGE)], position="") for first in range(0, count, PAGE)]


def _seconds(client: Client, pages: Sequence[Page], *, traced: bool) -> float:
    """Return how long a load into an empty index takes; the sending of the spans is a part of it."""
    client.request("DELETE", f"/{INDEX}", params={"ignore_unavailable": "true"})
    client.request("PUT", f"/{INDEX}", body={"settings": {"number_of_replicas": 0, "refresh_interval": -1}})
    kept = next(str(number) for number in range(1_000) if is_sampled(str(number)))
    began = time.monotonic()
    with traces.invocation(kept, "bench", {}) if traced else nullcontext():
        writer.load(Index(client, INDEX), pages, on_rejected=print)
    return time.monotonic() - began


def _collect(told: Connection) -> None:
    with collecting() as collector:
        told.send(collector.url)
        told.recv()
        told.send(len(collector.spans))


if __name__ == "__main__":
    sys.exit(main())
