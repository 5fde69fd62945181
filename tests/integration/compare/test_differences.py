"""A comparison reports every fault and no other, under writes; a repair leaves none."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.members import generate
from searchsync.cli import main
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import (
    CONTENT,
    FOREIGN,
    FUTURE,
    MISSING,
    ORPHAN,
    STALE,
    TOMBSTONE,
    DiffReport,
    Effort,
)
from searchsync.errors import BadParams, GateFailed
from searchsync.operations import reindex
from searchsync.sources.postgres import PostgresSource
from tests.integration.operations.test_members_reindex import Writers
from tests.members import World
from tests.steps import Connect, documents, make_index, rebuild, serve

SEED = 20261121
NOW = datetime.now(UTC)


def found(report: DiffReport) -> dict[str, str]:
    return {finding.key: finding.kind for finding in report.findings}


def behind_our_back(client: Client, index: str, key: str, **changes: Any) -> None:
    """A document changed around the writer, its ``sync`` fields as they were unless given."""
    document = client.request("GET", f"/{index}/_doc/{key}")["_source"]
    document["sync"] |= changes.pop("sync", {})
    client.request("PUT", f"/{index}/_doc/{key}", body={**document, **changes}, params={"refresh": "true"})


def delete(client: Client, index: str, key: str) -> None:
    client.request("DELETE", f"/{index}/_doc/{key}", params={"refresh": "true"})


def copy(client: Client, index: str, key: str, to: str) -> None:
    document = client.request("GET", f"/{index}/_doc/{key}")["_source"]
    client.request("PUT", f"/{index}/_doc/{to}", body=document, params={"refresh": "true"})


# -- locations


@pytest.fixture
def blue(client: Client, rows: int, connect_source: Connect, tmp_path: Path) -> str:
    return str(rebuild(client, connect_source, tmp_path, run_id="blue")["index"])


def compare(
    client: Client, source: PostgresSource, index: str, sample: int = 100, since: datetime | None = None
) -> DiffReport:
    effort = Effort(sample=sample, grace=0.0)
    return differences.find(EntityIndexes(client, source.entity).get(index), source, since=since, effort=effort)


def test_without_a_difference_nothing_is_found(client: Client, source: PostgresSource, blue: str, rows: int) -> None:
    report = compare(client, source, blue)
    assert (report.source_count, report.index_count, report.sampled) == (rows, rows, 100)
    assert (report.unequal_buckets, report.suspects, report.findings, report.reindex_due) == (0, 0, [], False)
    assert report.summary == "no confirmed difference"


def test_each_kind_of_fault_is_named_and_repaired(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str, rows: int
) -> None:
    """One missing and one orphan are equal counts: only the content tells."""
    delete(client, blue, "1")
    copy(client, blue, "2", to="900001")
    owner.execute("UPDATE locations SET name = 'new' WHERE location_id = 3")
    behind_our_back(client, blue, "4", name="edited")
    behind_our_back(client, blue, "5", sync={"deleted": True})
    future = "0001.c" + ".".join(["9" * 20] * 3) + ".10000000"
    behind_our_back(client, blue, "6", sync={"position": future})
    client.request("PUT", f"/{blue}/_doc/foreign", body={"name": "x"}, params={"refresh": "true"})
    report = compare(client, source, blue, sample=rows)
    wanted = {"1": MISSING, "900001": ORPHAN, "3": STALE, "4": CONTENT, "5": TOMBSTONE, "6": FUTURE, "foreign": FOREIGN}
    assert found(report) == wanted
    assert next(finding for finding in report.findings if finding.key == "4").source == "name"
    assert report.index_count == report.source_count - 1
    since = {finding.key: finding.since for finding in report.findings}
    (changed,) = owner.execute("SELECT updated_at FROM locations WHERE location_id = 3").fetchall()[0]
    assert datetime.fromisoformat(since["3"]) == changed
    assert datetime.fromisoformat(since["4"]) > NOW - timedelta(minutes=10), "when the document was written"
    assert since["foreign"] == ""

    before = documents(client, blue)
    dry = repair.repair(EntityIndexes(client, source.entity), source, report)
    assert (dry.dry_run, dry.found, dry.written) == (True, 7, 0)
    assert documents(client, blue) == before
    done = repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert (done.written, done.left, done.rejected) == (6, 1, 0)
    assert found(compare(client, source, blue, sample=rows)) == {"6": FUTURE}, "only a reindex can take that back"
    assert compare(client, source, blue, sample=rows).unequal_buckets == 0


def test_a_repaired_document_still_gives_way_to_the_next_change(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str, rows: int
) -> None:
    """Its position is above the one it had, and must stay below every later one."""
    behind_our_back(client, blue, "4", name="edited")
    repair.repair(
        EntityIndexes(client, source.entity), source, compare(client, source, blue, sample=rows), dry_run=False
    )
    owner.execute("UPDATE locations SET name = 'next' WHERE location_id = 4")
    report = compare(client, source, blue)
    assert found(report) == {"4": STALE}
    repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert documents(client, blue)["4"]["name"] == "next"


def test_a_rollback_candidate_is_proven_too_and_repaired_with_the_live_one(
    client: Client, source: PostgresSource, blue: str, connect_source: Connect, tmp_path: Path
) -> None:
    green = str(rebuild(client, connect_source, tmp_path, run_id="green")["index"])
    delete(client, blue, "1")
    assert compare(client, source, green).findings == []
    report = compare(client, source, blue)
    assert found(report) == {"1": MISSING}
    repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert compare(client, source, blue).findings == []


def test_what_moves_between_the_two_looks_is_not_reported(
    client: Client,
    owner: psycopg.Connection,
    source: PostgresSource,
    blue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner.execute("UPDATE locations SET name = 'on its way' WHERE location_id IN (1, 2)")
    report_pages = source.read(["1"])

    def meanwhile(_: float) -> None:
        from searchsync.writing import writer

        writer.apply(EntityIndexes(client, source.entity), report_pages, on_rejected=lambda _: None)
        owner.execute("UPDATE locations SET name = 'moved on' WHERE location_id = 2")

    monkeypatch.setattr("searchsync.compare.differences.time.sleep", meanwhile)
    report = compare(client, source, blue)
    assert (report.suspects, report.findings, report.moving) == (2, [], 1)


def test_what_the_next_sync_has_to_bring_is_pending(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str
) -> None:
    """A table changes all day, its index once an hour: reported as faults, nobody would look at them any more."""
    now = datetime.now(UTC)
    owner.execute("UPDATE locations SET name = 'x', updated_at = %s WHERE location_id = 1", [now])
    owner.execute("UPDATE locations SET name = 'x', updated_at = %s WHERE location_id = 2", [now - timedelta(hours=5)])
    owner.execute("DELETE FROM locations WHERE location_id = 3")
    delete(client, blue, "4")
    owner.execute("UPDATE locations SET updated_at = %s WHERE location_id = 4", [now - timedelta(hours=5)])
    report = compare(client, source, blue, since=now - timedelta(minutes=10))
    assert found(report) == {"2": STALE, "3": ORPHAN, "4": MISSING}, (
        "counts are equal: no sync will look for the orphan"
    )
    assert report.pending == 1
    owner.execute("DELETE FROM locations WHERE location_id = 5")
    report = compare(client, source, blue, since=now - timedelta(minutes=10))
    assert (found(report), report.pending) == ({"2": STALE, "4": MISSING}, 3)
    assert report.summary == "1 missing; 1 stale; 3 pending, which the next sync has to bring"
    assert compare(client, source, blue).kinds == {STALE: 2, ORPHAN: 2, MISSING: 1}


def test_what_a_sync_does_not_delete_unasked_is_not_pending(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str, rows: int
) -> None:
    """The table is empty and the index is full: waiting for the next sync, which refuses it, would call that good."""
    owner.execute("TRUNCATE locations")
    report = compare(client, source, blue, since=datetime.now(UTC))
    assert (report.kinds, report.pending, report.good) == ({ORPHAN: rows}, 0, False)


def test_a_repair_beyond_the_cap_is_refused(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str
) -> None:
    """More than one in a hundred is no drift: written without a look, it would cover the cause."""
    owner.execute("UPDATE locations SET name = 'x' WHERE location_id <= 150")
    report = compare(client, source, blue)
    assert report.kinds == {STALE: 150}
    with pytest.raises(GateFailed, match="the delivery of changes"):
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False, cap=150).written == 150
    assert compare(client, source, blue).findings == []


def test_an_index_that_is_none_is_refused(client: Client, source: PostgresSource, blue: str) -> None:
    with pytest.raises(BadParams, match="searchsync indexes"):
        compare(client, source, "locations-nothing")


def test_from_a_shell(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    shell: None,
    at_once: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner.execute("UPDATE locations SET name = 'x' WHERE location_id = 1")
    assert main.main(["compare", "locations", "--pending"]) == 1
    said = capsys.readouterr()
    assert '"stale": 1' in said.out
    assert "1 documents differ" in said.err
    assert main.main(["compare", "locations", "--pending", "--repair"]) == 0
    assert main.main(["compare", "locations"]) == 0


# -- members


def test_twelve_faults_among_members_that_change_all_the_while(world: World, tmp_path: Path, monkeypatch: Any) -> None:
    """Exactly these are confirmed, none that is only under way, and none is left after the repair.

    1,500 members here, 100,000 in `./dev bench compare`. The seed decides who writes what.
    """
    print(f"seed {SEED}")
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    generate(world.aws["dynamodb"], 1_500)
    blue = rebuild(world.client, world.connect, tmp_path, run_id="blue")["index"]
    world.records()
    client, index = world.client, str(blue)
    injected: dict[str, str] = {}
    for n in range(3):
        delete(client, index, f"m-{1_001 + n:07d}")
        injected[f"m-{1_001 + n:07d}"] = MISSING
        copy(client, index, f"m-{1_101 + n:07d}", to=f"orphan-{n}")
        injected[f"orphan-{n}"] = ORPHAN
        older = {"hash_high": n, "hash_low": n}
        behind_our_back(client, index, f"m-{1_201 + n:07d}", name="older", sync=older)
        injected[f"m-{1_201 + n:07d}"] = STALE
        behind_our_back(client, index, f"m-{1_301 + n:07d}", city="edited")
        injected[f"m-{1_301 + n:07d}"] = CONTENT
    writers = Writers(world, SEED)
    with writers.at_work():
        time.sleep(1)
        report = differences.find(
            EntityIndexes(client, world.source.entity).get(index), world.source, effort=Effort(sample=10_000, grace=3.0)
        )
        assert found(report) == injected, f"seed {SEED}"
        done = repair.repair(EntityIndexes(client, world.source.entity), world.source, report, dry_run=False)
        assert (done.written, done.rejected) == (12, 0)
        again = differences.find(
            EntityIndexes(client, world.source.entity).get(index), world.source, effort=Effort(sample=10_000, grace=3.0)
        )
    assert found(again) == {}, f"seed {SEED}"
    assert writers.written > 100
    print(f"{writers.written} writes, {report.suspects} suspects, {report.moving} moving")


def test_a_sample_larger_than_one_search_is_all_of_them(world: World) -> None:
    generate(world.aws["dynamodb"], 20)
    index = serve(world.client, world.entity, identity=world.identity)
    world.apply()
    behind_our_back(world.client, index, "m-0000007", city="edited")
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(index),
        world.source,
        effort=Effort(grace=0.0, sample=10_001),
    )
    assert (report.sampled, found(report)) == (20, {"m-0000007": CONTENT})


def test_an_index_being_built_can_be_compared(world: World) -> None:
    generate(world.aws["dynamodb"], 20)
    green = make_index(world.client, world.entity, "green")
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(green), world.source, effort=Effort(grace=0.0)
    )
    assert report.kinds == {MISSING: 20}
