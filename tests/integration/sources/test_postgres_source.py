"""Reading PostgreSQL: every row in exactly one range and page, the same bytes for any login, no false positions."""

import json
import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from local import postgres as local_postgres
from local import system_user
from searchsync.catalog import Entity
from searchsync.documents.page import Page, sync_of
from searchsync.documents.position import Snapshot
from searchsync.errors import BadConnection, BadParams, BadSource, SourceChanged, SourceUnavailable
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition
from tests.faults import Link
from tests.steps import fresh, insert, until, with_dsn

SEED = 20_260_102
ALL = Partition()


def ids(pages: list[Page]) -> list[str]:
    return [json.loads(line.id) for page in pages for line in page.documents()]


def sources(pages: list[Page]) -> dict[str, dict[str, Any]]:
    return {json.loads(line.id): json.loads(line.source) for page in pages for line in page.documents()}


def other_sql(include: Path, text: str, key: tuple[str, ...] = ("location_id",)) -> Entity:
    """The entity with another SQL file."""
    (include / "sql" / "locations.sql").write_text(text)
    return fresh(key=key)


# -- partitions


KEYS = {
    "bigint": st.tuples(st.integers(-(2**63), 2**63 - 1)),
    "text": st.tuples(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)),
    "char(5)": st.tuples(st.text("abcXYZ", min_size=1, max_size=5)),
    "timestamptz": st.tuples(st.integers(-(10**9), 4 * 10**9).map(lambda second: datetime.fromtimestamp(second, UTC))),
    "bigint,text": st.tuples(st.integers(-3, 3), st.text("aBé _%'\"\\", max_size=3)),
}


@pytest.mark.parametrize("types", KEYS)
@settings(max_examples=12)
@given(data=st.data())
def test_every_row_is_in_exactly_one_range_and_page(
    app: local_postgres.AppDatabase, include: Path, types: str, data: st.DataObject
) -> None:
    """Rows inserted after planning, of whatever key, belong to some range too."""
    planned = data.draw(st.lists(KEYS[types], max_size=30, unique=True), label="planned")
    later = data.draw(st.lists(KEYS[types], max_size=10, unique=True), label="later")
    n = data.draw(st.integers(1, 40), label="n")
    page_bytes = data.draw(st.sampled_from([1, 700, 5_000_000]), label="page_bytes")
    columns = [f"k{at}" for at in range(types.count(",") + 1)]
    text: LiteralString = "SELECT n::text AS _id, n, {keys} FROM keyed"
    keys = sql.SQL(", ").join(map(sql.Identifier, columns))
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        definition = ", ".join(
            f"{column} {kind} NOT NULL" for column, kind in zip(columns, types.split(","), strict=True)
        )
        owner.execute("DROP TABLE IF EXISTS keyed")
        owner.execute(sql.SQL("CREATE TABLE keyed (n bigserial, " + definition + ", PRIMARY KEY ({}))").format(keys))
        owner.execute("GRANT SELECT ON keyed TO PUBLIC")
        places = sql.SQL(", ").join([sql.Placeholder()] * len(columns))
        put = sql.SQL("INSERT INTO keyed ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(keys, places)
        with owner.cursor() as cursor:
            cursor.executemany(put, planned)
        source = PostgresSource(
            other_sql(include, sql.SQL(text).format(keys=keys).as_string(), tuple(columns)), app.reader_dsn
        )
        partitions = source.partitions(n)
        assert 1 <= len(partitions) <= n
        with owner.cursor() as cursor:
            cursor.executemany(put, later)
        wanted = {str(row[0]) for row in owner.execute("SELECT n FROM keyed")}
        found = [key for partition in partitions for key in ids(list(source.pages(partition, page_bytes=page_bytes)))]
        source.close()
    assert Counter(found) == Counter(wanted)


def test_ranges_are_about_equal_and_named_by_their_ends(source: PostgresSource, rows: int) -> None:
    partitions = source.partitions(7)
    sizes = [sum(page.count for page in source.pages(partition, page_bytes=10**6)) for partition in partitions]
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) < 10
    assert str(partitions[0]) == f"..{partitions[1].lower[0]}"  # type: ignore[index]
    assert str(ALL) == "all"


@pytest.mark.parametrize("n", [0, -1, 257])
def test_number_of_partitions_out_of_range_is_refused(source: PostgresSource, n: int) -> None:
    with pytest.raises(BadParams, match="between 1 and 256"):
        source.partitions(n)


# -- pages


