"""An entity with a transformation of its own: each way of an item to an index shows the same document."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import Entity, Transformation, entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import CONTENT, MISSING, DiffReport, Effort
from searchsync.documents import dynamodb_item
from searchsync.errors import BadSource, GateFailed
from searchsync.operations import replay
from searchsync.selection import Selection
from searchsync.sources.dynamodb import Segment
from searchsync.sources.export_files import Export
from searchsync.stream.consumer import Stream
from tests.exports import Bucket
from tests.members import World, clients
from tests.steps import documents, living, rebuild, serve, until

pytestmark = pytest.mark.usefixtures("at_once")

CODE = """
def transform(item):
    item["tags"] = {tag.upper() for tag in item.get("tags", ())} | {"m"}
    item["status"] = f"{item['status']}/{item['skills'][0]}"
    return item
"""
Put = Callable[..., World]


def entity_of(python: Path, code: str = CODE, version: int = 1) -> Entity:
    """Members as if their file had a transformation."""
    python.parent.mkdir(exist_ok=True)
    python.write_text(code)
    parts: dict[str, Any] = {
        "take": {"city": "address.city"},
        "rename": {"full": "name"},
        "constant": {"email": "none"},
    }
    made = Transformation(version, drop=["address", "nickname"], python=python.name, **parts)
    return replace(entity("members"), transform=made)


@pytest.fixture
def python(include: Path) -> Path:
    return include / "transforms" / "members.py"


@pytest.fixture
def world(client: Client, aws_url: str, python: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Five members, and a sixth that the transformation fails on."""
    monkeypatch.setattr(replay, "EMPTY_SECONDS", 0)
    made = World(client, entity_of(python), clients(aws_url))
    for n in range(5):
        put(made, n)
    return made


def put(world: World, n: int, status: str = "active") -> None:
    made: dict[str, Any] = {
        "full": f"Ada {n}", "status": status, "nickname": "x", "skills": {"L": [{"S": f"s{n}"}]},
        "tags": {"SS": ["a", "b"]}, "expires_at": {"N": "4102444800"},
        "address": {"M": {"city": {"S": f"City {n}"}, "street": {"S": "x"}}},
    }  # fmt: skip
    world.put(f"m-{n}", **made)


def shown(n: int, status: str = "active") -> dict[str, Any]:
    return {
        "member_id": f"m-{n}", "name": f"Ada {n}", "status": f"{status}/s{n}", "city": f"City {n}", "email": "none",
        "skills": [f"s{n}"], "tags": ["A", "B", "m"], "expires_at": 4_102_444_800,
    }  # fmt: skip


SHOWN = {f"m-{n}": shown(n) for n in range(5)}


def contents(world: World, index: str) -> dict[str, Any]:
    """The text of each document without what a write says of itself, and its hash."""
    found = documents(world.client, index)
    return {key: (json.dumps({**document, "sync": None}), *hash_in(document)) for key, document in found.items()}


def hash_in(document: dict[str, Any]) -> tuple[int, int]:
    return document["sync"]["hash_high"], document["sync"]["hash_low"]


def compare(world: World, index: str) -> DiffReport:
    indexes = EntityIndexes(world.client, world.entity)
    return differences.find(indexes.get(index), world.source, effort=Effort(grace=0.0, sample=100))


def test_each_way_to_an_index_makes_the_same_document(world: World, tmp_path: Path) -> None:
    """Else an item's document would depend on the way it came, and a comparison would find it stale."""
    records = world.records()
    streamed = serve(world.client, world.entity, identity=world.identity)
    assert world.apply(records).parked.total() == 0
    assert living(world.client, streamed) == SHOWN

    loaded = str(rebuild(world.client, world.connect, tmp_path)["index"])
    replayed = serve(world.client, world.entity, "replayed", loaded, identity=world.identity)
    world.send_pointer(records)
    world.replay()

    wanted = contents(world, streamed)
    assert contents(world, loaded) == wanted
    assert contents(world, replayed) == wanted
    read = [document for page in world.source.read([*SHOWN]) for document in page.documents()]
    scanned = [document for page in world.source.pages(Segment(0, 1)) for document in page.documents()]
    for found in (read, scanned):
        assert {document.key: hash_in(json.loads(document.source)) for document in found} == {
            key: (high, low) for key, (_, high, low) in wanted.items()
        }
    assert {one["member_id"]: one for one in world.source.sample()} == SHOWN
    assert {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()} == SHOWN
    for index in (streamed, loaded, replayed):
        report = compare(world, index)
        assert (report.findings, report.sampled, report.keys_alone) == ([], 5, False)


def test_an_export_makes_the_documents_of_a_scan(world: World) -> None:
    """A reindex that reads from S3 has the same items before it, and no other rendering."""
    bucket = Bucket(world)
    made = bucket.made()
    items = [*world.table().values()]
    bucket.put(made, [items[:2], items[2:]])
    exported = bucket.source(chosen=made.arn)
    second = int(made.moment.timestamp())
    exported.export = Export(made.arn, bucket.name, bucket.prefix, made.manifest, second, len(items))
    ways = [(exported, exported.partitions(2)), (world.source, world.source.partitions(2))]
    found = [
        {
            document.key: json.loads(document.source) | {"sync": hash_in(json.loads(document.source))}
            for partition in partitions
            for page in source.pages(partition)
            for document in page.documents()
        }
        for source, partitions in ways
    ]
    assert found[0] == found[1]
    for document in found[0].values():
        del document["sync"]
    assert found[0] == SHOWN


