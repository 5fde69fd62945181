"""Connections of callers as the process serves them, with a transport that notes each call of the kernel."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from search_api import __main__ as process
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
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

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
        assert transport.closed
        protocol.connection_lost(None)

    asyncio.run(main())


def test_the_process_serves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the tests have what the service has not, and nothing stops when a caller goes away."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "http://127.0.0.1:9")
    for name, value in SETTINGS.items():
        monkeypatch.setenv(PREFIX + name, value)
    served: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: served.update(options))
    assert process.main() == 0
    assert served["http"] is Protocol
