"""HTTP/1.1 to one server over kept connections: bytes out, bytes in, and no more of them than fits.

A connection has one request at a time. It is kept when its answer came whole and nothing came after it; whoever goes
away, or gives up, closes it. Redirects are not followed, and nothing is decompressed.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

CONNECT_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 15.0
"""Seconds after which an unused connection is not used again: the server may be about to close it."""

_PORTS: Final = {"http": 80, "https": 443}


class Response(NamedTuple):
    """What a server answered.

    :ivar headers: with names in small letters; of one that came several times, the last
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class CannotConnectInTime(Exception):
    """The server did not take the connection within a second."""


class BrokenAnswer(ConnectionError):
    """The connection was closed before the answer was whole, or what came is no HTTP."""


class TooLarge(Exception):
    """The answer has more bytes than may be."""


class HttpClient:
    """A server, and the connections to it.

    :param url: scheme, host and port of the server; what follows is ignored
    :param tls: returns what checks the server's certificate, if the scheme is ``https``
    :param headers: of each request
    :param largest: bytes of an answer's body
    """

    def __init__(
        self, url: str, *, tls: Callable[[], ssl.SSLContext], headers: Mapping[str, str], largest: int
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._tls = tls() if parts.scheme == "https" else None
        host = f"[{self._host}]" if ":" in self._host else self._host
        if self._port != _PORTS[parts.scheme]:
            host += f":{self._port}"
        self._fixed = [f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
        self._largest = largest
        self._kept: list[_Connection] = []

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Return the answer to a request.

        :param path: path and query, percent-encoded
        :raises CannotConnectInTime: when the server does not take a connection
        :raises TooLarge: when the answer is larger than may be
        :raises OSError: when the server cannot be reached, is not who it should be, or its answer is broken
        """
        lines = [f"{method} {path} HTTP/1.1", *self._fixed, *(f"{name}: {value}" for name, value in headers.items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""])
        if head.count("\n") != len(lines) + 1:
            raise ValueError("a line of the request has another line in it")
        connection = self._unused() or await self._open()
        try:
            response = await connection.ask(head.encode("latin-1") + (body or b""))
        except BaseException:
            connection.abort()
            raise
        if connection.usable:
            self._kept.append(connection)
        return response

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._kept:
            self._kept.pop().abort()

    def _unused(self) -> "_Connection | None":
        while self._kept:
            connection = self._kept.pop()
            if connection.usable and time.monotonic() < connection.used_at + IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._largest), self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise CannotConnectInTime from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection.

    :ivar usable: whether another request may be sent
    :ivar used_at: when the last answer was whole, by the monotonic clock
    """

    def __init__(self, largest: int) -> None:
        self.usable = False
        self.used_at = 0.0
        self._largest = largest
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Response] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def ask(self, request: bytes) -> asyncio.Future[Response]:
        """Send a request, and return its answer to come."""
        self.usable = False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def abort(self) -> None:
        """Close the connection at once, whatever is on its way."""
        self.usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody has asked: it would be taken for the answer to the next question
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenAnswer(f"what came is no answer ({type(error).__name__})"))

    def connection_lost(self, _: Exception | None) -> None:
        self.usable = False
        self._fail(BrokenAnswer("the connection was closed"))

    def on_message_begin(self) -> None:
        if self._answer is None:  # a second answer
            self.abort()
        self._headers, self._parts, self._size = {}, [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._largest:
            self._fail(TooLarge())
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._fail(BrokenAnswer(f"the answer has status {status}, which nobody asked for"))
            return
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            self.abort()
            return
        self.usable, self.used_at = self._parser.should_keep_alive(), time.monotonic()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        answer.set_result(Response(status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self._transport.abort()
