"""The connection to Redis that all of a process share: what goes together, what is too much, what is not mixed up."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import uvloop

from local import redis as local_redis
from search_api.cache import connection as module
from search_api.cache.connection import TELL_SECONDS, Command, Connection


@asynccontextmanager
async def noting(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Connection, list[int]]]:
    """A connection, and the number of commands of each of its exchanges with Redis."""
    connection, exchanges = Connection(url), list[int]()
    ask = connection._ask

    async def noted(commands: Sequence[Command]) -> list[Any]:
        exchanges.append(len(commands))
        return await ask(commands)

    monkeypatch.setattr(connection, "_ask", noted)
    try:
        yield connection, exchanges
    finally:
        await connection.close()


def test_what_is_told_goes_along_with_the_next_question(
    redis_server: local_redis.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go alone would take as long as to ask; with no question, it goes soon."""

    async def test() -> None:
        async with noting(redis_server.url, monkeypatch) as (connection, exchanges):
            connection.tell("SET", "a", "1", size=1)
            assert await connection.call("GET", "a") == b"1"
            assert exchanges == [2]
            connection.tell("SET", "b", "2", size=1)
            await asyncio.sleep(TELL_SECONDS + 0.5)
            assert exchanges == [2, 1]
            assert await connection.call("GET", "b") == b"2"

    uvloop.run(test())


def test_who_asks_does_not_wait_for_all_that_is_told(
    redis_server: local_redis.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large answers that are kept go in parts."""
    monkeypatch.setattr(module, "TOGETHER_BYTES", 1_000)

    async def test() -> None:
        async with noting(redis_server.url, monkeypatch) as (connection, exchanges):
            for number in range(5):
                connection.tell("SET", f"k{number}", "x" * 400, size=400)
            assert await connection.call("GET", "k4") == b"x" * 400
            assert exchanges == [3, 3]

    uvloop.run(test())


def test_what_waits_to_be_told_is_bounded(redis_server: local_redis.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a Redis that is slow fills the memory; or, once it was, nothing is kept any more."""
    monkeypatch.setattr(module, "UNTOLD_BYTES", 1_000)

    async def test() -> None:
        async with noting(redis_server.url, monkeypatch) as (connection, _):
            for round_ in range(3):
                keys = [f"{round_}-{number}" for number in range(4)]
                for key in keys:
                    connection.tell("SET", key, "x", size=400)
                kept = await connection.calls([("GET", key) for key in keys])
                assert kept == [b"x", b"x", None, None]

    uvloop.run(test())


def test_a_late_answer_is_not_that_of_the_next_question(redis_server: local_redis.Server) -> None:
    """It would be another tenant's."""

    async def test() -> None:
        connection = Connection(redis_server.url)
        await connection.calls([("SET", "a", "of a"), ("SET", "b", "of b")])
        os.kill(redis_server.process.pid, signal.SIGSTOP)
        try:
            assert await connection.call("GET", "a") is None
        finally:
            os.kill(redis_server.process.pid, signal.SIGCONT)
        assert [await connection.call("GET", "b") for _ in range(3)] == [b"of b"] * 3
        await connection.close()

    uvloop.run(test())


def test_what_became_a_replica_is_connected_to_anew(redis_server: local_redis.Server) -> None:
    """After a failover the name of the primary leads to another server; the old connection would refuse for ever."""

    async def test() -> None:
        connection = Connection(redis_server.url)
        first = await connection.call("CLIENT", "ID")
        with redis.Redis.from_url(redis_server.url) as client:
            client.replicaof("127.0.0.1", "1")
            try:
                assert await connection.call("SET", "a", "1") is None
                assert not connection.available
                assert await connection.call("CLIENT", "ID") not in (None, first)
            finally:
                client.replicaof("NO", "ONE")
        assert await connection.call("SET", "a", "1") == b"OK"
        await connection.close()

    uvloop.run(test())
