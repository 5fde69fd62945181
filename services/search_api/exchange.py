"""One request on its way: what the middleware, the routes and the log say about it."""

import asyncio
import os
import re
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import Scope

from search_api.deadline import Deadline
from search_api.limits import Allowance

KEY = "exchange"
"""Name of the exchange in the scope of ASGI."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


@dataclass(slots=True)
class Exchange:
    """What is known about one request.

    :ivar headers: the request's headers; of one that came several times, the last
    :ivar request_id: the caller's, if it is one, else a new one
    :ivar route: what was asked, such as ``members.search``: one of few, for metrics
    :ivar tenant: whose token it was; empty before it was verified
    :ivar query: hash of the canonical query; nothing of what people typed is logged
    :ivar cache: ``hit``, ``miss`` or ``stale``; ``none`` when no cache was asked
    :ivar error: code of the problem that was answered
    :ivar status: status of the response; 0 before it has begun
    :ivar allowance: what the caller may still ask; None before that is known
    :ivar task: what answers
    :ivar gone: whether the caller went away before it was answered
    """

    headers: dict[bytes, bytes]
    request_id: str
    deadline: Deadline
    route: str = "none"
    tenant: str = ""
    query: str = ""
    cache: str = "none"
    error: str = ""
    status: int = 0
    allowance: Allowance | None = None
    task: asyncio.Task[Any] | None = None
    gone: bool = False

    @classmethod
    def begin(cls, scope: Scope, seconds: float) -> "Exchange":
        """Return the exchange of a request that has just come, and put it into its scope."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        exchange = cls(headers, request_id, Deadline(seconds))
        scope[KEY] = exchange
        return exchange

    @classmethod
    def begun(cls, scope: Scope) -> "Exchange | None":
        """Return the exchange of a request; None when nobody answers it yet."""
        return scope.get(KEY)

    @classmethod
    def of(cls, scope: Scope) -> "Exchange":
        """Return the exchange of a request."""
        return cast("Exchange", scope[KEY])

    def leave(self) -> None:
        """Stop what is done for a caller that went away: nobody would get it."""
        self.gone = True
        if self.task:
            self.task.cancel()

    def header(self, name: bytes) -> str:
        """Return a header's value; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


def address(scope: Scope, trusted_proxies: int, header: str = "") -> str:
    """Return whose connection it is, as far as it can be trusted.

    Each proxy before the service adds the address that it saw at the end of ``X-Forwarded-For``, or as one more such
    header. What stands before those of our own proxies was written by the caller.

    :param header: name of a header that a gateway overwrites with the caller's address; it is believed when it is there
    """
    if header:
        written = [value for name, value in scope["headers"] if name == header.encode() and value]
        if written:
            return str(written[-1].decode("latin-1").strip())
    if trusted_proxies:
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        seen = [part.strip() for part in b",".join(lines).decode("latin-1").split(",")]
        if len(seen) >= trusted_proxies and seen[-trusted_proxies]:
            return seen[-trusted_proxies]
    return str(scope["client"][0]) if scope.get("client") else "unknown"
