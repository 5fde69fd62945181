"""Redis, which may be away: each call is answered within a tenth of a second, or with nothing. Nothing is raised.

All calls of a process share one connection. Those that come while it is in use wait, and then go together, so that
many calls at a time take little more than one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from redis import exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from search_api.engine.breaker import Breaker, Limits, State
from search_api.failures import FAILURES

log = logging.getLogger(__name__)
_failures = FAILURES.labels("redis")

Command = tuple[bytes | str | int, ...]

CALL_SECONDS: Final = 0.1
"""Seconds that a call may take, with the wait for others. A search without the cache takes no longer."""

LIMITS: Final = Limits(window=10.0, calls=5, share=0.5, pause=2.0, probes=1)
"""When Redis is left alone: soon, and for a short time, because nothing is lost by asking it again."""

TELL_SECONDS: Final = 0.02
"""Seconds that what is told may wait for a call to go along with: to go alone takes as long as to ask."""

TOGETHER_BYTES: Final = 262_144
"""Bytes of what is told after which no more goes along: a large answer that is kept must not make others wait long."""

UNTOLD_BYTES: Final = 8 * 1_048_576
"""Bytes that may wait to be told. What is more is not told: Redis is too slow for it, and memory is not for that."""


@dataclass(slots=True, eq=False)
class _Call:
    """Commands of one caller.

    :ivar answers: what they return; None when Redis did not do all of them
    :ivar size: bytes of what is told; 0 when somebody waits for the answers
    """

    commands: Sequence[Command]
    answers: asyncio.Future[list[Any] | None]
    size: int = 0


class Connection:
    """The connection of this process to one Redis.

    :param url: ``redis://`` or ``rediss://``
    """

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(
            url, socket_timeout=None, socket_connect_timeout=CALL_SECONDS, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._link = pool.connection_class(**pool.connection_kwargs)
        self._breaker = Breaker(LIMITS)
        self._well = True
        self._waiting: deque[_Call] = deque()
        self._untold = 0
        self._work: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether Redis answers: False from the first call that it did not answer to the next that it does."""
        return self._well and self._breaker.state is not State.OPEN

    async def call(self, *command: bytes | str | int) -> Any:
        """Return what a command returns; None when Redis does not do it in time."""
        answers = await self.calls([command])
        return answers[0] if answers else None

    async def calls(self, commands: Sequence[Command]) -> list[Any] | None:
        """Return what some commands return; None when Redis does not do all of them in time."""
        call = self._begin(commands)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call.answers
        except TimeoutError:
            _failures.inc()
            return None

    def tell(self, *command: bytes | str | int, size: int) -> None:
        """Give a command whose outcome nobody waits for: with the next call, or soon.

        It is not given when too much waits already.

        :param size: bytes of what it stores
        """
        if self._untold + size > UNTOLD_BYTES:
            _failures.inc()
            return
        self._untold += size
        if not self._waiting:
            asyncio.get_running_loop().call_later(TELL_SECONDS, self._start)
        self._waiting.append(_Call([command], asyncio.get_running_loop().create_future(), size))

    async def close(self) -> None:
        """Close the connection, after what waits for it."""
        self._start()
        if self._work:
            await asyncio.wait({self._work}, timeout=CALL_SECONDS)
            self._work.cancel()
            await asyncio.wait({self._work})
        await self._link.disconnect(nowait=True)

    def _begin(self, commands: Sequence[Command]) -> _Call:
        call = _Call(commands, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start()
        return call

    def _start(self) -> None:
        if self._waiting and (self._work is None or self._work.done()):
            self._work = asyncio.get_running_loop().create_task(self._do())

    async def _do(self) -> None:
        while self._waiting:
            together = self._next()
            try:
                await self._try(together)
            finally:
                for call in together:
                    self._untold -= call.size
                    _finish(call, None)

    def _next(self) -> list[_Call]:
        together, size = [], 0
        while self._waiting and size < TOGETHER_BYTES:
            call = self._waiting.popleft()
            together.append(call)
            size += call.size
        return together

    async def _try(self, together: Sequence[_Call]) -> None:
        """Finish the calls that Redis answers."""
        ticket = self._breaker.admit()
        if ticket is None:
            _failures.inc(len(together))
            return
        tell = self._breaker.abandoned
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answers = await self._ask([command for call in together for command in call.commands])
            tell = self._breaker.succeeded
        except (exceptions.RedisError, OSError) as error:
            tell = self._breaker.failed
            _failures.inc(len(together))
            self._say(error)
            await self._link.disconnect(nowait=True)  # an answer that still comes would be taken for the next one's
            return
        finally:
            tell(ticket)
        refused = await self._refused(answers)
        of_each = iter(answers)
        for call in together:
            own = [*islice(of_each, len(call.commands))]
            if not refused or not any(isinstance(answer, exceptions.ResponseError) for answer in own):
                _finish(call, own)

    async def _refused(self, answers: Sequence[Any]) -> bool:
        """Return whether Redis refused a command, and see to it that this is known."""
        errors = [answer for answer in answers if isinstance(answer, exceptions.ResponseError)]
        self._say(errors[0] if errors else None)
        if any(isinstance(error, exceptions.ReadOnlyError) for error in errors):
            await self._link.disconnect(nowait=True)  # it is a replica now: who connects anew reaches the primary
        return bool(errors)

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return what the commands return; of one that Redis refuses, the error."""
        if not self._link.is_connected:
            await self._link.connect()  # type: ignore[no-untyped-call]  # of redis-py
        await self._link.send_packed_command(self._link.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await self._link.read_response())
            except exceptions.ResponseError as error:
                answers.append(error)
        return answers

    def _say(self, error: Exception | None) -> None:
        if error is not None and self._well:
            log.warning("Redis does not do what it is told, so nothing is kept there: %s", type(error).__name__)
        elif error is None and not self._well:
            log.warning("Redis answers again")
        self._well = error is None


def _finish(call: _Call, answers: list[Any] | None) -> None:
    if not call.answers.done():
        call.answers.set_result(answers)
