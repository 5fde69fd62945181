"""Faults that a real server cannot be asked for: proxies that stand between a client and OpenSearch or PostgreSQL.

A fault is injected where it happens in production, on the wire, so that the client library and its error handling are
part of what is tested.
"""

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

Forward = Callable[[], "Answer"]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    :param sent: bytes of the body that are sent before the connection is cut; None for all of it
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=UTF-8"
    sent: int | None = None


@dataclass
class Request:
    """A request as it reached the proxy."""

    method: str
    path: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """What happens to the requests that match.

    :param pattern: searched in ``METHOD /path?query``
    :param act: gets the request and a function that passes it on; None as result cuts the connection without an answer
    :param left: how many matching requests it still happens to; None for all
    :param skip: matching requests that pass unharmed first
    :ivar hits: how often it happened
    """

    pattern: re.Pattern[str]
    act: Callable[[Request, Forward], Answer | None]
    left: int | None
    skip: int
    hits: int = 0


@dataclass
class Faults:
    """The faults of one proxy, first match wins; safe from several threads."""

    requests: list[str] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pick(self, request: Request) -> Fault | None:
        """The fault for a request, used up by it."""
        with self._lock:
            self.requests.append(str(request))
            for fault in self._faults:
                if fault.left == 0 or not fault.pattern.search(str(request)):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.left = None if fault.left is None else fault.left - 1
                fault.hits += 1
                return fault
        return None

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def add(
        self,
        pattern: str,
        act: Callable[[Request, Forward], Answer | None],
        *,
        times: int | None = 1,
        skip: int = 0,
    ) -> Fault:
        """Let ``act`` decide what happens to the next ``times`` matching requests."""
        fault = Fault(re.compile(pattern), act, times, skip)
        with self._lock:
            self._faults.append(fault)
        return fault

    def answer(
        self,
        pattern: str,
        status: int,
        body: bytes | dict[str, Any] = b"",
        *,
        content_type: str = "application/json; charset=UTF-8",
        times: int | None = 1,
    ) -> Fault:
        """Answer in the server's place; nothing reaches it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.add(pattern, lambda _, __: Answer(status, raw, content_type), times=times)

    def refuse(self, pattern: str, *, times: int | None = 1) -> Fault:
        """Cut the connection; the request does not reach the server."""
        return self.add(pattern, lambda _, __: None, times=times)

    def lose_answer(self, pattern: str, *, times: int | None = 1, skip: int = 0) -> Fault:
        """The server applies the request, but nobody hears of it."""

        def act(_: Request, forward: Forward) -> None:
            forward()

        return self.add(pattern, act, times=times, skip=skip)

    def halve_answer(self, pattern: str, *, times: int | None = 1) -> Fault:
        """The server applies the request, and the connection breaks in the middle of its answer."""

        def act(_: Request, forward: Forward) -> Answer:
            answer = forward()
            return Answer(answer.status, answer.body, answer.content_type, sent=len(answer.body) // 2)

        return self.add(pattern, act, times=times)

    def before(self, pattern: str, hook: Callable[[], object], *, times: int | None = 1, skip: int = 0) -> Fault:
        """Run ``hook`` before the request is passed on: something else happens first, or nothing until it returns."""

        def act(_: Request, forward: Forward) -> Answer:
            hook()
            return forward()

        return self.add(pattern, act, times=times, skip=skip)

    def after(self, pattern: str, hook: Callable[[], object], *, times: int | None = 1, skip: int = 0) -> Fault:
        """Run ``hook`` when the server has answered, before the client hears of it."""

        def act(_: Request, forward: Forward) -> Answer:
            answer = forward()
            hook()
            return answer

        return self.add(pattern, act, times=times, skip=skip)


class SleepingClock:
    """Time that passes only by sleeping."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class OpenSearchProxy(Faults):
    """An HTTP proxy in front of OpenSearch.

    :param upstream: ``http://host:port``
    :param tls: makes it an HTTPS server with this context's certificate
    """

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._server = _HttpServer(("127.0.0.1", 0), _Handler)
        self._server.faults = self
        self._server.upstream = urlsplit(upstream).netloc
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    faults: Faults
    upstream: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or refused our certificate, is part of a test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _upstream: http.client.HTTPConnection | None = None

    def _any(self) -> None:
        server = cast(_HttpServer, self.server)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = Request(self.command, self.path, body)
        fault = server.faults.pick(request)

        def forward() -> Answer:
            return self._forward(server.upstream, request)

        try:
            answer = fault.act(request, forward) if fault else forward()
        except (OSError, http.client.HTTPException):  # the server behind is away: so is the proxy
            answer = None
        if answer is None:
            self._cut()
            return
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.sent])
        if answer.sent is not None:
            self.wfile.flush()
            self._cut()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any  # noqa: N815  # names that the base class looks for

    def _forward(self, upstream: str, request: Request) -> Answer:
        connection = http.client.HTTPConnection(upstream, timeout=60)
        try:
            content_type = self.headers.get("content-type", "application/json")
            connection.request(request.method, request.path, request.body, {"content-type": content_type})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers.get("content-type", ""))
        finally:
            connection.close()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


class PostgresProxy:
    """A TCP proxy in front of PostgreSQL that can cut all connections when enough bytes have come from the server.

    :param cut_after: bytes from the server after which each connection breaks; None for never. Change it at any time
    :ivar cuts: connections that were broken
    """

    def __init__(self, host: str, port: int, *, cut_after: int | None = None) -> None:
        self.cut_after = cut_after
        self.cuts = 0
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            threading.Thread(target=self._pipe, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pipe, args=(server, client, True), daemon=True).start()

    def _pipe(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        passed = 0
        try:
            while data := source.recv(65_536):
                passed += len(data)
                if from_server and self.cut_after is not None and passed > self.cut_after:
                    self.cuts += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
