"""Back to an index that was live before, and forward again: as fresh as the other, in one step, or not at all."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.members import generate
from searchsync.catalog import Entity
from searchsync.cli import main, workflows
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents import dynamodb_item
from searchsync.errors import AliasConflict, BadParams, GateFailed, SourceChanged, SourceUnavailable, StaleSwap, Undone
from searchsync.operations import reindex, retire, rollback
from searchsync.operations.rollback import RollbackPlan
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections
from tests.faults import OpenSearchProxy
from tests.members import World
from tests.steps import Connect, fresh, living, rebuild

pytestmark = pytest.mark.usefixtures("at_once")

NOW = datetime.now(UTC)


@pytest.fixture
def both(
    client: Client, owner: psycopg.Connection, rows: int, connect_source: Connect, tmp_path: Path
) -> tuple[str, str]:
    """The index that was live before, and the live one."""
    owner.execute("UPDATE locations SET updated_at = %s", [NOW - timedelta(days=9)])
    return tuple(  # type: ignore[return-value]
        str(rebuild(client, connect_source, tmp_path, run_id=build)["index"]) for build in ("blue", "green")
    )


def roll(
    client: Client, entity: Entity, dsn: str, folder: Path, name: str | None = None, force: str = ""
) -> dict[str, Any]:
    with Rejections(folder / "rejected") as rejections:
        return workflows.roll_back(
            EntityIndexes(client, entity),
            lambda served: PostgresSource(entity, dsn, epoch=served.epoch, identity=served.identity),
            name=name,
            rejections=rejections,
            behind=lambda *_: None,
            force=force,
        )


@pytest.fixture
def back(client: Client, locations: Entity, app: Any, tmp_path: Path) -> Any:
    """A rollback; keywords go to ``roll``."""
    return lambda **options: roll(client, locations, app.reader_dsn, tmp_path, **options)


def test_back_and_forward_again(client: Client, locations: Entity, both: tuple[str, str], back: Any, rows: int) -> None:
    blue, green = both
    assert back() == {"index": blue, "previous": green, "documents": rows, "forced": ""}
    assert EntityIndexes(client, locations).live() == blue
    assert EntityIndexes(client, locations).get(blue).left_read_at is None
    assert EntityIndexes(client, locations).get(green).left_read_at is not None
    assert set(EntityIndexes(client, locations).write_set()) == {blue, green}
    assert back()["index"] == green
    assert EntityIndexes(client, locations).live() == green


def test_what_came_since_is_brought_before_the_swap(
    client: Client, owner: psycopg.Connection, both: tuple[str, str], back: Any
) -> None:
    """The hour since the last sync is pending in both; whoever goes back must not go back in time as well."""
    owner.execute("UPDATE locations SET name = 'new', updated_at = %s WHERE location_id = 1", [NOW])
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    assert back()["index"] == both[0]
    for index in both:
        assert living(client, index)["1"]["name"] == "new"
        assert "2" not in living(client, index)


def test_a_candidate_that_missed_something_is_refused_unless_forced(
    client: Client, locations: Entity, both: tuple[str, str], back: Any
) -> None:
    client.request("DELETE", f"/{both[0]}/_doc/5", params={"refresh": "true"})
    with pytest.raises(GateFailed, match=r"missing.*Repair it"):
        back()
    assert EntityIndexes(client, locations).live() == both[1]
    assert back(force="the live one has a broken mapping")["forced"]
    assert EntityIndexes(client, locations).live() == both[0]


def test_without_its_source_a_rollback_is_possible_by_force_only(
    client: Client, locations: Entity, both: tuple[str, str], tmp_path: Path
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/app?connect_timeout=1"
    with pytest.raises(SourceUnavailable):
        roll(client, locations, away, tmp_path)
    assert EntityIndexes(client, locations).live() == both[1]
    roll(client, locations, away, tmp_path, force="PostgreSQL is down, and the live index, too")
    assert EntityIndexes(client, locations).live() == both[0]


def test_a_candidate_whose_mapping_cannot_hold_what_came_is_refused(
    client: Client,
    owner: psycopg.Connection,
    rows: int,
    connect_source: Connect,
    include: Path,
    app: Any,
    tmp_path: Path,
) -> None:
    owner.execute("UPDATE locations SET timezone = '2026-01-01', updated_at = %s", [NOW - timedelta(days=9)])
    file = include / "mappings" / "locations.json"
    present = file.read_text()
    older = json.loads(present)
    older["mappings"]["properties"]["timezone"] = {"type": "date", "ignore_malformed": False}
    file.write_text(json.dumps(older))

    def connect(plan: reindex.ReindexPlan | None) -> PostgresSource:
        source = connect_source(plan)
        source.entity = fresh()
        return source

    blue = rebuild(client, connect, tmp_path, run_id="blue")["index"]
    file.write_text(present)
    green = rebuild(client, connect, tmp_path, run_id="green")["index"]
    owner.execute("UPDATE locations SET timezone = 'Europe/Berlin', updated_at = %s WHERE location_id = 3", [NOW])
    entity = Entity(name="locations", source="postgres", key=("location_id",), changed="updated_at")
    with pytest.raises(GateFailed, match=f"{blue} refuses 1 documents that {green} has"):
        roll(client, entity, app.reader_dsn, tmp_path)
    assert EntityIndexes(client, entity).live() == green


def test_what_is_no_candidate_is_refused(client: Client, locations: Entity, both: tuple[str, str], back: Any) -> None:
    with pytest.raises(BadParams, match="is live already"):
        back(name=both[1])
    with pytest.raises(BadParams, match="never live, or is not in the write set"):
        back(name="locations-nothing")
    aliases.delete(EntityIndexes(client, locations), both[0])
    with pytest.raises(BadParams, match="has none"):
        back()


def test_a_candidate_of_another_epoch_is_refused(
    client: Client, locations: Entity, both: tuple[str, str], back: Any
) -> None:
    """It gets nothing since the source was restored: nobody could say how old it is."""
    meta = Index(client, both[1]).read_meta()
    source = {**meta["source"], "epoch": meta["source"]["epoch"] + 1}
    Index(client, both[1]).put_meta({**meta, "source": source})
    with pytest.raises(SourceChanged, match="locations_reindex instead"):
        back()


def test_a_stale_view_swaps_nothing(
    client: Client,
    locations: Entity,
    both: tuple[str, str],
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    plan = rollback.plan(EntityIndexes(client, locations))
    third = str(rebuild(client, connect_source, tmp_path, run_id="third")["index"])
    with pytest.raises(StaleSwap):
        rollback.swap(EntityIndexes(client, locations), plan)
    assert EntityIndexes(client, locations).live() == third


def test_a_candidate_that_is_retired_meanwhile_is_not_served(
    client: Client, locations: Entity, both: tuple[str, str]
) -> None:
    """At each step of its retirement: out of the write set, blocked, deleted."""
    plan = rollback.plan(EntityIndexes(client, locations))
    for step in (
        lambda: aliases.leave(EntityIndexes(client, locations), both[0]),
        lambda: client.request("PUT", f"/{both[0]}/_block/write"),
        lambda: aliases.delete(EntityIndexes(client, locations), both[0]),
    ):
        step()
        with pytest.raises(StaleSwap):
            rollback.swap(EntityIndexes(client, locations), plan)
        assert EntityIndexes(client, locations).live() == both[1]


def test_only_what_was_served_can_be_rolled_back_to(client: Client, locations: Entity, both: tuple[str, str]) -> None:
    """The swap itself asserts it, so that nobody has to look first."""
    plan = rollback.plan(EntityIndexes(client, locations))
    action = {"remove": {"index": both[0], "alias": locations.served_alias}}
    client.request("POST", "/_aliases", body={"actions": [action]})
    with pytest.raises(StaleSwap):
        rollback.swap(EntityIndexes(client, locations), plan)
    assert EntityIndexes(client, locations).live() == both[1]


def test_a_swap_repeated_after_a_lost_answer_changes_nothing_more(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    both: tuple[str, str],
) -> None:
    plan = rollback.plan(EntityIndexes(client, locations))
    lost = proxy.lose_answer("POST /_aliases")
    rollback.swap(EntityIndexes(faulty, locations), plan)
    rollback.swap(EntityIndexes(faulty, locations), plan)
    assert lost.hits == sum(sent.startswith("POST /_aliases") for sent in proxy.requests) == 1
    assert EntityIndexes(client, locations).live() == both[0]
    assert rollback.verify(EntityIndexes(client, locations), plan) > 0


def test_the_window_of_the_one_that_was_left_begins_now(
    client: Client, locations: Entity, both: tuple[str, str], back: Any
) -> None:
    """Retirement counts from when an index was left last: else the way forward would be gone at once."""
    meta = Index(client, both[0]).read_meta()
    Index(client, both[0]).put_meta({**meta, "left_read_at": (NOW - timedelta(hours=30)).isoformat()})
    back()
    retire.retire(EntityIndexes(client, locations), lambda _: None)
    assert back()["index"] == both[1]


def test_after_the_window_there_is_no_way_back(
    client: Client,
    locations: Entity,
    both: tuple[str, str],
    back: Any,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    """Only what is fed may serve: the one that was retired is not, and the one before the live one still is."""
    rebuild(client, connect_source, tmp_path, run_id="third")
    Index(client, both[0]).stamp_left_read(datetime.now(UTC) - timedelta(hours=25))
    retire.retire(EntityIndexes(client, locations), lambda _: None)
    with pytest.raises(BadParams, match=f"not in the write set any more: rollback candidates of locations: {both[1]}"):
        back(name=both[0])
    assert back()["index"] == both[1]


def test_members_go_back_while_they_change(
    world: World, faulty: Client, proxy: OpenSearchProxy, tmp_path: Path
) -> None:
    """Before it is proven, and once more between the proof and the swap: nobody waits for a rollback."""
    generate(world.aws["dynamodb"], 60)
    names = [str(rebuild(world.client, world.connect, tmp_path, run_id=build)["index"]) for build in ("blue", "green")]
    world.apply()

    def change(first: int) -> None:
        world.delete(f"m-{first:07d}")
        world.put(f"m-{first + 1:07d}", name="changed")
        assert world.apply().failed == ""

    moments = (f"POST /{names[0]}/_refresh", "POST /_aliases")
    faults = [proxy.before(moment, partial(change, 10 * n)) for n, moment in enumerate(moments, 1)]
    with Rejections(tmp_path / "rejected") as rejections:
        done = workflows.roll_back(
            EntityIndexes(faulty, world.entity),
            lambda _: world.source,
            name=None,
            rejections=rejections,
            behind=lambda name: lambda: world.feed.behind(EntityIndexes(world.client, world.entity), name),
        )
    assert (done["index"], [fault.hits for fault in faults]) == (names[0], [1, 1])
    wanted = {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()}
    assert len(wanted) == 58
    assert [living(world.client, name) == wanted for name in names] == [True, True]


def test_a_swap_that_does_not_serve_is_undone(
    client: Client,
    locations: Entity,
    both: tuple[str, str],
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody is there at two in the morning: what served before serves again, and the run is red."""

    def wrong(*_: Any) -> None:
        raise AliasConflict("not as the swap left them")

    monkeypatch.setattr(aliases, "verify", wrong)
    with pytest.raises(Undone, match=f"{both[1]} serves again"):
        rebuild(client, connect_source, tmp_path, run_id="third")
    assert EntityIndexes(client, locations).live() == both[1]
    assert EntityIndexes(client, locations).get(both[1]).left_read_at is None
    assert {index.run_id for index in EntityIndexes(client, locations).all()} == {"blue", "green"}, (
        "nobody goes back to it"
    )
    with pytest.raises(AliasConflict):  # cleared later, it finds nothing to undo
        reindex.Reindex(
            EntityIndexes(client, locations), reindex.ReindexPlan("third", both[1], 1, ""), "locations-gone"
        ).verify()


