"""What is known of the live indexes when a part of it cannot be."""

import asyncio
import math

import msgspec
import pytest

from search_api.engine.client import Answer, Engine, EngineUnavailable
from search_api.engine.live_index import LiveIndexes
from search_api.engine.target import Target
from searchsync.catalog import entity


def test_an_alias_that_somebody_broke_takes_no_other_entity_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that starts then is ready; else one wrong alias would keep all new ones out of the load balancer."""
    places, members = entity("locations"), entity("members")
    aliases = {"locations-1": places.read_alias, "locations-2": places.read_alias, "members-1": members.read_alias}

    async def told(*_: object) -> Answer:
        return Answer(200, msgspec.json.encode({index: {"aliases": {alias: {}}} for index, alias in aliases.items()}))

    async def test() -> None:
        engine = Engine(Target("http://127.0.0.1:9"))
        monkeypatch.setattr(engine, "once", told)
        live = LiveIndexes(engine, [places, members])
        with pytest.raises(EngineUnavailable, match="locations"):
            await live.refresh()
        assert live.of("members") == "members-1"
        assert math.isfinite(live.age)
        with pytest.raises(EngineUnavailable):
            live.of("locations")

    asyncio.run(test())
