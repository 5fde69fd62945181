"""Questions in words: what the agent finds out is sent while it does, as server-sent events."""

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from search_api import responses, telemetry
from search_api.agent.budget import Budgets
from search_api.agent.conversation import Conversation
from search_api.agent.events import End, Event
from search_api.agent.instructions import MAX_ANSWER, MAX_HISTORY, MAX_QUESTION, Asked, Earlier
from search_api.agent.places import Places
from search_api.agent.tools import Tools, specifications
from search_api.exchange import Exchange
from search_api.problems import Problem
from search_api.query import values
from search_api.responses import Header
from search_api.routes.bodies import read_json, refuse_parameters
from search_api.service import Service

MEDIA_TYPE: Final = b"text/event-stream"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    question: str
    history: list[Earlier] = []


class Ask:
    """``POST /v1/ask``.

    :param budgets: of each question
    """

    def __init__(self, service: Service, budgets: Budgets) -> None:
        self._service = service
        self._budgets = budgets
        self._places = Places()
        self._specifications = specifications(service.entities.values())

    async def post(self, request: Request) -> "Streamed":
        """Answer a question. What can be refused is refused before the response begins."""
        service = self._service
        exchange, caller = await service.authenticate(request, "ask")
        refuse_parameters(request)
        if service.bedrock is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "no-agent",
                "This service has no agent: it answers searches alone.",
                next_step="Ask GET /v1/entities what can be searched, or have SEARCH_API_AGENT_MODEL set.",
            )
        asked = read(await read_json(request, exchange))
        conversation = Conversation(
            asked,
            caller.tenant,
            bedrock=service.bedrock,
            specifications=self._specifications,
            tools=Tools(service, caller.scope),
            budgets=self._budgets,
        )
        return Streamed(exchange, conversation.events(), self._places)


def read(document: Any) -> Asked:
    """Return what a JSON document asks.

    :raises Problem: 400 when it has another form, or a text is too long or has control characters
    """
    try:
        body = msgspec.convert(document, _Body)
    except msgspec.ValidationError:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "bad-body",
            "The body must be an object with the text question and, if you like, the list history of objects with the "
            "texts question and answer.",
            next_step='Send for example {"question": "places like Lisbon with a rate below 80"}.',
        ) from None
    if len(body.history) > MAX_HISTORY:
        raise values.refused("history", f"must have at most {MAX_HISTORY} entries", "Leave out the oldest.")
    if not _text("question", body.question, MAX_QUESTION).strip():
        raise values.refused("question", "must have words", "Ask something.")
    for one in body.history:
        _text("question", one.question, MAX_QUESTION)
        _text("answer", one.answer, MAX_ANSWER)
    return Asked(body.question, tuple(body.history))


def _text(name: str, text: str, most: int) -> str:
    """Return a text of several lines. Raise a Problem if it is empty, too long, or no text."""
    values.text(name, " ".join(text.split()) or text, most)
    return text


class Streamed:
    """A response whose events are sent as they happen.

    :param places: it needs one of them, and is a problem when there is none
    """

    def __init__(self, exchange: Exchange, events: AsyncGenerator[Event], places: Places) -> None:
        self._exchange = exchange
        self._events = events
        self._places = places

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send it."""
        began, exchange = time.monotonic(), self._exchange
        with self._places.one(exchange.tenant):
            await send({"type": "http.response.start", "status": 200, "headers": [*_headers(exchange)]})
            async with aclosing(self._events) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": written(event), "more_body": True})
                    if isinstance(event, End):
                        _tell(exchange, event, time.monotonic() - began)
            await send({"type": "http.response.body", "body": b""})


def written(event: Event) -> bytes:
    """Return an event as it is sent."""
    return b"event: %s\ndata: %s\n\n" % (str(event.__struct_config__.tag).encode(), msgspec.json.encode(event))


def _headers(exchange: Exchange) -> Iterable[Header]:
    left = responses.raw(exchange.allowance.headers) if exchange.allowance else ()
    return (b"content-type", MEDIA_TYPE), (b"cache-control", b"no-store"), *left


def _tell(exchange: Exchange, end: End, seconds: float) -> None:
    """Count and log a question: numbers and codes, and nothing that people, documents or the model said."""
    telemetry.ASKS.labels(end.outcome).inc()
    telemetry.TOKENS.labels("read").inc(end.input_tokens)
    telemetry.TOKENS.labels("written").inc(end.output_tokens)
    telemetry.log.info(
        "ask",
        request_id=exchange.request_id,
        tenant_id=exchange.tenant,
        outcome=end.outcome,
        limited_by=end.limited_by or "",
        error=end.code,
        withheld=end.withheld,
        turns=end.turns,
        tool_calls=end.tool_calls,
        input_tokens=end.input_tokens,
        output_tokens=end.output_tokens,
        duration_ms=round(seconds * 1000, 3),
    )
