"""The page on which a person searches, and other answers that are always the same."""

import hashlib
import html
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Route

from search_api import problems, responses
from search_api.exchange import Exchange
from search_api.responses import Ready

_FOLDER = Path(__file__).parents[1] / "page"
_HTML = b"text/html; charset=utf-8"
_JAVASCRIPT = b"text/javascript; charset=utf-8"

FILES = {
    "/": ("index.html", _HTML),
    "/page/app.js": ("app.js", _JAVASCRIPT),
    "/page/ask.js": ("ask.js", _JAVASCRIPT),
    "/page/make.js": ("make.js", _JAVASCRIPT),
    "/page/map.js": ("map.js", _JAVASCRIPT),
    "/page/style.css": ("style.css", b"text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", b"image/svg+xml"),
}
"""The page's files and their media types, by path."""


def routes() -> list[Route]:
    """Return the routes of the page, and of the one that says what problems mean."""
    files = [same(path, (_FOLDER / name).read_bytes(), media_type) for path, (name, media_type) in FILES.items()]
    return [*files, same(problems.PATH, _explained(), _HTML)]


def _explained() -> bytes:
    meanings = "".join(
        f'<dt id="{code}">{code}</dt><dd>{html.escape(meaning)}</dd>' for code, meaning in problems.CODES.items()
    )
    page = (_FOLDER / "problems.html").read_text(encoding="utf-8")
    return page.replace("<!-- meanings -->", meanings).encode()


def same(path: str, body: bytes, media_type: bytes) -> Route:
    """Return a route that answers everybody with the same bytes."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'.encode()  # weak: it is the same whether compressed or not
    headers = [(b"etag", etag), (b"cache-control", b"public, max-age=0, must-revalidate")]

    async def answer(request: Request) -> Ready:
        exchange = Exchange.of(request.scope)
        exchange.route = "page"
        if exchange.headers.get(b"if-none-match") == etag:
            return Ready(304, [*headers, responses.VARY])
        return responses.ready(exchange, body, media_type, headers)

    return Route(path, answer, methods=["GET"])
