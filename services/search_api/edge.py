"""The edge of the service: what holds for each request, whatever it asks.

Plain ASGI, because each layer of Starlette's own kind costs as much as an answer from the cache.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search_api import telemetry
from search_api.exchange import Exchange
from search_api.problems import MEDIA_TYPE, Problem
from search_api.responses import Ready, raw

DEADLINE_SECONDS = 5.0
"""Seconds after which each request is answered, whatever it waits for."""

LONGER_SECONDS = {"/v1/ask": 28.0}
"""Deadlines of addresses that may take longer; API Gateway gives up after 30 seconds."""

LONGEST_URL = 8_192
LARGEST_BODY = 65_536
LARGEST_HEADERS = 16_384

CALLER_GONE = 499
"""What logs and metrics say in place of a status when the caller went away before it was answered."""

SECURITY_HEADERS = (
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)


class Edge:
    """Middleware that gives each request its id and its deadline, and each response its headers and its line of log.

    :param app: what answers
    :param seconds: the deadline of all addresses but those of ``LONGER_SECONDS``
    :param around: puts around whatever answers, also with a problem, what decides which pages may read that
    """

    def __init__(
        self, app: ASGIApp, seconds: float = DEADLINE_SECONDS, around: Callable[[ASGIApp], ASGIApp] = lambda app: app
    ) -> None:
        self._app = around(app)
        self._seconds = seconds
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; all else (the service's start and end) is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = Exchange.begin(scope, LONGER_SECONDS.get(scope["path"], self._seconds))
        exchange.task = asyncio.current_task()
        with telemetry.trace(exchange):
            try:
                await self._answer(scope, exchange, receive, send)
            finally:
                telemetry.finished(exchange, time.perf_counter() - began)

    async def _answer(self, scope: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        request_id = (b"x-request-id", exchange.request_id.encode())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, request_id]
            await send(message)

        try:
            async with asyncio.timeout(exchange.deadline.remaining):
                refuse_too_large(scope, exchange)
                body = receive if scope["method"] == "GET" else _bounded(receive)
                await self._app(scope, body, send_with_headers)
            return
        except ClientDisconnect:
            exchange.error, exchange.status = "caller-gone", CALLER_GONE
            return
        except asyncio.CancelledError:
            if not exchange.gone:
                raise
            exchange.error, exchange.status = "caller-gone", CALLER_GONE
            return
        except Problem as raised:
            problem = raised
        except TimeoutError:
            problem = too_late()
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets an answer and the log the cause
            telemetry.unexpected(exchange, error)
            problem = broken()
        exchange.error = problem.code
        if exchange.status:  # a response has begun: all that is left is to end the connection
            raise ConnectionAbortedError(problem.code)
        await self._around(_as_response(problem, exchange))(scope, receive, send_with_headers)


def _as_response(problem: Problem, exchange: Exchange) -> Ready:
    left = exchange.allowance.headers if exchange.allowance else {}
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"cache-control", b"no-store"),
        *raw({**left, **problem.headers}),
    ]
    return Ready(problem.status, headers, problem.body(exchange.request_id))


def refuse_too_large(scope: Scope, exchange: Exchange) -> None:
    """Raise Problem if the address, the headers or the announced body are larger than the service reads."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_URL:
        raise Problem(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            "address-too-long",
            f"The address has more than {LONGEST_URL} bytes.",
            next_step="Send the search as JSON: POST /v1/{entity}/search.",
        )
    if sum([len(name) + len(value) for name, value in scope["headers"]]) > LARGEST_HEADERS:
        raise Problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
            f"The headers have more than {LARGEST_HEADERS} bytes.",
            next_step="Leave out headers that the service does not need: it needs Authorization alone.",
        )
    announced = exchange.headers.get(b"content-length", b"0")
    if len(announced) > 9 or int(announced) > LARGEST_BODY:
        raise _body_too_large()


def _bounded(receive: Receive) -> Receive:
    """Return a receive that raises Problem when more comes than a body may have, announced or not."""
    left = LARGEST_BODY

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _body_too_large()
        return message

    return receive_bounded


def _body_too_large() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        f"The body has more than {LARGEST_BODY} bytes.",
        next_step="Ask for less in one search.",
        headers={"Connection": "close"},  # what is left of the body is not read
    )


def too_late() -> Problem:
    """Return what is answered when the deadline has passed."""
    return Problem(
        HTTPStatus.GATEWAY_TIMEOUT,
        "deadline-exceeded",
        "The request was not answered in time, and was given up.",
        next_step="Ask again; if it happens again, ask for less: fewer filters, a smaller limit.",
        headers={"Retry-After": "1"},
    )


def broken() -> Problem:
    """Return what is answered when something happened that nobody thought of."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "The service failed. Its operators find the cause by the request's id.",
        next_step="Ask again later; if it happens again, tell the operators the request's id.",
    )