def test_pages_keep_to_their_bytes_and_lose_nothing(source: PostgresSource, rows: int) -> None:
    pages = list(source.pages(ALL, page_bytes=50_000))
    assert all(0 < len(page.body) <= 50_000 for page in pages)
    assert len(pages) < 2 * sum(len(page.body) for page in pages) / 50_000 + 5
    assert ids(pages) == [str(n) for n in range(1, rows + 1)]


@settings(max_examples=8)
@given(
    sizes=st.lists(st.sampled_from([1, 10, 400, 30_000, 120_000]), min_size=1, max_size=40),
    limit=st.sampled_from([1, 5_000, 60_000]),
)
@example(sizes=[10] * 20 + [120_000] * 4 + [10] * 20, limit=60_000)
def test_huge_rows_among_small_ones_are_neither_lost_nor_doubled(
    owner: psycopg.Connection[Any], source: PostgresSource, sizes: list[int], limit: int
) -> None:
    owner.execute("TRUNCATE locations")
    for n, size in enumerate(sizes):
        insert(owner, n, "x" * size)
    pages = list(source.pages(ALL, page_bytes=limit))
    assert ids(pages) == [str(n) for n in range(len(sizes))]
    assert all(len(page.body) <= limit or page.count == 1 for page in pages)


def test_pages_resume_behind_the_last_key_while_rows_change(
    owner: psycopg.Connection[Any], source: PostgresSource, rows: int
) -> None:
    pages = source.pages(ALL, page_bytes=100_000)
    first = next(pages)
    owner.execute("DELETE FROM locations WHERE location_id <= %s OR location_id = 1999", [first.count + 5])
    insert(owner, -5, "behind")
    insert(owner, 5_000, "ahead")
    found = ids(list(pages))
    assert found == [*(str(n) for n in range(first.count + 6, rows + 1) if n != 1999), "5000"]


def test_positions_of_pages_do_not_fall(owner: psycopg.Connection[Any], source: PostgresSource, rows: int) -> None:
    positions = []
    for page in source.pages(ALL, page_bytes=100_000):
        positions.append(page.position)
        assert {sync_of(line)["position"] for line in page.documents()} == {page.position}
        insert(owner, -len(positions))
    assert positions == sorted(positions)
    assert len(set(positions)) == len(positions)


def test_ids_that_no_document_can_have_are_rejected_and_counted(
    owner: psycopg.Connection[Any], app: local_postgres.AppDatabase, include: Path
) -> None:
    for n, name in enumerate(["fine", "", "é" * 256, "é" * 257, "x" * 512, "x" * 513, "NULL please", "fine too"]):
        insert(owner, n, name)
    entity = other_sql(
        include,
        "SELECT nullif(name, 'NULL please') AS _id, location_id FROM locations l",
    )
    source = PostgresSource(entity, app.reader_dsn)
    for page_bytes in (1, 10**6):
        pages = list(source.pages(ALL, page_bytes=page_bytes))
        assert ids(pages) == ["fine", "é" * 256, "x" * 512, "fine too"]
        rejected = [rejection for page in pages for rejection in page.rejected]
        assert [r.id for r in rejected] == ["", "é" * 257, "x" * 513, "NULL"]
        assert {(r.type, r.index) for r in rejected} == {("invalid_id", "")}
    assert sum(count for count, _, _ in source.fingerprints().values()) == 4
    assert [r.id for r in source.unusable()] == [r.id for r in rejected]
    source.close()


def test_json_with_line_breaks_stays_one_line(
    owner: psycopg.Connection[Any], app: local_postgres.AppDatabase, include: Path
) -> None:
    insert(owner, 1, "plain")
    insert(owner, 2, '{\n  "a": "b\\nc",\r\n\t"d": [1,\n2]\n}')
    entity = other_sql(
        include,
        "SELECT location_id::text AS _id, location_id,"
        " CASE WHEN name LIKE '{%' THEN name::json END AS extra FROM locations",
    )
    source = PostgresSource(entity, app.reader_dsn)
    for pages in (list(source.pages(ALL, page_bytes=10**6)), source.read(["1", "2"])):
        assert sources(pages)["2"]["extra"] == {"a": "b\nc", "d": [1, 2]}
        assert sources(pages)["1"]["extra"] is None
    source.close()
    source = PostgresSource(entity, app.reader_dsn)
    assert sources(source.read(["2", "1"]))["2"]["extra"] == {"a": "b\nc", "d": [1, 2]}
    source.close()


# -- rendering


