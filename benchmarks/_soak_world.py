"""The servers of ``./dev bench soak``, what is in the indexes, and what goes wrong with all that."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from benchmarks._api_servers import Issuer, issuing, search_api
from benchmarks._soak_load import LIMIT
from benchmarks._soak_truth import ENTITIES, documents
from local import opensearch, redis
from searchsync.catalog import Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.search_service import fill
from tests.steps import emptied, make_index, serve

SEARCH = "_search"
TROUBLED = 0.4
"""Part of the requests that something happens to when all of it happens at once."""


class World:
    """What is asked: the search API as a process, before a proxy, before an OpenSearch that is killed, and Redis.

    :ivar api: process of the search API
    """

    def __init__(self, search: opensearch.Server, cache: redis.Server, proxy: OpenSearchProxy) -> None:
        self.search = search
        self.cache = cache
        self.proxy = proxy
        self.api: psutil.Process
        self.url = ""
        self.issuer: Issuer
        self._client: Client = emptied(search)
        self._live = {name: serve(self._client, entity, "soak/0") for name, entity in ENTITIES.items()}
        for name, entity in ENTITIES.items():
            fill(self._client, entity, self._live[name], documents(name, 0))

    def prepare(self, entity: Entity, generation: int) -> str:
        """Make the index of a generation, and have the service warm it. Return its name."""
        green = make_index(self._client, entity, f"soak/{generation}")
        fill(self._client, entity, green, documents(entity.name, generation))
        token = self.issuer.token("acme", "service")
        with suppress(requests.RequestException):  # a swap never waits for it
            address = f"{self.url}/v1/{entity.name}/warm?index={green}"
            requests.post(address, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        return green

    def swap(self, entity: Entity, green: str) -> str:
        """Make an index live. Return the one that was live before."""
        blue, self._live[entity.name] = self._live[entity.name], green
        aliases.swap(EntityIndexes(self._client, entity), blue=blue, green=green)
        return blue

    def delete(self, entity: Entity, blue: str) -> None:
        """Delete an index that was live, as nobody does at once: searches of it may be under way."""
        aliases.leave(EntityIndexes(self._client, entity), blue)
        self._client.request("DELETE", f"/{blue}")


@contextmanager
def started(folder: Path) -> Iterator[World]:
    """Start what the load asks. OpenSearch is the benchmark's own, which is stopped by whoever started it."""
    folder.mkdir(parents=True, exist_ok=True)
    search = opensearch.start(folder.parent / "opensearch")
    with ExitStack() as stack:
        proxy = OpenSearchProxy(search.url)
        stack.callback(proxy.close)
        cache = redis.start(folder / "redis")
        world = World(search, cache, proxy)
        stack.callback(lambda: world.cache.stop())  # noqa: PLW0108  # the one of then: it is started anew
        world.issuer = stack.enter_context(issuing())
        api = search_api(proxy.url, cache.url, world.issuer, folder / "api.log", tenant_limit=str(LIMIT))
        world.api, port = stack.enter_context(api)
        world.url = f"http://127.0.0.1:{port}"
        yield world


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong for a while.

    :ivar inflict: makes it happen while a block runs
    :ivar seconds: for which it lasts
    :ivar may_refuse: whether answers may be 503 or stale meanwhile, and until all is well again
    :ivar well_after: seconds after its end in which all has to be well again
    :ivar swaps: whether an index is replaced in the middle of it
    """

    name: str
    inflict: Callable[[World, random.Random], AbstractContextManager[None]]
    seconds: float
    may_refuse: bool = True
    well_after: float = 40.0  # the breaker leaves OpenSearch alone for 30
    swaps: bool = False


@contextmanager
def _killed(world: World, _: random.Random) -> Iterator[None]:
    world.search.kill()
    yield
    world.search = opensearch.start(world.search.folder, port=world.search.port)


@contextmanager
def _hung(world: World, _: random.Random) -> Iterator[None]:
    os.kill(world.search.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(world.search.pid, signal.SIGCONT)


def _at_proxy(
    act: Callable[[random.Random], Callable[[Request, Forward], Answer | None]], pattern: str = ""
) -> Callable[[World, random.Random], AbstractContextManager[None]]:
    """Return what lets something happen to each request on its way to OpenSearch."""

    @contextmanager
    def inflict(world: World, chance: random.Random) -> Iterator[None]:
        world.proxy.add(pattern, act(chance), times=None)
        yield
        world.proxy.clear()

    return inflict


def _slow(chance: random.Random) -> Callable[[Request, Forward], Answer]:
    def act(_: Request, forward: Forward) -> Answer:
        time.sleep(chance.uniform(0.1, 1.5))
        return forward()

    return act


def _cut(chance: random.Random) -> Callable[[Request, Forward], Answer | None]:
    def act(_: Request, forward: Forward) -> Answer | None:
        if chance.random() < 0.5:
            return None
        answer = forward()
        return Answer(answer.status, answer.body, answer.content_type, sent=len(answer.body) // 2)

    return act


def _errors(chance: random.Random) -> Callable[[Request, Forward], Answer]:
    return lambda _, __: Answer(chance.choice((429, 500, 502, 503, 504)), b'{"error":"no"}')


def _moody(chance: random.Random) -> Callable[[Request, Forward], Answer | None]:
    """Everything at once, and most requests unharmed."""
    others = [_slow(chance), _cut(chance), _errors(chance)]

    def act(request: Request, forward: Forward) -> Answer | None:
        return chance.choice(others)(request, forward) if chance.random() < TROUBLED else forward()

    return act


@contextmanager
def _redis_killed(world: World, _: random.Random) -> Iterator[None]:
    world.cache.kill()
    yield
    world.cache = redis.start(world.cache.folder, port=world.cache.port)


@contextmanager
def _redis_hung(world: World, _: random.Random) -> Iterator[None]:
    os.kill(world.cache.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(world.cache.process.pid, signal.SIGCONT)


START = Trouble("start", lambda _, __: nullcontext(), 2)
"""A cold OpenSearch answers its first searches late; the first callers all come at once."""

TROUBLES = (
    Trouble("OpenSearch killed", _killed, 6),
    Trouble("OpenSearch hung", _hung, 8),
    Trouble("OpenSearch slow", _at_proxy(_slow, SEARCH), 12, swaps=True),
    Trouble("connections cut", _at_proxy(_cut), 8),
    Trouble("errors answered", _at_proxy(_errors), 8),
    Trouble("some of all these", _at_proxy(_moody), 15, swaps=True),
    Trouble("Redis killed", _redis_killed, 6, may_refuse=False, well_after=10, swaps=True),
    Trouble("Redis hung", _redis_hung, 6, may_refuse=False, well_after=10),
)
