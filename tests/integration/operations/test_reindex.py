"""A reindex end to end: what is served is the table, whatever goes wrong on the way; else blue goes on serving."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local import sample_data
from searchsync.catalog import Entity
from searchsync.cluster import aliases, creation, index
from searchsync.cluster.client import Backoff, Client, connect
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import fingerprints, reconcile
from searchsync.compare.absence import TooManyGone
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed, Reconciled
from searchsync.errors import (
    AliasConflict,
    AlreadyRunning,
    BadConnection,
    BadMapping,
    BadParams,
    BadSource,
    GateFailed,
    GreenDiscarded,
    IndexUnavailable,
    SearchSyncError,
    SourceChanged,
    SourceUnavailable,
    StaleSwap,
    WriteSetFull,
)
from searchsync.operations import gate, reindex, rollback
from searchsync.operations.reindex import Reindex
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.certificates import self_signed
from tests.faults import Link, OpenSearchProxy
from tests.steps import (
    Connect,
    connector,
    documents,
    fresh,
    insert,
    living,
    make_index,
    names,
    never,
    position,
    rebuild,
    serve,
    start_mortal,
    tombstones,
    with_dsn,
)

SEED = 20_260_103
SMALL = 300


@pytest.fixture
def small(owner: psycopg.Connection[Any]) -> int:
    """A few hundred rows."""
    sample_data.generate(owner, SMALL)
    return SMALL


@pytest.fixture
def run(client: Client, connect_source: Connect, reports: Path) -> Callable[..., dict[str, Any]]:
    """``operations.rebuild`` with runs that count up."""
    count = 0

    def call(**options: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        arguments: dict[str, Any] = {"run_id": f"run {count}", "partitions": 2, **options}
        given = (arguments.pop("client", client), arguments.pop("connect_source", connect_source))
        return rebuild(*given, reports, **arguments)

    return call


def rejected(reports: Path, run_id: str, step: str = "gate") -> list[dict[str, Any]]:
    path = reports / run_id / f"rejected-{step}.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_serves(client: Client, entity: Entity, owner: psycopg.Connection[Any], dsn: str) -> None:
    """The live index is the table, field by field, and it is alone."""
    live = EntityIndexes(client, entity).live()
    assert live is not None
    aliases.verify(EntityIndexes(client, entity), live)
    source = PostgresSource(entity, dsn)
    wanted = {
        json.loads(line.id): {k: v for k, v in json.loads(line.source).items() if k != "sync"}
        for page in source.pages(Partition(), page_bytes=10**6)
        for line in page.documents()
    }
    source.close()
    assert living(client, live) == wanted


def assert_untouched(client: Client, entity: Entity, blue: str, count: int) -> None:
    """Blue serves as before, alone, and nothing is left of the run."""
    aliases.verify(EntityIndexes(client, entity), blue)
    assert names(client, entity) == [blue]
    assert set(EntityIndexes(client, entity).write_set()) == {blue}
    assert client.request("GET", f"/{entity.name}/_count")["count"] == count


# -- runs that succeed


def test_first_and_second_run_serve_the_table(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    rows: int,
) -> None:
    report = run(partitions=3)
    assert (report["documents"], report["previous"], report["ledger"]["written"]) == (rows, None, rows)
    assert_serves(client, locations, owner, app.reader_dsn)
    first = report["index"]
    owner.execute("DELETE FROM locations WHERE location_id % 10 = 0")
    owner.execute("UPDATE locations SET name = 'changed' WHERE location_id % 10 = 1")
    report = run(partitions=3)
    assert (report["documents"], report["previous"]) == (rows * 9 // 10, first)
    assert_serves(client, locations, owner, app.reader_dsn)
    meta = {index.name: index for index in EntityIndexes(client, locations).all()}
    assert meta[first].left_read_at is not None
    assert meta[report["index"]].left_read_at is None
    assert set(EntityIndexes(client, locations).write_set()) == {first, report["index"]}, "blue is fed, to roll back to"


def test_deleted_documents_stay_deleted_in_the_next_index(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    source: PostgresSource,
    locations: Entity,
    small: int,
) -> None:
    run()
    with_row = source.read(["7"])  # a late writer holds the row as it was
    owner.execute("DELETE FROM locations WHERE location_id IN (7, 8)")
    writer.apply(EntityIndexes(client, locations), source.read(["7", "8", "never there"]), on_rejected=never)
    insert(owner, 8, "came back")
    report = run()
    assert (report["documents"], report["tombstones"]) == (small - 1, 3)
    late = writer.apply(EntityIndexes(client, locations), with_row, on_rejected=never)
    assert late[report["index"]].stale == 1
    found = documents(client, report["index"])
    assert found["7"]["sync"]["deleted"]
    assert found["never there"]["sync"]["deleted"]
    assert found["8"]["name"] == "came back"


def test_writes_during_a_reindex_are_neither_lost_nor_undone(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two live writers change, insert and delete while two reindexes run."""
    run()
    enough = threading.Event()
    failures: list[BaseException] = []
    batches = [0, 0]

    def live_writer(number: int) -> None:
        chance = random.Random(SEED + number)
        source = PostgresSource(locations, app.reader_dsn)
        try:
            with psycopg.connect(app.owner_dsn, autocommit=True) as connection:
                while not enough.is_set():
                    keys = [chance.randrange(1, rows + 200) for _ in range(5)]
                    for key in keys:
                        if chance.random() < 0.3:
                            connection.execute("DELETE FROM locations WHERE location_id = %s", [key])
                        else:
                            insert(connection, key, f"changed {chance.random()}")
                    pages = source.read(sorted({str(key) for key in keys}))
                    writer.apply(EntityIndexes(client, locations), pages, on_rejected=never)
                    batches[number] += 1
        except BaseException as error:  # handed to the test
            failures.append(error)
        finally:
            source.close()

    threads = [threading.Thread(target=live_writer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            run(bulk_bytes=50_000)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert not failures, f"seed {SEED}: {failures}"
    assert min(batches) > 3
    assert_serves(client, locations, owner, app.reader_dsn)


def test_a_repeated_load_finds_what_is_there(
    client: Client, source: PostgresSource, locations: Entity, small: int, reports: Path
) -> None:
    """A task that is cleared, or retried after a crash."""
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, locations), plan)
    rejections = Rejections(reports / "r.ndjson")
    first = reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
        source, Partition(None, ("200",)), rejections=rejections
    )
    assert (first.read, first.written) == (199, 199)
    again = reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
        source, Partition(), rejections=rejections
    )
    assert (again.read, again.written, again.stale) == (small, small - 199, 199)
    assert reindex.create_green(EntityIndexes(client, locations), plan) == green
    assert len(documents(client, green)) == small
    reindex.discard(EntityIndexes(client, locations), "b")
    for step in (
        lambda: reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
            source, Partition(), rejections=rejections
        ),
        lambda: reindex.Reindex(EntityIndexes(client, locations), plan, green).copy_tombstones(),
        lambda: gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections),
    ):
        with pytest.raises(GreenDiscarded, match="Clear this run from create_green"):
            step()
    with pytest.raises(StaleSwap):
        reindex.Reindex(EntityIndexes(client, locations), plan, green).swap()
    assert client.request("GET", "/_all", params={"expand_wildcards": "all"}) == {}


