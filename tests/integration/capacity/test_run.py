"""What a run sees of real indexes and disks, what it keeps, and what it says of a history whose answer is known."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from searchsync import capacity
from searchsync.capacity import report, run, sizes
from searchsync.capacity.forecast import LEAST_DAYS
from searchsync.capacity.history import INDEX, History
from searchsync.catalog import Entity, entity
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.writing import writer
from tests.steps import line, make_red_index, never, page_of_documents, serve, tombstones, until

NOW = datetime(2026, 6, 30, 5, 40, tzinfo=UTC)
SEED = 20261130


@pytest.fixture
def members() -> Entity:
    return replace(entity("members"))


def filled(client: Client, of: Entity, name: str, documents: list[dict[str, Any]], blue: str | None = None) -> str:
    """A live index with some documents."""
    index = serve(client, of, name, blue)
    writer.load(
        Index(client, index),
        [page_of_documents(1, [line(str(n), 1, **fields) for n, fields in enumerate(documents)])],
        on_rejected=never,
    )
    creation.make_searchable(EntityIndexes(client, of), index)
    return index


def stored(client: Client, index: str) -> list[int]:
    """Bytes of each shard."""
    shards = client.request("GET", f"/{index}/_stats/store", params={"level": "shards"})["indices"][index]["shards"]
    return [copies[0]["store"]["size_in_bytes"] for copies in shards.values()]


@pytest.fixture
def watermarks(client: Client) -> Iterator[Any]:
    """Sets the low watermark."""
    names = [f"cluster.routing.allocation.disk.watermark.{name}" for name in ("low", "high", "flood_stage")]

    def put(*values: str | None) -> None:
        settings = dict(zip(names, values, strict=True))
        client.request("PUT", "/_cluster/settings", body={"persistent": settings})

    yield put
    put(None, None, None)


def test_a_size_counts_every_shard_and_every_tenant(client: Client, members: Entity) -> None:
    """A tenant that is large in all shards and largest in none would be missed by each shard's own list."""
    body = members.index_body
    body["settings"]["number_of_shards"] = 3
    tenants = [f"tenant-{n % 40}" for n in range(400)] + ["big"] * 100
    index = filled(client, members, "blue", [{"member_id": str(n), "tenant_id": t} for n, t in enumerate(tenants)])
    writer.apply(EntityIndexes(client, members), [tombstones(2, "gone-1", "gone-2")], on_rejected=never)
    client.request("POST", f"/{index}/_refresh")
    until(lambda: min(stored(client, index)) > 1_000, "OpenSearch has measured its shards again: it does every 10 s")
    found = sizes.measure(EntityIndexes(client, members))
    assert (found.index, found.documents, found.tombstones, found.shards, found.copies) == (index, 500, 2, 3, 1)
    assert (found.tenants["big"], found.tenants["tenant-7"], len(found.tenants)) == (100, 10, 41)
    assert (found.routing_shards, found.members) == (768, 1)
    assert found.bytes > found.largest_shard_bytes > found.bytes / 3


def history(client: Client, days: int, per_day: float, today: int, of: str = "locations") -> None:
    """What earlier runs kept of an entity that grew; each night's reindex made another index, of another size."""
    chance = random.Random(SEED)
    for back in range(days, 0, -1):
        kept = {"at": (NOW - timedelta(days=back)).isoformat(), "run": f"capacity/{back}", "entity": of}
        figures = {"index": f"{of}-{back}", "bytes": chance.randrange(10**6, 10**8), "shards": 1, "advice": []}
        tenants = [{"tenant": "acme", "documents": 100 - back}] if back < 90 else []
        History(client).keep({**kept, **figures, "documents": round(today - per_day * back), "tenants": tenants})


def test_a_history_is_forecast_and_swaps_are_no_growth(client: Client, locations: Entity) -> None:
    """The bytes of the days before were anything between 1 and 100 MB: only documents are growth."""
    filled(client, locations, "blue", [{"location_id": n, "name": "x"} for n in range(500)])
    history(client, days=60, per_day=5, today=500)
    found = run.run(client, [locations], "capacity/now", now=NOW)
    found.keep(client)
    kept = capacity.summary(client, locations)
    assert kept is not None
    assert kept.forecast["days"] == 61
    assert kept.forecast["documents_per_day"] == 5
    assert kept.forecast["bytes_at_horizon"]["expected"] == pytest.approx(kept.bytes * (500 + 5 * 180) / 500, rel=1e-6)
    assert kept.forecast["shard_reaches"]["40000000000"] == {"earliest": None, "expected": None, "latest": None}
    assert "+5.0 documents a day, by the points of 61 days" in report.html(found)
    assert "<polygon" in report.html(found)


