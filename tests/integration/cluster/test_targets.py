"""Whatever somebody did to the aliases by hand, no writer acknowledges what no search would see, and says the cure."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, reconcile, repair
from searchsync.compare.differences import Effort
from searchsync.errors import AliasConflict
from searchsync.operations import reindex, sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.stream import gaps
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.members import World
from tests.steps import documents, make_index, never, page, serve


def change(client: Client, *actions: dict[str, dict[str, Any]]) -> Any:
    return client.request("POST", "/_aliases", body={"actions": list(actions)})


def add(alias: str, index: str) -> dict[str, dict[str, Any]]:
    return {"add": {"index": index, "alias": alias, "is_write_index": False}}


def remove(alias: str, index: str) -> dict[str, dict[str, Any]]:
    return {"remove": {"index": index, "alias": alias}}


def outsider(client: Client, entity: Entity) -> str:
    """An index that somebody made beside the product, under a name of its pattern or not."""
    client.request("PUT", "/somebodys", body=entity.index_body)
    return "somebodys"


# What somebody did: gets the entity, the live index and the candidate.
WRONG: dict[str, Callable[[Client, Entity, str, str], object]] = {
    "live one taken out": lambda c, e, live, _: change(c, remove(e.write_alias, live)),
    "nothing left to write to": lambda c, e, live, other: change(
        c, remove(e.write_alias, live), remove(e.write_alias, other)
    ),
    "two live": lambda c, e, _, other: change(c, add(e.name, other)),
    "two live, none with the filter": lambda c, e, live, other: change(c, add(e.name, live), add(e.name, other)),
    "one live beside it": lambda c, e, _, __: change(c, add(e.name, outsider(c, e))),
    "another live instead": lambda c, e, live, _: change(c, remove(e.name, live), add(e.name, outsider(c, e))),
    "another live, and none served": lambda c, e, live, other: change(
        c, *(remove(e.served_alias, name) for name in (live, other)), remove(e.name, live), add(e.name, outsider(c, e))
    ),
}
CONCRETE: dict[str, Callable[[Client, Entity, str, str], object]] = {
    "an index under the alias' name": lambda c, e, live, _: (
        change(c, remove(e.name, live)), c.request("PUT", f"/{e.name}")
    ),
    "an index under the write set's name": lambda c, e, live, other: (
        change(c, remove(e.write_alias, live), remove(e.write_alias, other)), c.request("PUT", f"/{e.write_alias}")
    ),
}  # fmt: skip
HARMLESS: dict[str, Callable[[Client, Entity, str, str], object]] = {
    "not marked as served": lambda c, e, live, _: change(c, remove(e.served_alias, live)),
    "without the filter": lambda c, e, live, _: change(c, add(e.name, live)),
    "the candidate taken out": lambda c, e, _, other: change(c, remove(e.write_alias, other)),
}


class Writers:
    """All that writes members, on two indexes that have been served."""

    def __init__(self, world: World) -> None:
        self.world, client, entity = world, world.client, world.entity
        self.other = serve(client, entity, "other", identity=world.identity)
        world.put("m1", name="first")
        world.apply()
        self.live = serve(client, entity, "live", blue=self.other, identity=world.identity)
        self.repairable = differences.find(
            EntityIndexes(client, world.source.entity).get(self.live), world.source, effort=Effort(grace=0.0)
        )
        assert [finding.key for finding in self.repairable.findings] == ["m1"]
        world.put("m1", name="second")
        self.records = world.records()
        world.send_pointer(self.records)

    def all(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Name, and what raises or says why it has not acknowledged."""
        world, client, entity, source = self.world, self.world.client, self.world.entity, self.world.source
        yield (
            "apply",
            lambda: writer.apply(EntityIndexes(client, entity), [page(5, "m1", name="second")], on_rejected=never),
        )
        yield "stream", self._stream
        yield "replay", world.replay
        yield (
            "repair",
            lambda: repair.repair(EntityIndexes(client, source.entity), source, self.repairable, dry_run=False),
        )
        to_all = reconcile.to_all(EntityIndexes(client, entity), self.live)
        yield "gate", lambda: to_all(page(5, "m1", name="second"), never)
        yield (
            "gap",
            lambda: gaps.note(
                EntityIndexes(client, entity), {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
            ),
        )
        yield (
            "reindex",
            lambda: reindex.check(EntityIndexes(client, source.entity), source, run_id="new", running=lambda _: None),
        )
        yield "whoever asks for the live index", lambda: EntityIndexes(client, entity).live_or_raise()

    def _stream(self) -> None:
        outcome = self.world.apply(self.records)
        if outcome.failed:
            raise AliasConflict(outcome.failed)


def indexed(client: Client, *names: str) -> dict[str, Any]:
    return {name: documents(client, name) for name in names}


@pytest.mark.parametrize("state", [*WRONG, *CONCRETE])
def test_no_writer_acknowledges_what_no_search_would_see(world: World, state: str) -> None:
    writers = Writers(world)
    client, entity = world.client, world.entity
    {**WRONG, **CONCRETE}[state](client, entity, writers.live, writers.other)
    before = indexed(client, writers.live, writers.other)
    said: dict[str, str] = {}
    for name, write in writers.all():
        with pytest.raises(AliasConflict) as caught:
            write()
        said[name] = str(caught.value)
    assert indexed(client, writers.live, writers.other) == before
    assert world.waits(), "the message was deleted, and its records written nowhere"
    assert all(re.search(r"Nothing was written", text) for text in said.values()), said
    assert all("POST /_aliases" in text or "DELETE /" in text for text in said.values()), said


@pytest.mark.parametrize("state", WRONG)
def test_the_call_that_is_named_cures_it(world: World, state: str) -> None:
    writers = Writers(world)
    client, entity = world.client, world.entity
    WRONG[state](client, entity, writers.live, writers.other)
    with pytest.raises(AliasConflict) as caught:
        EntityIndexes(client, entity).targets()
    call = re.search(r"POST /_aliases (\{.*\})", str(caught.value))
    assert call is not None
    client.request("POST", "/_aliases", body=json.loads(call[1]))
    live = EntityIndexes(client, entity).targets().live
    assert live is not None
    if state != "another live, and none served":  # then nothing says that it is not the one
        assert live in (writers.live, writers.other)
        reader = client.request("GET", f"/{live}/_alias/{entity.name}")[live]["aliases"][entity.name]
        assert reader["filter"] == entity.visible, "tombstones would be found"
    assert not world.apply(writers.records).failed
    assert documents(client, live)["m1"]["name"] == "second"


@pytest.mark.parametrize("state", HARMLESS)
def test_what_loses_no_write_stops_no_writer(world: World, state: str) -> None:
    writers = Writers(world)
    HARMLESS[state](world.client, world.entity, writers.live, writers.other)
    assert not world.apply(writers.records).failed
    assert documents(world.client, writers.live)["m1"]["name"] == "second"
    world.replay()
    assert not world.waits()


def test_an_alias_that_changes_during_a_write_is_noticed_before_the_acknowledgement(
    client: Client, faulty: Client, proxy: Any, locations: Entity
) -> None:
    blue = serve(client, locations, "blue")
    make_index(client, locations, "green")
    proxy.after(r"POST /.*/_bulk\?timeout", lambda: change(client, remove(locations.write_alias, blue)))
    with pytest.raises(AliasConflict, match=f"{blue} is searched as 'locations', but is not in the write set"):
        writer.apply(EntityIndexes(faulty, locations), [page(2, "1", name="x")], on_rejected=never)


def test_the_look_is_of_one_moment(client: Client, faulty: Client, proxy: Any, locations: Entity) -> None:
    """Asked for one after the other, the aliases of a swap in between would look like somebody's mistake."""
    serve(client, locations, "blue")
    proxy.requests.clear()
    EntityIndexes(faulty, locations).targets()
    assert len(proxy.requests) == 1


def test_a_closed_member_is_a_member(client: Client, locations: Entity) -> None:
    blue, green = serve(client, locations, "blue"), make_index(client, locations, "green")
    client.request("POST", f"/{green}/_close")
    assert EntityIndexes(client, locations).targets() == indexes.Targets([blue, green], blue)


@pytest.mark.parametrize("state", [*WRONG, *CONCRETE])
def test_a_sync_that_finds_nothing_to_write_does_not_end_well_either(
    client: Client, source: PostgresSource, locations: Entity, tmp_path: Path, state: str
) -> None:
    other = serve(client, locations, "other", identity=source.snapshot().identity)
    live = serve(client, locations, "live", blue=other, identity=source.snapshot().identity)
    served = sync.check(EntityIndexes(client, locations))
    {**WRONG, **CONCRETE}[state](client, locations, live, other)
    end = served.synced
    with Rejections(tmp_path / "rejected") as rejections, pytest.raises(AliasConflict, match="Nothing was written"):
        sync.run(
            EntityIndexes(client, source.entity),
            source,
            served,
            Interval(end.replace(year=2000), end),
            rejections=rejections,
        )
    with pytest.raises(AliasConflict):
        sync.check(EntityIndexes(client, locations))
