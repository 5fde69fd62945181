"""Faults that a real server cannot be asked for: proxies that stand between a client and its server.

A fault is injected where it happens in production, on the wire, so that the client library and its error handling are
part of what is tested.
"""

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

Forward = Callable[[], "Answer"]
_CHUNK = 65_536
_LOOPBACK = "127.0.0.1"


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


class Link:
    """A TCP proxy before a server, which may come and go: the way to it can be cut, slow or silent.

    :param upstream: port of the server
    :param cut_after: bytes from the server after which each connection breaks; None for never. Change it at any time
    :ivar port: at which everybody else finds it
    :ivar cuts: connections that were broken by ``cut_after``
    """

    def __init__(self, upstream: int, *, cut_after: int | None = None) -> None:
        self.upstream = upstream
        self.cut_after = cut_after
        self.cuts = 0
        self._delay, self._is_cut = 0.0, False
        self._flows = threading.Event()
        self._flows.set()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((_LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._listener.close()
        self._end_all()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """End all connections and refuse new ones while the block runs."""
        self._is_cut = True
        self._end_all()
        try:
            yield
        finally:
            self._is_cut = False

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Hold back each piece of up to 64 KiB, in both directions, while the block runs."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and bytes, and pass nothing on until the block ends: nobody is told that it is away."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._is_cut:
                raise ConnectionRefusedError
            server = socket.create_connection((_LOOPBACK, self.upstream), timeout=10.0)
            server.settimeout(None)
        except OSError:  # the server is away: so is the link
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ends |= {client, server}
        back = threading.Thread(target=self._carry, args=(server, client, True), daemon=True)
        back.start()
        self._carry(client, server, False)
        back.join()
        with self._lock:
            self._ends -= {client, server}
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                passed += len(data)
                if from_server and self.cut_after is not None and passed > self.cut_after:
                    self.cuts += 1
                    break
                if self._delay:
                    time.sleep(self._delay)
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _end_all(self) -> None:
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