def test_any_text_survives_the_way_to_the_document(owner: psycopg.Connection[Any], source: PostgresSource) -> None:
    texts = [
        '"',
        "\\",
        "\n\r\t\b\f",
        "\x01\x1f\x7f",
        "\u2028\u2029",
        "é\u0301",
        "😀",
        "</script>",
        "%s %(x)s {0}",
        "\ufeff",
        "\ufffe",
    ]
    for n, text in enumerate(texts):
        insert(owner, n, text, alternate_names=[text, text])
    found = sources(list(source.pages(ALL, page_bytes=10**6)))
    assert [found[str(n)]["name"] for n in range(len(texts))] == texts
    assert found["0"]["alternate_names"] == ['"', '"']


def test_nulls_are_null(owner: psycopg.Connection[Any], source: PostgresSource) -> None:
    insert(owner, 1, region=None, timezone=None, rate=None)
    document = sources(list(source.pages(ALL, page_bytes=10**6)))["1"]
    assert [document[name] for name in ("region", "timezone", "rate")] == [None] * 3


def test_any_login_renders_the_same_bytes(
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    postgres_server: local_postgres.Server,
    locations: Entity,
) -> None:
    """A role may have settings of its own: they must not make another document of the same row."""
    insert(owner, 1, latitude=0.1 + 0.2, longitude=1 / 3, created_at="2026-03-29 01:30:00+00", rate="12.30")
    wild = {
        "TimeZone": "Asia/Kolkata",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "extra_float_digits": "-5",
        "bytea_output": "escape",
        "search_path": "elsewhere",
        "lc_monetary": "C",
        "standard_conforming_strings": "off",
        "default_transaction_isolation": "read committed",
    }

    def bytes_of() -> tuple[bytes, Any, Any]:
        source = PostgresSource(locations, app.reader_dsn)
        try:
            lines = [line.source for page in source.pages(ALL, page_bytes=10**6) for line in page.documents()]
            business = [line[line.index(b"},") :] for line in lines]
            return b"".join(business), source.fingerprints(), list(source.hashes([range(1024)]))
        finally:
            source.close()

    before = bytes_of()
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        reader = sql.Identifier(local_postgres.READER)
        try:
            for name, value in wild.items():
                admin.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(reader, sql.Identifier(name), sql.Literal(value))
                )
            assert bytes_of() == before
        finally:
            admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(reader))
    assert b"0.30000000000000004" in before[0]


# -- read by key


def test_read_gives_the_row_or_a_tombstone_at_one_snapshot(
    owner: psycopg.Connection[Any], source: PostgresSource
) -> None:
    insert(owner, 1, "here")
    there, gone = source.read(["1", "2", "no number"])
    assert sources([there])["1"]["name"] == "here"
    assert [line.deleted for page in (there, gone) for line in page.documents()] == [False, True, True]
    assert there.position == gone.position
    assert sorted(ids([gone])) == ["2", "no number"]
    scanned = next(source.pages(ALL, page_bytes=10**6))
    (one,), (other,) = there.documents(), scanned.documents()
    ignored = {"position", "written_at"}
    assert {k: v for k, v in sync_of(one).items() if k not in ignored} == {
        k: v for k, v in sync_of(other).items() if k not in ignored
    }
    owner.execute("DELETE FROM locations")
    (now_gone,) = source.read(["1"])
    (tombstone,) = now_gone.documents()
    assert sync_of(tombstone)["bucket"] == sync_of(one)["bucket"], (
        "a deleted document is looked for in the bucket it was in"
    )
    assert now_gone.position > there.position


def test_fingerprints_are_those_of_the_documents(source: PostgresSource, rows: int) -> None:
    sums: dict[int, tuple[int, int, int]] = {}
    for document in sources(list(source.pages(ALL, page_bytes=10**6))).values():
        sync = document["sync"]
        count, high, low = sums.get(sync["bucket"], (0, 0, 0))
        sums[sync["bucket"]] = (count + 1, high + sync["hash_high"], low + sync["hash_low"])
        assert min(sync["hash_high"], sync["hash_low"], sync["bucket"]) >= 0
        assert max(sync["hash_high"], sync["hash_low"]) < 2**32
        assert sync["bucket"] < 1024
    assert source.fingerprints() == sums
    assert len(next(source.hashes([list(sums)]))) == rows


