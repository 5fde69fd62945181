"""Incremental sync: what an interval changed or deleted is found, whatever else runs, and never goes back in time."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from local import sample_data
from searchsync.catalog import Entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index, state_of
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.compare.absence import TooManyGone
from searchsync.errors import BadParams, EmptyWriteSet, IndexUnavailable, SourceChanged, SourceUnavailable
from searchsync.operations import sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.faults import Link
from tests.steps import (
    Connect,
    connector,
    documents,
    insert,
    living,
    make_index,
    make_red_index,
    rebuild,
    serve,
    with_dsn,
)

ROWS = 600
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture
def blue(client: Client, owner: psycopg.Connection, connect_source: Connect, tmp_path: Path) -> str:
    """The live index of 600 rows that were last changed long ago."""
    sample_data.generate(owner, ROWS)
    owner.execute("UPDATE locations SET updated_at = %s", [NOW - timedelta(days=30)])
    return str(rebuild(client, connect_source, tmp_path, run_id="blue")["index"])


@pytest.fixture
def rejections(tmp_path: Path) -> Iterator[Rejections]:
    with Rejections(tmp_path / "rejected") as rejections:
        yield rejections


def run(
    client: Client,
    app: local_postgres.AppDatabase,
    entity: Entity,
    rejections: Rejections,
    start: datetime = NOW - HOUR,
    end: datetime = NOW + HOUR,
    dsn: str = "",
    allow_deletes: int | None = None,
) -> dict[str, Any]:
    indexes = EntityIndexes(client, entity)
    served = sync.check(indexes)
    source = PostgresSource(entity, dsn or app.reader_dsn, epoch=served.epoch, identity=served.identity)
    try:
        interval = Interval(start, end)
        report = sync.run(indexes, source, served, interval, rejections=rejections, allow_deletes=allow_deletes)
        return report.as_dict()
    finally:
        source.close()


def counts(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["changed"], result["deleted"], result["late"], result["written"]


def rename(owner: psycopg.Connection, location_id: int, name: str, when: datetime = NOW) -> None:
    owner.execute("UPDATE locations SET name = %s, updated_at = %s WHERE location_id = %s", [name, when, location_id])


@pytest.fixture
def synced(
    client: Client,
    app: local_postgres.AppDatabase,
    locations: Entity,
    rejections: Rejections,
    blue: str,
) -> Any:
    """A sync of the last hour; keywords go to ``run``."""
    return lambda **options: run(client, app, locations, rejections, **options)


def test_changes_inserts_and_deletions_of_the_interval(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any
) -> None:
    rename(owner, 1, "changed")
    insert(owner, 5_000, "new", updated_at=NOW)
    owner.execute("DELETE FROM locations WHERE location_id IN (2, 3)")
    assert counts(synced()) == (2, 2, 0, 2)
    assert living(client, blue)["1"]["name"] == "changed"
    assert living(client, blue)["5000"]["name"] == "new"
    assert documents(client, blue)["2"]["sync"]["deleted"] is True
    assert len(living(client, blue)) == ROWS - 1


def test_nothing_to_do_reads_no_document(
    client: Client, blue: str, synced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hourly, on any table: a sync that compares everything each time would be a comparison."""
    monkeypatch.setattr(PostgresSource, "fingerprints", lambda _: pytest.fail("not needed"))
    assert counts(synced()) == (0, 0, 0, 0)


def test_a_second_sync_of_the_interval_changes_nothing(owner: psycopg.Connection, synced: Any) -> None:
    rename(owner, 1, "changed")
    first, second = synced(), synced()
    assert (first["written"], second["changed"], second["rejected"]) == (1, 1, 0)


def test_a_commit_after_its_interval_is_found_by_the_overlap(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any
) -> None:
    rename(owner, 1, "late", NOW - HOUR - timedelta(minutes=50))
    rename(owner, 2, "too late", NOW - 3 * HOUR)
    assert synced()["changed"] == 1
    assert living(client, blue)["1"]["name"] == "late"
    assert living(client, blue)["2"]["name"] != "too late", "that is for the comparison to find"


def test_what_a_count_betrays_is_found_by_keys_alone(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any
) -> None:
    """By hashes, a column more would make every document differ, and one deletion would rewrite the whole index."""
    owner.execute("UPDATE locations SET name = 'silent'")
    owner.execute("DELETE FROM locations WHERE location_id = 8")
    insert(owner, 9_000, "late", updated_at=NOW - 9 * HOUR)
    owner.execute("DELETE FROM locations WHERE location_id = 9")
    assert counts(synced()) == (0, 2, 1, 0)
    found = living(client, blue)
    assert "8" not in found
    assert found["9000"]["name"] == "late"
    assert [key for key, doc in found.items() if doc["name"] == "silent"] == []


