"""A server in OpenSearch's place, for what no real one does on command: it answers late, with errors, or not at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Act = Callable[["Received"], Awaitable[web.Response | None]]


@dataclass(frozen=True)
class Received:
    """A request as it arrived.

    :ivar connection: the client's port: one for each connection
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class EngineServer:
    """What happens to requests, and what became of them.

    :ivar act: answers a request; None cuts the connection
    :ivar left: requests whose client went away before the answer
    """

    act: Act
    url: str = ""
    received: list[Received] = field(default_factory=list)
    running: int = 0
    most: int = 0
    left: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[["EngineServer"], bool]) -> None:
        """Return when something is so."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: holds(self))

    async def handle(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        received = Received(request.method, request.raw_path, request.headers, await request.read(), port)
        self.received.append(received)
        await self._count(1)
        try:
            answer = await self.act(received)
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            await self._count(-1)
        if answer is None:
            request.transport.abort()
            return web.Response()
        return answer

    async def _count(self, step: int) -> None:
        self.running += step
        self.most = max(self.most, self.running)
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def serving(act: Act, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[EngineServer]:
    """Serve on a free port of this machine while the block runs."""
    server = EngineServer(act)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def replies(*answers: web.Response | None) -> Act:
    """Answer so, one after another; the last one again and again."""
    left = list(answers)

    async def act(_: Received) -> web.Response | None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers) if answer else None

    return act


def status(code: int, *, retry_after: str | None = None) -> web.Response:
    """An answer with a status."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.Response(status=code, body=b'{"status":%d}' % code, headers=headers)
