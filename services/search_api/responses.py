"""Responses made of bytes that are ready."""

import gzip
from collections.abc import Mapping
from functools import lru_cache

from starlette.responses import Response

from search_api.exchange import Exchange

GZIP_FROM = 1_400
"""Bytes from which on a body is compressed: what is smaller fits into one packet as it is."""

_LEVEL = 1
"""The fastest: the next ones save few per cent of a list of results, and take twice as long."""


def json(exchange: Exchange, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """Return a response of JSON bytes, compressed if it is long and the caller can read that."""
    all_headers = {"cache-control": "no-store", **(headers or {})}
    if exchange.allowance:
        all_headers |= exchange.allowance.headers
    return ready(exchange, body, "application/json", all_headers, status)


def ready(
    exchange: Exchange, body: bytes, media_type: str, headers: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    """Return a response of bytes."""
    all_headers = {"vary": "accept-encoding", **(headers or {})}
    if len(body) >= GZIP_FROM and accepts_gzip(exchange.headers.get(b"accept-encoding", b"")):
        body = _compressed(body)
        all_headers["content-encoding"] = "gzip"
    return Response(body, status, all_headers, media_type)


@lru_cache(maxsize=256)
def _compressed(body: bytes) -> bytes:
    """Return a body compressed. A kept answer is the same object each time, so to find it here costs nothing."""
    return gzip.compress(body, _LEVEL, mtime=0)


def accepts_gzip(header: bytes) -> bool:
    """Return whether a caller with this ``Accept-Encoding`` can read gzip."""
    for part in header.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
