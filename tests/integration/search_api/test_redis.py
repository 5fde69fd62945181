"""The Redis of tests and of the local stack."""

import pytest
import redis

from local import redis as local_redis


def test_a_killed_redis_starts_again_at_its_port_and_has_forgotten_everything(redis_server: local_redis.Server) -> None:
    """Lost otherwise: tests of an outage would go on with a server at another address, or with old counters."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
    redis_server.kill()
    with redis.Redis.from_url(redis_server.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    again = local_redis.start(redis_server.folder)
    assert again.port == redis_server.port
    assert again.process != redis_server.process
    with redis.Redis.from_url(again.url) as client:
        assert client.get("key") is None
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_second_start_finds_the_running_server(redis_server: local_redis.Server) -> None:
    assert local_redis.start(redis_server.folder) == redis_server
