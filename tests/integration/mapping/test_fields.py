"""A column whose field would change its values in silence is refused; what is malformed is kept and counted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences
from searchsync.compare.differences import Effort
from searchsync.errors import BadMapping, BadSource, GateFailed
from searchsync.sources.postgres import PostgresSource
from tests.steps import connector, fresh, insert, rebuild

Check = Callable[[str, str, dict[str, Any]], PostgresSource]


@pytest.fixture
def things(app: local_postgres.AppDatabase, include: Path) -> Iterator[Check]:
    """Makes a table ``things (id, v)`` with a column of some type that goes into some field."""
    opened: list[PostgresSource] = []
    drop = "DROP TABLE IF EXISTS things; DROP DOMAIN IF EXISTS price; DROP TYPE IF EXISTS pair"

    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute(drop)
        owner.execute("CREATE DOMAIN price AS numeric(8,2); CREATE TYPE pair AS (a int, b text)")

        def make(sql_type: str, select: str, field: dict[str, Any]) -> PostgresSource:
            owner.execute(f"DROP TABLE IF EXISTS things; CREATE TABLE things (id int PRIMARY KEY, v {sql_type})")
            owner.execute("GRANT SELECT ON things TO PUBLIC")
            (include / "sql" / "locations.sql").write_text(f"SELECT id::text AS _id, id, {select} FROM things")
            file = include / "mappings" / "locations.json"
            body = json.loads(file.read_text())
            sync = body["mappings"]["properties"]["sync"]
            body["mappings"]["properties"] = {"sync": sync, "id": {"type": "integer"}, **field}
            file.write_text(json.dumps(body))
            opened.append(PostgresSource(Entity(name="locations", source="postgres", key=("id",)), app.reader_dsn))
            return opened[-1]

        yield make
        for source in opened:
            source.close()
        owner.execute(drop)


SCALED = {"v": {"type": "scaled_float", "scaling_factor": 100}}
LONG = {"v": {"type": "long"}}


@pytest.mark.parametrize(
    ("sql_type", "select", "field", "says"),
    [
        ("numeric(10,2)", "v", SCALED, ""),
        ("price", "v", SCALED, ""),
        ("price[]", "v[1]::numeric(8,2) AS v", SCALED, ""),
        ("numeric", "v", SCALED, "v is numeric, which a field of the type scaled_float .* numeric\\(p,2\\)"),
        ("numeric(18,2)", "v", SCALED, "v is numeric\\(18,2\\)"),
        ("numeric(10,2)", "v * 2 AS v", SCALED, "v is numeric,"),
        ("numeric(10,2)", "(v * 2)::numeric(12,2) AS v", SCALED, ""),
        ("price", "v", LONG, "v is numeric\\(8,2\\), .* type long .* cuts decimals"),
        ("double precision", "v", LONG, "v is double precision"),
        ("bigint", "v", {"v": {"type": "integer"}}, "v is bigint, .* map it as long"),
        ("text", "v", LONG, "v is text"),
        ("pair", "v", {"v": {"properties": {"a": {"type": "long"}, "b": {"type": "keyword"}}}}, ""),
        ("pair[]", "v", {"v": {"type": "nested", "properties": {"a": {"type": "long"}}}}, ""),
        ("text", "v", {}, "v has no field"),
        ("text", 'v AS "a.b"', {"a": {"properties": {"b": {"type": "text"}}}}, ""),
        ("text", 'v AS "a.c"', {"a": {"properties": {"b": {"type": "text"}}}}, "a.c has no field"),
        ("text", 'v AS "sync.deleted"', {}, "column 'sync.deleted': 'sync' is the document's own state"),
    ],
)
def test_a_column_that_its_field_cannot_hold_is_refused_by_name(
    things: Check, sql_type: str, select: str, field: dict[str, Any], says: str
) -> None:
    source = things(sql_type, select, field)
    if not says:
        source.check()
        return
    with pytest.raises(BadSource, match=says):
        source.check()


def test_a_column_may_have_the_name_of_an_alias_of_our_queries(things: Check, app: local_postgres.AppDatabase) -> None:
    """PostgreSQL takes a bare name for the column: of a composite column ``d``, the whole document was its value."""
    source = things("pair", "v AS d, 1 AS r", {"d": {"properties": {"a": {"type": "long"}}}, "r": {"type": "long"}})
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("INSERT INTO things VALUES (1, (2, 'x'))")
    (page,) = source.pages(source.partitions(1)[0], page_bytes=10**6)
    (document,) = page.documents()
    assert {k: v for k, v in json.loads(document.source).items() if k != "sync"} == {
        "id": 1,
        "d": {"a": 2, "b": "x"},
        "r": 1,
    }


def test_what_is_refused_is_what_the_engine_changes_in_silence(client: Client) -> None:
    """The reason for it all: when this fails after an upgrade, the refusals may be relaxed."""
    properties = {
        "long": {"type": "long"},
        "scaled": SCALED["v"],
        "date": {"type": "date"},
        "flag": {"type": "boolean"},
    }
    client.request("PUT", "/probe", body={"mappings": {"properties": properties}})
    document = {"long": 1.9, "scaled": 1e30, "date": 2026, "flag": ""}
    client.request("PUT", "/probe/_doc/1", body=document, params={"refresh": "true"})
    fields = ["long", "scaled", {"field": "date", "format": "strict_date"}, "flag"]
    body = {"docvalue_fields": fields, "_source": False}
    (hit,) = client.request("POST", "/probe/_search", body=body)["hits"]["hits"]
    changed = {"long": [1], "scaled": [(2**63 - 1) / 100], "date": ["2026-01-01"], "flag": [False]}
    assert hit["fields"] == changed


# -- what is malformed


@pytest.fixture
def tolerant(include: Path) -> Path:
    """An index that leaves malformed values out, one by one."""
    file = include / "mappings" / "locations.json"
    body = json.loads(file.read_text())
    body["settings"]["index.mapping.ignore_malformed"] = True
    file.write_text(json.dumps(body))
    return include


def test_a_row_with_values_that_no_field_takes_is_found_by_its_others(
    client: Client,
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    tolerant: Path,
    tmp_path: Path,
) -> None:
    """Infinity, years before Christ, a date with a zone and no time, a latitude of 95: loaded, findable, counted."""
    sql = tolerant / "sql" / "locations.sql"
    zoned = "CASE WHEN l.location_id = 4 THEN '2017-05-05+02:00' ELSE to_json(l.created_at) #>> '{}' END AS created_at"
    sql.write_text(sql.read_text().replace("    l.created_at,", f"    {zoned},"))
    insert(owner, 1, "Infinite", created_at="infinity")
    insert(owner, 2, "Ancient", created_at="0044-03-15 12:00:00+00 BC", updated_at="-infinity")
    insert(owner, 3, "Polar", latitude=95, longitude=10)
    insert(owner, 4, "Zoned", created_at="2017-05-05")
    insert(owner, 5, "Fine")
    insert(owner, 6, "Far", created_at="20000-01-01", latitude="NaN")
    connect = connector(fresh(), app.reader_dsn)
    index = str(rebuild(client, connect, tmp_path, run_id="blue")["index"])
    source = connect(None)
    assert (
        differences.find(EntityIndexes(client, source.entity).get(index), source, effort=Effort(grace=0.0)).findings
        == []
    )
    source.close()

    def found(query: dict[str, Any]) -> dict[str, list[str]]:
        hits = client.request("POST", "/locations/_search", body={"query": query})["hits"]["hits"]
        return {hit["_source"]["name"]: sorted(hit.get("_ignored", [])) for hit in hits}

    assert found({"match_all": {}}) == {
        "Infinite": ["created_at"],
        "Ancient": ["created_at", "updated_at"],
        "Polar": ["coordinates"],
        "Zoned": ["created_at"],
        "Fine": [],
        "Far": ["coordinates", "created_at"],
    }
    assert found({"term": {"location_id": 2}}) == {"Ancient": ["created_at", "updated_at"]}
    moved = {"geo_distance": {"distance": "600km", "coordinates": {"lat": 85, "lon": -170}}}
    assert found(moved) == {}, "a latitude of 95 is no place on the other side"
    counted = client.request("POST", "/locations/_count", body={"query": {"exists": {"field": "_ignored"}}})
    assert counted["count"] == 5


def test_a_field_that_would_drop_in_silence_has_to_refuse(
    client: Client,
    owner: psycopg.Connection[Any],
    app: local_postgres.AppDatabase,
    tolerant: Path,
    tmp_path: Path,
) -> None:
    """A scaled_float omits NaN from ``_ignored``: the row is rejected, which is counted."""
    insert(owner, 1, rate="NaN")
    with pytest.raises(GateFailed, match="1 documents were rejected"):
        rebuild(client, connector(fresh(), app.reader_dsn), tmp_path, run_id="blue")
    file = tolerant / "mappings" / "locations.json"
    body = json.loads(file.read_text())
    for said in ({}, {"ignore_malformed": True}):
        body["mappings"]["properties"]["rate"] = {"type": "scaled_float", "scaling_factor": 100, **said}
        file.write_text(json.dumps(body))
        with pytest.raises(BadMapping, match='rate need "ignore_malformed": false'):
            _ = fresh().index_body


def test_what_ignore_malformed_does_in_silence(client: Client) -> None:
    """Why places are looked at before OpenSearch sees them: when this fails after an upgrade, that may be relaxed."""
    properties = {"place": {"type": "geo_point"}, "scaled": SCALED["v"], "word": {"type": "keyword"}}
    body = {"settings": {"index.mapping.ignore_malformed": True}, "mappings": {"properties": properties}}
    client.request("PUT", "/probe", body=body)
    document = {"place": {"lat": 95, "lon": 10}, "scaled": "NaN", "word": {"a": 1}}
    client.request("PUT", "/probe/_doc/1", body=document, params={"refresh": "true"})
    (hit,) = client.request("POST", "/probe/_search", body={"docvalue_fields": [*properties]})["hits"]["hits"]
    assert "_ignored" not in hit
    ((place,),) = hit["fields"].values()
    assert [round(float(part)) for part in place.split(",")] == [85, -170]
