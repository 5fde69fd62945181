"""One process that sends requests over HTTP/1.1 and says how long the answers took.

It is the load of ``./dev bench api`` and ``./dev bench saturation``.

It is a bare protocol of asyncio with requests that are bytes beforehand, because it shares two cores with what it
measures. Closed load: each connection sends its next request when the answer is there. Open load: requests are due at
fixed times, whether or not others are answered, and a request's time counts from when it was due.
"""

import asyncio
import json
import re
import resource
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks._loads import Job

NO_ANSWER = "no answer"
"""Kind of the requests whose connection ended before they were answered."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CACHE = re.compile(rb"\r\nx-cache: *(\w+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[tuple[int, str, bytes]] | None = None
        self._come = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect an answer; hand it over when it is whole."""
        self._come += data
        end = self._come.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._come[:end])
        length = _LENGTH.search(head)
        if length is None:
            whole = _CHUNKED.search(head) is not None and self._come.endswith(b"0\r\n\r\n")
        else:
            whole = len(self._come) >= end + 4 + int(length[1])
        if whole and self._answer is not None:
            cache = _CACHE.search(head)
            answer, self._answer = self._answer, None
            body = bytes(self._come[end + 4 :])
            self._come.clear()
            answer.set_result((int(head[9:12]), cache[1].decode() if cache else "", body))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request that is under way."""
        if self._answer is not None:
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, str, bytes]]:
        """Send a request. The future has the status, the state of the cache, and the body."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


def kind_of(status: int, cache: str, body: bytes) -> str:
    """Return the status with what tells answers of one status apart: where they came from, or why there is none."""
    if status == 200:
        return f"{status} {cache}".strip()
    try:
        return f"{status} {json.loads(body)['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{status}"


class Load:
    """The answers to some requests, and how long each took."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._milliseconds: defaultdict[str, list[float]] = defaultdict(list)
        self._bytes = 0

    async def run(self) -> dict[str, Any]:
        """Send all requests. Return the figures."""
        connections = [await self._connect() for _ in range(self._job["connections"])]
        requests = islice(self._requests(), self._job["count"])
        began = time.perf_counter()
        if rate := self._job.get("rate"):
            await self._open(connections, requests, rate)
        else:
            await asyncio.gather(*(self._closed(connection, requests) for connection in connections))
        seconds = time.perf_counter() - began
        for connection in connections:
            connection.close()
        return self._figures(seconds)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._job["host"], self._job["port"])
        return connection

    def _requests(self) -> Iterator[bytes]:
        """Yield the recorded requests, from the beginning again after the last."""
        text = Path(self._job["requests"]).read_bytes()
        recorded = text.split(b"\0")[:-1]
        start = self._job.get("start", 0) % len(recorded)
        return cycle(chain(recorded[start:], recorded[:start]))

    async def _closed(self, connection: Connection, requests: Iterator[bytes]) -> None:
        for request in requests:
            await self._one(connection, request, time.perf_counter())

    async def _open(self, connections: list[Connection], requests: Iterator[bytes], rate: float) -> None:
        free, began = deque(connections), time.perf_counter()
        under_way: set[asyncio.Task[None]] = set()
        for number, request in enumerate(requests):
            due = began + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            while not free:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._borrowed(free, free.popleft(), request, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def _borrowed(self, free: deque[Connection], connection: Connection, request: bytes, due: float) -> None:
        try:
            await self._one(connection, request, due)
        except ConnectionError:
            self._milliseconds[NO_ANSWER].append((time.perf_counter() - due) * 1e3)
            connection = await self._connect()
        free.append(connection)

    async def _one(self, connection: Connection, request: bytes, since: float) -> None:
        status, cache, body = await connection.ask(request)
        self._milliseconds[kind_of(status, cache, body)].append((time.perf_counter() - since) * 1e3)
        self._bytes += len(body)

    def _figures(self, seconds: float) -> dict[str, Any]:
        took = [one for kind in self._milliseconds.values() for one in kind]
        return {
            "seconds": seconds,
            "rate": len(took) / seconds,
            **percentiles(took),
            "answers": {kind: len(times) for kind, times in self._milliseconds.items()},
            "kinds": {kind: percentiles(times) for kind, times in self._milliseconds.items()},
            "bytes": self._bytes / len(took),
            "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        }


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99."""
    took = sorted(times)
    return {f"p{share}": took[min(len(took) - 1, len(took) * share // 100)] for share in (50, 95, 99)}


def main() -> None:
    """Read the job, wait for the word, and print the figures."""
    load = Load(json.loads(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(uvloop.run(load.run())), flush=True)


if __name__ == "__main__":
    main()