def test_load_into_a_blocked_index_says_so(
    client: Client, source: PostgresSource, locations: Entity, small: int, reports: Path
) -> None:
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, locations), plan)
    client.request("PUT", f"/{green}/_block/write")
    with pytest.raises(GreenDiscarded, match="who blocked it"):
        reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
            source, Partition(), rejections=Rejections(reports / "r.ndjson")
        )


# -- rejected documents


def test_poison_row_fails_the_gate_and_is_listed(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    small: int,
    reports: Path,
    include: Path,
) -> None:
    path = include / "mappings" / "locations.json"
    body = json.loads(path.read_text())
    del body["mappings"]["properties"]["region"]["ignore_above"]
    path.write_text(json.dumps(body))
    blue = run()["index"]
    insert(owner, 9_001, rate="NaN")
    insert(owner, 9_002, region="x" * 40_000)
    with pytest.raises(
        GateFailed, match=r'2 documents were rejected, 0 are allowed: see .*rejected-gate.ndjson.*"max_rejected"'
    ):
        run()
    assert_untouched(client, locations, blue, small)
    for step in ("load", "gate"):
        assert {line["id"]: line["type"] for line in rejected(reports, "run 2", step)} == {
            "9001": "mapper_parsing_exception",
            "9002": "illegal_argument_exception",
        }
    with pytest.raises(GateFailed, match="1 are allowed"):
        run(max_rejected=1)
    report = run(max_rejected=2)
    assert (report["documents"], report["gate"]["rejected"], report["ledger"]["rejected"]) == (small, 2, 2)
    assert (report["gate"]["source"], report["previous"]) == (small + 2, blue)


def test_row_without_a_usable_id_fails_the_gate_too(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    include: Path,
    reports: Path,
) -> None:
    sample_data.generate(owner, 20)
    path = include / "sql" / "locations.sql"
    path.write_text(path.read_text().replace("l.location_id::text ", "nullif(l.location_id, 3)::text "))
    source = connector(fresh(), app.reader_dsn)
    with pytest.raises(GateFailed, match="1 documents were rejected"):
        run(connect_source=source)
    assert [line["type"] for line in rejected(reports, "run 1")] == ["invalid_id"]
    assert run(connect_source=source, max_rejected=1)["documents"] == 19


