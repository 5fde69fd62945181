"""What goes wrong while quality is looked at: what was found is not forgotten, what was not seen is not good."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from searchsync import config
from searchsync.catalog import Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, reconcile, repair
from searchsync.compare.differences import (
    DEFAULT_EFFORT,
    FOREIGN,
    MISSING,
    MOST_SUSPECTS,
    ORPHAN,
    STALE,
    DiffReport,
    Effort,
)
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed
from searchsync.config import Thresholds
from searchsync.deadline import Deadline
from searchsync.errors import IndexUnavailable, StreamBehind
from searchsync.operations import sync
from searchsync.operations.replay import Replay
from searchsync.operations.replay_report import NotAllReplayed, ReplayReport, check_all
from searchsync.operations.sync import Interval
from searchsync.quality import run
from searchsync.quality.history import History
from searchsync.quality.run import Wanted
from searchsync.sources.postgres import PostgresSource
from searchsync.stream import gaps
from searchsync.stream.pointers import Origins
from searchsync.telemetry import metrics
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.integration.compare.test_differences import behind_our_back, delete, found
from tests.members import World, newer
from tests.steps import Connect, fresh, living, make_index, rebuild, serve

GAP = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:00Z", "records": 5, "shard": "s"}
LONG_AGO = datetime.now(UTC) - timedelta(days=9)


@pytest.fixture
def blue(client: Client, owner: psycopg.Connection, connect_source: Connect, tmp_path: Path) -> str:
    """The live index of forty rows that were last changed long ago."""
    owner.execute(
        "INSERT INTO locations (location_id, name, country, latitude, longitude, updated_at)"
        " SELECT n, 'x', 'DE', 52, 13, %s FROM generate_series(1, 40) AS n",
        [LONG_AGO],
    )
    return str(rebuild(client, connect_source, tmp_path, run_id="blue")["index"])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No grace, and at most ten suspects are looked at."""
    original = differences.find

    def find(*args: Any, effort: Effort = DEFAULT_EFFORT, **options: Any) -> DiffReport:
        suspects = 10 if effort.suspects == MOST_SUSPECTS else effort.suspects
        return original(*args, **options, effort=replace(effort, grace=0.0, suspects=suspects))

    monkeypatch.setattr(differences, "find", find)


def evidence_in(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "quality.json").read_text())
    return read


# -- a run


def test_a_repair_that_fails_and_its_retry_take_nothing_away(
    client: Client, source: PostgresSource, locations: Entity, blue: str, tmp_path: Path
) -> None:
    """The live index is written first, so the retry finds nothing: green, it would say that nothing ever was."""
    candidate = make_index(client, locations, "<candidate>")
    delete(client, blue, "1")
    client.request("PUT", f"/{candidate}/_block/write")
    wanted, folder = Wanted("locations_quality/one", repair="on"), tmp_path / "one"
    in_time = EntityIndexes(client, locations).until(Deadline.within(8.0))
    first = run.run(in_time, source, blue, None, folder, wanted)
    assert (first["verdict"], first["kinds"], first["repair"]["dry_run"]) == ("bad", {"missing": 1}, False)
    assert candidate in first["repair"]["failed"]
    assert "the repair failed" in first["problems"][-1]
    assert "did not end" in (folder / "summary.html").read_text()
    assert "1" in living(client, blue), "half of it was written"

    aliases.delete(EntityIndexes(client, locations), candidate)
    again = run.run(EntityIndexes(client, source.entity), source, blue, None, folder, wanted)
    assert (again["verdict"], again["kinds"], again["confirmed"]) == ("bad", {"missing": 1}, 1)
    assert "no row is missing in the index" in {failed["name"] for failed in again["failed"]}
    assert (again["recovered"], again["repair"]) == (False, first["repair"])
    assert [finding["key"] for finding in evidence_in(folder)["comparison"]["findings"]] == ["1"]
    (kept,) = History(client).latest(locations)
    assert (kept["verdict"], kept["kinds"], kept["failed"]) == ("bad", {"missing": 1}, first_names(first))
    next_run = run.run(
        EntityIndexes(client, source.entity), source, blue, None, tmp_path / "two", Wanted("locations_quality/two")
    )
    assert (next_run["verdict"], next_run["recovered"]) == ("good", True)


