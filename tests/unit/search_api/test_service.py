"""What the service does in the background: if it ended unnoticed, old indexes and keys would be used for ever."""

import asyncio
from collections import Counter
from typing import Never

import pytest
from structlog.testing import capture_logs

from search_api import service
from search_api.auth.keys import Keys
from search_api.cache.popular import Popular
from search_api.engine.live_index import LiveIndexes
from search_api.engine.target import Target
from search_api.settings import Settings

SECRET = "a value"


def test_work_in_the_background_begins_again_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys, the live indexes and the frequent queries: whatever ends one of them, it goes on, and it is logged."""
    monkeypatch.setattr(service, "AGAIN_SECONDS", 0.0)
    begun: Counter[type] = Counter()
    again = asyncio.Event()

    async def fail(part: object) -> Never:
        begun[type(part)] += 1
        if len(begun) == 3 and min(begun.values()) == 2:
            again.set()
        raise RuntimeError(SECRET)

    async def main() -> None:
        settings = Settings(Target("http://127.0.0.1:9"), redis_url="redis://127.0.0.1:9", cursor_keys=(b"k" * 32,))
        async with asyncio.timeout(5), service.Service(settings).running():
            await again.wait()

    for part in (Keys, LiveIndexes, Popular):
        monkeypatch.setattr(part, "run", fail)
    with capture_logs() as logs:
        asyncio.run(main())
    assert {line["log_level"] for line in logs} == {"error"}
    assert "RuntimeError at test_service.py" in logs[0]["error"]
    assert SECRET not in str(logs)
