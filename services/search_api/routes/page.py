"""The page on which a person searches, and other answers that are always the same."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from search_api import responses
from search_api.exchange import Exchange

_FOLDER = Path(__file__).parents[1] / "page"
_JAVASCRIPT = "text/javascript; charset=utf-8"

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", _JAVASCRIPT),
    "/page/make.js": ("make.js", _JAVASCRIPT),
    "/page/map.js": ("map.js", _JAVASCRIPT),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The page's files and their media types, by path."""


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [same(path, (_FOLDER / name).read_bytes(), media_type) for path, (name, media_type) in FILES.items()]


def same(path: str, body: bytes, media_type: str) -> Route:
    """Return a route that answers everybody with the same bytes."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'  # weak: it is the same whether compressed or not
    headers = {"etag": etag, "cache-control": "public, max-age=0, must-revalidate"}

    async def answer(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        exchange.route = "page"
        if exchange.header(b"if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return responses.ready(exchange, body, media_type, headers)

    return Route(path, answer, methods=["GET"])
