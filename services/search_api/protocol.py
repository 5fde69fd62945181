"""HTTP/1.1 as uvicorn speaks it, but for three things.

A response is sent as one piece. uvicorn sends head and body apart: two calls of the kernel, each of which takes as long
as to find an answer in the cache, and whoever waits for the response is woken twice.

When a caller goes away, what is done for it stops. uvicorn would go on until there is an answer that nobody gets.

A head has to come soon and has an end, and a connection ends with the answer to a body that has not come. uvicorn would
wait for ever and keep all that comes: a few callers that send a byte now and then could take all connections. Such an
answer says that it is the last one, and the connection ends in two steps, as RFC 9112 asks in section 9.6: what still
comes is read and thrown away for a moment. Otherwise the kernel resets the connection, and the caller may lose the
answer with it.
"""

import asyncio
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from search_api.exchange import Exchange

HEAD_SECONDS: Final = 10.0
"""Seconds from the first byte of a request in which its head has to be there."""

LARGEST_HEAD: Final = 65_536
"""Bytes of a head that are read while it does not end; a whole one may be smaller (``edge``)."""

END_SECONDS: Final = 2.0
"""Seconds that a caller has to end a connection, after the service has ended its own side."""

READ_SECONDS: Final = 30.0
"""Seconds after those that a caller has to read the rest of its answer: one that reads nothing would wait for ever."""

_LAST: Final = (b"connection", b"close")


class Whole:
    """A transport that sends together what is written in one turn of the event loop.

    :param transport: what sends
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []
        self._ending: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more is sent."""
        return self._ending is not None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send some bytes in this turn."""
        if self._ending is not None:
            return
        if not self._written:
            asyncio.get_running_loop().call_soon(self.flush)
        self._written.append(data)

    def flush(self) -> None:
        """Send now what was written."""
        written, self._written = self._written, []
        if written:
            self._transport.write(b"".join(written))

    def close(self) -> None:
        """Send what was written, and no more. The caller ends its side, or has it ended a moment later."""
        if self.is_closing():
            return
        self.flush()
        self._transport.write_eof()
        self._transport.resume_reading()
        self._ending = asyncio.get_running_loop().call_later(END_SECONDS, self._end)

    def _end(self) -> None:
        self._transport.close()  # it is closed as soon as all is sent
        self._ending = asyncio.get_running_loop().call_later(READ_SECONDS, self._transport.abort)

    def ended(self) -> None:
        """The connection is no more."""
        if self._ending is not None:
            self._ending.cancel()


class Protocol(HttpToolsProtocol):
    """One connection of a caller."""

    _late: asyncio.TimerHandle | None = None
    """Ends the connection, unless a head comes before. None while none is waited for."""

    _head = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send responses whole, and wait for the first head no longer than for any other."""
        self._whole = Whole(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self._whole))
        self._end_after(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Take what comes, but no head without an end, and nothing once the connection ends."""
        if self._whole.is_closing():
            return
        waited = self._late is not None
        super().data_received(data)
        if self._late is None:
            if self.cycle and self.cycle.response_complete:  # empty lines: uvicorn takes them for a request
                self._end_after(self.timeout_keep_alive)
        elif waited and not self._whole.is_closing():  # a head that ended here may have its body behind it
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        """Give the head its time."""
        self._head = 0
        self._end_after(HEAD_SECONDS)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: what happens from now on has the deadline of a request."""
        self._end_after(None)
        super().on_headers_complete()
        self.cycle.default_headers = [*self.server_state.default_headers, _LAST]

    def on_message_complete(self) -> None:
        """The body is there, too: the answer need not be the last one."""
        super().on_message_complete()
        self.cycle.default_headers = self.server_state.default_headers

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is done for the caller."""
        self._end_after(None)
        cycle = self.cycle
        super().connection_lost(exc)
        self._whole.ended()
        if cycle and not cycle.response_complete and (exchange := Exchange.begun(cast(Scope, cycle.scope))):
            exchange.leave()

    def on_response_complete(self) -> None:
        """Send the response now: there is no more of it."""
        self._whole.flush()
        super().on_response_complete()

    def _end_after(self, seconds: float | None) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = None if seconds is None else self.loop.call_later(seconds, self._whole.close)
