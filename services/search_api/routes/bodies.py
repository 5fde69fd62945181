"""What a request carries, read or refused."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request

from search_api.exchange import Exchange
from search_api.problems import Problem


async def read_json(request: Request, exchange: Exchange) -> Any:
    """Return the JSON value of a body.

    :raises Problem: 415 when it is said to be something else, 400 when it is no JSON
    """
    media_type = exchange.header(b"content-type").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body must be JSON.",
            next_step="Send it with Content-Type: application/json.",
        )
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad-body", "The body is no JSON.", next_step='Send for example {"q": "berlin"}.'
        ) from None


def refuse_parameters(request: Request) -> None:
    """Raise Problem if the address has parameters, where none has a meaning."""
    if request.scope["query_string"]:
        name = next(iter(request.query_params), "")
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "unknown-parameter",
            f"There is no parameter {name[:100]!r} here.",
            next_step="Leave the parameters out of the address.",
        )


def method_not_allowed(request: Request, allowed: Iterable[str]) -> Problem:
    """Return the problem of a method that an address does not answer."""
    names = ", ".join(sorted(allowed))
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        f"This address does not answer {request.method[:20]}.",
        next_step=f"It answers {names}.",
        headers={"Allow": names},
    )
