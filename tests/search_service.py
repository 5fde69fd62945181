"""The search API as it is served, in this process: with uvicorn, a user pool of the tests, and what it searches."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import uvicorn
import uvloop

from search_api.app import create_app
from search_api.engine.target import Target
from search_api.settings import Settings
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from tests import user_pool
from tests.steps import position, until
from tests.user_pool import CLIENT, UserPool, bearer


@dataclass(frozen=True)
class Served:
    """A running service.

    :ivar url: where it listens
    """

    url: str
    http: httpx.Client = field(repr=False)

    def get(self, path: str, token: str | None = "", **parameters: Any) -> httpx.Response:
        """Ask, as a user of tenant ``a`` unless told otherwise; without a token for None."""
        return self.http.get(path, params=parameters or None, headers=_headers(token))

    def post(self, path: str, document: Any, token: str | None = "") -> httpx.Response:
        """Send a JSON document."""
        return self.http.post(path, json=document, headers=_headers(token))


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"authorization": token or bearer()}


@contextmanager
def serving(opensearch: str, redis: str, **changes: Any) -> Iterator[Served]:
    """Serve until the block ends.

    :param opensearch: address of the cluster
    :param redis: address of the cache
    :param changes: other settings
    """
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    settings = Settings(
        opensearch=Target(opensearch),
        environment="development",
        redis_url=redis,
        issuer=user_pool.ISSUER,
        audience=(CLIENT,),
        cursor_keys=(b"k" * 32,),
    )
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        async with UserPool().serving() as pool:
            app = create_app(replace(settings, **{"jwks_url": pool.url, **changes}))
            config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, proxy_headers=False)
            servers.append(uvicorn.Server(config))
            await servers[0].serve(sockets=[listening])

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
        until(lambda: bool(servers) and servers[0].started, "the service starts")
        try:
            yield Served(url, http)
        finally:
            servers[0].should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the service does not end"


def fill(client: Client, entity: Entity, index: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Put documents into an index, as the writer would, and make them searchable."""
    lines: list[str] = []
    for at, (key, document) in enumerate(documents.items()):
        sync = {"position": position(at), "deleted": False, "bucket": 1}
        lines += [json.dumps({"create": {"_id": key}}), json.dumps({**document, "sync": sync})]
    body = "\n".join([*lines, ""]).encode()
    answer = client.request("POST", f"/{index}/_bulk", body=body, params={"refresh": "true"})
    assert not answer["errors"], answer
