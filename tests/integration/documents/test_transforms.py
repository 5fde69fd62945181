"""Documents of two versions: neither is taken for a fault of the other, and none of the faults is hidden by it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from local.members import generate
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import MISSING, ORPHAN, STALE, DiffReport, Effort
from searchsync.documents import dynamodb_item
from searchsync.errors import BadSource, GateFailed
from searchsync.operations import gate, sync
from searchsync.operations.reindex import Reindex
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections
from tests.integration.operations.test_rollback import roll
from tests.members import World
from tests.steps import connector, documents, insert, living, rebuild

pytestmark = pytest.mark.usefixtures("at_once")

NOW = datetime.now(UTC)
OLD = {"updated_at": NOW - timedelta(days=9)}


class Deployment:
    """The product as it is with the present files."""

    def __init__(self, client: Client, dsn: str, include: Path, folder: Path) -> None:
        self.client, self.dsn, self.include, self.folder = client, dsn, include, folder
        self.sources: list[PostgresSource] = []
        self.deploy()

    def deploy(self, *changes: tuple[str, str]) -> None:
        """Change the SQL file."""
        file = self.include / "sql" / "locations.sql"
        text = file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)
        self.entity = Entity(name="locations", source="postgres", key=("location_id",), changed="updated_at")

    def reindex(self) -> str:
        build = f"{datetime.now(UTC).timestamp()}"
        connect = connector(self.entity, self.dsn)
        return str(rebuild(self.client, connect, self.folder, run_id=build)["index"])

    @property
    def source(self) -> PostgresSource:
        self.sources.append(PostgresSource(self.entity, self.dsn))
        return self.sources[-1]

    def sync(self) -> dict[str, Any]:
        with Rejections(self.folder / "rejected") as rejections:
            served = sync.check(EntityIndexes(self.client, self.entity))
            source = PostgresSource(self.entity, self.dsn, epoch=served.epoch, identity=served.identity)
            hour = timedelta(hours=1)
            try:
                interval = Interval(NOW - hour, NOW + hour)
                indexes = EntityIndexes(self.client, self.entity)
                return sync.run(indexes, source, served, interval, rejections=rejections).as_dict()
            finally:
                source.close()

    def compare(self, index: str, sample: int = 10_001) -> DiffReport:
        return differences.find(
            EntityIndexes(self.client, self.source.entity).get(index), self.source, effort=Effort(sample=sample)
        )

    def roll(self) -> dict[str, Any]:
        return roll(self.client, self.entity, self.dsn, self.folder)


LOUDER = (("    l.name,", "    upper(l.name) AS name,"), ("transform: 1", "transform: 2"))


@pytest.fixture
def product(
    client: Client,
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    include: Path,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """Nine places that nobody has changed for days."""
    for n in range(1, 10):
        insert(owner, n, f"Place {n}", **OLD)
    made = Deployment(client, app.reader_dsn, include, tmp_path)
    yield made
    for source in made.sources:
        source.close()


def damage(client: Client, index: str) -> None:
    """Three faults: 4 is stale, 5 is missing, and there is no row 6000."""
    document = client.request("GET", f"/{index}/_doc/4")["_source"]
    document["sync"]["hash_low"] ^= 1
    client.request("PUT", f"/{index}/_doc/4", body={**document, "name": "of old"})
    client.request("DELETE", f"/{index}/_doc/5")
    client.request("PUT", f"/{index}/_doc/6000", body=document, params={"refresh": "true"})


def test_a_rollback_over_a_change_of_the_sql_file_is_proven(
    product: Deployment, owner: psycopg.Connection[Any]
) -> None:
    blue = product.reindex()
    product.deploy(*LOUDER)
    green = product.reindex()
    insert(owner, 1, "Changed", updated_at=NOW)
    insert(owner, 10, "Added", updated_at=NOW)
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    assert product.sync()["behind"] == {}
    for index in (blue, green):
        report = product.compare(index)
        assert (report.findings, report.pending, report.keys_alone) == ([], 0, False)
        assert report.reindex_due is (index == blue)
    insert(owner, 3, "Just now", updated_at=NOW)
    assert product.roll()["index"] == blue
    found = {key: document["name"] for key, document in living(product.client, blue).items()}
    assert found == {
        **{str(n): f"Place {n}" for n in range(4, 10)},
        "1": "CHANGED",
        "10": "ADDED",
        "3": "JUST NOW",
    }
    assert product.roll()["index"] == green


def test_a_fault_of_an_older_index_is_found_by_its_own_sql(product: Deployment) -> None:
    blue = product.reindex()
    product.deploy(*LOUDER)
    product.reindex()
    damage(product.client, blue)
    report = product.compare(blue)
    assert {finding.key: finding.kind for finding in report.findings} == {"4": STALE, "5": MISSING, "6000": ORPHAN}
    with pytest.raises(GateFailed, match="is not what its source is"):
        product.roll()
    repair.repair(EntityIndexes(product.client, product.source.entity), product.source, report, dry_run=False)
    assert product.compare(blue).findings == []
    assert product.roll()["index"] == blue


def test_a_document_that_was_edited_is_found_in_an_older_index(product: Deployment) -> None:
    """With its hash intact: it differs from the document of its own SQL, and that is known field by field."""
    blue = product.reindex()
    product.deploy(*LOUDER)
    product.reindex()
    document = product.client.request("GET", f"/{blue}/_doc/4")["_source"]
    product.client.request("PUT", f"/{blue}/_doc/4", body={**document, "name": "edited"}, params={"refresh": "true"})
    (finding,) = product.compare(blue).findings
    assert (finding.key, finding.source) == ("4", "name")


def test_a_column_that_no_document_has_means_nothing(product: Deployment, owner: psycopg.Connection[Any]) -> None:
    blue = product.reindex()
    green = product.reindex()
    try:
        owner.execute("ALTER TABLE locations ADD COLUMN seen integer NOT NULL DEFAULT 0, ADD COLUMN note text")
        owner.execute("UPDATE locations SET seen = seen + 1")
        result = product.sync()
        assert (result["changed"], result["written"], result["deleted"]) == (0, 0, 0)
        for index in (blue, green):
            report = product.compare(index)
            assert (report.unequal_buckets, report.findings, report.reindex_due) == (0, [], False)
        assert product.roll()["index"] == blue
    finally:
        owner.execute("ALTER TABLE locations DROP COLUMN seen, DROP COLUMN note")


def test_an_index_of_the_build_before_is_compared_by_its_keys(product: Deployment) -> None:
    """It says `rendering`, and its hashes are those of rows."""
    blue = product.reindex()
    product.reindex()
    meta = Index(product.client, blue).read_meta()
    del meta["transform"], meta["sql"]
    Index(product.client, blue).put_meta({**meta, "rendering": "0123456789abcdef"})
    body = {"script": "ctx._source.sync.hash_low += 1; ctx._source.sync.hash_high = 7"}
    product.client.request("POST", f"/{blue}/_update_by_query", body=body, params={"refresh": "true"})
    report = product.compare(blue)
    assert (report.findings, report.reindex_due, report.keys_alone) == ([], True, True)
    assert product.sync()["behind"] == {}
    assert product.roll()["index"] == blue
    damage(product.client, blue)
    report = product.compare(blue)
    assert {finding.key: finding.kind for finding in report.findings} == {"5": MISSING, "6000": ORPHAN}
    product.reindex()
    assert product.compare(blue).kinds == {"orphan": 1, "missing": 1}


def test_sql_that_cannot_be_run_any_more_leaves_the_keys(product: Deployment, owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER TABLE locations ADD COLUMN brief text DEFAULT 'x'")
    product.deploy(("    l.timezone,", "    l.brief AS timezone,"))
    blue = product.reindex()
    product.deploy(("    l.brief AS timezone,", "    l.timezone,"), ("transform: 1", "transform: 2"))
    product.reindex()
    owner.execute("ALTER TABLE locations DROP COLUMN brief")
    report = product.compare(blue)
    assert (report.findings, report.keys_alone) == ([], True)
    product.client.request("DELETE", f"/{blue}/_doc/5", params={"refresh": "true"})
    assert product.compare(blue).kinds == {"missing": 1}


def test_a_changed_sql_file_has_to_raise_its_version(product: Deployment) -> None:
    blue = product.reindex()
    product.deploy(LOUDER[0])
    with pytest.raises(BadSource, match=r"not the one that locations-.* declare version 1.*transform: 2"):
        product.reindex()
    report = product.compare(blue)
    assert report.findings == [], "it is compared by its own SQL all the same"
    product.deploy(LOUDER[1])
    product.reindex()


@pytest.mark.parametrize("line", ["", "-- transform: one", "-- transform: 1\n-- transform: 2"])
def test_an_sql_file_declares_one_version(product: Deployment, line: str) -> None:
    product.deploy(("-- transform: 1", line))
    with pytest.raises(BadSource, match=r"locations\.sql declares .* version.*it needs one line '-- transform: 1'"):
        product.reindex()


def test_a_deployment_in_the_middle_of_a_run_fails_its_gate(
    product: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its documents are of two versions: the index would be served as if it were of one."""
    original = gate.gate

    def deploys(run: Reindex, _: Any, **options: Any) -> Any:
        product.deploy(*LOUDER)
        return original(run, product.source, **options)

    monkeypatch.setattr(gate, "gate", deploys)
    with pytest.raises(GateFailed, match="another version of the SQL file"):
        product.reindex()
    assert EntityIndexes(product.client, product.entity).all() == []


