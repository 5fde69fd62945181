"""One rendering on every path: what is stored, and found by term, does not depend on who wrote it."""

import json
import re
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, reconcile, repair
from searchsync.compare.differences import Effort
from searchsync.operations import sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.members import World
from tests.steps import connector, insert, never, rebuild, serve

NUMBERS = (
    "12345678.5",
    "1.10",
    "0.123456789012345678",
    "123456789012345678901234567890",
    "-0.5",
    "1E+2",
    "4102444800.5",
)


def stored(client: Client, index: str, key: str) -> bytes:
    """The bytes that OpenSearch keeps of a document, without ``sync``, which differs in position and time."""
    host = client.transport.hosts[0]
    with urllib.request.urlopen(f"http://{host['host']}:{host['port']}/{index}/_source/{key}") as answer:
        source = bytes(answer.read())
    own = re.fullmatch(rb'\{"sync":\{[^{}]*\},?(.*)\}', source, re.DOTALL)
    assert own is not None, source
    return own[1]


def found(client: Client, index: str, field: str, value: str) -> list[str]:
    client.request("POST", f"/{index}/_refresh")
    answer = client.request("POST", f"/{index}/_search", body={"query": {"term": {field: value}}})
    return [hit["_id"] for hit in answer["hits"]["hits"]]


# -- members: load, stream, replay, repair, gate


def test_a_member_is_the_same_bytes_by_load_stream_replay_repair_and_gate(
    world: World, at_once: None, reports: Path
) -> None:
    """Numbers in a keyword field, in a list and alone; a document that was there before, and one that was not."""
    client, entity = world.client, world.entity
    many = {"L": [*({"N": number} for number in NUMBERS), {"S": "zoë 😀"}]}
    wanted: dict[str, bytes] = {}

    def change(name: str) -> None:
        world.put("m1", name=name, status={"N": NUMBERS[0]}, skills=many, email=NUMBERS[1], joined_date="2026-01-01")

    def look(way: str, index: str) -> None:
        wanted[way] = stored(client, index, "m1")
        document = json.loads(b"{%b}" % wanted[way], parse_int=str, parse_float=str)  # numbers as they stand there
        assert len(document["skills"]) == len(NUMBERS) + 1
        for value in document["skills"]:
            assert found(client, index, "skills", value) == ["m1"], (way, value)

    blue = serve(client, entity, "blue", identity=world.identity)
    change("same")
    assert not world.apply().failed
    look("stream, new", blue)
    change("before")
    world.apply()
    change("same")
    world.apply()
    look("stream, replaced", blue)
    for way in ("replay, replaced", "replay, new"):
        change("before")
        world.apply()
        if way == "replay, new":
            client.request("DELETE", f"/{blue}/_doc/m1")
        change("same")
        world.send_pointer(world.records())
        world.replay()
        look(way, blue)
    client.request("DELETE", f"/{blue}/_doc/m1", params={"refresh": "true"})
    report = differences.find(
        EntityIndexes(client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0)
    )
    assert repair.repair(EntityIndexes(client, world.source.entity), world.source, report, dry_run=False).written == 1
    look("repair", blue)
    client.request("DELETE", f"/{blue}/_doc/m1", params={"refresh": "true"})
    (page,) = world.source.read(["m1"])
    reconcile.to_all(EntityIndexes(client, entity), blue)(page, never)
    look("gate", blue)
    green = str(rebuild(client, world.connect, reports)["index"])
    assert green != blue
    look("load", green)
    assert len(set(wanted.values())) == 1, wanted


# -- locations: load, load over something, sync, repair, gate


def test_a_location_is_the_same_bytes_by_load_sync_repair_and_gate(
    client: Client,
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    source: PostgresSource,
    reports: Path,
    at_once: None,
) -> None:
    row: dict[str, Any] = {"rate": "12345678.50", "latitude": 47.37, "longitude": 8.5, "population": 2**53 + 1}
    row["region"] = '12345678.5 "é" \\'
    insert(owner, 1, name="same", **row)
    blue = str(rebuild(client, connector(locations, app.reader_dsn), reports, run_id="one")["index"])
    wanted = {"load": stored(client, blue, "1")}
    now = datetime.now(UTC)

    def again(way: str, write: Callable[[], object], *, gone: bool) -> None:
        if gone:
            client.request("DELETE", f"/{blue}/_doc/1", params={"refresh": "true"})
        else:
            old = {"sync": {"position": "foreign"}, "name": "before"}
            client.request("PUT", f"/{blue}/_doc/1", body=old, params={"refresh": "true"})
        write()
        wanted[way] = stored(client, blue, "1")
        assert found(client, blue, "region", row["region"]) == ["1"], way

    def synced() -> None:
        owner.execute("UPDATE locations SET updated_at = updated_at")
        served = sync.check(EntityIndexes(client, locations))
        reader = PostgresSource(locations, app.reader_dsn, epoch=served.epoch, identity=served.identity)
        with Rejections(reports / "rejected") as rejections:
            sync.run(
                EntityIndexes(client, reader.entity),
                reader,
                served,
                Interval(now - timedelta(days=40_000), now + timedelta(days=1)),
                rejections=rejections,
            )
        reader.close()

    def repaired() -> None:
        report = differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(grace=0.0))
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)

    def gated() -> None:
        for page in source.read(["1"]):
            reconcile.to_all(EntityIndexes(client, locations), blue)(page, never)

    def loaded() -> None:
        for page in source.read(["1"]):
            writer.load(Index(client, blue), [page], on_rejected=never)

    for gone in (True, False):
        for way in (synced, repaired, gated, loaded):
            again(f"{way.__name__}, {'new' if gone else 'replaced'}", way, gone=gone)
    assert len(set(wanted.values())) == 1, wanted
    assert b"12345678.5" in wanted["load"]
