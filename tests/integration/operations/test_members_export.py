"""A reindex of members from an export in S3: what is in it is older than what the stream says, and loses to it."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.members import generate
from searchsync.catalog import entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents import dynamodb_item
from searchsync.errors import BadParams, BadSource
from searchsync.operations import gate, reindex
from searchsync.operations.reindex import Reindex
from searchsync.selection import Selection
from searchsync.sources import dynamodb_export, export_requests
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.sources.export_files import DataFile, Export, ExportFiles
from searchsync.stream import reader
from searchsync.stream.reader import Forgotten, Record
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.exports import Bucket
from tests.members import World, clients, newer
from tests.steps import documents, living, rebuild, until

SEED = 20261130
OLD = timedelta(seconds=2)
"""Age of an export that is older than the joining, also when all is done within a second."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fence, and exports are exact: in these tests nothing is on its way but what they bring themselves."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    for module in (reindex, export_requests):
        monkeypatch.setattr(module, "INEXACT_SECONDS", 0)
    monkeypatch.setattr(export_requests, "POLL_SECONDS", 0.05)


@pytest.fixture
def bucket(world: World) -> Bucket:
    return Bucket(world, "backups/daily")


def expected(world: World) -> dict[str, dict[str, Any]]:
    """The documents that the table stands for."""
    return {key: dynamodb_item.content_of(world.entity, item) for key, item in world.table().items()}


@dataclass
class Run:
    """One reindex from an export, step by step.

    :ivar kept: what its load kept to go on from
    """

    bucket: Bucket
    reports: Path
    chosen: str = ""
    run_id: str = "run"
    kept: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        first = self.bucket.source(chosen=self.chosen)
        self.indexes = EntityIndexes(self.bucket.world.client, first.entity)
        self.plan = reindex.check(self.indexes, first, run_id=self.run_id, running=lambda _: None)
        self.join()

    def join(self) -> None:
        green = reindex.create_green(self.indexes, self.plan)
        self.reindex = Reindex(self.indexes, self.plan, green)
        self.source = self.bucket.source(chosen=self.chosen, plan=self.plan)

    def export(self) -> Export:
        with Rejections(self.reports / "rejected-export") as rejections:
            self.source.export = self.reindex.export(self.source, rejections=rejections)
        return self.source.export

    def load(self, partitions: int = 2) -> int:
        """Load all parts as the tasks of a DAG do, each described in JSON. Return the number of items read."""
        read = 0
        with Rejections(self.reports / "rejected-load") as rejections:
            for part in self.source.partitions(partitions):
                partition = self.source.partition(json.loads(json.dumps(asdict(part))))
                ledger = self.reindex.load(self.source, partition, rejections=rejections, checkpoint=self)
                read += ledger.read
                self.kept = None
        return read

    def serve(self) -> None:
        self.reindex.copy_tombstones()
        self.reindex.make_searchable()
        with Rejections(self.reports / "rejected-gate") as rejections:
            self.gated = gate.gate(self.reindex, self.source, rejections=rejections)
        self.reindex.swap()
        self.reindex.verify()

    # as ``reindex.Checkpoint``

    def get(self) -> dict[str, Any] | None:
        return self.kept

    def set(self, value: dict[str, Any]) -> None:
        self.kept = json.loads(json.dumps(value))


def dealt(world: World, files: int = 3) -> list[list[dict[str, Any]]]:
    """The items of the table now, in the data files of an export."""
    items = list(world.table().values())
    return [items[number::files] for number in range(files)]


def change(world: World, keys: range) -> None:
    """Change some of the generated members in all ways in which an item can change; some are as before in the end."""
    before = world.table()
    for number in keys:
        key = f"m-{number:07d}"
        kind = number % 5
        if kind == 0:
            world.put(key, name=f"changed {number}")
        elif kind == 1:
            world.delete(key)
        elif kind == 2:  # deleted, and there again with another name
            world.delete(key)
            world.put(key, name="anew")
        elif kind == 3:  # changed, and as before
            world.put(key, name="for a moment")
            world.aws["dynamodb"].put_item(TableName="members", Item=before[key])
        else:  # another one was there for a moment
            world.put(f"short-{number}", name="x")
            world.delete(f"short-{number}")


