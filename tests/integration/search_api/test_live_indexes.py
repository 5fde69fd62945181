"""Which index is searched, as the aliases of a real OpenSearch say it: a search of the wrong one is a wrong answer."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvloop

from local import opensearch as local_opensearch
from search_api.engine.client import Engine, EngineUnavailable
from search_api.engine.live_index import POLL_SECONDS, LiveIndexes
from search_api.engine.target import Target
from search_api.problems import Problem
from searchsync.catalog import entity
from searchsync.cluster.client import Client
from tests.faults import OpenSearchProxy

PLACES, MEMBERS = entity("locations"), entity("members")
FIRST, SECOND = "locations-20261130t000000-00000001", "locations-20261130t000000-00000002"


@pytest.fixture
def proxy(client: Client, opensearch_server: local_opensearch.Server) -> Iterator[OpenSearchProxy]:
    """Before an OpenSearch without any index."""
    proxy = OpenSearchProxy(opensearch_server.url)
    yield proxy
    proxy.close()


def create(client: Client, name: str, *aliases: str) -> None:
    properties: dict[str, dict[str, bool]] = {alias: {} for alias in aliases if alias == PLACES.read_alias}
    properties |= {alias: {"is_hidden": True} for alias in aliases if alias != PLACES.read_alias}
    client.request("PUT", f"/{name}", body={"settings": {"hidden": True}, "aliases": properties})


def swap(client: Client, *names: str) -> None:
    alias = PLACES.read_alias
    gone = [{"remove": {"index": name, "alias": alias, "must_exist": False}} for name in (FIRST, SECOND)]
    actions = [*gone, *({"add": {"index": name, "alias": alias}} for name in names)]
    client.request("POST", "/_aliases", body={"actions": actions})


def test_what_is_known_follows_the_aliases_and_outlives_an_outage(client: Client, proxy: OpenSearchProxy) -> None:
    async def test() -> None:
        async with Engine(Target(proxy.url)) as engine:
            live = LiveIndexes(engine, [PLACES, MEMBERS])
            with pytest.raises(EngineUnavailable):
                live.of("locations")
            assert live.age == float("inf")

            await live.refresh()  # nothing is there at all
            with pytest.raises(Problem) as raised:
                live.of("locations")
            assert (raised.value.status, raised.value.code) == (404, "no-index")
            assert "locations_reindex" in raised.value.next_step

            create(client, FIRST, *PLACES.aliases)
            create(client, SECOND, PLACES.write_alias)
            await live.refresh()
            assert live.of("locations") == FIRST
            assert live.age < 5
            assert live.is_written("locations", FIRST)
            assert live.is_written("locations", SECOND), "the one that a reindex builds, and that is to be warmed"
            assert not live.is_written("locations", "members-20261130t000000-00000001")
            assert not live.is_written("members", FIRST)

            proxy.refuse("_alias", times=None)
            swap(client, SECOND)
            with pytest.raises(EngineUnavailable):
                await live.refresh()
            assert live.of("locations") == FIRST, "what was seen last stays"
            proxy.clear()
            await live.refresh()
            assert live.of("locations") == SECOND
            assert len(set(proxy.requests)) == 1, "one request for all entities"

    uvloop.run(test())


def test_a_late_answer_does_not_take_a_swap_back(client: Client, proxy: OpenSearchProxy) -> None:
    """Two ask at one time, as each second and a search of a deleted index do; what one of them knows is older."""

    async def test() -> None:
        async with Engine(Target(proxy.url)) as engine:
            live = LiveIndexes(engine, [PLACES])
            create(client, FIRST, *PLACES.aliases)
            create(client, SECOND, PLACES.write_alias)
            answered, known = threading.Event(), threading.Event()

            def hold() -> None:
                answered.set()
                known.wait(10)

            proxy.after("_alias", hold)
            early = asyncio.create_task(live.refresh())
            await asyncio.to_thread(answered.wait, 10)
            swap(client, SECOND)
            await live.refresh()
            assert live.of("locations") == SECOND
            known.set()
            await early
            assert live.of("locations") == SECOND

    uvloop.run(test())


def test_an_alias_on_two_indexes_changes_nothing(client: Client, proxy: OpenSearchProxy) -> None:
    """Somebody made it by hand: half of a search's hits would be there twice."""

    async def test() -> None:
        async with Engine(Target(proxy.url)) as engine:
            live = LiveIndexes(engine, [PLACES, MEMBERS])
            create(client, FIRST, *PLACES.aliases)
            create(client, SECOND, PLACES.write_alias)
            await live.refresh()
            swap(client, FIRST, SECOND)
            with pytest.raises(EngineUnavailable, match="locations"):
                await live.refresh()
            assert live.of("locations") == FIRST

    uvloop.run(test())


@pytest.mark.parametrize("body", [b"<html>", b'{"locations": 1}', b'{"x": {"aliases": 1}}', b"[]"])
def test_an_answer_of_something_else_changes_nothing(client: Client, proxy: OpenSearchProxy, body: bytes) -> None:
    """A login page or a load balancer that answers in OpenSearch's place."""

    async def test() -> None:
        async with Engine(Target(proxy.url)) as engine:
            live = LiveIndexes(engine, [PLACES])
            create(client, FIRST, *PLACES.aliases)
            await live.refresh()
            proxy.answer("_alias", 200, body)
            with pytest.raises(EngineUnavailable):
                await live.refresh()
            assert live.of("locations") == FIRST

    uvloop.run(test())


def test_a_swap_is_seen_within_about_a_second_and_after_an_outage(client: Client, proxy: OpenSearchProxy) -> None:
    """The task that asks must never end, whatever OpenSearch does."""

    async def test() -> None:
        async with Engine(Target(proxy.url)) as engine:
            live = LiveIndexes(engine, [PLACES])
            task = asyncio.create_task(live.run())
            proxy.refuse("_alias", times=1)
            create(client, FIRST, *PLACES.aliases)
            create(client, SECOND, PLACES.write_alias)
            for index in (FIRST, SECOND):
                await asyncio.to_thread(swap, client, index)
                async with asyncio.timeout(2 * POLL_SECONDS + 13):
                    await seen(live, index)
            assert not task.done()
            task.cancel()

    uvloop.run(test())


async def seen(live: LiveIndexes, index: str) -> None:
    while True:
        with suppress(Problem):
            if live.of("locations") == index:
                return
        await asyncio.sleep(0.05)
