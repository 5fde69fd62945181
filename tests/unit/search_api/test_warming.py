"""Warming a new index: whatever happens in it, the swap that waits for it goes on."""

import asyncio
import time

from search_api.cache.popular import PopularQuery
from search_api.cache.warming import AT_ONCE, warm
from search_api.caller import OneTenant

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