def test_every_change_of_a_row_changes_its_hash(owner: psycopg.Connection[Any], source: PostgresSource) -> None:
    seen = set()
    for columns in (
        {},
        {"rate": "1"},
        {"rate": "1.5"},
        {"alternate_names": ["a"]},
        {"active": False},
        {"timezone": ""},
    ):
        insert(owner, 1, created_at="2026-01-01", updated_at="2026-01-01", **columns)
        seen.add(next(source.hashes([range(1024)]))["1"])
    assert len(seen) == 6


# -- what cannot be used


BAD_SQL = [
    ("SELECT 1 AS location_id", "column '_id'"),
    ("SELECT '1'::text AS _id, 1::bigint AS _hash, 1 AS location_id", "'_hash': the hash is taken of the document"),
    ("SELECT '1'::text AS _id", "column 'location_id'"),
    ("SELECT 1 AS _id, 1 AS location_id", "_id is integer, not text; cast it"),
    ("SELECT '1'::text AS _id, 1 AS location_id, 2 AS location_id", "two columns of one name"),
    ("SELECT '1'::text AS _id, 1 AS location_id, 1 AS sync", "'sync'"),
    ("SELECT '1'::text AS _id, 1 AS location_id, true AS \"sync.deleted\"", "'sync.deleted'"),
    ("SELECT '1'::text AS _id, 1 AS location_id, 1 AS half, 2 AS \"name.plain\"", "half has no field"),
    ("SELECT '1'::text AS _id, NULL::int AS location_id", "has NULLs"),
    (
        "SELECT n::text AS _id, 7 AS location_id FROM generate_series(1, 2) AS n",
        "several rows have the key 7 (location_",
    ),
    ("SELECT l.nothing FROM locations l", "cannot be run: column l.nothing does not exist"),
    ("SELECT * FROM no_such_table", 'relation "no_such_table" does not exist'),
    ("SELEKT", "syntax error"),
    ("", "locations.sql"),
    ("SELECT '1'::text AS _id, 1 AS location_id; DROP TABLE locations", "syntax error"),
]


@pytest.mark.parametrize(("text", "says"), BAD_SQL, ids=[says for _, says in BAD_SQL])
def test_sql_file_that_cannot_work_is_refused_by_name(
    app: local_postgres.AppDatabase, include: Path, text: str, says: str
) -> None:
    source = PostgresSource(other_sql(include, text), app.reader_dsn)
    with pytest.raises(BadSource, match=r"sql/locations.sql") as caught:
        source.check()
    assert says in str(caught.value)
    source.close()


def test_a_column_of_changes_that_the_file_does_not_return_is_missed_before_the_load(
    source: PostgresSource, app: local_postgres.AppDatabase
) -> None:
    """The gate would miss it, when all is loaded."""
    other = PostgresSource(replace(source.entity, changed="updatedat"), app.reader_dsn)
    with pytest.raises(BadSource, match=r"does not return the column 'updatedat'.* key or changed"):
        other.check()
    other.close()


def test_sql_file_may_use_percent_and_end_in_a_comment(
    owner: psycopg.Connection[Any], app: local_postgres.AppDatabase, include: Path
) -> None:
    for n in range(10):
        insert(owner, n, f"{n}%")
    text = (
        "SELECT location_id::text AS _id, location_id, location_id % 2 AS population\n"
        "FROM locations WHERE name LIKE '%\\%' -- 100 % of them; really"
    )
    source = PostgresSource(other_sql(include, text), app.reader_dsn)
    source.check()
    assert source.count() == 10
    found = [page for part in source.partitions(3) for page in source.pages(part, page_bytes=200)]
    assert [doc["population"] for doc in sources(found).values()] == [0, 1] * 5
    assert sum(count for count, _, _ in source.fingerprints().values()) == 10 == len(next(source.hashes([range(1024)])))
    assert source.unusable() == ()
    assert len(ids(source.read(["3", "x"]))) == 2
    source.close()


def test_id_that_occurs_twice_is_named(
    owner: psycopg.Connection[Any], app: local_postgres.AppDatabase, include: Path
) -> None:
    for n in (1, 2, 3):
        insert(owner, n, "same" if n < 3 else "other")
    text = "SELECT name AS _id, location_id FROM locations"
    source = PostgresSource(other_sql(include, text), app.reader_dsn)
    for call in (lambda: list(source.hashes([range(1024)])), lambda: source.read(["same", "other"])):
        with pytest.raises(BadSource, match=r"more than one row for the _id same:"):
            call()
    source.close()


