"""Responses made of bytes that are ready."""

import gzip
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from search_api.exchange import Exchange

GZIP_FROM = 1_400
"""Bytes from which on a body is compressed: what is smaller fits into one packet as it is."""

KEPT_TO = 65_536
"""Bytes up to which a compressed body is kept. Documents may be large, and a page has 50: such bodies could be
gigabytes."""

_LEVEL = 1
"""The fastest: the next ones save few per cent of a list of results, and take twice as long."""


Header = tuple[bytes, bytes]

VARY: Header = (b"vary", b"accept-encoding")
"""Of each response that may be compressed, and of one that says that such a response has not changed."""


class Ready:
    """A response whose bytes are ready. Starlette's own does the same, and takes three times as long.

    :param headers: with names in small letters, without those of the body
    """

    def __init__(self, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
        self.headers = [*headers]
        if status != HTTPStatus.NOT_MODIFIED:  # its length would be taken for that of what is not sent
            self.headers.append((b"content-length", b"%d" % len(body)))
        self._status = int(status)
        self._body = body

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self._status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self._body})


def json(exchange: Exchange, body: bytes, headers: Iterable[Header] = (), status: int = 200) -> Ready:
    """Return a response of JSON bytes that nobody keeps, with what is left of the caller's limit."""
    left = raw(exchange.allowance.headers) if exchange.allowance else ()
    return ready(exchange, body, b"application/json", ((b"cache-control", b"no-store"), *headers, *left), status)


def ready(
    exchange: Exchange, body: bytes, media_type: bytes, headers: Iterable[Header] = (), status: int = 200
) -> Ready:
    """Return a response of bytes, compressed if it is long and the caller can read that."""
    all_headers = [(b"content-type", media_type), VARY, *headers]
    if len(body) >= GZIP_FROM and accepts_gzip(exchange.headers.get(b"accept-encoding", b"")):
        body = _kept(body) if len(body) <= KEPT_TO else _compressed(body)
        all_headers.append((b"content-encoding", b"gzip"))
    return Ready(status, all_headers, body)


def raw(headers: Mapping[str, str]) -> list[Header]:
    """Return headers as they are sent."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


@lru_cache(maxsize=256)
def _kept(body: bytes) -> bytes:
    """Return a body compressed. A kept answer is the same object each time, so to find it here costs nothing."""
    return _compressed(body)


def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def accepts_gzip(header: bytes) -> bool:
    """Return whether a caller with this ``Accept-Encoding`` can read gzip."""
    for part in header.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
