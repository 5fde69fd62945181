"""A way to OpenSearch on which requests can be watched, held, lost or answered otherwise, for one actor of a test."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from opensearchpy import exceptions

from searchsync.cluster.client import Client


class Crashed(BaseException):
    """The process of an actor was killed in the middle of its work."""


class Request(NamedTuple):
    """One request of the product."""

    method: str
    path: str
    body: Any

    @property
    def is_bulk(self) -> bool:
        """Whether documents are written by it, not looked up."""
        return "/_bulk?timeout" in self.path


Forward = Callable[[], Any]
Act = Callable[[Request, Forward], Any]


class Wire:
    """Stands in the place of a client's transport.

    :ivar client: sends all its requests this way
    :ivar act: gets each request and a function that passes it on; None to let all pass
    """

    def __init__(self, client: Client, act: Act | None = None) -> None:
        self.act = act
        self.client = copy.copy(client)
        self.client.transport = cast(Any, self)
        self._real = client.transport

    def perform_request(self, method: str, path: str, **options: Any) -> Any:
        def forward() -> Any:
            return self._real.perform_request(method, path, **options)

        act = self.act
        return act(Request(method, path, options.get("body")), forward) if act else forward()


def refused(request: Request, status: int, kind: str) -> Any:
    """The answer to a bulk of which no item was applied."""
    count = len(request.body.splitlines()) // 2
    return {"errors": True, "items": [{"update": {"status": status, "error": {"type": kind, "reason": kind}}}] * count}


def lost() -> exceptions.ConnectionError:
    """What a client gets when the connection breaks before the answer."""
    return exceptions.ConnectionError("N/A", "the answer was lost", None)
