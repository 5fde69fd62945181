"""Documents that something other than the writer wrote, whatever they carry: named as such and cured, in any member."""

import tracemalloc
from pathlib import Path
from typing import Any

import psycopg
import pytest

from searchsync.catalog import Entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import FOREIGN_AT_ONCE, Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.absence import TooManyGone
from searchsync.compare.differences import CONTENT, FOREIGN, ORPHAN, STALE, Effort
from searchsync.errors import GateFailed
from searchsync.operations import gate, reindex
from searchsync.operations.reindex import Reindex
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from searchsync.writing.progress import Rejections
from tests.integration.compare.test_differences import behind_our_back, found
from tests.members import World
from tests.steps import Connect, documents, insert, living, make_index, position, rebuild, serve

OURS = {
    "position": position(1),
    "deleted": False,
    "written_at": "2026-01-01T00:00:00.000Z",
    "bucket": 1,
    "hash_high": 1,
    "hash_low": 1,
}
OTHER = {**OURS, "position": position(2), "bucket": 2}
SHAPES: list[Any] = [
    "none at all",
    None,
    [],
    {},
    [OURS, OTHER],
    {**OURS, "position": None},
    {**OURS, "position": ""},
    {**OURS, "position": 5},
    {**OURS, "position": "zzz"},
    {**OURS, "position": [position(1), "zzz"]},
    {**OURS, "position": [position(1), position(2)]},
    {**OURS, "deleted": None},
    {**OURS, "deleted": [True, False]},
    {**OURS, "bucket": None},
    {**OURS, "bucket": [1, 2]},
    {**OURS, "hash_high": None},
    {**OURS, "written_at": None},
    {"deleted": True},
    {"deleted": True, "position": 5},
    {"deleted": True, "position": ["zzz"]},
    {"position": position(1)},
]


def put_foreign(client: Client, index: str) -> set[str]:
    """Each shape twice: in the place of a row, and where there is none."""
    keys = [str(n) for n in range(1, len(SHAPES) + 1)] + [f"no-row-{n}" for n in range(len(SHAPES))]
    for key, sync in zip(keys, SHAPES * 2, strict=True):
        body = {"name": "foreign"} if sync == "none at all" else {"name": "foreign", "sync": sync}
        client.request("PUT", f"/{index}/_doc/{key}", body=body)
    Index(client, index).refresh()
    return set(keys)


@pytest.fixture
def blue(client: Client, owner: psycopg.Connection, connect_source: Connect, tmp_path: Path) -> str:
    """The live index of 200 rows."""
    for n in range(1, 201):
        insert(owner, n)
    return str(rebuild(client, connect_source, tmp_path, run_id="blue")["index"])


def test_every_shape_in_every_member_is_named_and_repaired(
    client: Client, source: PostgresSource, locations: Entity, blue: str
) -> None:
    identity = EntityIndexes(client, locations).get(blue).meta["source"]["identity"]
    candidate = make_index(client, locations, "candidate", identity=identity)
    repair.repair(
        EntityIndexes(client, source.entity),
        source,
        differences.find(EntityIndexes(client, source.entity).get(candidate), source, effort=Effort(grace=0.0)),
        dry_run=False,
        cap=200,
    )
    for index in (blue, candidate):
        keys = put_foreign(client, index)
        report = differences.find(EntityIndexes(client, source.entity).get(index), source, effort=Effort(grace=0.0))
        assert found(report) == dict.fromkeys(keys, FOREIGN)
        done = repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
        assert (done.written, done.rejected) == (len(keys), 0)
        assert differences.find(
            EntityIndexes(client, source.entity).get(index), source, effort=Effort(grace=0.0, sample=10_001)
        ).good
        assert len(living(client, index)) == 200


def test_a_reindex_cures_every_shape_in_green_and_passes_over_those_of_blue(
    client: Client, source: PostgresSource, locations: Entity, blue: str, tmp_path: Path
) -> None:
    put_foreign(client, blue)
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="green", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, locations), plan)
    with Rejections(tmp_path / "rejected") as rejections:
        reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
            source, Partition(), rejections=rejections
        )
        put_foreign(client, green)
        reindex.Reindex(EntityIndexes(client, locations), plan, green).copy_tombstones()
        creation.make_searchable(EntityIndexes(client, locations), green)
        gated = gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)
    assert (gated.documents, gated.source, gated.rejected) == (200, 200, 0)
    assert len(living(client, green)) == 200
    assert differences.find(
        EntityIndexes(client, source.entity).get(green), source, effort=Effort(grace=0.0, sample=10_001)
    ).good


