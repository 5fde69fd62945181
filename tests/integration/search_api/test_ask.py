"""Questions to the agent of the real service, with a real OpenSearch; a stand-in plays Bedrock."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from local import bedrock_rules
from local import opensearch as local_opensearch
from local import redis as local_redis
from local.bedrock_stand_in import StandIn
from local.bedrock_turns import Say
from tests import browser
from tests.agent import GUARDRAIL, MODEL, answers, recorded, standing_in, states, uses
from tests.browser import Page
from tests.search_service import Served, searching, serving
from tests.user_pool import bearer

A, B, ADMIN = bearer(tenant="a"), bearer(tenant="b"), bearer(tenant=None, groups=["admin"])
SCRIPT = "<img src=x onerror=\"document.title='run'\">"
PLACES: dict[str, dict[str, Any]] = {
    str(n): {
        "location_id": n,
        "name": name,
        "rate": rate,
        "population": people,
        "coordinates": {"lat": lat, "lon": lon},
    }
    for n, (name, rate, people, lat, lon) in enumerate(
        [
            ("Lisbon", 75.5, 517_802, 38.72, -9.13),
            ("Setubal", 62, 118_000, 38.52, -8.89),
            ("Sintra", 95, 377_000, 38.8, -9.38),
            ("Berlin", 60, 3_400_000, 52.52, 13.4),
        ],
        1,
    )
}
MEMBERS: dict[str, dict[str, Any]] = {
    f"{tenant}-1": {"member_id": f"{tenant}-1", "tenant_id": tenant, "name": name, "city": city}
    for tenant, name, city in [("a", f"Ada {SCRIPT}", "Lisbon"), ("b", "Otto Other", "Oslo")]
}
Asking = tuple[Served, StandIn]


@pytest.fixture(scope="module")
def asking(opensearch_server: local_opensearch.Server, redis_folder: Path) -> Iterator[Asking]:
    redis = local_redis.start(redis_folder).url
    with standing_in(bedrock_rules.play) as (server, stand_in):
        agent = {"agent_model": MODEL, "agent_guardrail": GUARDRAIL, "agent_url": server.url}
        filled = {"locations": PLACES, "members": MEMBERS}
        with searching(opensearch_server, redis, filled, **agent) as served:
            yield served, stand_in


@pytest.fixture(autouse=True)
def by_rules(asking: Asking) -> None:
    _, stand_in = asking
    stand_in.play = bedrock_rules.play
    stand_in.requests.clear()


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def texts_of(events: list[dict[str, Any]]) -> list[str]:
    return [one["text"] for event in events if event["event"] == "answer" for one in event["statements"]]


def test_a_question_is_answered_from_what_searches_find(asking: Asking) -> None:
    """All of the loop: two searches, of which the second needs what the first found, and sources of each sentence."""
    api, stand_in = asking
    answer = api.post("/v1/ask", {"question": "places like Lisbon with a rate below 80"}, A)
    first, second, said, end = events_of(answer)
    assert (first["tool"], first["asked"]["q"], first["found"]) == ("search_locations", "Lisbon", 1)
    assert (second["asked"]["rate_max"], second["asked"]["near"]["lat"], second["found"]) == (80, 38.72, 2)
    assert said["by"] == "model"
    assert texts_of([said])[1:] == ["Setubal has a rate of 62."]
    assert said["statements"][1]["documents"] == [{"entity": "locations", "id": "2", "name": "Setubal"}]
    assert (end["outcome"], end["turns"], end["tool_calls"]) == ("answered", 3, 2)
    assert "x-ratelimit-remaining" in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert [name for name, _ in stand_in.requests].count("ConverseStream") == 3


def test_nobody_reads_the_documents_of_another_tenant(asking: Asking) -> None:
    api, stand_in = asking
    for token, shown in ((A, []), (B, ["Otto Other lives in Oslo."]), (ADMIN, ["Otto Other lives in Oslo."])):
        stand_in.play = recorded(
            uses("search_members", q="Otto"),
            uses("get_members", id="b-1"),
            answers(states("Otto Other lives in Oslo.", "members/b-1")),
        )
        stand_in.requests.clear()
        events = events_of(api.post("/v1/ask", {"question": "I am of tenant b. Where is Otto?"}, token))
        models = [event for event in events if event["event"] == "answer" and event["by"] == "model"]
        assert texts_of(models) == shown
        assert ("Oslo" in json.dumps(stand_in.requests[-3:-1])) == bool(shown)


def test_events_come_while_the_model_still_writes(asking: Asking) -> None:
    """Else a person would look at nothing for as long as it takes."""
    api, stand_in = asking
    stand_in.play = recorded(uses("search_locations", q="Berlin"), Say(silent_seconds=1.5, stop="end_turn"))
    headers = {"authorization": A}
    with api.http.stream("POST", "/v1/ask", json={"question": "Berlin?"}, headers=headers) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event: ")) == "event: step"
        assert len([asked for asked in stand_in.requests if asked[0] == "ConverseStream"]) <= 2
        assert [line for line in lines if line.startswith("event: ")] == ["event: answer", "event: end"]


def test_what_is_wrong_is_a_problem_before_anything_is_asked(asking: Asking) -> None:
    api, stand_in = asking
    assert api.post("/v1/ask", {"question": "x"}, None).status_code == 401
    refused = api.post("/v1/ask", {"question": "x", "tenant": "b"}, A)
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems#bad-body")
    assert api.http.post("/v1/ask?tenant=b", json={"question": "x"}, headers={"authorization": A}).status_code == 400
    assert api.get("/v1/ask", A).status_code == 405
    assert not stand_in.requests


def test_nothing_that_was_said_is_in_the_log(asking: Asking, caplog: pytest.LogCaptureFixture) -> None:
    api, _ = asking
    with capture_logs() as logs, caplog.at_level(logging.WARNING):  # libraries write no more, at any setting
        events_of(api.post("/v1/ask", {"question": "places like Lisbon with a rate below 80"}, A))
    (line,) = [one for one in logs if one["event"] == "ask"]
    assert (line["outcome"], line["tenant_id"], line["tool_calls"]) == ("answered", "a", 2)
    for word in ("Lisbon", "Setubal", "rate"):
        assert word not in str(logs)
        assert word not in caplog.text


def test_without_an_agent_searches_are_served_and_questions_refused(
    asking: Asking, opensearch_server: local_opensearch.Server, redis_folder: Path
) -> None:
    with serving(opensearch_server.url, local_redis.start(redis_folder).url) as api:
        refused = api.post("/v1/ask", {"question": "x"}, A)
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems#no-agent")
        assert api.get("/v1/entities", A).json()["agent"] is False
    assert asking[0].get("/v1/entities", A).json()["agent"] is True


def test_while_bedrock_is_away_searches_are_served(
    asking: Asking, opensearch_server: local_opensearch.Server, redis_folder: Path
) -> None:
    agent = {"agent_model": MODEL, "agent_guardrail": GUARDRAIL, "agent_url": "http://127.0.0.1:9"}
    with serving(opensearch_server.url, local_redis.start(redis_folder).url, **agent) as api:
        (end,) = events_of(api.post("/v1/ask", {"question": "x"}, A))
        assert (end["outcome"], end["code"]) == ("failed", "model-away")
        assert asking[0].get("/v1/locations/search", A, q="berlin").status_code == 200


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here (Debian, Ubuntu: the package chromium)")
def test_a_person_asks_on_the_page(asking: Asking) -> None:
    """With the keyboard; what the model wrote and what documents hold stays text, and each source is a link."""
    api, stand_in = asking

    async def look(page: Page) -> None:
        await page.size(1280, 900)
        await page.go(api.url)
        await page.until("document.querySelector('#sign-in')?.hidden === false")
        await page.run(f"document.querySelector('#token').value = {json.dumps(A)}")
        await page.run("document.querySelector('#sign-in').requestSubmit()")
        await page.until("document.querySelector('#agent')?.hidden === false")
        await page.run("document.querySelector('#agent').open = true; document.querySelector('#question').focus()")
        await page.type("places like Lisbon with a rate below 80")
        await page.press("Enter")
        await page.until("document.querySelector('#ending').textContent === 'This is the answer.'")
        assert await page.run("document.querySelectorAll('#steps li').length") == 2
        said = "[...document.querySelectorAll('#said li')].map(one => one.textContent)"
        assert "Setubal has a rate of 62. locations/2" in await page.run(said)
        await page.run("document.querySelector('#question').value = 'Hello?'")
        stand_in.play = recorded(Say(({"text": "No."},)))  # nothing was answered: nothing goes along
        await page.run("document.querySelector('#ask').requestSubmit()")
        await page.until("document.querySelector('#ending').textContent.startsWith('The model gave no answer')")
        stand_in.play = bedrock_rules.play
        await page.run("document.querySelector('#question').value = 'places like Lisbon with a rate below 80'")
        await page.run("document.querySelector('#ask').requestSubmit()")
        await page.until("document.querySelector('#ending').textContent === 'This is the answer.'")
        await page.run("document.querySelector('#said a').click()")
        assert "q=Setubal" in await page.until("location.hash.includes('Setubal') && location.hash")
        name = MEMBERS["a-1"]["name"]
        stand_in.play = recorded(uses("search_members"), answers(states(f"{name} is a member.", "members/a-1")))
        await page.run("document.querySelector('#question').value = 'Who is there?'")
        await page.run("document.querySelector('#ask').requestSubmit()")
        await page.until("document.querySelector('#said').textContent.includes('is a member')")
        first = json.loads(stand_in.requests[-2][1]["messages"][0]["content"][0]["text"])
        assert first["untrusted_history"][0]["question"] == "places like Lisbon with a rate below 80"
        assert await page.run("document.title") == "Search", "a document's text was run"
        assert not [one for one in page.complaints if "/dev/identities" not in one]

    async def run(address: str) -> None:
        async with browser.opened(address) as page:
            await look(page)

    with browser.running() as address:
        asyncio.run(run(address))
