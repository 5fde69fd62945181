"""Requests to an ASGI application without a server between."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Received:
    """What a caller received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def scope_of(target: str, method: str = "GET", headers: Iterable[tuple[str, str]] = (), client: str = "") -> Any:
    """The scope of a request, as uvicorn makes it."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (client or "127.0.0.1", 4711),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def call(
    app: ASGIApp,
    target: str = "/",
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: Iterable[bytes] = (),
    client: str = "",
) -> Received:
    """Send one request and return the response.

    :param body: the parts in which the body comes
    """
    parts = list(body)
    sent: list[Message] = []

    async def receive() -> Message:
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_bounded(app(scope_of(target, method, headers, client), receive, send)))
    start = sent[0]
    return Received(
        start["status"],
        {name.decode(): value.decode("latin-1") for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def _bounded(answering: Any) -> None:
    async with asyncio.timeout(10):
        await answering
