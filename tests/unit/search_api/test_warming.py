"""Warming a new index: whatever happens in it, the swap that waits for it goes on."""

import asyncio
import json
import time

import msgspec
import pytest
from starlette.requests import Request

from search_api.cache.connection import Connection
from search_api.cache.popular import Popular, PopularQuery
from search_api.cache.warming import AT_ONCE, warm
from search_api.caller import Caller, OneTenant, Role
from search_api.engine.target import Target
from search_api.exchange import Exchange
from search_api.responses import Ready
from search_api.routes.warm import Warm
from search_api.service import Service
from search_api.settings import Settings
from tests.unit.search_api.asgi import call, scope_of

QUERIES = [PopularQuery(OneTenant("a"), b"%d" % number, 1) for number in range(10)]


def test_each_query_is_asked_once_the_first_first_and_few_at_a_time() -> None:
    asked: list[bytes] = []
    most = running = 0

    async def fill(query: PopularQuery) -> None:
        nonlocal most, running
        asked.append(query.query)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    result = asyncio.run(warm(QUERIES, fill, seconds=5))
    assert asked == [query.query for query in QUERIES]
    assert most == AT_ONCE
    assert (result.filled, result.failed, result.left) == (10, 0, 0)


def test_queries_that_fail_are_counted_and_stop_nothing() -> None:
    async def fill(query: PopularQuery) -> None:
        if int(query.query) % 2:
            raise ValueError

    result = asyncio.run(warm(QUERIES, fill, seconds=5))
    assert (result.filled, result.failed, result.left) == (5, 5, 0)


def test_it_ends_in_time_whatever_the_index_does() -> None:
    async def fill(query: PopularQuery) -> None:
        await asyncio.sleep(0 if int(query.query) < 4 else 60)

    began = time.monotonic()
    result = asyncio.run(warm(QUERIES, fill, seconds=0.2))
    assert time.monotonic() - began < 20
    assert (result.filled, result.failed, result.left) == (4, 0, 6)


def test_what_redis_and_opensearch_take_is_taken_from_the_time_of_warming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both were late: else the answer would be 504, and nobody would know what was warmed."""
    service = Service(Settings(Target("http://127.0.0.1:9"), redis_url="redis://127.0.0.1:9", cursor_keys=(b"k" * 32,)))
    scope = scope_of("/v1/locations/warm?index=green", "POST")
    exchange = Exchange.begin(scope, 1.0)

    async def admit(*_: object) -> object:
        return exchange, service.entities["locations"], Caller("s", Role.SERVICE, OneTenant("a"))

    async def refresh() -> None:
        await asyncio.sleep(0.3)

    async def most(_: str, *, seconds: float) -> list[PopularQuery]:
        await asyncio.sleep(seconds)
        return QUERIES

    monkeypatch.setattr(service, "admit", admit)
    monkeypatch.setattr(service.live, "refresh", refresh)
    monkeypatch.setattr(service.live, "is_written", lambda *_: True)
    monkeypatch.setattr(service.popular, "most", most)
    answers: list[Ready] = []

    async def main() -> None:
        answers.append(await Warm(service).post(Request(scope)))
        assert exchange.deadline.remaining > 0.2, "it is answered before the deadline"

    asyncio.run(main())
    told = json.loads(call(answers[0]).body)
    assert (told["filled"], told["failed"] + told["left"]) == (0, 10)


def test_a_redis_that_is_slow_is_asked_for_fewer_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: no time is left to warm with what it says."""
    connection, asked = Connection("redis://127.0.0.1:9"), 0
    query = msgspec.msgpack.encode(("a", b"q"))

    async def call(*_: object) -> list[bytes]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.2)
        return [query, b"2"]

    monkeypatch.setattr(connection, "call", call)
    found = asyncio.run(Popular(connection).most("locations", seconds=0.3))
    assert asked <= 2
    assert found == [PopularQuery(OneTenant("a"), b"q", 2 * asked)]
