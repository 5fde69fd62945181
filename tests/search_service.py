"""The search API as it is served, in this process: with uvicorn, a user pool of the tests, and what it searches."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import uvicorn
import uvloop

from local import opensearch as local_opensearch
from search_api.app import create_app
from search_api.engine.target import Target
from search_api.protocol import Protocol
from search_api.settings import Settings
from searchsync.catalog import Entity, entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests import user_pool
from tests.steps import emptied, line, never, page_of_documents, serve, until
from tests.user_pool import CLIENT, UserPool, bearer

Documents = Mapping[str, Mapping[str, Any]]


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
            config = uvicorn.Config(
                app, http=Protocol, ws="none", log_config=None, access_log=False, proxy_headers=False
            )
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


@contextmanager
def searching(
    opensearch: local_opensearch.Server, redis: str, documents: Mapping[str, Documents], **changes: Any
) -> Iterator[Served]:
    """Serve these documents alone, each entity's in its live index.

    :param documents: by entity and id
    :param changes: of settings
    """
    client = emptied(opensearch)
    for name, found in documents.items():
        fill(client, entity(name), serve(client, entity(name)), found)
    with serving(opensearch.url, redis, **changes) as served:
        until(lambda: served.get("/ready", None).status_code == 200, "the service is ready")
        yield served


def fill(client: Client, entity: Entity, index: str, documents: Documents) -> None:
    """Write documents into an index, and make them searchable."""
    lines = [line(key, 1, **document) for key, document in documents.items()]
    writer.load(Index(client, index), [page_of_documents(1, lines)], on_rejected=never)
    creation.make_searchable(EntityIndexes(client, entity), index)