def test_each_tenant_has_a_line_of_its_own(client: Client, members: Entity) -> None:
    """A tenant that grows in an index that does not is seen before it is too large."""
    filled(client, members, "blue", [{"member_id": str(n), "tenant_id": "acme"} for n in range(100)])
    history(client, days=60, per_day=0, today=100, of="members")
    found = run.run(client, [members], "capacity/now", now=NOW)
    outlook = found.outlooks["members"]
    assert outlook.size.tenants == {"acme": 100}
    line = outlook.tenants["acme"]
    assert line is not None
    assert line.per_day == pytest.approx(1)
    reached = outlook.tenant_reaches("acme", 150)
    assert reached is not None
    assert reached.expected == 50
    assert "100 documents, +1.0 a day; 10,000,000: not within the horizon" in report.html(found)


def test_of_a_short_history_no_number_is_made(client: Client, locations: Entity) -> None:
    filled(client, locations, "blue", [{"location_id": 1, "name": "x"}])
    history(client, days=LEAST_DAYS - 2, per_day=10, today=1_000)
    found = run.run(client, [locations], "capacity/now", now=NOW)
    found.keep(client)
    kept = capacity.summary(client, locations)
    assert kept is not None
    assert kept.forecast == {"days": LEAST_DAYS - 1, "days_needed": LEAST_DAYS}
    assert "none yet: there are points of 27 days, 28 are needed" in report.html(found)
    assert found.room is not None
    assert found.room.full is None, "growth that is not known fills no disk"


def test_a_repeated_run_keeps_one_document(client: Client, locations: Entity) -> None:
    filled(client, locations, "blue", [{"location_id": 1, "name": "x"}])
    for _ in range(2):
        run.run(client, [locations], "capacity/1", now=NOW).keep(client)
    assert client.request("GET", f"/{INDEX}/_count")["count"] == 2, "of the entity, and of the disks"


def test_a_red_index_is_a_problem_and_hides_no_other(client: Client, locations: Entity, members: Entity) -> None:
    filled(client, members, "blue", [{"member_id": "1", "tenant_id": "acme"}])
    red = make_red_index(client, locations)
    client.request("POST", "/_aliases", body={"actions": [{"add": {"index": red, "alias": "locations"}}]})
    found = run.run(client, [locations, members], "capacity/1", now=NOW)
    assert found.outlooks.keys() == {"members"}
    assert found.room is None, "the largest index may be the one that is not known"
    (problem,) = found.problems
    assert problem == f"locations cannot be measured: {red}: 1 of 1 primary shards are away; see its health"


def test_an_entity_without_an_index_is_no_problem(client: Client, locations: Entity) -> None:
    found = run.run(client, [locations], "capacity/1", now=NOW)
    assert (found.outlooks, found.problems) == ({}, [])
    assert found.room is not None
    assert found.room.reindex == 0


def test_disks_without_room_for_a_reindex_are_said(client: Client, locations: Entity, watermarks: Any) -> None:
    filled(client, locations, "blue", [{"location_id": n, "name": "x"} for n in range(500)])
    watermarks("99.97%", "99.98%", "99.99%")
    there = run.run(client, [locations], "capacity/1", now=NOW)
    assert there.room is not None
    assert there.room.fits
    assert 0 < there.room.room <= there.room.total - there.room.used
    watermarks("0.1%", "0.2%", "0.3%")
    found = run.run(client, [locations], "capacity/1", now=NOW)
    assert found.room is not None
    assert (found.room.room, found.room.fits, found.room.low) == (0, False, "0.1%")
    assert found.disk is not None
    (advice,) = found.disk.advice
    assert advice.text.startswith("A reindex does not fit on the disks")


def test_the_command_shows_the_same_and_keeps_nothing(client: Client, locations: Entity, searchsync: Any) -> None:
    filled(client, locations, "blue", [{"location_id": n, "name": "x"} for n in range(500)])
    shown = searchsync("capacity", "locations").stdout
    assert "500" in shown
    assert "When it no longer fits: no forecast" in shown
    assert "nothing is live yet of members" in searchsync("capacity").stdout
    assert "unknown entity" in searchsync("capacity", "lcoations", fails=True).stderr
    assert INDEX not in client.request("GET", "/_all", params={"expand_wildcards": "all"})


def test_the_command_fails_when_something_must_be_done_now(
    client: Client, locations: Entity, searchsync: Any, include: Path
) -> None:
    filled(client, locations, "blue", [{"location_id": n, "name": "x"} for n in range(500)])
    file = include / "policies" / "alarms.yaml"
    file.write_text(file.read_text().replace("threshold: 50000000000", "threshold: 1000"))
    failed = searchsync("capacity", fails=True)
    assert "Reindex locations with 2 shards" in failed.stdout
    assert "Different: must be done now: locations" in failed.stderr