def test_from_a_shell(
    client: Client,
    locations: Entity,
    both: tuple[str, str],
    shell: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reports = ["--reports", str(tmp_path)]
    assert main.main(["rollback", "locations", *reports]) == 0
    assert json.loads(capsys.readouterr().out)["index"] == both[0]
    assert main.main(["rollback", "locations", "--index", both[0], *reports]) == 1
    assert "is live already" in capsys.readouterr().err

    assert main.main(["reindex", "locations", "--no-swap", *reports]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["swapped"] is False
    assert EntityIndexes(client, locations).live() == both[0]
    client.request("DELETE", f"/{built['index']}/_doc/9", params={"refresh": "true"})
    assert main.main(["swap", "locations", built["index"], *reports]) == 0
    assert json.loads(capsys.readouterr().out)["gate"]["reconciled"] == 1, "the gate looks again"
    assert EntityIndexes(client, locations).live() == built["index"]
    assert main.main(["swap", "locations", both[0], *reports]) == 1
    assert "roll back to it" in capsys.readouterr().err


def test_a_plan_names_what_it_found(client: Client, locations: Entity, both: tuple[str, str]) -> None:
    assert rollback.plan(EntityIndexes(client, locations)) == RollbackPlan(both[1], both[0])
    assert rollback.plan(EntityIndexes(client, locations), both[0]) == RollbackPlan(both[1], both[0])
