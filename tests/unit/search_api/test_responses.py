"""Compression: without it long answers cost the caller's time; where it is not understood, they cannot be read."""

import gzip
import sys

import pytest

from search_api.deadline import Deadline
from search_api.exchange import Exchange
from search_api.responses import GZIP_FROM, KEPT_TO, accepts_gzip, json
from tests.unit.search_api.asgi import Received, call

LONG = b'{"a": "' + b"x" * GZIP_FROM + b'"}'


def received(body: bytes, **headers: str) -> Received:
    return call(json(exchange(**headers), body))


def exchange(**headers: str) -> Exchange:
    return Exchange(
        {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}, "id", Deadline(5)
    )


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br, zstd", False),
        ("x-gzip-like", False),
        ("", False),
    ],
)
def test_only_who_reads_gzip_gets_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header.encode()) is accepted
    response = received(LONG, accept_encoding=header)
    if accepted:
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(response.body) == LONG
        assert int(response.headers["content-length"]) == len(response.body) < len(LONG)
    else:
        assert "content-encoding" not in response.headers
        assert response.body == LONG
    assert response.headers["vary"] == "accept-encoding"


def test_a_short_answer_is_sent_as_it_is() -> None:
    """Compressing what fits into a packet costs time and saves none."""
    response = received(b"{}", accept_encoding="gzip")
    assert response.body == b"{}"
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(("size", "kept"), [(KEPT_TO, True), (KEPT_TO + 1, False)])
def test_only_a_body_of_usual_size_is_kept_with_its_compressed_form(size: int, kept: bool) -> None:
    """256 pages of large documents would take the memory of the process."""
    body = bytes(size)
    before = sys.getrefcount(body)
    received(body, accept_encoding="gzip")
    assert (sys.getrefcount(body) > before) is kept


def test_answers_are_kept_by_nobody_between() -> None:
    """Else a proxy shows one tenant's answer to another."""
    assert received(b"{}").headers["cache-control"] == "no-store"