def test_missing_sql_file_is_named(app: local_postgres.AppDatabase, include: Path) -> None:
    (include / "sql" / "locations.sql").unlink()
    with pytest.raises(BadSource, match=r"cannot read .*locations.sql"):
        PostgresSource(fresh(), app.reader_dsn).check()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password": "wrong"}, BadConnection),
        ({"user": "nobody"}, BadConnection),
        ({"dbname": "nothing"}, BadConnection),
        ({"sslmode": "require"}, BadConnection),
        ({"port": "1"}, SourceUnavailable),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_connection_that_fails_says_whether_waiting_helps_and_no_password(
    app: local_postgres.AppDatabase, locations: Entity, change: dict[str, str], error: type[Exception]
) -> None:
    dsn = with_dsn(app.reader_dsn, **change)
    with pytest.raises(error) as caught:
        PostgresSource(locations, dsn).check()
    assert psycopg.conninfo.conninfo_to_dict(dsn)["password"] not in str(caught.value)  # type: ignore[operator]


def test_connection_string_that_means_nothing_is_not_quoted(locations: Entity) -> None:
    source = PostgresSource(locations, "postgres//reader:secret@somewhere")
    for ask in (source.check, source.sqlalchemy_url):
        with pytest.raises(BadConnection, match="connection string") as caught:
            ask()
        assert "secret" not in str(caught.value) + repr(source)


def test_a_table_it_may_not_read_is_a_mistake_to_correct(
    owner: psycopg.Connection[Any], source: PostgresSource
) -> None:
    owner.execute("REVOKE SELECT ON locations FROM locations_reader")
    try:
        with pytest.raises(BadSource, match="permission denied"):
            source.check()
    finally:
        owner.execute("GRANT SELECT ON locations TO locations_reader")


def test_connection_cut_in_the_middle_is_unavailable_and_the_next_read_works(
    app: local_postgres.AppDatabase, locations: Entity, postgres_proxy: Link, rows: int
) -> None:
    source = PostgresSource(locations, with_dsn(app.reader_dsn, port=str(postgres_proxy.port)))
    source.check()
    postgres_proxy.cut_after = 300_000
    with pytest.raises(SourceUnavailable, match="Run the task again"):
        list(source.pages(ALL, page_bytes=10**6))
    postgres_proxy.cut_after = None
    assert sum(page.count for page in source.pages(ALL, page_bytes=10**6)) == rows
    source.close()


def test_query_stopped_by_the_server_is_unavailable(
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    postgres_server: local_postgres.Server,
    source: PostgresSource,
    rows: int,
) -> None:
    source.check()
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(postgres_server.dsn(), autocommit=True) as admin,
        psycopg.connect(app.owner_dsn) as holder,
    ):
        holder.execute("LOCK TABLE locations IN ACCESS EXCLUSIVE MODE")
        found = pool.submit(source.count)
        until(lambda: bool(admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall()), "the read waits")
        admin.execute("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted")
        with pytest.raises(SourceUnavailable, match="stopped the query"):
            found.result(timeout=60)


# -- positions, on a server of their own: with prepared transactions and a standby


