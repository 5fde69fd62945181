"""Limits in Redis: what several processes let through together, and what becomes of it when Redis goes away."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest
import redis

from local import redis as local_redis
from search_api import limits as limits_module
from search_api.cache.connection import Connection
from search_api.caller import Caller, OneTenant, Role
from search_api.limits import SHARES, Limits, TooManyRequests
from search_api.sliding_window import NOTHING, SCRIPT, Rate, take

USER = Caller("u", Role.TENANT_USER, OneTenant("a"))
HOME = "203.0.113.7"


def with_processes(
    number: int, url: str, work: Callable[[list[Limits]], Awaitable[None]], *, tenant: int = 1_000
) -> None:
    """Do something with as many limits as processes would have, each with connections of its own."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            connections = [Connection(url) for _ in range(number)]
            for connection in connections:
                stack.push_async_callback(connection.close)
            await work([Limits(connection, tenant=tenant, address=100_000) for connection in connections])

    asyncio.run(run())


async def let_through(limits: Limits, times: int) -> int:
    count = 0
    for _ in range(times):
        with suppress(TooManyRequests):
            await limits.check(USER, HOME)
            count += 1
    return count


@pytest.fixture
def long_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that does not end during a test."""
    monkeypatch.setattr(limits_module, "WINDOW", 100 * 365 * 86_400_000)


@pytest.mark.usefixtures("long_window")
def test_processes_together_let_through_the_limit(redis_server: local_redis.Server) -> None:
    """Lost otherwise: each process that is added raises the limit; or shares that nobody uses eat it up."""

    async def work(processes: list[Limits]) -> None:
        counts = await asyncio.gather(*(let_through(limits, 400) for limits in processes))
        assert 1_000 - (len(processes) - 1) * (1_000 // SHARES) <= sum(counts) <= 1_000

    with_processes(4, redis_server.url, work)


@pytest.mark.usefixtures("long_window")
def test_requests_at_the_same_moment_share_what_is_left(redis_server: local_redis.Server) -> None:
    """Lost otherwise: while one request waits for Redis, others are let through without being counted."""

    async def work(processes: list[Limits]) -> None:
        counts = await asyncio.gather(*(let_through(processes[0], 1) for _ in range(300)))
        assert sum(counts) == 100

    with_processes(1, redis_server.url, work, tenant=100)


@pytest.mark.usefixtures("long_window")
def test_redis_is_asked_for_few_of_many_requests(redis_server: local_redis.Server) -> None:
    """Lost otherwise: each answer from the cache costs a round trip to Redis, and Redis is the limit of all."""

    async def work(processes: list[Limits]) -> None:
        assert await let_through(processes[0], 2_000) == 2_000
        refused = await let_through(processes[0], 10_000)
        assert refused == 0

    with redis.Redis.from_url(redis_server.url) as client:
        client.config_resetstat()
        with_processes(1, redis_server.url, work, tenant=2_000)
        asked = client.info("commandstats")["cmdstat_eval"]["calls"]
    assert asked < 100  # at most 50 shares of the tenant and a few small ones, and those of the address


def test_redis_counts_as_the_process_does(redis_server: local_redis.Server) -> None:
    """Lost otherwise: a limit is another one when Redis is away."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, rate, counts = random.Random(seed), Rate(20, 50), NOTHING
    seen: set[int] = set()
    with redis.Redis.from_url(redis_server.url) as client:
        while len(seen) < 12:  # windows
            asked = chance.randint(1, 6)
            given, now, previous, current = client.eval(SCRIPT, 1, "limit:test", *rate, asked)
            number, counts = take(counts, now, asked, rate)
            assert (number, counts) == (given, (now - now % rate.window, previous, current))
            seen.add(counts.start)
        assert 0 < client.pttl("limit:test") <= 2 * rate.window


@pytest.mark.usefixtures("long_window")
def test_an_outage_of_redis_is_no_outage_of_the_service(
    redis_server: local_redis.Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost otherwise: when Redis ends, requests end with it, or the limit does; or it stays away when it is back."""

    async def work(processes: list[Limits]) -> None:
        limits = processes[0]
        assert await let_through(limits, 40) == 40
        await asyncio.to_thread(redis_server.kill)
        assert await let_through(limits, 200) == 60  # on from what it knew
        await asyncio.to_thread(local_redis.start, redis_server.folder)
        async with asyncio.timeout(20):
            while not await let_through(limits, 1):  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING, "search_api.limits"):
        with_processes(1, redis_server.url, work, tenant=100)
    said = [record.message for record in caplog.records if record.name == "search_api.limits"]
    assert [text.partition(":")[0] for text in said] == ["Redis is away", "requests are counted in Redis again"]