def test_the_alarm_hears_of_what_searches_find(
    client: Client,
    source: PostgresSource,
    locations: Entity,
    blue: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not of an index that nobody searches, which may lack everything."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics, "_write", written.append)
    candidate = make_index(client, locations, "<candidate>")
    delete(client, blue, "1")
    for name in (blue, candidate):
        run.run(EntityIndexes(client, locations), source, name, None, tmp_path / name, Wanted(name))
    assert [(line["Entity"], line["Differences"], line["index"]) for line in written] == [("locations", 1, blue)]


def first_names(result: dict[str, Any]) -> list[str]:
    return [failed["name"] for failed in result["failed"]]


def test_a_retry_on_a_worker_without_the_evidence_stays_bad(
    client: Client, source: PostgresSource, locations: Entity, blue: str, tmp_path: Path
) -> None:
    delete(client, blue, "1")
    wanted = Wanted("locations_quality/one")
    run.run(EntityIndexes(client, source.entity), source, blue, None, tmp_path / "killed", wanted)
    repair.repair(
        EntityIndexes(client, source.entity),
        source,
        differences.find(EntityIndexes(client, source.entity).get(blue), source),
        dry_run=False,
    )
    again = run.run(EntityIndexes(client, source.entity), source, blue, None, tmp_path / "other", wanted)
    assert (again["verdict"], again["kinds"]) == ("bad", {"missing": 1})
    assert [failed["severity"] for failed in again["failed"]] == ["critical", "critical"]


def test_the_summary_shows_a_cause_and_does_not_run_it() -> None:
    from searchsync.quality.report import _repair

    page = _repair({"dry_run": False, "failed": "<script>alert(1)</script>"})
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_the_summary_shows_what_an_attempt_of_the_build_before_has_found() -> None:
    """A run that was bad is tried again after a deployment: it must not fail by a figure's former name."""
    from searchsync.quality.report import _comparison

    report = DiffReport("blue").as_dict()
    report["unsettled"] = report.pop("moving")
    assert "<td>confirmed</td><td>0</td>" in _comparison(report)


def test_more_than_can_be_looked_at_ends_with_evidence(
    client: Client,
    owner: psycopg.Connection,
    source: PostgresSource,
    locations: Entity,
    blue: str,
    tmp_path: Path,
) -> None:
    owner.execute("UPDATE locations SET name = 'y' WHERE location_id <= 20")
    gaps.note(EntityIndexes(client, locations), GAP)
    result = run.run(
        EntityIndexes(client, source.entity), source, blue, None, tmp_path, Wanted("locations_quality/one", repair="on")
    )
    assert (result["verdict"], result["not_looked_at"], result["confirmed"]) == ("bad", 20, 0)
    assert first_names(result) == ["no more differs than can be looked at"]
    assert result["repair"] is None
    assert evidence_in(tmp_path)["comparison"]["not_looked_at"] == 20
    assert [noted.gap for noted in gaps.of_index(Index(client, blue))] == [GAP], (
        "nothing was seen, so nothing is closed"
    )
    assert "with repair, then once more" in result["problems"][0]
    (kept,) = History(client).latest(locations)
    assert (kept["not_looked_at"], kept["unusable"]) == (20, 0)
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(suspects=20))
    assert (report.good, report.not_looked_at, report.kinds) == (False, 0, {STALE: 20})


def test_foreign_documents_are_counted_before_they_are_read(
    client: Client, source: PostgresSource, blue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(11):
        client.request("PUT", f"/{blue}/_doc/foreign-{n}", body={"name": "x"})
    with monkeypatch.context() as patched:
        patched.setattr(differences, "_ids", None)
        report = differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(sample=0))
    assert (report.not_looked_at, report.findings, report.good) == (11, [], False)
    assert differences.find(
        EntityIndexes(client, source.entity).get(blue), source, effort=Effort(suspects=11)
    ).kinds == {FOREIGN: 11}


def test_a_row_of_which_no_document_can_be_made_is_no_silence(
    client: Client,
    blue: str,
    app: Any,
    include: Path,
    tmp_path: Path,
) -> None:
    file = include / "sql" / "locations.sql"
    file.write_text(file.read_text().replace("l.location_id::text ", "nullif(l.location_id, 7)::text ", 1))
    source = PostgresSource(fresh(), app.reader_dsn)
    delete(client, blue, "7")
    try:
        assert source.count() == 39, "as the sync counts"
        result = run.run(
            EntityIndexes(client, source.entity), source, blue, None, tmp_path, Wanted("locations_quality/one")
        )
    finally:
        source.close()
    assert (result["unusable"], result["kinds"], result["verdict"]) == (1, {}, "bad")
    assert "each row can be a document" in first_names(result)


def test_an_item_of_which_no_document_can_be_made_is_no_silence(world: World) -> None:
    blue = serve(world.client, world.entity)
    world.put("k" * 600, name="x")
    report = differences.find(EntityIndexes(world.client, world.source.entity).get(blue), world.source)
    assert (report.unusable, report.findings) == (1, [])


