"""The edge of each request: without it, a caller could exhaust the service, or learn what is none of theirs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from search_api import edge
from search_api.edge import Edge
from search_api.exchange import Exchange
from search_api.limits import Allowance
from search_api.problems import Problem
from tests.unit.search_api.asgi import call, scope_of

SECRET = "what somebody typed"


def answering(function: Callable[[Request], Awaitable[Response]], seconds: float = 5.0) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await function(Request(scope, receive))
        await response(scope, receive, send)

    return Edge(app, seconds)


async def fine(_: Request) -> Response:
    return Response(b"{}", media_type="application/json")


async def refused(_: Request) -> Response:
    raise Problem(429, "too-many", "Too many.", next_step="Wait.", headers={"Retry-After": "7"})


async def broken(_: Request) -> Response:
    raise LookupError(SECRET)


async def reading(request: Request) -> Response:
    return Response(str(len(await request.body())))


@pytest.mark.parametrize("function", [fine, refused, broken])
def test_each_response_has_its_id_and_the_headers_of_security(
    function: Callable[[Request], Awaitable[Response]],
) -> None:
    """Else a browser could be made to frame, guess or run what the service answers; an error could not be traced."""
    answer = call(answering(function))
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_callers_id_is_kept_when_it_is_one() -> None:
    """Else a request cannot be followed through several services."""
    assert call(answering(fine), headers=[("x-request-id", "checkout-4711")]).headers["x-request-id"] == "checkout-4711"


@pytest.mark.parametrize("given", ["short", "a" * 65, 'in"jected', "two words", "ünüsüäl-id"])
def test_an_id_that_is_none_gets_into_no_log(given: str) -> None:
    with capture_logs() as logs:
        answer = call(answering(refused), headers=[("x-request-id", given)])
    assert answer.headers["x-request-id"] != given
    assert answer.json["request_id"] == answer.headers["x-request-id"] == logs[-1]["request_id"]


def test_a_problem_says_what_to_do_next() -> None:
    answer = call(answering(refused))
    assert (answer.status, answer.headers["content-type"]) == (429, "application/problem+json")
    assert answer.headers["retry-after"] == "7"
    assert answer.json == {
        "type": "/problems#too-many",
        "title": "Too many",
        "status": 429,
        "detail": "Too many.",
        "next_step": "Wait.",
        "request_id": answer.headers["x-request-id"],
    }


def test_a_problem_says_what_is_left_of_the_limit() -> None:
    """Else a caller whose requests are refused for something else runs into the limit unwarned."""

    async def known(request: Request) -> Response:
        Exchange.of(request.scope).allowance = Allowance(100, 42, 30)
        return await refused(request)

    headers = call(answering(known)).headers
    assert [headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["100", "42", "30"]
    assert headers["retry-after"] == "7"


def test_an_error_is_answered_and_logged_without_a_value() -> None:
    """Else what people typed gets into answers and logs by the text of an exception."""
    with capture_logs() as logs:
        answer = call(answering(broken))
    assert (answer.status, answer.json["title"]) == (500, "Internal error")
    assert "LookupError at test_edge.py" in logs[0]["error"]
    assert logs[0]["log_level"] == "error"
    assert SECRET not in answer.body.decode() + str(logs)


def test_whoever_waits_for_ever_is_answered_at_the_deadline() -> None:
    async def waiting(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    answer = call(answering(waiting, seconds=0.05))
    assert (answer.status, answer.headers["retry-after"]) == (504, "1")


def test_a_deadline_ends_a_body_that_never_comes() -> None:
    """Else callers who send nothing more hold connections and tasks for ever."""

    async def never() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(answering(reading, seconds=0.05)(scope_of("/", "POST"), never, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 504


def test_a_caller_who_goes_away_is_no_error_of_the_service() -> None:
    """Else everybody who closes a page raises an alarm."""

    async def gone() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        raise AssertionError(message)

    with capture_logs() as logs:
        asyncio.run(answering(reading)(scope_of("/", "POST"), gone, send))  # type: ignore[arg-type]
    assert [(line["log_level"], line["status"], line["error"]) for line in logs] == [("info", 499, "caller-gone")]


@pytest.mark.parametrize(("size", "status"), [(edge.LARGEST_BODY, 200), (edge.LARGEST_BODY + 1, 413)])
def test_a_body_has_a_bound(size: int, status: int) -> None:
    announced = call(answering(reading), "/", "POST", [("content-length", str(size))], [b"x" * size])
    assert announced.status == status
    half = size // 2
    chunked = call(answering(reading), "/", "POST", [], [b"x" * half, b"x" * (size - half)])
    assert chunked.status == status


def test_an_announced_body_is_refused_before_it_is_read() -> None:
    """Else the service reads for nothing, as long as the caller likes."""
    answer = call(answering(fine), "/", "POST", [("content-length", "9" * 30)])
    assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize(("target", "status"), [("/?" + "q" * 8_191, 200), ("/?" + "q" * 8_192, 414)])
def test_an_address_has_a_bound(target: str, status: int) -> None:
    assert call(answering(fine), target).status == status


def test_headers_have_a_bound() -> None:
    """Else each check of a token costs what the caller likes."""
    assert call(answering(fine), headers=[("authorization", "x" * 16_384)]).status == 431
    assert call(answering(fine), headers=[(f"h{n}", "x" * 100) for n in range(170)]).status == 431


def test_a_response_that_breaks_off_ends_its_connection() -> None:
    """Else a caller takes half an answer for a whole one."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        raise LookupError

    with pytest.raises(ConnectionAbortedError):
        call(Edge(app))