def test_members_of_another_transform_are_compared_by_their_keys(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(world.aws["dynamodb"], 30)
    blue = str(rebuild(world.client, world.connect, tmp_path, run_id="blue")["index"])
    assert Index(world.client, blue).read_meta()["transform"] == dynamodb_item.TRANSFORM
    original = dynamodb_item.text_of
    monkeypatch.setattr(dynamodb_item, "text_of", lambda *args: original(*args).replace('"status":', '"was":'))
    monkeypatch.setattr(dynamodb_item, "TRANSFORM", dynamodb_item.TRANSFORM + 1)
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0)
    )
    assert (report.findings, report.reindex_due, report.keys_alone) == ([], True, True)
    key = next(iter(documents(world.client, blue)))
    world.client.request("DELETE", f"/{blue}/_doc/{key}", params={"refresh": "true"})
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0)
    )
    assert {finding.key: finding.kind for finding in report.findings} == {key: MISSING}


def test_a_new_field_of_members_makes_no_document_stale(world: World, include: Path, tmp_path: Path) -> None:
    """An item shows what is mapped: an index from before the field was has none of its values, and that is no fault."""
    for number in range(5):
        world.put(f"m-{number}", name="Ada", motto="who knows")
    blue = str(rebuild(world.client, world.connect, tmp_path, run_id="blue")["index"])
    assert (
        differences.find(
            EntityIndexes(world.client, world.source.entity).get(blue),
            world.source,
            effort=Effort(grace=0.0, sample=100),
        ).findings
        == []
    )
    file = include / "mappings" / "members.json"
    body = json.loads(file.read_text())
    body["mappings"]["properties"]["motto"] = {"type": "keyword"}
    file.write_text(json.dumps(body))
    world.entity = replace(world.entity)  # which has not read its files yet
    world.client.request("PUT", f"/{blue}/_mapping", body={"properties": {"motto": {"type": "keyword"}}})
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(blue), world.source, effort=Effort(grace=0.0, sample=100)
    )
    assert (report.findings, report.reindex_due, report.keys_alone) == ([], True, True)
    green = str(rebuild(world.client, world.connect, tmp_path, run_id="green")["index"])
    report = differences.find(
        EntityIndexes(world.client, world.source.entity).get(green), world.source, effort=Effort(grace=0.0, sample=100)
    )
    assert (report.findings, report.reindex_due, report.keys_alone) == ([], False, False)
    assert living(world.client, green)["m-1"]["motto"] == "who knows"
