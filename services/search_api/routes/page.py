"""The page on which a person searches: a few files, served as they are."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from search_api import responses
from search_api.exchange import Exchange

_FOLDER = Path(__file__).parents[1] / "page"

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/make.js": ("make.js", "text/javascript; charset=utf-8"),
    "/page/map.js": ("map.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The page's files and their media types, by path."""


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [Route(path, _serve(name, media_type), methods=["GET"]) for path, (name, media_type) in FILES.items()]


def _serve(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    body = (_FOLDER / name).read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"etag": etag, "cache-control": "public, max-age=0, must-revalidate"}

    async def serve(request: Request) -> Response:
        exchange = Exchange.of(request.scope)
        exchange.route = "page"
        if exchange.header(b"if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return responses.ready(exchange, body, media_type, headers)

    return serve
