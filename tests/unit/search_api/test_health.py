"""Probes: a wrong answer takes a service that works out of service, or leaves one that does not."""

import asyncio
import json

import pytest
from starlette.routing import Route, Router

from search_api.edge import Edge
from search_api.routes import health
from search_api.routes.health import Dependency, Readiness
from tests.unit.search_api.asgi import Received, call


async def answers() -> bool:
    return True


async def is_away() -> bool:
    return False


async def fails() -> bool:
    raise OSError("redis://user:secret-word@host")


async def hangs() -> bool:
    return await asyncio.Event().wait()


def ready(**dependencies: Dependency) -> Received:
    return call(Edge(Router([Route("/ready", Readiness(dependencies).get)])), "/ready")


@pytest.mark.parametrize("away", [is_away, fails, hangs])
def test_ready_tells_what_is_required_from_what_is_not(away: health.Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis the service is slower; without OpenSearch a balancer must ask another one."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    engine, cache = Dependency(answers, required=True), Dependency(answers, required=False)
    well = ready(opensearch=engine, redis=cache)
    assert (well.status, well.json["status"]) == (200, "ok")
    slower = ready(opensearch=engine, redis=Dependency(away, required=False))
    assert (slower.status, slower.json["status"]) == (200, "degraded")
    assert slower.json["dependencies"] == {"opensearch": "ok", "redis": "away"}
    useless = ready(opensearch=Dependency(away, required=True), redis=cache)
    assert (useless.status, useless.json["status"]) == (503, "unavailable")
    assert "secret-word" not in json.dumps(slower.json) + json.dumps(useless.json)


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", [], 200),
        ("::1", [], 200),
        ("10.0.0.7", [], 404),
        ("127.0.0.1", [("x-forwarded-for", "10.0.0.7")], 404),
        ("127.0.0.1", [("forwarded", "for=10.0.0.7")], 404),
    ],
)
def test_metrics_are_for_a_collector_beside_the_service(
    client: str, headers: list[tuple[str, str]], status: int
) -> None:
    """Else everybody learns how much is asked, and how often it fails."""
    app = Edge(Router([Route("/metrics", health.metrics)]))
    answer = call(app, "/metrics", headers=headers, client=client)
    assert answer.status == status
    assert (b"search_api_request_seconds" in answer.body) is (status == 200)