def test_what_is_not_selected_is_not_transformed(client: Client, aws_url: str, python: Path, tmp_path: Path) -> None:
    """Of which kind an item is shows as it is stored: here, its document has lost that, and others would be poison."""
    made = replace(entity_of(python), select=Selection("status", equals="active"))
    world = World(client, made, clients(aws_url))
    put(world, 1)
    world.put("x-1", status="of another kind, without skills")
    live = str(rebuild(world.client, world.connect, tmp_path)["index"])
    world.records()
    assert living(world.client, live) == {"m-1": shown(1)}
    world.put("x-2", status="another")
    put(world, 2)
    put(world, 1, status="left")
    outcome = world.apply()
    assert (outcome.skipped, outcome.parked, outcome.written) == (1, {}, 2)
    assert living(world.client, live) == {"m-2": shown(2)}
    report = compare(world, live)
    assert (report.findings, report.unusable) == ([], 0)


def test_what_was_changed_around_the_writer_is_repaired_by_the_same_document(world: World, tmp_path: Path) -> None:
    live = str(rebuild(world.client, world.connect, tmp_path)["index"])
    wanted = contents(world, live)
    document = documents(world.client, live)["m-1"]
    world.client.request("PUT", f"/{live}/_doc/m-1", body={**document, "city": "Elsewhere"})
    world.client.request("DELETE", f"/{live}/_doc/m-2", params={"refresh": "true"})
    report = compare(world, live)
    assert {finding.key: finding.kind for finding in report.findings} == {"m-1": CONTENT, "m-2": MISSING}
    repair.repair(EntityIndexes(world.client, world.entity), world.source, report, dry_run=False)
    assert contents(world, live) == wanted
    assert compare(world, live).findings == []


def test_an_item_that_it_fails_on_holds_up_no_other_and_comes_when_it_is_corrected(
    world: World, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("m-bad", full="Without skills", status="new")
    with pytest.raises(GateFailed, match="1 documents were rejected"):
        rebuild(world.client, world.connect, tmp_path)
    report = rebuild(world.client, world.connect, tmp_path, run_id="again", max_rejected=1)
    live = str(report["index"])
    assert living(world.client, live) == SHOWN
    listed = (tmp_path / "again" / "rejected-load.ndjson").read_text(encoding="utf-8")
    (rejected,) = map(json.loads, listed.splitlines())
    assert (rejected["id"], rejected["type"]) == ("m-bad", "transform")
    assert rejected["reason"] == "include/transforms/members.py, line 4: KeyError"

    put(world, 1, status="gone")
    outcome = world.apply()
    assert (outcome.parked, outcome.failed) == ({"transform": 1}, "")
    assert living(world.client, live) == {**SHOWN, "m-1": shown(1, "gone")}
    found = compare(world, live)
    assert (found.findings, found.unusable) == ([], 1)

    monkeypatch.setattr(replay, "DELAY_SECONDS", 1)
    (counts,) = world.replay().as_dict()["reasons"].values()
    assert (counts["written"], counts["back"]) == (0, 1)
    world.entity = entity_of(python, CODE.replace("item['skills'][0]", "item.get('skills', ['?'])[0]"), version=2)
    until(world.waits, "the message is seen again")
    world.replay()
    assert living(world.client, live)["m-bad"]["status"] == "new/?"


def test_a_function_does_not_start_with_a_file_that_it_cannot_use(world: World, python: Path) -> None:
    """It would park each change of the table. As it is, they wait in the stream."""
    broken = entity_of(python, "def transform(item: dict) -> dict:\n    retrun item\n")
    with pytest.raises(BadSource, match=r"members\.py:2: not Python"):
        Stream(EntityIndexes(world.client, broken), world.dead.send)


def test_a_version_that_was_not_raised_is_refused_and_another_one_is_compared_by_keys(
    world: World, python: Path, tmp_path: Path
) -> None:
    live = str(rebuild(world.client, world.connect, tmp_path)["index"])
    assert Index(world.client, live).read_meta()["own"] == 1
    louder = CODE.replace('{"m"}', '{"M"}')
    world.entity = entity_of(python, louder)
    with pytest.raises(BadSource, match=rf"transforms/members\.py is not the one that {live} .* declare version 1"):
        rebuild(world.client, world.connect, tmp_path)
    assert EntityIndexes(world.client, world.entity).live() == live
    for version in (1, 2):
        world.entity = entity_of(python, louder, version)
        report = compare(world, live)
        assert (report.findings, report.reindex_due, report.keys_alone) == ([], True, True)
    green = str(rebuild(world.client, world.connect, tmp_path, run_id="green")["index"])
    report = compare(world, green)
    assert (report.findings, report.reindex_due, report.keys_alone) == ([], False, False)
    assert living(world.client, green)["m-1"]["tags"] == ["A", "B", "M"]
