"""Connections of callers to the service as it is served: how an answer comes, and what stops when they go away."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from structlog.testing import capture_logs

from tests.integration.search_api.engine_server import EngineServer, Received
from tests.integration.search_api.engine_server import serving as engine_serving
from tests.search_service import Served, serving
from tests.steps import until
from tests.user_pool import bearer

NO_REDIS = "redis://127.0.0.1:9"
ALIASES: dict[str, Any] = {
    f"{name}-1": {"aliases": {name: {}, f"{name}-writers": {}}} for name in ("locations", "members")
}


async def slow(received: Received) -> web.Response:
    """Say which indexes are live, and answer no search."""
    if "_alias" not in received.path:
        await asyncio.sleep(60)
    return web.Response(body=json.dumps(ALIASES).encode())


@contextmanager
def served_slowly() -> Iterator[tuple[Served, EngineServer]]:
    """The service before a server that answers no search."""
    started, stop = threading.Event(), threading.Event()
    engines: list[EngineServer] = []

    async def run() -> None:
        async with engine_serving(slow) as engine:
            engines.append(engine)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert started.wait(10)
        with serving(engines[0].url, NO_REDIS) as served:
            until(lambda: served.get("/ready", None).status_code == 200, "the service is ready")
            yield served, engines[0]
    finally:
        stop.set()
        thread.join(10)


def search(served: Served, question: str) -> socket.socket:
    """Send a search, and do not wait for its answer."""
    parts = urlsplit(served.url)
    caller = socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10)
    head = f"GET /v1/locations/search?q={question} HTTP/1.1\r\nhost: a\r\nauthorization: {bearer()}\r\n\r\n"
    caller.sendall(head.encode())
    return caller


def searches(engine: EngineServer) -> int:
    return sum("_search" in one.path for one in engine.received)


def test_what_nobody_waits_for_any_more_stops_in_opensearch_too() -> None:
    """Else everybody who types on makes OpenSearch work for answers that nobody gets, and takes the others' places."""
    with served_slowly() as (served, engine), capture_logs() as logs:
        caller = search(served, "berlin")
        until(lambda: searches(engine) == 1, "the search has begun")
        caller.close()
        until(lambda: engine.left == 1, "the search is broken off", 3)  # the deadline alone would do it later
        until(lambda: any(line.get("status") == 499 for line in logs), "it is logged")
    (line,) = [line for line in logs if line.get("status") == 499]
    assert (line["error"], line["route"]) == ("caller-gone", "locations.search")


def test_one_who_goes_away_takes_the_answer_from_nobody_else() -> None:
    with served_slowly() as (served, engine):
        first, second = search(served, "berlin"), search(served, "berlin")
        until(lambda: searches(engine) == 1, "the search has begun")
        first.close()
        until(lambda: searches(engine) == 2, "the other one's has begun", 3)
        assert second.recv(100).startswith(b"HTTP/1.1 503 "), "it waits for its own deadline"
        second.close()
