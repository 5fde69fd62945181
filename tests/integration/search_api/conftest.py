"""Servers of the search API's tests: a Redis, empty for each test that asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from local import processes, servers
from local import redis as local_redis


@pytest.fixture(scope="session")
def redis_folder(servers_dir: Path) -> Iterator[Path]:
    """Of the Redis that tests share, kill, and start again."""
    folder = servers_dir / "redis"
    yield folder
    if (record := servers.running(folder)) is not None:
        processes.stop(record.process)


@pytest.fixture
def redis_server(redis_folder: Path) -> local_redis.Server:
    """A Redis without any key. The test may kill it, and start it again in its folder, on the same port."""
    server = local_redis.start(redis_folder)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server
