"""The cache on a real Redis that is shared, bounded, killed and hung: it may slow a search down, and never fail one."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
import uvloop

from local import redis as local_redis
from search_api.cache.answers import Answers, Lifetimes
from search_api.cache.connection import CALL_SECONDS, Connection
from search_api.cache.popular import HELD, HOURS, LONGEST, Popular
from search_api.cache.store import COMPRESS_BYTES, Store
from search_api.caller import EveryTenant, OneTenant
from search_api.deadline import Deadline

LIFETIMES = Lifetimes(cold=60, hot=600, kept=600)
BODY = b'{"hits":[]}' * 1_000


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = Connection(url)
    try:
        yield connection
    finally:
        await connection.close()


def answers(connection: Connection, lifetimes: Lifetimes = LIFETIMES) -> Answers:
    """Answers as another process has them: with nothing in memory yet."""
    return Answers(Store(connection, lifetimes.kept), lifetimes)


async def body() -> bytes:
    return BODY


async def nothing() -> bytes:
    raise AssertionError("it is kept, and must not be made")


def test_what_one_process_made_all_find_compressed_and_not_for_ever(redis_server: local_redis.Server) -> None:
    async def test() -> None:
        async with connected(redis_server.url) as connection:
            assert (await answers(connection).get("k", body, Deadline(5))).state == "miss"
            got = await answers(connection).get("k", nothing, Deadline(5))
            assert (got.body, got.state) == (BODY, "hit")

    uvloop.run(test())
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.strlen("k") < len(BODY) / 10
        assert 590 < client.ttl("k") <= 600


def test_what_grew_old_in_another_process_makes_the_next_answer_hot(
    redis_server: local_redis.Server,
) -> None:
    async def test() -> None:
        old = Lifetimes(cold=0, hot=600, kept=600)
        async with connected(redis_server.url) as connection:
            await answers(connection, old).get("k", body, Deadline(5))
            assert (await answers(connection, old).get("k", body, Deadline(5))).state == "miss", "it was cold"
            assert (await answers(connection, old).get("k", nothing, Deadline(5))).state == "hit", "now it is hot"

    uvloop.run(test())


@pytest.mark.parametrize("value", [b"", b"\x02" + b"x" * 40, b"\x07" * 100])
def test_what_is_no_entry_is_made_anew(redis_server: local_redis.Server, value: bytes) -> None:
    async def test() -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            client.set("k", value)
            client.rpush("list", "of another type")
        async with connected(redis_server.url) as connection:
            for key in ("k", "list"):
                assert (await answers(connection).get(key, body, Deadline(5))).state == "miss"

    uvloop.run(test())


def test_a_hundred_calls_at_once_use_one_connection(redis_server: local_redis.Server) -> None:
    async def test() -> None:
        async with connected(redis_server.url) as connection:
            cache = answers(connection)
            await asyncio.gather(*(cache.get(f"k{number}", body, Deadline(5)) for number in range(100)))
            with redis.Redis.from_url(redis_server.url) as client:
                assert len(client.client_list()) == 2  # this client is one, too

    uvloop.run(test())


def test_redis_dies_under_load_and_comes_back(redis_server: local_redis.Server) -> None:
    """No call fails, none takes long, and the cache is used again without a restart."""

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            slowest, asked, stop = 0.0, 0, False

            async def search(worker: int) -> None:
                nonlocal slowest, asked
                while not stop:
                    began = time.monotonic()
                    got = await answers(connection).get(f"k{worker}", body, Deadline(5))
                    assert got.body == BODY
                    slowest = max(slowest, time.monotonic() - began)
                    asked += 1
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                for worker in range(4):
                    group.create_task(search(worker))
                await asyncio.sleep(0.2)
                assert connection.available
                redis_server.kill()
                await until(connection, available=False)
                before = asked
                async with asyncio.timeout(15):  # searches go on
                    while asked <= before + 20:  # noqa: ASYNC110  # what others count has no event
                        await asyncio.sleep(0.02)
                await asyncio.to_thread(local_redis.start, redis_server.folder, port=redis_server.port)
                await until(connection, available=True)
                stop = True
            assert slowest < 4.0, f"{slowest:.3f} s"
            await answers(connection).get("again", body, Deadline(5))
            assert (await answers(connection).get("again", nothing, Deadline(5))).state == "hit"

    uvloop.run(test())


async def until(connection: Connection, *, available: bool) -> None:
    async with asyncio.timeout(15):
        while connection.available is not available:  # noqa: ASYNC110  # a server's state has no event
            await asyncio.sleep(0.02)


def test_a_redis_that_hangs_costs_a_few_searches_a_tenth_of_a_second_and_the_others_nothing(
    redis_server: local_redis.Server,
) -> None:
    """The machine of Redis is there, and says nothing: the worst way to be away."""

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            await connection.call("GET", "warm")
            os.kill(redis_server.process.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                for number in range(30):
                    assert (await answers(connection).get(f"k{number}", body, Deadline(5))).state == "miss"
                assert time.monotonic() - began < 40 * CALL_SECONDS, "of 60 calls about five were waited for"
                assert not connection.available
            finally:
                os.kill(redis_server.process.pid, signal.SIGCONT)

    uvloop.run(test())


def test_a_redis_that_hangs_keeps_nobody_in_a_queue(redis_server: local_redis.Server) -> None:
    """A thousand who ask at one moment wait for one connection together, and not one after another."""

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            os.kill(redis_server.process.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                calls = (connection.call("GET", "k") for _ in range(1_000))
                assert await asyncio.gather(*calls) == [None] * 1_000
                assert time.monotonic() - began < 50 * CALL_SECONDS
            finally:
                os.kill(redis_server.process.pid, signal.SIGCONT)

    uvloop.run(test())


def test_a_redis_that_is_full_still_answers_reads(redis_server: local_redis.Server) -> None:
    """One that refuses to write is not away: what it holds is still found."""

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            await answers(connection).get("k", body, Deadline(5))
            with redis.Redis.from_url(redis_server.url) as client:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "1mb")
                try:
                    for number in range(20):
                        assert (await answers(connection).get(f"n{number}", body, Deadline(5))).state == "miss"
                    assert (await answers(connection).get("k", nothing, Deadline(5))).state == "hit"
                finally:
                    client.config_set("maxmemory", "64mb")
                    client.config_set("maxmemory-policy", "allkeys-lru")

    uvloop.run(test())


def test_whoever_goes_away_leaves_no_answer_for_the_next_one(redis_server: local_redis.Server) -> None:
    """A connection on which an answer is still to come would give it to the next question: another tenant's answer."""

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            await asyncio.gather(*(connection.call("SET", f"k{n}", f"k{n}") for n in range(50)))
            for round_ in range(60):
                tasks = [asyncio.create_task(connection.call("GET", f"k{n}")) for n in range(50)]
                for _ in range(round_ % 7):
                    await asyncio.sleep(0)
                for task in tasks[::3]:
                    task.cancel()
                got = await asyncio.gather(*tasks, return_exceptions=True)
                for number, value in enumerate(got):
                    assert value in (None, f"k{number}".encode()) or isinstance(value, asyncio.CancelledError)

    uvloop.run(test())