def test_number_that_is_none_is_rejected_and_named(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    locations: Entity,
    reports: Path,
) -> None:
    insert(owner, 1)
    insert(owner, 2, rate="NaN")
    with pytest.raises(GateFailed, match="1 documents were rejected"):
        run()
    (line,) = rejected(reports, "run 1")
    assert line["id"] == "2"
    assert "rate" in line["reason"]
    assert names(client, locations) == []


PLACES = [{"latitude": "NaN"}, {"longitude": "Infinity"}, {"latitude": "-Infinity"}]


@pytest.mark.parametrize("columns", PLACES, ids=str)
def test_place_that_is_none_is_left_out_and_counted(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    columns: dict[str, str],
) -> None:
    insert(owner, 1)
    insert(owner, 2, **columns)
    report = run()
    assert (report["documents"], report["gate"]["rejected"], report["gate"]["ignored"]) == (2, 0, 1)
    query = {"exists": {"field": "coordinates"}}
    assert {hit["_id"] for hit in Index(client, report["index"]).scroll(query, source=False)} == {"1"}
    assert "no place on earth" in living(client, report["index"])["2"]["coordinates"]


def test_odd_but_valid_rows_are_served(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
) -> None:
    insert(owner, -1, '"\\\n\t\x01\x7f\u2028😀', region=None, timezone=None, rate=None, alternate_names=["", "\x02"])
    insert(owner, 2**63 - 1, "", population=-(2**63), latitude=-90, longitude=180)
    insert(owner, 0, "x" * 300_000)
    assert run()["documents"] == 3
    assert_serves(client, locations, owner, app.reader_dsn)


def test_lone_surrogate_never_passes_in_silence(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    include: Path,
    reports: Path,
) -> None:
    """A json column may hold half a character; no text has it. Others of the page are written all the same."""
    for n in range(5):
        insert(owner, n, f"name {n}")
    path = include / "sql" / "locations.sql"
    broken = """CASE WHEN l.location_id = 3 THEN '"half \\ud800 a character"'::json"""
    path.write_text(path.read_text().replace("CASE WHEN l.latitude", f"{broken} WHEN l.latitude"))
    source = connector(fresh(), app.reader_dsn)
    try:
        report = run(connect_source=source)
    except GateFailed:
        assert [line["id"] for line in rejected(reports, "run 1")] == ["3"]
    else:
        assert report["documents"] == 5
        assert "half" in documents(client, report["index"])["3"]["coordinates"]


# -- runs that are refused or fail: blue is untouched


def test_empty_table_is_not_served_unasked(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    locations: Entity,
    small: int,
) -> None:
    blue = run()["index"]
    owner.execute("DELETE FROM locations")
    with pytest.raises(GateFailed, match=r"is the table complete.*allow_shrink"):
        run()
    assert_untouched(client, locations, blue, small)
    assert run(allow_shrink=True)["documents"] == 0


def test_first_run_of_an_empty_table_is_not_served_unasked(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    locations: Entity,
) -> None:
    with pytest.raises(GateFailed, match="has 0 documents"):
        run()
    assert names(client, locations) == []


