"""Connections of callers as the process serves them, with a transport that notes each call of the kernel."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from search_api import __main__ as process
from search_api import protocol as protocol_module
from search_api.edge import LARGEST_BODY
from search_api.protocol import Protocol
from search_api.settings import PREFIX

SETTINGS = {
    "ENVIRONMENT": "development",
    "REDIS_URL": "redis://127.0.0.1:9",
    "ISSUER": "http://127.0.0.1:9/pool",
    "AUDIENCE": "client",
    "CURSOR_KEYS": "5e" * 32,
}


class Transport(asyncio.Transport):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = False
        self.closed = False
        self.at_end = asyncio.Event()

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        self.at_end.set()

    def is_closing(self) -> bool:
        return self.closed


async def answer(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_an_answer_is_sent_by_one_call_of_the_kernel() -> None:
    """Head and body apart would take twice as long, and wake each caller twice. A socket may join what was sent so."""

    async def main() -> None:
        config = uvicorn.Config(answer, http=Protocol, ws="none", log_config=None, access_log=False)
        config.load()
        transport, protocol = Transport(), Protocol(config, ServerState(), {})
        protocol.connection_made(transport)
        for count, header in enumerate((b"a: b", b"a: b", b"connection: close"), 1):
            protocol.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n" + header + b"\r\n\r\n")
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(transport.written) == count
            assert transport.written[-1].startswith(b"HTTP/1.1 200 OK\r\n")
            assert transport.written[-1].endswith(b"\r\n\r\nok")
        assert transport.ended
        protocol.connection_lost(None)

    asyncio.run(main())


HALF = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def served(keep_alive: float) -> tuple[Transport, Protocol]:
    config = uvicorn.Config(answer, http=Protocol, ws="none", log_config=None, timeout_keep_alive=keep_alive)  # type: ignore[arg-type]
    config.load()
    transport, protocol = Transport(), Protocol(config, ServerState(), {})
    protocol.connection_made(transport)
    return transport, protocol


@pytest.mark.parametrize(
    ("sent", "keep_alive"),
    [([], 0.05), ([HALF], 9.0), ([GET, HALF], 9.0)],
    ids=["nothing", "half a head", "half of the second head"],
)
def test_a_connection_on_which_no_request_comes_is_ended(
    sent: list[bytes], keep_alive: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few thousand of them would be all that the process can have, and nobody else is answered."""
    monkeypatch.setattr(protocol_module, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        transport, protocol = served(keep_alive)
        for data in sent:
            protocol.data_received(data)
        async with asyncio.timeout(5):
            while not transport.ended:
                await asyncio.sleep(0.01)
                if sent and not transport.ended:
                    protocol.data_received(b"x")  # a byte now and then is no request, either

    asyncio.run(main())


def test_empty_lines_after_an_answer_keep_no_connection() -> None:
    """They begin no request, and uvicorn ends its own time with the first byte."""

    async def main() -> None:
        transport, protocol = served(0.05)
        protocol.data_received(GET)
        async with asyncio.timeout(5):
            while not transport.ended:
                await asyncio.sleep(0.01)
                protocol.data_received(b"\r\n")
        assert len(transport.written) == 1

    asyncio.run(main())


def test_a_body_is_no_part_of_its_head() -> None:
    """The largest body that the service takes may come in one piece with its head."""

    async def main() -> None:
        transport, protocol = served(9.0)
        for count in (1, 2):
            body = b"1" * LARGEST_BODY
            protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(transport.written) == count
            assert transport.written[-1].startswith(b"HTTP/1.1 200 ")
        assert not transport.ended
        protocol.connection_lost(None)

    asyncio.run(main())


def test_a_head_without_an_end_is_not_kept() -> None:
    async def main() -> None:
        transport, protocol = served(9.0)
        protocol.data_received(HALF)
        pieces = 0
        while not transport.ended:
            protocol.data_received(b"a" * 1_024)
            pieces += 1
            assert pieces <= protocol_module.LARGEST_HEAD // 1_024 + 1, "it would fill the memory"
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.written[0].startswith(b"HTTP/1.1 400 ")

    asyncio.run(main())


POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n"


def test_a_body_that_has_not_come_when_the_answer_is_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment of it is read, so that the kernel does not reset the connection before the caller has the answer."""
    monkeypatch.setattr(protocol_module, "END_SECONDS", 0.05)

    async def main() -> None:
        transport, protocol = served(9.0)
        protocol.data_received(POST + b"12")
        for _ in range(10):
            await asyncio.sleep(0)
        assert b"\r\nconnection: close\r\n" in transport.written[0]
        assert transport.written[0].endswith(b"ok")
        assert transport.ended
        assert not transport.closed
        protocol.data_received(b"34GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(transport.at_end.wait(), 5)
        assert len(transport.written) == 1, "what comes after the last answer is not answered"

    asyncio.run(main())


def test_a_caller_that_sends_after_its_answer_has_the_answer() -> None:
    """Lost otherwise: whoever is refused, or sends too much, finds a connection reset, and not the reason."""

    async def main() -> bytes:
        config = uvicorn.Config(answer, http=Protocol, ws="none", log_config=None)
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Protocol(config, ServerState(), {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(POST)
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(100):  # more than one piece: the kernel answers the first one that nobody takes
                writer.write(b"1" * 100)
                await writer.drain()
                await asyncio.sleep(0)
            got = await reader.read()
            writer.close()
            return got

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == b"ok"


def test_a_caller_that_reads_nothing_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's buffers are full of the answer, and what is left would wait for ever."""
    monkeypatch.setattr(protocol_module, "END_SECONDS", 0.05)
    monkeypatch.setattr(protocol_module, "READ_SECONDS", 0.05, raising=False)

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"x" * 20_000_000})

    async def main() -> None:
        config = uvicorn.Config(large, http=Protocol, ws="none", log_config=None)
        config.load()
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        class Noted(Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                ended.set()

        server = await loop.create_server(lambda: Noted(config, ServerState(), {}), "127.0.0.1", 0)
        with socket.socket() as caller:
            caller.setblocking(False)
            await loop.sock_connect(caller, server.sockets[0].getsockname())
            await loop.sock_sendall(caller, GET)
            await asyncio.wait_for(ended.wait(), 10)
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_whole_requests_go_on_over_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a head is not that of a connection: a load balancer keeps its own for minutes."""
    monkeypatch.setattr(protocol_module, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        transport, protocol = served(9.0)
        for count in (1, 2):
            protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n12")
            await asyncio.sleep(3 * protocol_module.HEAD_SECONDS)
            assert len(transport.written) == count
        assert not transport.closed
        protocol.connection_lost(None)

    asyncio.run(main())


def test_the_process_serves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the tests have what the service has not, and nothing stops when a caller goes away."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "http://127.0.0.1:9")
    for name, value in SETTINGS.items():
        monkeypatch.setenv(PREFIX + name, value)
    given: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: given.update(options))
    assert process.main() == 0
    assert given["http"] is Protocol
