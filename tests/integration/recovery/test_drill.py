"""The drill: what it measures is a recovery, and nothing of it is left or was live."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.cluster.snapshots import Repository
from searchsync.compare import differences, reconcile
from searchsync.errors import AliasConflict, AlreadyRunning, BadParams, SnapshotFailed, SourceChanged
from searchsync.recovery import drill, measure, report, snapshot
from searchsync.recovery.drill import DrillPlan
from searchsync.recovery.measure import Connect, Measured
from searchsync.recovery.records import BAD, COPIES, DRILL, Records
from searchsync.sources.postgres import PostgresSource
from tests.integration.recovery.conftest import tune
from tests.members import World
from tests.steps import insert, living, make_index, rebuild

pytestmark = pytest.mark.usefixtures("at_once")
RUN, NEXT = "recovery_drill/1", "recovery_drill/2"


def alive(_: str) -> bool:
    return True


def dead(_: str) -> bool:
    return False


@pytest.fixture
def connect(connect_source: Callable[..., PostgresSource]) -> Connect:
    return Connect(connect_source)


@pytest.fixture
def saved(client: Client, repository: Repository, live: str) -> str:
    """Name of a good snapshot of the live index."""
    found = snapshot.save(client, "index_snapshot/1", datetime.now(UTC))
    snapshot.verify(client, "index_snapshot/1", found)
    return found.name


@pytest.fixture
def plan(client: Client, saved: str, indexes: EntityIndexes) -> Iterator[DrillPlan]:
    yield drill.prepare(indexes, RUN, dead)
    assert drill.copies(client) == [], "the drill left something"


def _change(owner: psycopg.Connection[Any]) -> None:
    """Change a row in ten, delete one in ten, and change one in ten that does not say so; one is new."""
    owner.execute("DELETE FROM locations WHERE location_id % 10 = 0")
    owner.execute("UPDATE locations SET name = 'said', updated_at = now() WHERE location_id % 10 = 1")
    owner.execute("UPDATE locations SET name = 'unsaid' WHERE location_id % 10 = 2")
    insert(owner, 999_999)


def test_both_ways_lead_to_what_the_source_has_and_live_is_as_it_was(
    client: Client, indexes: EntityIndexes, live: str, plan: DrillPlan, connect: Connect, owner: psycopg.Connection[Any]
) -> None:
    before = living(client, live), client.request("GET", f"/{live}/_alias")
    _change(owner)
    restored, built = measure.restore(indexes, plan, connect), measure.build(indexes, plan, connect)
    for found in (restored, built):
        assert (found.documents, found.different, found.loss_seconds, found.compared) == (181, {}, 0.0, 100)
        assert found.total == pytest.approx(sum(found.seconds.values()))
        assert found.documents_an_hour == int(181 * 3600 / found.total)
    assert restored.changed == 61
    assert [*restored.seconds] == ["restore", "catch_up", "copies"]
    assert [*built.seconds] == ["load", "copies", "catch_up"]
    assert (living(client, live), client.request("GET", f"/{live}/_alias")) == before
    assert drill.check_untouched(indexes, plan) == live
    record = report.judge(indexes, plan, {"restore": restored.as_dict(), "reindex": built.as_dict()})
    assert (record["state"], record["why"], record["documents"]) == ("good", "", 181)
    assert record["behind_seconds"] > 0


def test_what_is_changed_and_swapped_meanwhile_is_nobodys_fault(
    client: Client,
    indexes: EntityIndexes,
    plan: DrillPlan,
    connect: Connect,
    owner: psycopg.Connection[Any],
    reindexed: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Live goes on while a drill runs: it must neither be held up nor be called different."""
    swapped: list[str] = []
    compare = measure._compare

    def meanwhile(*arguments: Any) -> None:
        assert client.request("GET", f"/{plan.restored}/_alias")[plan.restored]["aliases"] == {}
        assert plan.restored not in indexes.write_set()
        _change(owner)
        swapped.append(reindexed())
        compare(*arguments)

    monkeypatch.setattr(measure, "_compare", meanwhile)
    found = measure.restore(indexes, plan, connect)
    assert (found.documents, found.different) == (181, {})
    assert drill.check_untouched(indexes, plan) == swapped[0]
    assert living(client, swapped[0])["999999"]["name"] == "Somewhere"