def test_a_stream_that_falls_behind_meanwhile_leaves_a_result(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue = serve(world.client, world.entity)

    def find(*_: Any, **__: Any) -> DiffReport:
        raise StreamBehind("301 s behind the stream")

    monkeypatch.setattr(differences, "find", find)
    result = run.run(
        EntityIndexes(world.client, world.source.entity),
        world.source,
        blue,
        world.feed,
        tmp_path,
        Wanted("members_quality/one"),
    )
    assert (result["verdict"], result["level"], result["problems"]) == ("bad", "light", ["301 s behind the stream"])
    assert evidence_in(tmp_path)["comparison"] is None


# -- what is pending


def test_a_change_that_no_sync_will_read_is_not_pending(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str
) -> None:
    now = datetime.now(UTC)
    for key, moment in ((1, now + timedelta(minutes=30)), (2, now + timedelta(days=2)), (3, "infinity")):
        owner.execute("UPDATE locations SET name = 'y', updated_at = %s WHERE location_id = %s", [moment, key])
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, since=now)
    assert (found(report), report.pending) == ({"2": STALE, "3": STALE}, 1)


def test_the_overlap_is_read_once(
    client: Client,
    owner: psycopg.Connection,
    source: PostgresSource,
    blue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner.execute("UPDATE locations SET name = 'y' WHERE location_id <= 9")
    asked: list[Thresholds] = []

    def thresholds(of: Entity) -> Thresholds:
        asked.append(config.thresholds(of))
        return asked[-1]

    monkeypatch.setattr(differences, "thresholds", thresholds)
    assert (
        len(differences.find(EntityIndexes(client, source.entity).get(blue), source, since=datetime.now(UTC)).findings)
        == 9
    )
    assert len(asked) == 1


def test_an_orphan_that_a_refused_row_makes_up_for_is_reported(
    client: Client, owner: psycopg.Connection, source: PostgresSource, blue: str
) -> None:
    """The counts are equal, so no sync looks for it: it would be served for ever."""
    since = datetime.now(UTC)
    owner.execute("DELETE FROM locations WHERE location_id = 1")
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, since=since)
    assert (found(report), report.pending) == ({}, 1), "the next sync counts one too many"
    delete(client, blue, "2")
    owner.execute("UPDATE locations SET latitude = 500 WHERE location_id = 2")
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, since=since)
    assert (found(report), report.pending) == ({"1": ORPHAN, "2": MISSING}, 0)
    owner.execute("UPDATE locations SET latitude = 50, updated_at = %s WHERE location_id = 2", [since])
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source, since=since)
    assert (found(report), report.pending) == ({}, 2), "the next sync brings the row, and then counts one too many"


# -- documents and indexes that somebody else touched


@pytest.mark.parametrize("halves", [{"hash_high": None}, {"hash_high": "5"}, {"hash_low": 1.5}, {"bucket": None}])
def test_a_document_with_half_of_our_fields_is_foreign(
    client: Client, source: PostgresSource, blue: str, halves: dict[str, Any]
) -> None:
    behind_our_back(client, blue, "4", name="edited", sync=halves)
    report = differences.find(EntityIndexes(client, source.entity).get(blue), source)
    assert found(report) == {"4": FOREIGN}
    repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
    assert differences.find(EntityIndexes(client, source.entity).get(blue), source).good
    behind_our_back(client, blue, "5", sync=halves)
    assert differences.find(EntityIndexes(client, source.entity).get(blue), source, effort=Effort(sample=40)).kinds == {
        FOREIGN: 1
    }