def test_table_that_shrank_by_half_is_not_served_unasked(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    locations: Entity,
    small: int,
) -> None:
    blue = run()["index"]
    owner.execute("DELETE FROM locations WHERE location_id > %s", [small * 4 // 10])
    with pytest.raises(GateFailed, match="allow_shrink"):
        run()
    assert_untouched(client, locations, blue, small)
    assert run(allow_shrink=True)["documents"] == small * 4 // 10


def break_sql(find: str, replace: str, *, version: int = 2) -> Callable[[Path], None]:
    def change(include: Path) -> None:
        path = include / "sql" / "locations.sql"
        text = path.read_text()
        assert find in text
        path.write_text(text.replace(find, replace).replace("transform: 1", f"transform: {version}"))

    return change


def break_mapping(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def act(include: Path) -> None:
        path = include / "mappings" / "locations.json"
        body = json.loads(path.read_text())
        change(body)
        path.write_text(json.dumps(body))

    return act


def remove(name: str) -> Callable[[Path], None]:
    return lambda include: (include / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(include: Path) -> None:
        (include / name).write_text(text)

    return change


SMOKE = '[{"name":"odd","sample":{"match_all":{}},"query":%s}]'
BROKEN: list[tuple[str, Callable[[Path], None], type[SearchSyncError], str]] = [
    ("no mapping file", remove("mappings/locations.json"), BadMapping, r"cannot read .*locations.json"),
    ("no SQL file", remove("sql/locations.sql"), BadSource, r"cannot read .*locations.sql"),
    ("no smoke file", remove("mappings/locations.smoke.json"), BadMapping, r"cannot read .*smoke.json"),
    ("no policy", remove("policies/thresholds.yaml"), BadParams, r"cannot read the policy .*thresholds.yaml"),
    ("policy is a list", write("policies/thresholds.yaml", "- 1"), BadParams, "mapping of names to numbers"),
    ("policy lacks a number", write("policies/thresholds.yaml", "rejected: 0"), BadParams, "yaml.*reconciled"),
    ("mapping is no JSON", write("mappings/locations.json", "{"), BadMapping, "is not JSON"),
    ("mapping is a list", write("mappings/locations.json", "[]"), BadMapping, "must be an object"),
    ("bad mappings", write("mappings/locations.json", '{"settings":{},"mappings":[]}'), BadMapping, "must be objects"),
    ("mapping not strict", break_mapping(lambda body: body["mappings"].pop("dynamic")), BadMapping, "strict"),
    ("no sync", break_mapping(lambda body: body["mappings"]["properties"].pop("sync")), BadMapping, "'sync' lacks"),
    ("refused", break_mapping(lambda body: body["settings"].update(number_of_shards=0)), BadMapping, "refuses"),
    ("smoke is no list", write("mappings/locations.smoke.json", "{}"), BadMapping, "must be a list"),
    ("no _id", break_sql("AS _id", "AS id"), BadSource, "column '_id'"),
    ("_hash", break_sql("AS _id,", "AS _id, 1::bigint AS _hash,"), BadSource, "column '_hash'"),
    ("no table", break_sql("FROM locations", "FROM no_such_table"), BadSource, "no_such_table"),
    ("_id twice", break_sql("l.location_id::text ", "(l.location_id / 2)::text "), BadSource, "more than one row"),
    ("field not mapped", break_sql("l.timezone,", "l.timezone, 1 AS extra,"), BadSource, "extra has no field"),
    ("field too small", break_mapping(lambda body: body["mappings"]["properties"]["population"].update(type="short")),
     BadSource, "population is bigint, .* map it as long"),
    ("version not raised", break_sql("l.name,", "upper(l.name) AS name,", version=1), BadSource, "transform: 2"),
    ("smoke fails", write("mappings/locations.smoke.json", SMOKE % '{"match_none":{}}'), GateFailed, "does not find"),
    ("smoke refused", write("mappings/locations.smoke.json", SMOKE % '{"no":{}}'), GateFailed, "refuses the smoke"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "error", "says"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken_file_is_named_and_blue_goes_on_serving(
    client: Client,
    run: Callable[..., dict[str, Any]],
    app: local_postgres.AppDatabase,
    include: Path,
    locations: Entity,
    source: PostgresSource,
    small: int,
    name: str,
    change: Callable[[Path], None],
    error: type[SearchSyncError],
    says: str,
) -> None:
    blue = serve(client, locations, identity=source.snapshot().identity)
    change(include)
    with pytest.raises(error, match=says):
        run(connect_source=connector(fresh(), app.reader_dsn))
    assert_untouched(client, locations, blue, 0)


def test_wrong_password_is_refused_before_anything_is_made(
    client: Client,
    run: Callable[..., dict[str, Any]],
    app: local_postgres.AppDatabase,
    locations: Entity,
) -> None:
    with pytest.raises(BadConnection, match="authentication failed"):
        run(connect_source=connector(locations, with_dsn(app.reader_dsn, password="wrong")))
    assert names(client, locations) == []


def test_cluster_that_makes_indexes_by_itself_is_refused(
    client: Client, run: Callable[..., dict[str, Any]], small: int
) -> None:
    setting = "action.auto_create_index"
    client.request("PUT", "/_cluster/settings", body={"persistent": {setting: "true"}})
    try:
        with pytest.raises(AliasConflict, match=setting):
            run()
    finally:
        client.request("PUT", "/_cluster/settings", body={"persistent": {setting: None}})


def test_concrete_index_under_the_alias_name_is_left_alone(
    client: Client, run: Callable[..., dict[str, Any]], small: int, locations: Entity
) -> None:
    client.request("PUT", "/locations")
    client.request("PUT", "/locations/_doc/1", body={"name": "somebody's"})
    with pytest.raises(AliasConflict, match="concrete index"):
        run()
    assert list(documents(client, "locations")) == ["1"]
    assert names(client, locations) == []


def test_fifth_member_is_refused_and_leaves_nothing(
    client: Client,
    run: Callable[..., dict[str, Any]],
    source: PostgresSource,
    small: int,
    locations: Entity,
) -> None:
    blue: str | None = None
    for n in range(4):
        blue = serve(client, locations, f"served {n}", blue, source.snapshot().identity)
    before = names(client, locations)
    with pytest.raises(WriteSetFull, match="index_retire"):
        run()
    assert names(client, locations) == before


def test_foreign_documents_of_green_are_replaced_or_buried(
    client: Client,
    source: PostgresSource,
    locations: Entity,
    small: int,
    reports: Path,
) -> None:
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, locations), plan)
    for key in ("7", "foreign"):
        client.request("PUT", f"/{green}/_doc/{key}", body={"name": "around the protocol"})
    rejections = Rejections(reports / "r.ndjson")
    assert (
        reindex.Reindex(EntityIndexes(client, source.entity), plan, green)
        .load(source, Partition(), rejections=rejections)
        .written
        == small
    )
    creation.make_searchable(EntityIndexes(client, locations), green)
    gated = gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)
    assert (gated.documents, gated.reconciled) == (small, 1)
    assert documents(client, green)["7"]["name"] != "around the protocol"
    assert documents(client, green)["foreign"]["sync"]["deleted"]


def built(client: Client, source: PostgresSource, reports: Path) -> tuple[reindex.ReindexPlan, str]:
    """An index that is loaded and searchable, before its gate."""
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, source.entity), plan)
    reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(
        source, Partition(), rejections=Rejections(reports / "load")
    )
    creation.make_searchable(EntityIndexes(client, source.entity), green)
    return plan, green


def test_rows_that_changed_since_the_load_are_no_fault_of_it(
    client: Client,
    source: PostgresSource,
    owner: psycopg.Connection[Any],
    small: int,
    reports: Path,
    include: Path,
) -> None:
    """A busy table changes more rows during a long load than a gate may reconcile: it could never pass."""
    policy = include / "policies" / "thresholds.yaml"
    policy.write_text(policy.read_text().replace("10000", "5"))
    owner.execute("UPDATE locations SET updated_at = now() - interval '9 days'")
    plan, green = built(client, source, reports)
    owner.execute("UPDATE locations SET name = 'later', updated_at = now() WHERE location_id <= 100")
    insert(owner, 3_000, "new", updated_at=datetime.now(UTC))
    owner.execute("UPDATE locations SET name = 'unnoticed' WHERE location_id = 200")
    rejections = Rejections(reports / "r.ndjson")
    gated = gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)
    assert (gated.caught_up, gated.reconciled, gated.documents) == (101, 1, small + 1)
    assert living(client, green)["100"]["name"] == "later"
    owner.execute("UPDATE locations SET name = 'broken load' WHERE location_id > 290")
    with pytest.raises(GateFailed, match="more than the 5 that may be reconciled"):
        gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)


