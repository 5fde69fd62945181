"""Warming a new index: whatever happens in it, the swap that waits for it goes on."""

import asyncio
import json
import time
from functools import partial

import msgspec
import pytest
from starlette.requests import Request

from search_api.cache.comparison import Compared, Comparison, tau
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


def body(*hits: str) -> bytes:
    return json.dumps({"total": 3, "hits": [{"id": hit, "document": {}} for hit in hits]}).encode()


def compared(*pairs: tuple[bytes, bytes]) -> Compared:
    """What comes of queries with these answers of the live index, and of the new one."""
    comparison = Comparison()

    async def answer(found: bytes) -> bytes:
        return found

    async def ask() -> None:
        for old, new in pairs:
            assert await comparison.ask(partial(answer, old), partial(answer, new)) == new

    asyncio.run(ask())
    return comparison.result()


def test_hits_are_compared_by_what_both_have_and_in_which_order() -> None:
    same = compared((body("a", "b", "c"), body("a", "b", "c")), (body("a", "b", "c"), body("c", "b", "a")))
    assert (same.queries, same.overlap, same.rank) == (2, 1.0, 0.0), "as it is, and reversed"
    other = compared((body("a", "b", "c", "d"), body("b", "a", "x")))
    assert (other.overlap, other.rank) == (0.5, -1.0)
    assert compared((body("a"), body())).overlap == 0.0
    nothing = compared((body(), body()))
    assert (nothing.queries, nothing.overlap, nothing.rank) == (0, None, None), "two that know nothing are not alike"
    assert nothing.live_ms is not None


def test_only_the_first_hits_are_compared() -> None:
    many = [str(number) for number in range(40)]
    assert compared((body(*many), body(*many[:10], *many[20:]))).overlap == 1.0


def test_kendalls_tau_is_that_of_the_textbook() -> None:
    from scipy import stats

    for places in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 1, 3], [1, 5, 2, 9, 4]):
        assert tau(places) == pytest.approx(stats.kendalltau(range(len(places)), places).statistic)


def test_a_comparison_is_of_queries_that_both_answered() -> None:
    comparison = Comparison()

    async def fails() -> bytes:
        raise ValueError("away")

    async def answers() -> bytes:
        return body("a")

    async def ask() -> None:
        for _ in range(2):  # the new one first, and the live one first
            with pytest.raises(ValueError, match="away"):
                await comparison.ask(answers, fails)
            with pytest.raises(ValueError, match="away"):
                await comparison.ask(fails, answers)
            await comparison.ask(answers, answers)

    asyncio.run(ask())
    assert comparison.result().queries == 2
    assert comparison.result().unanswered == 2, "those that searchers would miss after a swap"


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
