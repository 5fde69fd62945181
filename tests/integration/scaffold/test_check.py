"""What ``entity check`` tells of a sample, and that it leaves nothing behind."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.page import Page
from searchsync.errors import BadMapping, IndexUnavailable
from searchsync.scaffold import check, files, postgres_entity, postgres_table
from searchsync.scaffold.check import CheckReport
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from tests.integration.conftest import Command
from tests.integration.scaffold.conftest import made
from tests.steps import page


def write(name: str, app: local_postgres.AppDatabase) -> None:
    """Write the files of an entity for the table of its name."""
    written = postgres_entity.make(name, postgres_table.read(app.reader_dsn, f"shop.{name}"), connection="")
    files.write({path: written.files[what] for what, path in files.check_new(name, postgres_entity.FILES).items()})


@pytest.fixture
def things(shop: psycopg.Connection[Any], include: Path, app: local_postgres.AppDatabase) -> Entity:
    """The entity of a small table."""
    shop.execute("""CREATE TABLE shop.things (
        id int PRIMARY KEY, code text, price numeric(6,2), moment timestamptz, attributes jsonb)""")
    shop.execute("""INSERT INTO shop.things VALUES (1, 'a', 1.5, '2026-01-01', '{"a": 1}')""")
    write("things", app)
    return made("things")


KEYS = {
    "numeric(18,2)": ("1.50", "object"),
    "char(4)": ("ab", "keyword"),
    "int4range": ("[1,3)", "keyword"),
    "bytea": ("\\x01", "keyword"),
    "timestamptz": ("2026-01-01", "date"),
    "text[]": ("{a,b}", "keyword"),
}


@pytest.mark.parametrize("sql_type", KEYS)
def test_a_key_is_never_cast(
    sql_type: str,
    client: Client,
    shop: psycopg.Connection[Any],
    include: Path,
    app: local_postgres.AppDatabase,
) -> None:
    """Its ranges are read by its index, and two keys never become one; what it shows can be found all the same."""
    value, field = KEYS[sql_type]
    shop.execute(cast(Any, f"CREATE TABLE shop.keyed (id {sql_type} PRIMARY KEY)"))
    shop.execute("INSERT INTO shop.keyed VALUES (%s)", [value])
    write("keyed", app)
    assert made("keyed").sql.splitlines()[-2] == "    t.id"
    assert made("keyed").index_body["mappings"]["properties"]["id"]["type"] == field
    assert run(client, made("keyed"), app).losses == []


def run(client: Client, entity: Entity, app: local_postgres.AppDatabase) -> CheckReport:
    source = PostgresSource(entity, app.reader_dsn)
    try:
        return check.check(client, source)
    finally:
        source.close()


def indexes(client: Client) -> list[str]:
    return [*client.request("GET", "/_all", params={"expand_wildcards": "all"})]


def test_what_would_be_lost_is_counted_by_field(
    client: Client, shop: psycopg.Connection[Any], things: Entity, app: local_postgres.AppDatabase
) -> None:
    """NaN and JSON that is no object are refused, infinity is ignored, and a text of 8,192 letters is not found."""
    shop.execute("INSERT INTO shop.things (id, code, price) VALUES (2, 'b', 'NaN'), (3, repeat('c', 8192), 1)")
    shop.execute("INSERT INTO shop.things VALUES (4, 'd', 1, 'infinity')")
    shop.execute("INSERT INTO shop.things VALUES (5, 'e', 2, NULL, '7')")
    report = run(client, things, app)
    assert (report.documents, report.rejections, sorted(report.rejected)) == (3, 2, ["2", "5"])
    assert (report.ignored, report.unsearchable) == ({"moment": 1}, {"code": 1})
    assert len(report.losses) == 3
    assert indexes(client) == []


def test_documents_that_no_tenant_would_see_are_counted(
    client: Client, shop: psycopg.Connection[Any], things: Entity, app: local_postgres.AppDatabase
) -> None:
    """They are in the index all the same, and an entity without tenants has none that lacks one."""
    shop.execute("INSERT INTO shop.things (id, code) VALUES (2, NULL), (3, 'b')")
    report = run(client, replace(things, tenant="code"), app)
    assert (report.documents, report.without_tenant) == (3, 1)
    assert report.losses == ["1 without a tenant, so no filter by a tenant finds them: give them one, or accept it"]
    assert run(client, replace(things), app).without_tenant == 0


def test_what_the_mapping_does_not_search_is_no_loss(
    client: Client, things: Entity, app: local_postgres.AppDatabase, include: Path
) -> None:
    path = include / "mappings" / "things.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["attributes"] = {"type": "object", "enabled": False}
    path.write_text(json.dumps(body))
    report = run(client, things, app)
    assert (report.not_searched, report.losses) == (["attributes"], [])


def test_what_has_no_words_and_what_a_sub_field_leaves_to_its_field_is_no_loss(
    client: Client, shop: psycopg.Connection[Any], include: Path, app: local_postgres.AppDatabase
) -> None:
    """A dash in place of a name, nothing inside an object, and a text that is too long for its keyword."""
    shop.execute("CREATE TABLE shop.texts (id int PRIMARY KEY, body text, attributes jsonb)")
    shop.execute(
        "INSERT INTO shop.texts VALUES (1, 'two words', '{\"a\": 1}'), (2, '-', '{\"a\": null}'), (3, '', '{}')"
    )
    shop.execute("INSERT INTO shop.texts VALUES (4, repeat('word ', 2000))")
    write("texts", app)
    report = run(client, made("texts"), app)
    assert (report.documents, report.losses) == (4, [])


def test_the_entity_that_is_there_loses_nothing(client: Client, rows: int, source: PostgresSource) -> None:
    report = check.check(client, source)
    assert (report.documents, report.losses) == (rows, [])
    assert indexes(client) == []


def test_a_loss_fails_the_command_and_says_what_to_do(
    client: Client, shop: psycopg.Connection[Any], things: Entity, searchsync: Command
) -> None:
    shop.execute("INSERT INTO shop.things VALUES (2, 'b', 'NaN')")
    told = searchsync("entity", "check", "things", fails=True)
    assert json.loads(told.stdout)["rejections"] == 1
    assert "1 rejected, so not in the index: correct the row" in told.stderr
    assert "Nothing is live" in told.stderr


def test_a_smoke_query_that_finds_nothing_is_told(
    client: Client, things: Entity, app: local_postgres.AppDatabase, include: Path
) -> None:
    query = {"name": "wrong", "sample": {"match_all": {}}, "query": {"term": {"code": "${attributes.a}"}}}
    (include / "mappings" / "things.smoke.json").write_text(json.dumps([query]))
    report = run(client, things, app)
    assert "does not find document '1'" in report.failed["wrong"]
    assert indexes(client) == []


def test_nothing_is_left_behind_whatever_happens(
    client: Client,
    things: Entity,
    app: local_postgres.AppDatabase,
    include: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: Any, **__: Any) -> None:
        assert len(indexes(client)) == 1
        assert EntityIndexes(client, things).all() == []
        raise IndexUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(writer, "load", load)
        with pytest.raises(IndexUnavailable):
            run(client, things, app)
    assert indexes(client) == []
    path = include / "mappings" / "things.json"
    path.write_text(path.read_text().replace('"tokenizer": "standard"', '"tokenizer": "no_such_one"'))
    with pytest.raises(BadMapping, match="no_such_one"):
        run(client, made("things"), app)
    assert indexes(client) == []


def test_what_a_killed_check_left_is_deleted_by_a_later_one(
    client: Client, things: Entity, app: local_postgres.AppDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.request("PUT", "/searchsync-check-things-00000000", body={"settings": {"hidden": True}})
    client.request("PUT", "/searchsync-check-things_2-00000000", body={"settings": {"hidden": True}})
    run(client, things, app)
    assert len(indexes(client)) == 2
    monkeypatch.setattr(check, "LEFTOVER_SECONDS", 0)
    run(client, things, app)
    assert indexes(client) == ["searchsync-check-things_2-00000000"]


def test_a_sample_has_documents_where_the_first_pages_have_none() -> None:
    """An entity that selects one of many kinds would else be checked on nothing. No table is read whole for it."""
    read: list[int] = []

    class Rare:
        def partitions(self, _: int) -> list[int]:
            return [3, 1_000]

        def pages(self, partition: int, **_: Any) -> Iterator[Page]:
            for n in range(2_000):
                read.append(partition)
                yield page(n + 1, *(["a"] if n >= partition else []))

    assert [found.count for found in check._sample(cast(Any, Rare()))] == [1]
    assert (read.count(3), read.count(1_000)) == (4, check.MOST_PAGES)