def test_values_that_their_field_could_not_take_are_counted(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    small: int,
) -> None:
    """They stay in the document, and it is found by its other fields: whoever reads the report hears of them."""
    owner.execute("UPDATE locations SET created_at = 'infinity' WHERE location_id IN (3, 4)")
    report = run()
    assert (report["documents"], report["gate"]["rejected"], report["gate"]["ignored"]) == (small, 0, 2)
    assert living(client, report["index"])["3"]["created_at"] == "infinity"


@pytest.mark.parametrize("deleted", [290, 300])
def test_a_table_that_is_emptied_before_the_gate_takes_nothing_from_what_is_live(
    client: Client,
    run: Callable[..., dict[str, Any]],
    source: PostgresSource,
    owner: psycopg.Connection[Any],
    locations: Entity,
    small: int,
    reports: Path,
    deleted: int,
) -> None:
    """The gate reconciles into the whole write set: before it refused the small index, it had emptied the live one."""
    blue = run()["index"]
    before = documents(client, blue)
    plan, green = built(client, source, reports)
    owner.execute("DELETE FROM locations WHERE location_id <= %s", [deleted])
    with pytest.raises(TooManyGone, match=f'{deleted} of its {small} documents.*"allow_shrink": true'):
        gate.gate(
            Reindex(EntityIndexes(client, source.entity), plan, green),
            source,
            rejections=Rejections(reports / "r.ndjson"),
        )
    assert documents(client, blue) == before
    assert len(living(client, green)) == small
    if deleted < small:
        gated = gate.gate(
            Reindex(EntityIndexes(client, source.entity), plan, green),
            source,
            rejections=Rejections(reports / "r.ndjson"),
            allow_shrink=True,
        )
        assert (gated.documents, gated.source) == (small - deleted, small - deleted)


