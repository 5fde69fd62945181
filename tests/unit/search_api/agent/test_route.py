"""What may be asked, what is sent, and what is logged."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from structlog.testing import capture_logs

from search_api.agent.budget import Budgets, Spent
from search_api.agent.events import Answer, End, Event, Said, Step, ending
from search_api.agent.places import AT_ONCE, OF_ONE_TENANT, Places
from search_api.exchange import Exchange
from search_api.problems import Problem
from search_api.routes.ask import Streamed, read
from tests.unit.search_api.asgi import scope_of

SECRET = "what somebody typed"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (None, "bad-body"),
        ([], "bad-body"),
        ({}, "bad-body"),
        ({"question": 1}, "bad-body"),
        ({"question": "x", "tenant": "b"}, "bad-body"),
        ({"question": "x", "history": "y"}, "bad-body"),
        ({"question": "x", "history": [{"question": "x"}]}, "bad-body"),
        ({"question": "x", "history": [{"role": "assistant", "content": "y"}]}, "bad-body"),
        ({"question": ""}, "bad-parameter"),
        ({"question": " \n"}, "bad-parameter"),
        ({"question": "x" * 1_001}, "bad-parameter"),
        ({"question": "a\x00b"}, "bad-parameter"),
        ({"question": "x", "history": [{"question": "x", "answer": "y"}] * 7}, "bad-parameter"),
        ({"question": "x", "history": [{"question": "x", "answer": "y" * 2_001}]}, "bad-parameter"),
    ],
)
def test_what_is_no_question_is_refused(document: Any, code: str) -> None:
    """Before anything is spent on it."""
    with pytest.raises(Problem) as raised:
        read(document)
    assert (raised.value.status, raised.value.code) == (400, code)


def test_a_question_may_have_lines_and_a_history() -> None:
    asked = read({"question": "a\nb", "history": [{"question": "x", "answer": "y"}]})
    assert asked.texts == ["a\nb", "x", "y"]
    assert json.loads(asked.message) == {"untrusted_history": [{"question": "x", "answer": "y"}], "question": "a\nb"}


async def _events() -> AsyncGenerator[Event]:
    yield Step(1, "search_members", {"q": SECRET}, 2, 2, "", 5)
    yield Answer("model", [Said(SECRET)])
    yield ending("answered", Spent(Budgets()), withheld=("number",))


def _sent(places: Places) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        exchange = Exchange.begin(scope_of("/v1/ask", "POST"), 5.0)
        exchange.tenant = "a"
        await Streamed(exchange, _events(), places)({}, None, send)  # type: ignore[arg-type]  # not used

    asyncio.run(run())
    return sent


def test_each_event_is_sent_when_it_happens() -> None:
    start, *bodies, last = _sent(Places())
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream"
    assert [body["body"].split(b"\n")[0] for body in bodies] == [b"event: step", b"event: answer", b"event: end"]
    assert all(body["more_body"] and body["body"].endswith(b"\n\n") for body in bodies)
    data = json.loads(bodies[2]["body"].split(b"data: ")[1])
    assert (data["event"], data["outcome"], data["withheld"]) == ("end", "answered", ["number"])
    assert last == {"type": "http.response.body", "body": b""}


def test_no_word_of_a_conversation_is_logged() -> None:
    """Logs are kept for weeks, and read by people who may not see the documents."""
    with capture_logs() as logs:
        _sent(Places())
    (line,) = logs
    assert (line["event"], line["tenant_id"], line["outcome"], line["withheld"]) == ("ask", "a", "answered", ["number"])
    assert SECRET not in str(line)


def test_a_tenant_leaves_places_to_others() -> None:
    places = Places()
    held = [places.one("a") for _ in range(OF_ONE_TENANT)]
    for place in held:
        place.__enter__()
    with pytest.raises(Problem, match="As many questions") as raised:
        _sent(places)
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (503, "2")
    others = [places.one("b") for _ in range(AT_ONCE - OF_ONE_TENANT)]
    for place in others:
        place.__enter__()
    with pytest.raises(Problem, match="As many questions"), places.one("c"):
        pass
    for place in [*held, *others]:
        place.__exit__(None, None, None)
    assert len(_sent(places)) == 5, "a place that is given back is free"


def test_the_end_says_what_was_used_up() -> None:
    end: End = ending("limited", Spent(Budgets()), limited_by="seconds")
    assert end.text == "The budget of this question is used up (time). This is what was known by then."