class Killed(BaseException):
    """Of a process: nothing runs after it."""


@pytest.mark.parametrize(
    ("way", "step"),
    [
        (measure.restore, (measure, "_restore")),
        (measure.restore, (measure, "_catch_up")),
        (measure.restore, (creation, "make_searchable")),
        (measure.restore, (measure, "_compare")),
        (measure.build, (measure, "_create")),
        (measure.build, (measure, "_compare")),
    ],
    ids=["restore", "catch-up", "copies", "compare", "create", "compare built"],
)
def test_a_kill_at_any_step_leaves_nothing_over(
    client: Client,
    indexes: EntityIndexes,
    live: str,
    saved: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[..., Measured],
    step: tuple[Any, str],
) -> None:
    """By the teardown; and when there was none, by the next drill."""
    plan = drill.prepare(indexes, RUN, dead)
    done = getattr(*step)
    with monkeypatch.context() as patched:

        def kill(*arguments: Any, **options: Any) -> None:
            done(*arguments, **options)
            patched.setattr(drill, "delete", lambda *_: None)
            raise Killed

        patched.setattr(*step, kill)
        with pytest.raises(Killed):
            way(indexes, plan, connect)
    left = drill.copies(client)
    assert left, "the kill came after the index was made"
    with pytest.raises(AlreadyRunning, match=f"{RUN} is a drill under way"):
        drill.prepare(indexes, NEXT, alive)
    assert drill.copies(client) == left
    drill.prepare(indexes, NEXT, dead)
    assert drill.copies(client) == []
    (ended,) = Records(client).find(DRILL, run=RUN)
    assert (ended["state"], ended["why"]) == (BAD, "its run ended before it was complete")
    assert indexes.live() == live


def test_a_teardown_deletes_what_its_run_made_and_nothing_else(
    client: Client, indexes: EntityIndexes, live: str, saved: str
) -> None:
    plan = drill.prepare(indexes, RUN, dead)
    other = replace(plan, run=NEXT)
    for name in (plan.restored, plan.built, other.built):
        client.request("PUT", f"/{name}", body={"settings": {"hidden": True}})
    client.request("POST", "/_aliases", body={"actions": [{"add": {"index": plan.built, "alias": "somebodys"}}]})
    with pytest.raises(AliasConflict, match="somebodys points to it"):
        drill.clean_up(client, RUN)
    assert "indexes of a drill are in aliases" in report.judge(indexes, plan, {})["why"]
    client.request("POST", "/_aliases", body={"actions": [{"remove": {"index": plan.built, "alias": "somebodys"}}]})
    drill.clean_up(client, RUN)
    assert drill.clean_up(client, RUN) == []
    assert drill.copies(client) == [other.built]
    with pytest.raises(AliasConflict, match="is not deleted"):
        drill.delete(client, live)
    assert indexes.live() == live