def leave_before_the_write(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Somebody retires an index between the read and the write of its repair."""
    apply = writer.apply

    def late(indexes: EntityIndexes, *args: Any, **options: Any) -> Any:
        aliases.leave(indexes, name)
        return apply(indexes, *args, **options)

    monkeypatch.setattr(writer, "apply", late)


def test_an_index_that_left_is_not_said_to_be_changed_around_the_writer(
    client: Client,
    source: PostgresSource,
    locations: Entity,
    blue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidate = make_index(client, locations, "candidate")
    report = differences.find(EntityIndexes(client, source.entity).get(candidate), source, effort=Effort(suspects=40))
    leave_before_the_write(monkeypatch, candidate)
    write = reconcile.to_all(EntityIndexes(client, locations), candidate)
    index, yardstick, allowed = Index(client, candidate), Yardstick(source), Allowed(100, "")
    with pytest.raises(IndexUnavailable, match="left the write set"):
        reconcile.make_equal(index, yardstick, write=write, allowed=allowed, on_rejected=lambda _: None)
    monkeypatch.undo()
    aliases.join(EntityIndexes(client, locations), candidate)
    leave_before_the_write(monkeypatch, candidate)
    with pytest.raises(IndexUnavailable, match="left the write set"):
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)


def test_a_sync_goes_on_without_a_candidate_that_left(
    client: Client,
    owner: psycopg.Connection,
    source: PostgresSource,
    locations: Entity,
    blue: str,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    green = str(rebuild(client, connect_source, tmp_path, run_id="green")["index"])
    owner.execute("DELETE FROM locations WHERE location_id = 1")
    leave_before_the_write(monkeypatch, blue)
    now, served = datetime.now(UTC), sync.check(EntityIndexes(client, locations))
    with Rejections(tmp_path / "rejected") as rejections:
        sync.run(
            EntityIndexes(client, source.entity),
            source,
            served,
            Interval(now - timedelta(hours=1), now),
            rejections=rejections,
        )
    assert len(living(client, green)) == 39


def test_a_refused_key_is_counted_once_and_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """However many members of the write set it is not written to."""
    blue = serve(world.client, world.entity)
    make_index(world.client, world.entity, "green")
    world.entity = newer(world.entity)
    world.put("m-1", sync={"M": {"position": {"S": "9"}}})
    world.put("m-2", nickname="x")
    report = differences.find(EntityIndexes(world.client, world.source.entity).get(blue), world.source)
    assert (report.kinds, report.unusable) == ({MISSING: 1}, 1), "of m-1 no index can have a document"
    done = repair.repair(EntityIndexes(world.client, world.source.entity), world.source, report, dry_run=False)
    assert (done.found, done.written, done.rejected) == (1, 0, 1)
    said = [record.getMessage() for record in caplog.records if record.name == "searchsync.compare.repair"]
    assert any(f"{blue}: m-2: strict_dynamic_mapping_exception" in text for text in said)


# -- pointers into a stream


class Stream:
    """The table's stream as it is on AWS: the oldest records are gone, answers are empty.

    :ivar gone: sequence number of the last record that was forgotten
    :ivar empty: so many answers are empty before the first record
    """

    def __init__(self, streams: Any, *, gone: int = 0, empty: int = 0) -> None:
        self._streams, self.gone, self.empty = streams, gone, empty

    def get_shard_iterator(self, **wanted: Any) -> Any:
        if 0 < int(wanted.get("SequenceNumber", self.gone + 1)) <= self.gone:
            raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetShardIterator")
        return self._streams.get_shard_iterator(**wanted)

    def get_records(self, **wanted: Any) -> Any:
        if self.empty:
            self.empty -= 1
            return {"Records": [], "NextShardIterator": wanted["ShardIterator"]}
        answer = self._streams.get_records(**wanted)
        left = [record for record in answer["Records"] if int(record["dynamodb"]["SequenceNumber"]) > self.gone]
        return {**answer, "Records": left}


def replayed(world: World, streams: Stream) -> ReplayReport:
    return Replay(
        EntityIndexes(world.client, world.source.entity), world.source, world.dead, world.parked, Origins(streams, None)
    ).run()


def test_a_pointer_whose_first_records_are_gone_brings_the_others(world: World) -> None:
    blue = serve(world.client, world.entity)
    for n in range(6):
        world.put(f"m-{n}", name="x")
    records = world.records()
    world.send_pointer(records[1:5])
    last_gone = int(records[2]["dynamodb"]["SequenceNumber"])
    report = replayed(world, Stream(world.aws["dynamodbstreams"], gone=last_gone))
    assert sorted(living(world.client, blue)) == ["m-3", "m-4"]
    assert [gap["records"] for gap in report.gaps] == [2]
    assert world.messages() == []


def test_empty_answers_before_a_pointers_end_are_no_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searchsync.stream.reader.PAUSE_SECONDS", 0.01)
    blue = serve(world.client, world.entity)
    world.put("m-1", name="x")
    world.send_pointer(world.records())
    report = replayed(world, Stream(world.aws["dynamodbstreams"], empty=20))
    assert (report.gaps, sorted(living(world.client, blue))) == ([], ["m-1"])


def test_a_stream_that_stays_empty_keeps_the_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searchsync.stream.reader.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("searchsync.stream.reader.PATIENCE_SECONDS", 0.2)
    blue = serve(world.client, world.entity)
    world.put("m-1", name="x")
    world.send_pointer(world.records())
    report = replayed(world, Stream(world.aws["dynamodbstreams"], empty=10_000))
    with pytest.raises(NotAllReplayed, match="answers with nothing"):
        check_all(report.as_dict())
    assert gaps.of_index(Index(world.client, blue)) == []
    assert len(world.messages()) == 1, "in sight again at once"