def haunt(world: World, records: list[dict[str, Any]], live: str) -> None:
    """Deliver records again, in any order, each by itself: nothing may change."""
    random.Random(SEED).shuffle(records)
    for one in records:
        assert world.apply([one]).failed == ""
    assert living(world.client, live) == expected(world), f"seed {SEED}"


@pytest.mark.parametrize("prefix", ["", "backups/daily"])
def test_a_reindex_requests_its_export_and_its_load_takes_no_read_capacity(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    bucket = Bucket(world, prefix)
    generate(world.aws["dynamodb"], 300)
    world.put("m-odd", name="x", tags={"SS": ["b", "a"]}, skills={"L": [{"S": "é"}]}, photo={"B": b"\x00\xff"})
    before_the_gate: list[float] = []
    fingerprints = ExportSource.fingerprints

    def noted(self: ExportSource) -> Any:
        before_the_gate.append(bucket.dynamo.consumed)
        return fingerprints(self)

    monkeypatch.setattr(ExportSource, "fingerprints", noted)
    report = rebuild(world.client, lambda plan: bucket.source(plan=plan), tmp_path, partitions=3)
    assert (report["documents"], report["ledger"]["read"], report["gate"]["reconciled"]) == (301, 301, 0)
    assert living(world.client, report["index"]) == expected(world)
    assert bucket.dynamo.requested == 1
    assert before_the_gate == [1.0], "a unit for the look of `check` at one item"
    assert bucket.dynamo.consumed > 10, "the gate scans the table"


@pytest.mark.parametrize("first", ["stream", "export"])
def test_what_changes_around_the_time_of_a_requested_export_is_as_the_table_has_it(
    world: World, bucket: Bucket, tmp_path: Path, first: str
) -> None:
    generate(world.aws["dynamodb"], 60)
    history = world.records()
    blue = rebuild(world.client, world.connect, tmp_path)["index"]
    assert blue
    run = Run(bucket, tmp_path)
    change(world, range(20))  # before the export, and told by the stream after it
    late = world.records()
    run.export()
    change(world, range(20, 40))  # after its time, before it is loaded
    late += world.records()
    if first == "stream":
        assert world.apply(late).failed == ""
    run.load()
    change(world, range(40, 60))
    late += (last := world.records())
    assert world.apply(last if first == "stream" else late).failed == ""
    run.serve()
    assert run.gated.reconciled == 0, "the stream brought it all"
    haunt(world, history + late, run.reindex.green)


def test_an_export_from_before_the_joining_gets_what_the_stream_says_since(
    world: World, bucket: Bucket, tmp_path: Path
) -> None:
    """The changes since its time were acknowledged when there was no green.

    What the next change has undone, the gate does not see; an event that comes twice would do it once more.
    """
    generate(world.aws["dynamodb"], 60)
    rebuild(world.client, world.connect, tmp_path)
    assert world.apply().failed == ""
    arn = bucket.put(bucket.made(age=OLD), dealt(world))
    change(world, range(60))
    told = world.records()
    assert world.apply(told).failed == ""
    run = Run(bucket, tmp_path, chosen=arn)
    run.export()
    assert run.load() == 60
    run.serve()
    assert run.gated.reconciled == 0, "nothing is left to the gate"
    haunt(world, told, run.reindex.green)
    assert bucket.dynamo.requested == 0


def test_a_slow_clock_ends_no_reading_of_the_stream_too_early(
    world: World, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All changes since the export are later than what the clock of this machine says, and the stream has small pages.

    Were its own clock asked, the task would take the first of them for one that reaches the new index anyway.
    """
    generate(world.aws["dynamodb"], 20)
    rebuild(world.client, world.connect, tmp_path)
    arn = bucket.put(bucket.made(age=OLD), dealt(world))
    change(world, range(20))
    assert world.apply().failed == ""
    run = Run(bucket, tmp_path, chosen=arn)
    now, pages = time.time, reader.pages

    def one_by_one(*shard: Any) -> Iterator[list[Record]]:
        return ([record] for page in pages(*shard) for record in page)

    with monkeypatch.context() as slow:
        slow.setattr(time, "time", lambda: now() - 600)
        slow.setattr(reader, "pages", one_by_one)
        run.export()
    assert run.load() == 20
    run.serve()
    assert run.gated.reconciled == 0, "nothing is left to the gate"


def test_the_first_index_may_come_from_an_existing_export(world: World, bucket: Bucket, tmp_path: Path) -> None:
    """There is no other index that would know what was changed since."""
    generate(world.aws["dynamodb"], 60)
    arn = bucket.put(bucket.made(age=OLD), dealt(world))
    change(world, range(60))
    report = rebuild(world.client, lambda plan: bucket.source(chosen=arn, plan=plan), tmp_path)
    assert report["gate"]["reconciled"] == 0
    assert living(world.client, report["index"]) == expected(world)


def test_an_export_of_a_table_of_several_kinds_brings_the_selected_one(
    client: Client, aws_url: str, tmp_path: Path
) -> None:
    """Neither the load nor the stream since may bring others, not even tombstones of them."""
    world = World(client, newer(replace(entity("members"), select=Selection("city", equals="Bern"))), clients(aws_url))
    for n in range(6):
        world.put(f"m-{n}", name=f"first {n}", city="Bern" if n % 2 else "Zug")
    bucket = Bucket(world)
    arn = bucket.put(bucket.made(age=OLD), dealt(world))
    world.records()
    world.put("m-0", name="other", city="Zug")
    world.put("m-1", name="left", city="Zug")
    world.put("m-2", name="entered", city="Bern")
    world.delete("m-4")
    live = rebuild(client, lambda plan: bucket.source(chosen=arn, plan=plan), tmp_path, partitions=2)["index"]
    found = documents(client, live)
    assert {key: document["sync"]["deleted"] for key, document in found.items()} == {
        "m-1": True, "m-2": False, "m-3": False, "m-5": False,
    }  # fmt: skip


def test_binary_and_numeric_keys_of_an_export_are_those_of_the_table(
    client: Client, aws_url: str, tmp_path: Path
) -> None:
    """An export has binary values in base64, and the stream's client has bytes: one item must have one id."""
    keys = replace(entity("members"), key=("member_id", "at"), key_types=("B", "N"))
    world = World(client, newer(keys), clients(aws_url))
    for n in range(5):
        world.put("", member_id={"B": bytes([n, 255])}, at={"N": f"{n}.50"}, name=f"first {n}")
    bucket = Bucket(world)
    first = rebuild(client, lambda plan: bucket.source(plan=plan), tmp_path, partitions=2)
    assert (first["ledger"]["written"], first["gate"]["reconciled"]) == (5, 0)
    exports = bucket.source().exports
    arn = exports.request("another")
    second_of_export = exports.wait(arn).second
    until(lambda: exports.now() > second_of_export, "the export is older than the next index")
    world.put("", member_id={"B": bytes([1, 255])}, at={"N": "1.5"}, name="changed")
    second = rebuild(client, lambda plan: bucket.source(chosen=arn, plan=plan), tmp_path, partitions=2)
    assert second["gate"]["reconciled"] == 0
    before, after = (living(client, made["index"]) for made in (first, second))
    assert before.keys() == after.keys()
    assert sorted(document["name"] for document in after.values()) == sorted(
        ["first 0", "changed", *(f"first {n}" for n in range(2, 5))]
    )


def test_a_load_that_was_killed_goes_on_behind_the_last_complete_file(
    world: World, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindex, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(dynamodb_export, "PAGE_BYTES", 2_000)
    monkeypatch.setattr(writer, "IN_FLIGHT", 1)
    generate(world.aws["dynamodb"], 200)
    run = Run(bucket, tmp_path, chosen=bucket.put(bucket.made(), dealt(world, 4)))
    run.export()
    opened: list[str] = []
    items = ExportFiles.items

    def dies(files: ExportFiles, file: DataFile) -> Iterator[tuple[Any, int]]:
        opened.append(file.key)
        for number, item in enumerate(items(files, file)):
            if len(opened) == 3 and number == 30:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(ExportFiles, "items", dies)
    with pytest.raises(KeyboardInterrupt):
        run.load(partitions=1)
    assert run.kept is not None
    done = run.kept["resume"]
    assert 1 <= done <= 2
    assert run.kept["ledger"]["read"] == 50 * done, "whole files"
    opened += ["killed", "again"]
    assert run.load(partitions=1) == 200
    assert len(opened[5:]) == 4 - done, "not from the beginning"
    run.serve()
    assert living(world.client, run.reindex.green) == expected(world)


def test_a_task_that_is_cleared_finds_the_export_that_it_requested(
    world: World, bucket: Bucket, tmp_path: Path
) -> None:
    """Each export is billed by the size of the table, and takes minutes."""
    generate(world.aws["dynamodb"], 20)
    run = Run(bucket, tmp_path)
    assert run.export() == run.export()
    assert len(bucket.keys("manifest-summary.json")) == 1
    assert Run(bucket, tmp_path).export() == run.source.export, "another process, the same run"


def test_an_export_that_failed_is_requested_anew_when_the_task_is_cleared(
    world: World, bucket: Bucket, tmp_path: Path
) -> None:
    """Its token would lead to the one that failed for eight hours."""
    generate(world.aws["dynamodb"], 20)
    run = Run(bucket, tmp_path)
    arn = run.export().arn
    described = bucket.dynamo.describe_export(ExportArn=arn)["ExportDescription"]
    bucket.dynamo.described[arn] = described | {"ExportStatus": "FAILED", "FailureCode": "AccessDenied"}
    assert run.export().arn != arn
    assert run.load() == 20


def test_an_index_that_left_and_joined_again_gets_another_export(world: World, bucket: Bucket, tmp_path: Path) -> None:
    """It missed the changes while it was out of the write set; so the first export is too old."""
    generate(world.aws["dynamodb"], 20)
    run = Run(bucket, tmp_path)
    before = run.export()
    reindex.discard(run.indexes, run.run_id, keep=True)
    world.put("m-0000001", name="missed")
    assert world.records()
    run.join()
    assert run.export().arn != before.arn
    run.load()
    run.serve()
    assert living(world.client, run.reindex.green) == expected(world)


def test_an_export_is_requested_only_when_nothing_before_the_joining_can_be_missing_in_it(
    world: World, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state may be a minute older than it says."""
    world.put("m-1", name="x")
    for module in (reindex, export_requests):
        monkeypatch.setattr(module, "INEXACT_SECONDS", 3)
    run = Run(bucket, tmp_path)
    export = run.export()
    assert run.indexes.get(run.reindex.green).meta["fenced"] + 3 <= export.second
    run.load()
    position = documents(world.client, run.reindex.green)["m-1"]["sync"]["position"]
    assert int(position[:10]) == export.second - 3 - 5


# -- what is refused


def refused(bucket: Bucket, tmp_path: Path, arn: str, match: str) -> str:
    """Run a reindex from an export that cannot be used. Return what it says. What is live stays live, alone."""
    world = bucket.world
    indexes = EntityIndexes(world.client, world.entity)
    live, members = rebuild(world.client, world.connect, tmp_path)["index"], indexes.write_set()
    with pytest.raises(BadSource, match=match) as caught:
        rebuild(world.client, lambda plan: bucket.source(chosen=arn, plan=plan), tmp_path)
    assert (indexes.live(), indexes.write_set()) == (live, members)
    said = str(caught.value)
    assert arn in said
    assert "run the reindex again" in said
    return said


@pytest.mark.parametrize(
    ("description", "match"),
    [
        ({"ExportStatus": "FAILED", "FailureCode": "S3NoSuchBucket"}, "it failed: S3NoSuchBucket"),
        ({"TableArn": "arn:aws:dynamodb:eu-west-1:1:table/members"}, "it is of the table arn:aws:dynamodb:eu-west-1:1"),
        ({"ExportType": "INCREMENTAL_EXPORT"}, "no full export but INCREMENTAL_EXPORT"),
        ({"ExportFormat": "ION"}, "its format is ION"),
        ({"FilterSpecification": {"KeyConditionExpression": "x"}}, "with a filter, so it lacks items"),
        ({"TableId": "another"}, "of an earlier table of this name"),
        ({"ItemCount": 7}, "DynamoDB says 7"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_export_of_something_else_is_refused(
    world: World, bucket: Bucket, tmp_path: Path, description: dict[str, Any], match: str
) -> None:
    world.put("m-1", name="x")
    bucket.dynamo.table_id = "this"
    refused(bucket, tmp_path, bucket.put(bucket.made(table_id="this"), dealt(world), **description), match)


def test_an_export_that_is_older_than_the_stream_is_refused(world: World, bucket: Bucket, tmp_path: Path) -> None:
    world.put("m-1", name="x")
    old = bucket.put(bucket.made(age=timedelta(hours=23)), dealt(world))
    refused(bucket, tmp_path, old, "it keeps changes for a day")
    bucket.dynamo.stream_age = timedelta(hours=1)
    before = bucket.put(bucket.made(age=timedelta(hours=2)), dealt(world))
    refused(bucket, tmp_path, before, "none from before it was turned on")


def test_a_stream_that_forgets_while_it_is_read_ends_the_run(
    world: World, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgets(*_: Any, **__: Any) -> Iterator[Any]:
        raise Forgotten("TrimmedDataAccessException")
        yield

    world.put("m-1", name="x")
    arn = bucket.put(bucket.made(age=OLD), dealt(world))
    rebuild(world.client, world.connect, tmp_path)
    monkeypatch.setattr(reader, "pages", forgets)
    with pytest.raises(BadSource, match="forgot changes before they were read"):
        rebuild(world.client, lambda plan: bucket.source(chosen=arn, plan=plan), tmp_path)


def test_what_has_to_be_set_up_is_said_before_there_is_an_index(world: World, bucket: Bucket) -> None:
    source = bucket.source()
    source.check()
    recovery = {"PointInTimeRecoveryEnabled": False}
    world.aws["dynamodb"].update_continuous_backups(TableName="members", PointInTimeRecoverySpecification=recovery)
    with pytest.raises(BadSource, match=r"point-in-time recovery is DISABLED.*update-continuous-backups"):
        source.check()
    with pytest.raises(BadSource, match="PointInTimeRecoveryUnavailableException"):
        source.exports.request("any")
    bucket.name = ""
    with pytest.raises(BadParams, match="SEARCHSYNC_MEMBERS_EXPORT_BUCKET is not set"):
        bucket.source().check()
    with pytest.raises(BadParams, match="ExportNotFoundException"):
        bucket.source(chosen=f"{world.identity}/export/01700000000000-aaaaaaaa").check()


def test_a_bucket_that_is_not_there_fails_the_export_with_the_reason(
    world: World, bucket: Bucket, tmp_path: Path
) -> None:
    world.put("m-1", name="x")
    bucket.name = f"{bucket.name}-gone"
    with pytest.raises(BadSource, match="it failed: S3NoSuchBucket"):
        Run(bucket, tmp_path).export()