@pytest.mark.parametrize("sync", SHAPES[1:], ids=str)
def test_a_foreign_document_does_not_end_the_look_at_a_stream(world: World, sync: Any) -> None:
    index = serve(world.client, world.entity, identity=world.identity)
    world.put("m-1", name="Ann")
    world.apply()
    for key in ("m-1", "m-2"):
        world.client.request("PUT", f"/{index}/_doc/{key}", body={"sync": sync}, params={"refresh": "true"})
    assert world.feed.behind(EntityIndexes(world.client, world.entity), index).records == 1, (
        "what is there proves nothing"
    )


def test_the_highest_position_is_one_of_ours(client: Client, locations: Entity, blue: str) -> None:
    before = Index(client, blue).highest_position()
    for n in range(2 * FOREIGN_AT_ONCE):
        client.request("PUT", f"/{blue}/_doc/foreign-{n}", body={"sync": {"position": f"9{n}"}})
    client.request("PUT", f"/{blue}/_doc/foreign", body={"sync": {"position": "zzz"}})
    assert Index(client, blue).highest_position() == before


# -- what one key may not do to others


def test_a_document_of_the_future_is_named_after_all_others_were_reconciled(
    client: Client, source: PostgresSource, owner: psycopg.Connection, blue: str, tmp_path: Path
) -> None:
    plan = reindex.ReindexPlan("blue", None, 1, source.origin())
    behind_our_back(client, blue, "1", name="x", sync={"position": position(10**15), "hash_low": 0})
    owner.execute("UPDATE locations SET name = 'later' WHERE location_id > 100")
    with (
        Rejections(tmp_path / "rejected") as rejections,
        pytest.raises(GateFailed, match=r"1 documents are not the source's rows.*'1': it claims"),
    ):
        gate.gate(Reindex(EntityIndexes(client, source.entity), plan, blue), source, rejections=rejections)
    assert [key for key, doc in living(client, blue).items() if doc["name"] == "later"] != []
    assert sum(doc["name"] == "later" for doc in living(client, blue).values()) == 100


def test_a_repair_takes_no_more_for_deleted_than_is_believed_or_confirmed(
    client: Client, source: PostgresSource, owner: psycopg.Connection, blue: str
) -> None:
    owner.execute("UPDATE locations SET name = 'later' WHERE location_id > 50")
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(grace=0.0))
    assert report.kinds == {STALE: 150}
    before = documents(client, blue)
    owner.execute("DELETE FROM locations WHERE location_id > 50")
    with pytest.raises(TooManyGone, match=r'at least 150 of its 200 documents.*"cap": 150'):
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False, cap=200)
    assert documents(client, blue) == before
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(grace=0.0))
    assert report.kinds == {ORPHAN: 150}
    with pytest.raises(GateFailed, match="150 differences are more than the 100"):
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False, cap=150).written == 150


# -- memory


def test_large_rows_are_compared_and_repaired_in_memory_for_some_of_them(
    client: Client, source: PostgresSource, owner: psycopg.Connection, blue: str
) -> None:
    """120 rows of 200 kB are 24 MB; all of them at once, on both sides and decoded, were five times that."""
    large = "x" * 200_000
    owner.execute("UPDATE locations SET alternate_names = ARRAY[%s] WHERE location_id <= 120", [large])
    tracemalloc.start()
    try:
        report = differences.find(
            EntityIndexes(client, source.entity).get(blue), source, effort=Effort(grace=0.0, sample=0)
        )
        assert report.kinds == {STALE: 120}
        done = repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False, cap=200)
        assert done.written == 120
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000
    behind_our_back(client, blue, "7", name="edited")
    assert found(
        differences.find(
            EntityIndexes(client, source.entity).get(blue), source, effort=Effort(grace=0.0, sample=10_001)
        )
    ) == {"7": CONTENT}
