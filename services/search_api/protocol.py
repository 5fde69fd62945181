"""HTTP/1.1 as uvicorn speaks it, but for two things.

A response is sent as one piece. uvicorn sends head and body apart: two calls of the kernel, each of which takes as long
as to find an answer in the cache, and whoever waits for the response is woken twice.

When a caller goes away, what is done for it stops. uvicorn would go on until there is an answer that nobody gets.
"""

import asyncio
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from search_api.exchange import Exchange


class Whole:
    """A transport that sends together what is written in one turn of the event loop.

    :param transport: what sends
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more is sent."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send some bytes in this turn."""
        if not self._written:
            asyncio.get_running_loop().call_soon(self.flush)
        self._written.append(data)

    def flush(self) -> None:
        """Send now what was written."""
        written, self._written = self._written, []
        if written:
            self._transport.write(b"".join(written))

    def close(self) -> None:
        """Send what was written, and no more."""
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """One connection of a caller."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send responses whole."""
        self._whole = Whole(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self._whole))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is done for the caller."""
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle and not cycle.response_complete and (exchange := Exchange.begun(cast(Scope, cycle.scope))):
            exchange.leave()

    def on_response_complete(self) -> None:
        """Send the response now: there is no more of it."""
        self._whole.flush()
        super().on_response_complete()