# -- a deletion that is concluded from absence


@pytest.mark.parametrize("left", [0, 60, 400])
def test_a_table_that_is_being_filled_again_is_not_taken_for_deleted(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    left: int,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRUNCATE and the load behind it are two transactions, and the sync comes between: nothing is written."""
    green = str(rebuild(client, connect_source, tmp_path, run_id="green")["index"])
    made_at(client, monkeypatch, NOW - 2 * HOUR)
    before = {name: documents(client, name) for name in (blue, green)}
    owner.execute("DELETE FROM locations WHERE location_id > %s", [left])
    with pytest.raises(TooManyGone, match=rf'{ROWS - left} of its {ROWS} documents.*"allow_deletes": {ROWS - left}'):
        synced()
    assert {name: documents(client, name) for name in (blue, green)} == before
    assert (synced_at(client, blue), synced_at(client, green)) == (None, None)
    with pytest.raises(TooManyGone):
        synced(allow_deletes=ROWS - left - 1)
    assert synced(allow_deletes=ROWS - left)["deleted"] == ROWS - left
    assert len(living(client, blue)) == len(living(client, green)) == left


def test_a_table_that_is_emptied_while_its_keys_are_read_again_is_not_taken_for_deleted(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys were looked at before, when three rows were gone; the state that is written is read later."""
    states = PostgresSource.states

    def late(self: PostgresSource, keys: Any) -> Any:
        owner.execute("TRUNCATE locations")
        return states(self, keys)

    for number in range(300):
        insert(owner, 9_000 + number, updated_at=NOW - 9 * HOUR)
    monkeypatch.setattr(PostgresSource, "states", late)
    with pytest.raises(TooManyGone, match="300 of its 600"):
        synced()
    assert len(living(client, blue)) == len(documents(client, blue)) == ROWS


def test_what_a_person_let_go_of_goes_from_the_candidate_too(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    """A reindex that was told so has served the smaller table: nobody has to be asked a second time, each hour."""
    owner.execute("DELETE FROM locations WHERE location_id > 100")
    rebuild(client, connect_source, tmp_path, run_id="green", allow_shrink=True)
    assert synced()["deleted"] == ROWS - 100
    assert len(living(client, blue)) == 100


# -- an index that takes no writes holds up no other


def make_faulty(client: Client, name: str, fault: str) -> None:
    if fault == "blocked":
        client.request("PUT", f"/{name}/_block/write")
    elif fault == "closed":
        client.request("POST", f"/{name}/_close")


@pytest.mark.parametrize("fault", ["blocked", "closed", "red"])
def test_a_candidate_that_takes_no_writes_does_not_stop_the_live_one(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    fault: str,
    locations: Entity,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was handled first, and without a way around it: the hourly sync of the live index failed with it."""
    monkeypatch.setattr(writer, "UNWRITABLE_PATIENCE_SECONDS", 0.5)
    green = str(rebuild(client, connect_source, tmp_path, run_id="green")["index"])
    if fault == "red":
        unwritable = make_red_index(client, locations)
        served = {"add": {"index": unwritable, "alias": locations.served_alias, "is_hidden": True}}
        client.request("POST", "/_aliases", body={"actions": [served]})
    else:
        unwritable = blue
        make_faulty(client, unwritable, fault)
    made_at(client, monkeypatch, NOW - 2 * HOUR)
    rename(owner, 1, "changed", NOW - 3 * HOUR / 2)
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    result = synced()
    assert list(result["behind"]) == [unwritable]
    assert living(client, green)["1"]["name"] == "changed"
    assert "2" not in living(client, green)
    assert synced_at(client, green) is not None
    if fault != "blocked":
        return
    client.request("PUT", f"/{blue}/_settings", body={"index.blocks.write": None})
    result = synced(start=NOW)
    assert result["behind"] == {}
    assert living(client, blue)["1"]["name"] == "changed", "the next run begins where this index stands"
    assert "2" not in living(client, blue)


def test_delete_and_insert_of_the_same_key(client: Client, owner: psycopg.Connection, blue: str, synced: Any) -> None:
    owner.execute("DELETE FROM locations WHERE location_id = 1")
    synced()
    assert documents(client, blue)["1"]["sync"]["deleted"] is True
    insert(owner, 1, "again", updated_at=NOW)
    synced()
    assert living(client, blue)["1"]["name"] == "again"


def test_a_transaction_that_is_open_over_a_sync_is_found_by_the_next(
    client: Client, app: local_postgres.AppDatabase, blue: str, synced: Any
) -> None:
    """Its rows bear the time of their change, which is in the interval that was synced before they could be seen."""
    with psycopg.connect(app.owner_dsn) as late:
        rename(late, 1, "late", NOW - timedelta(minutes=50))
        late.execute("DELETE FROM locations WHERE location_id = 2")
        assert counts(synced(start=NOW - HOUR, end=NOW)) == (0, 0, 0, 0)
    assert living(client, blue)["1"]["name"] != "late"
    result = synced(start=NOW, end=NOW + HOUR)
    assert (result["changed"], result["deleted"]) == (1, 1)
    assert living(client, blue)["1"]["name"] == "late"
    assert "2" not in living(client, blue)


@pytest.mark.parametrize("when", ["open over the sync", "between its read and its write"])
def test_delete_and_insert_of_one_key_in_one_transaction_during_a_sync(
    client: Client,
    app: local_postgres.AppDatabase,
    blue: str,
    synced: Any,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key was never away: the sync must not bury it, nor its older page win over what follows."""
    written = writer.apply
    with psycopg.connect(app.owner_dsn) as replacing, psycopg.connect(app.owner_dsn) as other:
        rename(other, 1, "before")
        other.commit()

        def replace() -> None:
            replacing.execute("DELETE FROM locations WHERE location_id = 1")
            insert(replacing, 1, "again", updated_at=NOW)

        def meanwhile(*args: Any, **options: Any) -> Any:
            replace()
            replacing.commit()
            monkeypatch.setattr(writer, "apply", written)
            return written(*args, **options)

        if when == "open over the sync":
            replace()
        else:
            monkeypatch.setattr(writer, "apply", meanwhile)
        assert counts(synced())[:2] == (1, 0)
        assert living(client, blue)["1"]["name"] == "before"
        replacing.commit()
    assert counts(synced())[1] == 0
    assert living(client, blue)["1"]["name"] == "again"
    assert len(living(client, blue)) == ROWS


def test_a_changed_key_is_a_deletion_and_an_insert(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any
) -> None:
    """The count stays, so the sync sees the new row only; the comparison finds the old one."""
    owner.execute("UPDATE locations SET location_id = 9000, updated_at = %s WHERE location_id = 1", [NOW])
    assert counts(synced()) == (1, 1, 0, 1)
    assert "9000" in living(client, blue)
    assert "1" not in living(client, blue)


def test_update_of_every_row_and_delete_of_a_third(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of one moment: paging by time alone would pass over some, or never end."""
    monkeypatch.setattr(sync, "BULK_BYTES", 20_000)
    owner.execute("UPDATE locations SET population = 7, updated_at = %s", [NOW])
    owner.execute("DELETE FROM locations WHERE location_id %% 3 = 0", [])
    result = synced(allow_deletes=ROWS // 3)
    assert (result["changed"], result["deleted"]) == (ROWS - ROWS // 3, ROWS // 3)
    found = living(client, blue)
    assert len(found) == ROWS - ROWS // 3
    assert {doc["population"] for doc in found.values()} == {7}


def test_every_member_of_the_write_set_gets_it(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any, locations: Entity
) -> None:
    """During a reindex, and in the rollback window: a candidate that is not fed is none."""
    green = make_index(client, locations, "green")
    rename(owner, 1, "changed")
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    synced()
    for index in (blue, green):
        assert living(client, index)["1"]["name"] == "changed"
        assert documents(client, index)["2"]["sync"]["deleted"] is True


def test_a_row_deleted_just_before_a_swap_goes_from_the_rollback_candidate_too(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    """The new index never had it, so nothing in it tells that the old one still has it."""
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    rebuild(client, connect_source, tmp_path, run_id="green")
    assert "2" in living(client, blue)
    synced()
    assert "2" not in living(client, blue)


def test_a_sync_beside_a_reindex_and_overlapping_backfills_end_as_the_table(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    connect_source: Connect,
    tmp_path: Path,
    app: local_postgres.AppDatabase,
    locations: Entity,
) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        with psycopg.connect(app.owner_dsn, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                rename(connection, number % 50 + 1, f"name {number}", datetime.now(UTC))
                if number % 20 == 0:
                    connection.execute("DELETE FROM locations WHERE location_id = %s", [100 + number])

    def backfill(folder: str) -> None:
        try:
            with Rejections(tmp_path / folder) as rejections:
                while not stop.is_set():
                    run(client, app, locations, rejections)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write), *(threading.Thread(target=backfill, args=[f"r{n}"]) for n in range(2))]
    for thread in threads:
        thread.start()
    try:
        report = rebuild(client, connect_source, tmp_path, run_id="beside")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert failures == []
    synced()
    wanted = {str(row[0]): row[1] for row in owner.execute("SELECT location_id, name FROM locations")}
    for index in (blue, report["index"]):
        assert {key: doc["name"] for key, doc in living(client, index).items()} == wanted


def test_a_sync_over_the_swap_of_a_new_epoch_writes_no_index_of_either(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    locations: Entity,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its page is of the epoch before: the old index left in the swap's call, and in the new one it is stale."""
    rename(owner, 1, "before")
    written = writer.apply

    def swapped_meanwhile(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(writer, "apply", written)
        rename(owner, 1, "after")
        rebuild(client, connect_source, tmp_path, run_id="green", new_epoch=True)
        return written(*args, **options)

    before = documents(client, blue)
    monkeypatch.setattr(writer, "apply", swapped_meanwhile)
    with pytest.raises(IndexUnavailable, match="retired meanwhile"):
        synced()
    green = EntityIndexes(client, locations).live_or_raise()
    assert EntityIndexes(client, locations).write_set() == [green]
    assert documents(client, blue) == before
    assert living(client, green)["1"]["name"] == "after"
    assert synced()["index"] == green


def test_time_zones_and_the_hour_that_comes_twice(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any
) -> None:
    """Bounds are moments, whatever zone they are written in, and the session's own zone means nothing."""
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2025, 10, 26, 2, 30, tzinfo=berlin, fold=0)
    second = datetime(2025, 10, 26, 2, 30, tzinfo=berlin, fold=1)
    rename(owner, 1, "first", first.astimezone(UTC))
    rename(owner, 2, "second", second.astimezone(UTC))
    rename(owner, 3, "after", second.astimezone(UTC) + HOUR)
    result = synced(start=first, end=second.astimezone(UTC) + timedelta(minutes=1))
    assert result["changed"] == 2


def test_clocks_of_the_rows_may_be_ahead(owner: psycopg.Connection, synced: Any) -> None:
    """Skew within the interval's end is found in the next one; the row is not lost between the two."""
    rename(owner, 1, "ahead", NOW + timedelta(minutes=3))
    assert synced(start=NOW - HOUR, end=NOW)["changed"] == 0
    assert synced(start=NOW, end=NOW + HOUR)["changed"] == 1


@pytest.mark.parametrize(
    ("start", "end", "error"), [(NOW, NOW, "before it begins"), (NOW + HOUR, NOW + 2 * HOUR, "in the future")]
)
def test_an_interval_that_is_none_is_refused(synced: Any, start: datetime, end: datetime, error: str) -> None:
    with pytest.raises(BadParams, match=error):
        synced(start=start, end=end)


def test_without_a_live_index_there_is_nothing_to_sync(
    client: Client, app: local_postgres.AppDatabase, locations: Entity, rejections: Rejections
) -> None:
    with pytest.raises(EmptyWriteSet, match="locations_reindex"):
        run(client, app, locations, rejections)


def test_another_server_is_refused(
    client: Client, app: local_postgres.AppDatabase, locations: Entity, rejections: Rejections
) -> None:
    serve(client, locations, identity="7000000000000000009.00000001")
    with pytest.raises(SourceChanged, match="new_epoch"):
        run(client, app, locations, rejections)


def test_rows_that_cannot_be_indexed_are_listed_and_counted(
    client: Client, owner: psycopg.Connection, blue: str, synced: Any, rejections: Rejections
) -> None:
    owner.execute("UPDATE locations SET rate = 'NaN', updated_at = %s WHERE location_id = 1", [NOW])
    rename(owner, 2, "good")
    result = synced()
    assert (result["changed"], result["written"], result["rejected"]) == (2, 1, 1)
    assert rejections.count == 1


def test_a_source_that_goes_away_in_the_middle_is_synced_by_the_next_attempt(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    app: local_postgres.AppDatabase,
    locations: Entity,
    rejections: Rejections,
    postgres_server: local_postgres.Server,
    synced: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync, "BULK_BYTES", 20_000)
    owner.execute("UPDATE locations SET population = 7, updated_at = %s", [NOW])
    proxy = Link(postgres_server.port, cut_after=60_000)
    try:
        with pytest.raises(SourceUnavailable):
            run(client, app, locations, rejections, dsn=with_dsn(app.reader_dsn, port=proxy.port))
    finally:
        proxy.close()
    assert synced()["changed"] == ROWS
    assert {doc["population"] for doc in living(client, blue).values()} == {7}


def test_a_source_that_is_restarted_in_the_middle(
    client: Client,
    locations: Entity,
    rejections: Rejections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same database afterwards: the run goes on with the next page, without a new epoch, and nothing is lost."""
    server = local_postgres.start(tmp_path / "restarted")
    try:
        app = local_postgres.create_app(server)
        with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
            sample_data.generate(owner, ROWS)
            owner.execute("UPDATE locations SET updated_at = %s", [NOW - timedelta(days=30)])
            rebuild(client, connector(locations, app.reader_dsn), tmp_path, run_id="blue")
            owner.execute("UPDATE locations SET population = 7, updated_at = %s", [NOW])
        monkeypatch.setattr(sync, "BULK_BYTES", 20_000)
        written = writer.apply
        pages = 0

        def restart(*args: Any, **options: Any) -> Any:
            nonlocal server, pages
            pages += 1
            if pages == 3:
                server.stop()
                server = local_postgres.start(server.folder, port=server.port)
            return written(*args, **options)

        monkeypatch.setattr(writer, "apply", restart)
        result = run(client, app, locations, rejections)
        assert pages > 3
        assert (result["changed"], result["rejected"]) == (ROWS, 0)
        live = str(EntityIndexes(client, locations).live())
        assert {doc["population"] for doc in living(client, live).values()} == {7}
    finally:
        server.stop()


def made_at(client: Client, monkeypatch: pytest.MonkeyPatch, when: datetime) -> None:
    """As if all indexes had been made then: their names say when, and the gate's stamp."""
    monkeypatch.setattr(PhysicalIndex, "created", when)
    for name in state_of(client, "locations-*"):
        meta = Index(client, name).read_meta()
        Index(client, name).put_meta({key: value for key, value in meta.items() if key != "synced_at"})


def synced_at(client: Client, index: str) -> datetime | None:
    stamp = Index(client, index).read_meta().get("synced_at")
    return datetime.fromisoformat(stamp) if stamp else None


def test_a_sync_stamps_up_to_when_every_served_index_is_true(
    client: Client,
    blue: str,
    synced: Any,
    connect_source: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A paused DAG is noticed by the age of this stamp; a backfill of last year must not renew it, nor undo it."""
    green = str(rebuild(client, connect_source, tmp_path, run_id="green")["index"])
    made_at(client, monkeypatch, NOW - 2 * HOUR)
    synced(start=NOW - 50 * HOUR, end=NOW - 49 * HOUR)
    assert (synced_at(client, blue), synced_at(client, green)) == (None, None)
    synced(start=NOW - HOUR, end=NOW)
    assert (synced_at(client, blue), synced_at(client, green)) == (NOW, NOW)
    synced(start=NOW - 3 * HOUR, end=NOW - 2 * HOUR)
    assert synced_at(client, blue) == NOW
    synced(start=NOW, end=NOW + 9 * HOUR)
    stamped = synced_at(client, blue)
    assert stamped is not None
    assert stamped <= datetime.now(UTC), "the hours to come are not synced yet"


def test_after_a_pause_the_first_run_brings_what_was_missed(
    client: Client,
    owner: psycopg.Connection,
    blue: str,
    synced: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Airflow makes one run for the last hour only: without this the hours between are lost until the next reindex."""
    made_at(client, monkeypatch, NOW - 30 * HOUR)
    rename(owner, 1, "missed", NOW - 20 * HOUR)
    result = synced(start=NOW - HOUR, end=NOW)
    assert living(client, blue)["1"]["name"] == "missed"
    assert datetime.fromisoformat(result["from"]) == NOW - 30 * HOUR
    assert synced_at(client, blue) == NOW


def test_a_live_index_that_is_retired_meanwhile_is_left_to_the_next_attempt(
    client: Client,
    owner: psycopg.Connection,
    app: local_postgres.AppDatabase,
    locations: Entity,
    blue: str,
    rejections: Rejections,
    connect_source: Connect,
    tmp_path: Path,
) -> None:
    """Airflow tries again what is not permanent, and the next attempt sees the new live index."""
    served = sync.check(EntityIndexes(client, locations))
    rebuild(client, connect_source, tmp_path, run_id="green")
    aliases.delete(EntityIndexes(client, locations), blue)
    rename(owner, 1, "changed")
    source = PostgresSource(locations, app.reader_dsn, epoch=served.epoch, identity=served.identity)
    with pytest.raises(IndexUnavailable, match="retired meanwhile"):
        sync.run(
            EntityIndexes(client, source.entity),
            source,
            served,
            Interval(NOW - HOUR, NOW + HOUR),
            rejections=rejections,
        )
    source.close()
    again = run(client, app, locations, rejections)
    assert again["changed"] == 1
