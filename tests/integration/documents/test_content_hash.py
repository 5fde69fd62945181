"""The hash is the document's: it changes when the document does, and only then."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.documents.page import sync_of
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_sql import Partition

ALL = Partition()
EVERY = range(1024)


class Things(NamedTuple):
    """A table ``things`` of one's own making, as its owner and as the product see it."""

    owner: psycopg.Connection[Any]
    admin: psycopg.Connection[Any]
    source: Callable[..., PostgresSource]


@pytest.fixture
def things(app: local_postgres.AppDatabase, postgres_server: local_postgres.Server, include: Path) -> Iterator[Things]:
    opened: list[PostgresSource] = []

    def source(select: str = "SELECT id::text AS _id, id, v FROM things") -> PostgresSource:
        (include / "sql" / "locations.sql").write_text(select)
        opened.append(PostgresSource(Entity(name="locations", source="postgres", key=("id",)), app.reader_dsn))
        return opened[-1]

    drop = "DROP TABLE IF EXISTS things; DROP TYPE IF EXISTS mood CASCADE"
    with (
        psycopg.connect(app.owner_dsn, autocommit=True) as owner,
        psycopg.connect(postgres_server.dsn(database="app"), autocommit=True) as admin,
    ):
        admin.execute(drop)
        yield Things(owner, admin, source)
        for one in opened:
            one.close()
        admin.execute(drop)


def hash_of(source: PostgresSource) -> tuple[int, int]:
    """Of the only row; by whatever way, the same."""
    ((key, hashes),) = next(source.hashes([EVERY])).items()
    ((count, *sums),) = source.fingerprints().values()
    (scanned,) = next(source.pages(ALL, page_bytes=10**6)).documents()
    (read,) = source.read(["1"])[0].documents()
    for line in (scanned, read):
        sync = sync_of(line)
        assert (sync["hash_high"], sync["hash_low"]) == hashes == tuple(sums)
    assert (key, count) == ("1", 1)
    return hashes


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("interval", "1 mon", "30 days"),
        ("jsonb", "1.0", "1"),
        ("jsonb", '{"a": 1.10}', '{"a": 1.1}'),
        ("float8", "-0", "0"),
        ("float4", "0", "-0"),
        ("numeric", "1.0", "1.00"),
        ("numeric[]", "{1.0}", "{1.00}"),
        ("timetz", "12:00+00", "13:00+01"),
        ("bpchar", "Berlin", "Berlin  "),  # equal and not the same, as citext is, which not every server has
    ],
)
def test_what_sql_calls_equal_and_a_reader_does_not_changes_the_hash(
    things: Things, kind: str, before: str, after: str
) -> None:
    """A stale document would be proven equal, and so would a rollback."""
    things.owner.execute(f"CREATE TABLE things (id int PRIMARY KEY, v {kind})")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things VALUES (1, %s)", [before])
    source = things.source()
    old = hash_of(source)
    things.owner.execute("UPDATE things SET v = %s", [after])
    new = hash_of(source)
    assert new != old
    things.owner.execute("UPDATE things SET v = %s", [before])
    assert hash_of(source) == old


def test_a_renamed_label_changes_the_hash(things: Things) -> None:
    things.owner.execute("CREATE TYPE mood AS ENUM ('fine', 'gloomy')")
    things.owner.execute("CREATE TABLE things (id int PRIMARY KEY, v mood)")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things VALUES (1, 'fine')")
    source = things.source()
    old = hash_of(source)
    things.owner.execute("ALTER TYPE mood RENAME VALUE 'fine' TO 'well'")
    assert hash_of(source) != old


def test_what_no_document_shows_changes_no_hash(things: Things) -> None:
    """A new column, a counter: else every document were stale after a deployment that touched none."""
    things.owner.execute("CREATE TABLE things (id int PRIMARY KEY, v text, seen int NOT NULL DEFAULT 0)")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things VALUES (1, 'same')")
    source = things.source()
    old = hash_of(source)
    for change in (
        "ALTER TABLE things ADD COLUMN later text",
        "ALTER TABLE things ADD COLUMN flag boolean NOT NULL DEFAULT true",
        "ALTER TABLE things ADD COLUMN stamp timestamptz DEFAULT clock_timestamp()",
        "UPDATE things SET seen = seen + 1, later = 'x'",
        "ALTER TABLE things DROP COLUMN flag",
        "ALTER TABLE things ALTER COLUMN v TYPE varchar(20)",
    ):
        things.owner.execute(change)
        assert hash_of(source) == old, change


def test_line_breaks_of_json_change_no_hash_between_two_ways(things: Things) -> None:
    things.owner.execute("CREATE TABLE things (id int PRIMARY KEY, v json)")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things VALUES (1, %s)", ['{\n  "a": "b\\nc",\r\n\t"d": [1,\n2.50]\n}'])
    source = things.source()
    one = hash_of(source)
    things.owner.execute("UPDATE things SET v = %s", ['{\n  "a": "b\\nc",\r\n\t"d": [1,\n2.5]\n}'])
    assert hash_of(source) != one


def test_each_row_is_rendered_once(things: Things) -> None:
    """Twice would be half as fast, and nobody would see why."""
    things.owner.execute("CREATE TYPE mood AS ENUM ('fine', 'gloomy')")
    things.admin.execute(
        """CREATE FUNCTION mood_as_json(mood) RETURNS json LANGUAGE plpgsql STABLE
           AS $$ BEGIN RAISE NOTICE 'rendered'; RETURN '"mood"'::json; END $$"""
    )
    things.admin.execute("CREATE CAST (mood AS json) WITH FUNCTION mood_as_json(mood)")
    things.owner.execute("CREATE TABLE things (id int PRIMARY KEY, v mood)")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things SELECT n, 'fine' FROM generate_series(1, 200) AS n")
    source = things.source()
    source.count()
    rendered: list[str] = []
    connection = source._session._connected()
    connection.add_notice_handler(lambda notice: rendered.append(notice.message_primary or ""))

    def times(read: Callable[[], object]) -> int:
        rendered.clear()
        read()
        return rendered.count("rendered")

    assert times(lambda: list(source.pages(ALL, page_bytes=10**6))) == 200
    assert times(lambda: source.read([str(n) for n in range(7)])) == 6
    assert times(source.fingerprints) == 200
    some = list(source.fingerprints())[:5]
    assert times(lambda: list(source.hashes([some[:2], some[2:]]))) == sum(map(len, source.hashes([some]))) < 200
    assert times(source.count) == times(lambda: source.partitions(3)) == times(source.unusable) == 0


def test_sums_are_made_by_parallel_workers(things: Things) -> None:
    """A comparison renders the whole table: by all the workers that the server gives."""
    things.owner.execute("CREATE TABLE things (id int PRIMARY KEY, v text)")
    things.owner.execute("GRANT SELECT ON things TO PUBLIC")
    things.owner.execute("INSERT INTO things SELECT n, repeat('x', 300) FROM generate_series(1, 30000) AS n; ANALYZE")
    source = things.source()
    with source._read() as (connection, _):
        connection.execute("SET LOCAL parallel_setup_cost = 0; SET LOCAL min_parallel_table_scan_size = 0")
        query = source._queries.sums(source._describe(connection))
        plan = "\n".join(row[0] for row in connection.execute(sql.SQL("EXPLAIN {}").format(query), []))
    assert "Partial HashAggregate" in plan, plan
