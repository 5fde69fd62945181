"""What the service does beside its answers: work in the background, and places for every tenant."""

import asyncio
from collections import Counter
from typing import Never

import pytest
from structlog.testing import capture_logs

from search_api import service
from search_api.auth.keys import Keys
from search_api.cache.popular import Popular
from search_api.caller import OneTenant
from search_api.deadline import Deadline
from search_api.engine.client import AT_ONCE, WAITING, Answer, EngineUnavailable
from search_api.engine.live_index import LiveIndexes
from search_api.engine.target import Target
from search_api.settings import Settings

SECRET = "a value"
NOWHERE = "127.0.0.1:9"
SETTINGS = Settings(
    Target(f"http://{NOWHERE}"), redis_url=f"redis://{NOWHERE}", issuer=f"http://{NOWHERE}", cursor_keys=(b"k" * 32,)
)


def test_work_in_the_background_begins_again_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it ended unnoticed, old indexes and keys would be used for ever: it goes on, and it is logged."""
    monkeypatch.setattr(service, "AGAIN_SECONDS", 0.0)
    begun: Counter[type] = Counter()
    again = asyncio.Event()

    async def fail(part: object) -> Never:
        begun[type(part)] += 1
        if len(begun) == 3 and min(begun.values()) == 2:
            again.set()
        raise RuntimeError(SECRET)

    async def main() -> None:
        async with asyncio.timeout(5), service.Service(SETTINGS).running():
            await again.wait()

    for part in (Keys, LiveIndexes, Popular):
        monkeypatch.setattr(part, "run", fail)
    with capture_logs() as logs:
        asyncio.run(main())
    assert {line["log_level"] for line in logs} == {"error"}
    assert "RuntimeError at test_service.py" in logs[0]["error"]
    assert SECRET not in str(logs)


def test_a_tenant_never_has_more_than_half_of_the_places_of_opensearch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its slow searches would make those of all others wait or fail."""
    asked: Counter[str] = Counter()

    async def send(*_: object) -> Answer:
        asked["now"] += 1
        await asyncio.sleep(0)  # so that all are under way at once
        return Answer(200, b"{}")

    async def main() -> None:
        served = service.Service(SETTINGS)
        monkeypatch.setattr(served.engine, "send", send)
        searches = [
            served.ask("places-1", b"{}", OneTenant(name), Deadline(5))
            for name, count in (("acme", 200), ("globex", 50))
            for _ in range(count)
        ]
        got = await asyncio.gather(*searches, return_exceptions=True)
        assert sum(isinstance(one, EngineUnavailable) for one in got[:200]) == 200 - (AT_ONCE + WAITING) // 2
        assert got[200:] == [b"{}"] * 50

    asyncio.run(main())
    assert asked["now"] == (AT_ONCE + WAITING) // 2 + 50