def test_a_difference_that_no_catch_up_mends_is_told(
    client: Client, indexes: EntityIndexes, plan: DrillPlan, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed around the writer, with the hash left as it was: only the comparison by content can see it."""
    compare = measure._compare

    def damaged(*arguments: Any) -> None:
        body = {"doc": {"name": "damaged"}}
        client.request("POST", f"/{plan.restored}/_update/7", body=body, params={"refresh": "true"})
        compare(*arguments)

    monkeypatch.setattr(measure, "_compare", damaged)
    original = differences.find
    monkeypatch.setattr(
        differences,
        "find",
        lambda index, source: original(index, source, effort=replace(differences.DEFAULT_EFFORT, sample=500)),
    )
    found = measure.restore(indexes, plan, connect)
    assert found.different == {"content differs": 1}
    assert found.loss_seconds > 0
    record = report.judge(indexes, plan, {"restore": found.as_dict()})
    assert record["state"] == BAD
    assert "after the restore the index is not equal to its source: 1 content differs" in record["why"]
    assert "the reindex did not come to its end" in record["why"]


def test_a_source_that_was_replaced_is_refused(
    indexes: EntityIndexes, plan: DrillPlan, connect_source: Callable[..., PostgresSource], locations: Any, app: Any
) -> None:
    """Its positions say nothing about those of the snapshot: what is older could win."""

    def other(_: Any) -> PostgresSource:
        return PostgresSource(locations, app.reader_dsn, identity="another.00000001")

    with pytest.raises(SourceChanged):
        measure.restore(indexes, plan, Connect(other))


@pytest.mark.usefixtures("saved")
def test_what_cannot_be_drilled_makes_nothing(
    client: Client, repository: Repository, indexes: EntityIndexes, live: str, include: Any
) -> None:
    with pytest.raises(BadParams, match="has no snapshot 'nothing'"):
        drill.prepare(indexes, RUN, dead, snapshot="nothing")
    repository.create("of-others", ["searchsync-recovery"])
    repository.wait("of-others")
    with pytest.raises(BadParams, match="of-others is SUCCESS and has searchsync-recovery: a drill needs"):
        drill.prepare(indexes, RUN, dead, snapshot="of-others")
    settings = {"cluster.routing.allocation.disk.threshold_enabled": True}
    client.request("PUT", "/_cluster/settings", body={"transient": settings})
    try:
        tune(include, "snapshots", drill={"schedule": "0 5 1 * *", "free": 1})
        with pytest.raises(BadParams, match=r"of the disks free, and 100% are wanted"):
            drill.prepare(indexes, RUN, dead)
    finally:
        client.request("PUT", "/_cluster/settings", body={"transient": dict.fromkeys(settings)})
    for one in snapshot.ours(repository):
        repository.delete(one["snapshot"])
    with pytest.raises(SnapshotFailed, match="no good snapshot of locations: nothing was made"):
        drill.prepare(indexes, RUN, dead)
    assert drill.copies(client) == []


def test_copies_are_no_indexes_of_the_entity(
    client: Client, indexes: EntityIndexes, live: str, plan: DrillPlan
) -> None:
    """Neither retirement, nor a writer, nor a search that names all indexes of the entity may know them."""
    make_index(client, indexes.entity, "candidate")
    known = [index.name for index in indexes.all()]
    Repository(client, "searchsync").restore(plan.snapshot, plan.saved_index, plan.restored)
    try:
        assert [index.name for index in indexes.all()] == known
        assert plan.restored.startswith(COPIES)
        assert plan.restored not in client.request("GET", "/_search", params={"q": "*"}).__str__()
    finally:
        drill.delete(client, plan.restored)


def test_members_are_caught_up_by_a_scan_and_by_the_stream(
    world: World, repository: Repository, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes after the scan began is in no page of it, and no stream writes to a copy."""
    for number in range(20):
        world.put(f"m-{number}", name="first")
    indexes = EntityIndexes(world.client, world.entity)
    live = rebuild(world.client, world.connect, tmp_path)["index"]
    saved = snapshot.save(world.client, "index_snapshot/1", datetime.now(UTC))
    snapshot.verify(world.client, "index_snapshot/1", saved)
    world.put("m-1", name="second")
    world.delete("m-2")
    original = reconcile.make_equal

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        world.put("m-3", name="after the scan")
        world.put("m-new", name="after the scan")
        return found

    monkeypatch.setattr(reconcile, "make_equal", meanwhile)
    plan = drill.prepare(indexes, RUN, dead)
    connect = Connect(lambda _: world.source, world.aws["dynamodbstreams"])
    for way in (measure.restore, measure.build):
        found = way(indexes, plan, connect)
        assert (found.documents, found.different) == (20, {})
    assert found.seconds["fence"] > 0
    assert indexes.live() == live