def test_only_tombstones_that_can_still_matter_are_copied_and_foreign_ones_hold_up_nothing(
    client: Client,
    run: Callable[..., dict[str, Any]],
    source: PostgresSource,
    locations: Entity,
    small: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a small table that changes much there are more tombstones than rows, and most of them are old."""
    blue = run()["index"]
    writer.apply(EntityIndexes(client, locations), source.read(["gone", "kept"]), on_rejected=never)
    writer.apply(EntityIndexes(client, locations), [tombstones(1, "old")], on_rejected=never)
    for n, sync in enumerate(({"deleted": True}, {"deleted": True, "position": 5}, {"deleted": True, "position": "z"})):
        client.request("PUT", f"/{blue}/_doc/foreign-{n}", body={"sync": sync})
    with caplog.at_level("WARNING"):
        report = run()
    assert report["tombstones"] == 2
    assert {key for key, doc in documents(client, report["index"]).items() if doc["sync"]["deleted"]} == {
        "gone",
        "kept",
    }
    (said,) = (text for text in caplog.messages if "tombstones are not of our form" in text)
    assert all(f"foreign-{n}" in said for n in range(3))


def test_gate_reconciles_drift_and_refuses_what_is_none(
    client: Client,
    source: PostgresSource,
    owner: psycopg.Connection[Any],
    locations: Entity,
    small: int,
    reports: Path,
    include: Path,
) -> None:
    plan = reindex.check(EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None)
    green = reindex.create_green(EntityIndexes(client, locations), plan)
    rejections = Rejections(reports / "r.ndjson")
    reindex.Reindex(EntityIndexes(client, source.entity), plan, green).load(source, Partition(), rejections=rejections)
    creation.make_searchable(EntityIndexes(client, locations), green)
    owner.execute("UPDATE locations SET name = 'later' WHERE location_id = 1")
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    insert(owner, 3_000, "new")
    found = gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)
    assert (found.caught_up, found.reconciled, found.documents, found.source) == (1, 2, small, small)
    assert {key: doc.get("name") for key, doc in documents(client, green).items() if key in ("1", "2", "3000")} == {
        "1": "later", "2": None, "3000": "new",
    }  # fmt: skip
    policy = include / "policies" / "thresholds.yaml"
    policy.write_text(policy.read_text().replace("10000", "5"))
    owner.execute("UPDATE locations SET name = 'broken load' WHERE location_id < 50")
    with pytest.raises(GateFailed, match="more than the 5 that may be reconciled"):
        gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)
    owner.execute("DELETE FROM locations WHERE location_id < 50")
    with pytest.raises(GateFailed, match=r"at least 4. keys differ"):
        gate.gate(Reindex(EntityIndexes(client, source.entity), plan, green), source, rejections=rejections)


def make_equal(client: Client, source: PostgresSource, green: str) -> Reconciled:
    write = reconcile.to_one(Index(client, green))
    index, yardstick, allowed = Index(client, green), Yardstick(source), Allowed(10, "")
    return reconcile.make_equal(index, yardstick, write=write, allowed=allowed, on_rejected=never)


def test_document_changed_around_the_protocol_is_reconciled_or_named(
    client: Client,
    source: PostgresSource,
    owner: psycopg.Connection[Any],
    locations: Entity,
    small: int,
) -> None:
    """With a position of the future it cannot be corrected, so the gate must not pass over it."""
    green = make_index(client, locations)
    writer.load(Index(client, green), source.pages(Partition(), page_bytes=10**6), on_rejected=never)
    Index(client, green).refresh()
    sync = documents(client, green)["5"]["sync"]
    client.request("PUT", f"/{green}/_doc/5", body={"name": "x", "sync": {**sync, "hash_low": 0}})
    Index(client, green).refresh()
    with pytest.raises(GateFailed, match="'5': just written"):  # nothing happened since: no later position
        make_equal(client, source, green)
    owner.execute("SELECT pg_current_xact_id()")
    reconciled = make_equal(client, source, green)
    assert (reconciled.unequal, reconciled.rounds) == (1, 2)
    future = {**sync, "hash_low": 0, "position": position(10**15)}
    client.request("PUT", f"/{green}/_doc/5", body={"name": "x", "sync": future})
    Index(client, green).refresh()
    with pytest.raises(GateFailed, match="but the source is at"):
        make_equal(client, source, green)


# -- two runs


def test_second_reindex_is_refused_unless_forced(
    client: Client, run: Callable[..., dict[str, Any]], small: int, locations: Entity
) -> None:
    blue = run()["index"]
    other = make_index(client, locations, "other run")
    with pytest.raises(AlreadyRunning, match=f'{other} is being built by other run.*"force"'):
        run()
    assert set(names(client, locations)) == {blue, other}
    assert run(force=True)["previous"] == blue
    with pytest.raises(StaleSwap):
        aliases.swap(EntityIndexes(client, locations), blue=blue, green=other)


@pytest.mark.parametrize("first", [True, False])
def test_two_forced_reindexes_at_once_end_with_one_index_served(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    small: int,
    first: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blue = None if first else run()["index"]
    meeting = threading.Barrier(2)
    swap = Reindex.swap

    def swap_together(run: Reindex) -> None:
        meeting.wait(60)
        swap(run)

    monkeypatch.setattr(Reindex, "swap", swap_together)
    outcomes: list[Any] = []

    def one(build: str) -> None:
        try:
            outcomes.append(run(run_id=build, force=True))
        except Exception as error:  # handed to the test
            outcomes.append(error)

    threads = [threading.Thread(target=one, args=(f"rival {n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(outcome) for outcome in outcomes} == {dict, StaleSwap}, outcomes
    (report,) = (outcome for outcome in outcomes if isinstance(outcome, dict))
    assert names(client, locations) == sorted({blue or report["index"], report["index"]})
    assert_serves(client, locations, owner, app.reader_dsn)


def test_green_of_a_dead_run_is_swept_and_that_of_a_living_one_is_not(
    client: Client, source: PostgresSource, locations: Entity, small: int
) -> None:
    blue = serve(client, locations)
    dead = make_index(client, locations, "dead")
    own = make_index(client, locations, "mine")
    with pytest.raises(AlreadyRunning):
        reindex.check(EntityIndexes(client, source.entity), source, run_id="mine", running=lambda _: True)
    with pytest.raises(AlreadyRunning):
        reindex.check(EntityIndexes(client, source.entity), source, run_id="mine", running=lambda _: None)
    assert set(names(client, locations)) == {blue, dead, own}
    with pytest.raises(SourceChanged):  # the made-up blue is of another source
        reindex.check(EntityIndexes(client, source.entity), source, run_id="mine", running=lambda _: False)
    assert set(names(client, locations)) == {blue, own}


# -- the source is not the one it was


def test_other_source_is_refused_and_accepted_as_a_new_epoch_that_writes_green_alone(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    source: PostgresSource,
    locations: Entity,
    small: int,
    proxy: OpenSearchProxy,
) -> None:
    blue = serve(client, locations)  # of a made-up source, without documents
    writer.apply(EntityIndexes(client, locations), [tombstones(10**12, "1", "not in the table")], on_rejected=never)
    with pytest.raises(SourceChanged, match=f'{blue} was built from.*"new_epoch": true'):
        run()
    assert_untouched(client, locations, blue, 0)
    plan = reindex.check(
        EntityIndexes(client, source.entity), source, run_id="b", running=lambda _: None, new_epoch=True
    )
    assert (plan.epoch, plan.fresh_epoch, plan.identity) == (2, True, source.snapshot().identity)
    proxy.before(f"POST /{locations.name}-.*/_refresh", lambda: insert(owner, 1, "changed during the run"))
    proxy.after("PUT /.*/_settings", lambda: insert(owner, 2, "changed before the gate"))
    report = run(client=connect(proxy.url), new_epoch=True)
    assert report["documents"] == small
    assert_serves(client, locations, owner, app.reader_dsn)
    assert {doc["sync"]["position"][:4] for doc in living_sync(client, report["index"])} == {"0002"}
    assert documents(client, blue).keys() == {"1", "not in the table"}, "blue is of the other source: never written"
    assert EntityIndexes(client, locations).write_set() == [report["index"]], "it left in the swap's own call"
    with pytest.raises(BadParams, match="has none"):
        rollback.plan(EntityIndexes(client, locations))
    assert run()["previous"] == report["index"]
    live = EntityIndexes(client, locations).live()
    assert [
        index.meta["source"]["epoch"] for index in EntityIndexes(client, locations).all() if index.name == live
    ] == [2]


def living_sync(client: Client, index: str) -> list[dict[str, Any]]:
    return [doc for doc in documents(client, index).values() if not doc["sync"]["deleted"]]


def test_live_writes_while_it_looks_are_not_taken_for_lost_commits(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    source: PostgresSource,
    small: int,
    locations: Entity,
) -> None:
    blue = run()["index"]

    def live_write() -> None:
        insert(owner, 1, "changed")
        late = PostgresSource(locations, source._dsn)
        writer.apply(EntityIndexes(client, locations), late.read(["1"]), on_rejected=never)
        late.close()
        Index(client, blue).refresh()

    hook = proxy.before(f"POST /{blue}/_search", live_write)
    plan = reindex.check(EntityIndexes(faulty, source.entity), source, run_id="b", running=lambda _: None)
    assert (hook.hits, plan.blue, plan.fresh_epoch) == (1, blue, False)


def test_index_of_unknown_source_is_refused(
    client: Client, run: Callable[..., dict[str, Any]], small: int, locations: Entity
) -> None:
    name = creation.find_or_create(EntityIndexes(client, locations), run_id="old", source={}).name
    aliases.join(EntityIndexes(client, locations), name)
    aliases.swap(EntityIndexes(client, locations), blue=None, green=name)
    with pytest.raises(SourceChanged, match="does not say which source"):
        run()
    assert run(new_epoch=True)["previous"] == name


# -- servers that go away


def test_opensearch_killed_in_the_middle_of_a_load_comes_back_and_the_run_succeeds(
    mortal: local_opensearch.Server,
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    locations: Entity,
    rows: int,
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = OpenSearchProxy(mortal.url)
    for module in ("searchsync.cluster.client", "searchsync.writing.writer", "searchsync.writing.bulk"):
        monkeypatch.setattr(f"{module}.Backoff", partial(Backoff, longest=0.5))
    restarted: list[local_opensearch.Server] = []

    def restart() -> None:
        mortal.kill()
        restarted.append(start_mortal(mortal.folder))

    restarting = threading.Thread(target=restart)
    try:
        proxy.after(r"POST /.*/_bulk\?timeout", restarting.start, skip=5)
        report = rebuild(
            connect(proxy.url), connector(locations, app.reader_dsn), reports, run_id="b", bulk_bytes=60_000
        )
        restarting.join()
        assert restarted
        assert report["documents"] == rows
        assert report["ledger"]["read"] == rows
        assert_serves(connect(mortal.url), locations, owner, app.reader_dsn)
    finally:
        proxy.close()


def test_postgres_cut_in_the_middle_of_a_load_fails_and_a_second_run_is_exact(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    postgres_proxy: Link,
    locations: Entity,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blue = run()["index"]
    source = connector(locations, with_dsn(app.reader_dsn, port=str(postgres_proxy.port)))
    postgres_proxy.cut_after = 300_000
    with pytest.raises(SourceUnavailable):
        run(connect_source=source)
    assert postgres_proxy.cuts == 1
    assert_untouched(client, locations, blue, rows)
    postgres_proxy.cut_after = None
    assert run(connect_source=source)["documents"] == rows
    assert_serves(client, locations, owner, app.reader_dsn)


def test_scan_whose_answer_was_lost_is_begun_again_not_continued(
    client: Client,
    faulty: Client,
    proxy: OpenSearchProxy,
    source: PostgresSource,
    locations: Entity,
    small: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "SCROLLED_AT_ONCE", 50)
    green = make_index(client, locations)
    writer.load(Index(client, green), source.pages(Partition(), page_bytes=10**6), on_rejected=never)
    Index(client, green).refresh()
    assert len(list(Index(client, green).scroll({"match_all": {}}, source=["sync"]))) == small
    proxy.lose_answer("POST /_search/scroll", skip=1)
    with pytest.raises(IndexUnavailable):
        list(Index(faulty, green).scroll({"match_all": {}}, source=["sync"]))
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    proxy.answer("POST /.*/_search", 200, {"timed_out": True, "_shards": shards, "hits": {"total": {"value": 0}}})
    with pytest.raises(IndexUnavailable, match="part of the index"):
        fingerprints.index_sums(Index(faulty, green), locations)


def test_certificate_that_is_not_trusted_is_refused_at_once(
    client: Client,
    opensearch_server: local_opensearch.Server,
    run: Callable[..., dict[str, Any]],
    locations: Entity,
    small: int,
    tmp_path: Path,
) -> None:
    trusted, context = self_signed(tmp_path)
    proxy = OpenSearchProxy(opensearch_server.url, tls=context)
    try:
        with pytest.raises(BadConnection, match=r"TLS to OpenSearch failed.*ca_certs"):
            run(client=connect(proxy.url))
        assert proxy.requests == []
        assert run(client=connect(proxy.url, ca_certs=str(trusted)))["documents"] == small
    finally:
        proxy.close()


@pytest.mark.parametrize("url", ["localhost:9200", "ftp://localhost", "", "http://"])
def test_address_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(BadParams, match="http"):
        connect(url)


def test_failed_cleaning_up_does_not_hide_why_the_run_failed(
    client: Client,
    run: Callable[..., dict[str, Any]],
    owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(*_: Any) -> None:
        raise IndexUnavailable("down")

    monkeypatch.setattr(reindex, "discard", down)
    with pytest.raises(GateFailed, match="has 0 documents"):
        run()


def test_smoke_queries_find_what_was_misspelt(
    client: Client, run: Callable[..., dict[str, Any]], owner: psycopg.Connection[Any]
) -> None:
    for n, name in enumerate(["Zürich", "Łódź", "Ouagadougou", "Anna", "São Paulo"]):
        insert(owner, n, name, region="DE.01", rate="10.10")
    report = run()
    smoke = report["gate"]["smoke"]
    assert (smoke["fuzzy name"], smoke["region and rate"], smoke["geo distance"]) == (1, 3, 3)
