"""Redis, which may be away: each call is answered within a tenth of a second, or with nothing. Nothing is raised."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from search_api.engine.breaker import Breaker, Limits, State
from search_api.failures import FAILURES

log = logging.getLogger(__name__)
_failures = FAILURES.labels("redis")

T = TypeVar("T")

CONNECTIONS: Final = 10
CALL_SECONDS: Final = 0.1
"""Seconds that a call may take, with the wait for a connection. A search without the cache takes no longer."""

LIMITS: Final = Limits(window=10.0, calls=5, share=0.5, pause=2.0, probes=1)
"""When Redis is left alone: soon, and for a short time, because nothing is lost by asking it again."""


class Connection:
    """At most ten connections to one Redis.

    :param url: ``redis://`` or ``rediss://``
    """

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis: Redis = Redis(connection_pool=pool)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._breaker = Breaker(LIMITS)
        self._well = True

    @property
    def available(self) -> bool:
        """Whether Redis answers: False from the first call that it did not answer to the next that it does."""
        return self._well and self._breaker.state is not State.OPEN

    async def call(self, do: Callable[[Redis], Awaitable[T]], *, seconds: float = CALL_SECONDS) -> T | None:
        """Return what a command returns; None when Redis does not do it in time.

        :param do: gives the command
        """
        ticket = self._breaker.admit()
        if ticket is None:
            _failures.inc()
            return None
        tell = self._breaker.abandoned
        began = False
        try:
            async with asyncio.timeout(seconds), self._turns:
                began = True
                result = await do(self._redis)
            tell = self._breaker.succeeded
            self._say(None)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            if began:  # else all connections were in use, which says nothing about Redis
                tell = self._breaker.failed
                _failures.inc()
                self._say(error)
            return None
        except exceptions.ReadOnlyError as error:  # it was the primary once: who connects anew reaches the present one
            self._say(error)
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            return None
        except exceptions.RedisError as error:
            self._say(error)
            return None
        finally:
            tell(ticket)
        return result

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose(close_connection_pool=True)

    def _say(self, error: Exception | None) -> None:
        if error is not None and self._well:
            log.warning("Redis does not do what it is told, so nothing is kept there: %s", type(error).__name__)
        elif error is None and not self._well:
            log.warning("Redis answers again")
        self._well = error is None