def test_the_most_frequent_queries_of_each_tenant_are_known_and_no_more(redis_server: local_redis.Server) -> None:
    acme, beta = OneTenant("acme"), OneTenant("beta")

    async def test() -> None:
        async with connected(redis_server.url) as connection:
            popular, other = Popular(connection), Popular(connection)
            for number in range(2 * HELD):
                for _ in range(1 + (number < 5) * (10 - number)):
                    popular.count("locations", acme, b"q%d" % number)
            for _ in range(2):
                popular.count("locations", beta, b"rare")
                popular.count("locations", EveryTenant(), b"all")
            popular.count("members", acme, b"other entity")
            popular.count("members", acme, bytes(LONGEST + 1))
            await popular.flush()
            other.count("locations", acme, b"q4")
            other.count("locations", beta, b"rare")
            await other.flush()
            await other.flush()
            most = await other.most("locations", each=3, of_all=5)
            assert [(one.scope, one.query, one.times) for one in most] == [
                (acme, b"q0", 11),
                (beta, b"rare", 3),
                (EveryTenant(), b"all", 2),
                (acme, b"q1", 10),
                (acme, b"q2", 9),
            ]
            assert [one.query for one in await popular.most("members")] == [b"other entity"]

    uvloop.run(test())
    with redis.Redis.from_url(redis_server.url) as client:
        assert len(keys := client.keys("popular:*")) in (2, 3, 4)  # an hour may end meanwhile
        assert all(client.zcard(key) <= HELD for key in keys)
        assert all(0 < client.ttl(key) <= (HOURS + 2) * 3_600 for key in keys)


def test_the_set_of_an_hour_stays_small_whatever_is_asked(redis_server: local_redis.Server) -> None:
    async def test() -> None:
        async with connected(redis_server.url) as connection:
            popular = Popular(connection)
            for flush in range(6):
                popular.count("locations", EveryTenant(), b"frequent")
                for number in range(300):
                    popular.count("locations", EveryTenant(), b"%d-%d" % (flush, number))
                    popular.count("locations", EveryTenant(), b"frequent")
                await popular.flush()
            most = await popular.most("locations")
            assert most[0].query == b"frequent"
            assert most[0].times == 6 * 301

    uvloop.run(test())
    with redis.Redis.from_url(redis_server.url) as client:
        assert all(client.zcard(key) <= HELD for key in client.keys("popular:*"))


def test_without_redis_nothing_is_popular_and_nothing_fails() -> None:
    async def test() -> None:
        async with connected("redis://127.0.0.1:1") as connection:
            popular = Popular(connection)
            popular.count("locations", EveryTenant(), b"q")
            await popular.flush()
            assert await popular.most("locations") == []

    uvloop.run(test())


def test_a_body_that_is_worth_it_is_compressed() -> None:
    """The tests above rest on it."""
    assert len(BODY) > COMPRESS_BYTES