@pytest.fixture(scope="module")
def primary(servers_dir: Path) -> Iterator[local_postgres.Server]:
    folder = servers_dir / "primary"
    server = local_postgres.start(folder, durable=False)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET max_prepared_transactions = 20")
    server.stop()
    server = local_postgres.start(folder, durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def primary_app(primary: local_postgres.Server) -> local_postgres.AppDatabase:
    return local_postgres.create_app(primary)


def churn(dsn: str, seed: int, enough: threading.Event) -> None:
    """Transactions of all kinds: short and long, with subtransactions, rolled back, prepared."""
    chance = random.Random(seed)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for n in range(100_000):
            if enough.is_set():
                break
            name = f"{seed}-{n}"
            connection.execute("BEGIN")
            for step in range(chance.randrange(1, 4)):
                connection.execute(f"SAVEPOINT s{step}")
                connection.execute(
                    "INSERT INTO locations (location_id, name, country, latitude, longitude) VALUES (%s, %s, 'DE', "
                    "0, 0)"
                    " ON CONFLICT (location_id) DO UPDATE SET name = EXCLUDED.name",
                    [seed * 1000 + chance.randrange(20), name],
                )
                if chance.random() < 0.3:
                    connection.execute(f"ROLLBACK TO s{step}")
            if chance.random() < 0.2:
                connection.execute("SELECT pg_sleep(0.004)")
            if chance.random() < 0.3:
                connection.execute(f"PREPARE TRANSACTION '{name}'")
                if chance.random() < 0.5:
                    connection.execute("SELECT pg_sleep(0.002)")
                connection.execute(f"{chance.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'")
            else:
                connection.execute(chance.choice(["COMMIT", "COMMIT", "ROLLBACK"]))


def test_positions_grow_with_what_is_visible(primary_app: local_postgres.AppDatabase, locations: Entity) -> None:
    """One reader's positions never fall, and two reads at equal positions saw the same rows."""
    enough = threading.Event()
    writers = [threading.Thread(target=churn, args=(primary_app.owner_dsn, SEED + n, enough)) for n in range(4)]
    for writer in writers:
        writer.start()
    seen: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        source = PostgresSource(locations, primary_app.reader_dsn)
        last = ""
        for _ in range(250):
            with source._read() as (connection, read):  # the position and the rows of one transaction
                found = dict(
                    connection.execute(
                        "SELECT location_id::text, hash_record_extended(l, 0) FROM locations l"
                    ).fetchall()
                )
            assert read.position >= last, f"seed {SEED}: positions fell"
            assert seen.setdefault(read.position, found) == found, f"seed {SEED}: equal positions, different rows"
            last = read.position
        source.close()
    finally:
        enough.set()
        for writer in writers:
            writer.join()
    assert len(seen) > 50, "too little happened to prove anything"


def test_transactions_still_open_make_the_position_lower_than_when_they_end(
    primary_app: local_postgres.AppDatabase, locations: Entity
) -> None:
    source = PostgresSource(locations, primary_app.reader_dsn)
    with ExitStack() as open_ones:
        one, two, three = (open_ones.enter_context(psycopg.connect(primary_app.owner_dsn)) for _ in range(3))
        for connection in (one, two, three):
            connection.execute("SELECT pg_current_xact_id()")
        positions = [source.snapshot().position(1)]
        for connection in (three, two, one):  # when the second ends, neither xmin nor xmax moves
            connection.commit()
            positions.append(source.snapshot().position(1))
    assert positions == sorted(set(positions))
    source.close()


@pytest.fixture(scope="module")
def standby(
    primary: local_postgres.Server, primary_app: local_postgres.AppDatabase, servers_dir: Path
) -> Iterator[local_postgres.Server]:
    """A streaming standby of ``primary``."""
    folder = servers_dir / "standby"
    shutil.rmtree(folder, ignore_errors=True)  # an earlier session's, promoted
    folder.mkdir()
    program = local_postgres._program("pg_basebackup")
    command: list[str | Path] = [
        program,
        "-D",
        folder / "data",
        "-R",
        "-X",
        "stream",
        "-c",
        "fast",
        "-d",
        primary.dsn(),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "passwords.json").write_text((primary.folder / "passwords.json").read_text())
    (folder / "initialised").touch()
    account = system_user.find()
    if account is not None:
        subprocess.run(["chown", "-R", f"{account.uid}:{account.gid}", folder / "data"], check=True)
    server = local_postgres.start(folder, durable=False)
    yield server
    server.stop()


def test_standby_is_refused_and_after_its_promotion_it_is_another_server(
    primary: local_postgres.Server,
    primary_app: local_postgres.AppDatabase,
    standby: local_postgres.Server,
    locations: Entity,
) -> None:
    known = PostgresSource(locations, primary_app.reader_dsn).snapshot()
    dsn = with_dsn(primary_app.reader_dsn, port=str(standby.port))
    source = PostgresSource(locations, dsn, identity=known.identity)
    reads: list[Callable[[], object]] = [
        source.snapshot,
        source.check,
        source.count,
        source.fingerprints,
        lambda: source.read(["1"]),
    ]
    reads += [lambda: source.partitions(2), lambda: list(source.pages(ALL, page_bytes=1000)), source.unusable]
    for read in reads:
        with pytest.raises(SourceUnavailable, match="is a standby"):
            read()
    with psycopg.connect(standby.dsn(), autocommit=True) as admin:
        admin.execute("SELECT pg_promote()")
    promoted = source.snapshot()
    assert promoted.identity.split(".")[0] == known.identity.split(".")[0]
    assert promoted.identity != known.identity, "a failover is a new timeline"
    for read in reads[1:]:
        with pytest.raises(SourceChanged, match="new_epoch"):
            read()
    accepted = PostgresSource(locations, dsn, epoch=2, identity=promoted.identity)
    accepted.check()
    position = accepted.snapshot().position(2)
    assert position > Snapshot(known.identity, f"c{2**60:020d}", 2**60, 2**60, 0).position(1)
    for one in (source, accepted):
        one.close()
