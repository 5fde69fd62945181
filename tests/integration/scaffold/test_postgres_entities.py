"""From a table of PostgreSQL to a live index in three commands, and what is refused on the way."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from local import postgres as local_postgres
from searchsync.catalog import why_no_name
from searchsync.cli import main
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare.differences import DiffReport
from searchsync.errors import BadParams
from searchsync.quality import expectations
from searchsync.scaffold import files
from searchsync.sources.postgres import PostgresSource
from tests.integration.conftest import Command
from tests.integration.scaffold.conftest import made
from tests.steps import living

PRODUCTS = """
CREATE TYPE shop.status AS ENUM ('draft', 'on sale', 'ended');
CREATE TABLE shop.products (
    product_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku varchar(40) NOT NULL UNIQUE, title text NOT NULL,
    price numeric(10,2) NOT NULL, weight numeric, status shop.status NOT NULL, attributes jsonb, country char(3),
    deleted_at timestamptz, updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON shop.products (updated_at);
COMMENT ON COLUMN shop.products.sku IS 'the code
-- on the shelf';
INSERT INTO shop.products (sku, title, price, weight, status, attributes, country, deleted_at)
SELECT 'SKU-' || n, 'Red chair, number ' || n, n * 1.25, n / 3.0,
       (ARRAY['draft', 'on sale', 'ended'])[1 + n % 3]::shop.status,
       jsonb_build_object('colour', 'red', 'size', jsonb_build_object('width', n)), 'DE',
       CASE WHEN n % 10 = 0 THEN now() END
FROM generate_series(1, 1200) AS n;
"""
LIBRARY = """
CREATE TABLE shop.loans (
    branch text, shelf text, title text NOT NULL, authors text[], pages int[], label text GENERATED ALWAYS AS
    (branch || ' ' || shelf) STORED, modified_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (branch, shelf));
INSERT INTO shop.loans (branch, shelf, title, authors, pages) VALUES
    ('a-b', 'c', 'One book', '{Ann Ay,Bob Bee}', '{1,2}'), ('a', 'b-c', 'Another book', '{}', NULL),
    ('a"b', 'c', 'A third book', NULL, '{3}'), ('a', '"', 'Ä fourth', '{"Çe De"}', '{}');
"""


def fields(include: Path, name: str) -> dict[str, Any]:
    body = json.loads((include / "mappings" / f"{name}.json").read_text("utf-8"))
    found: dict[str, Any] = body["mappings"]["properties"]
    return found


def types(include: Path, name: str) -> dict[str, str]:
    return {field: mapped.get("type", "object") for field, mapped in fields(include, name).items() if field != "sync"}


def test_products_are_live_after_three_commands(
    client: Client, shop: psycopg.Connection[Any], searchsync: Command, include: Path, tmp_path: Path
) -> None:
    """Numbers, JSON, an enum and a column of deletes: made, checked, live, equal, found; and its expectations hold."""
    shop.execute(PRODUCTS)
    told = searchsync("entity", "new", "products", "--postgres", "shop.products").stdout
    assert "next: searchsync entity check products" in told
    assert "look at weight: numeric can have more digits than a double" in told
    assert types(include, "products") == {
        "product_id": "long",
        "sku": "keyword",
        "title": "text",
        "price": "scaled_float",
        "weight": "double",
        "status": "keyword",
        "attributes": "flat_object",
        "country": "keyword",
        "deleted_at": "date",
        "updated_at": "date",
    }
    sql = (include / "sql" / "products.sql").read_text("utf-8")
    assert "-- sku is character varying(40): the code -- on the shelf\n" in sql
    assert "WHERE t.deleted_at IS NULL" in sql
    assert yaml.safe_load((include / "entities" / "products.yaml").read_text())["changed"] == "updated_at"

    report = json.loads(searchsync("entity", "check", "products").stdout.partition("\nnext:")[0])
    assert (report["documents"], report["unproven"], report["failed"]) == (1200, [], {})
    assert min(report["smoke"].values()) >= 3
    assert [*client.request("GET", "/_all", params={"expand_wildcards": "all"})] == []
    searchsync("reindex", "products")
    assert json.loads(searchsync("compare", "products").stdout)["findings"] == []

    def count(query: dict[str, Any]) -> int:
        return int(client.request("POST", "/products/_count", body={"query": query})["count"])

    assert count({"match": {"title": "CHAIR 17"}}) == 1200
    assert count({"term": {"attributes.size.width": "17"}}) == 1
    assert count({"range": {"price": {"gte": 21.25, "lte": 21.25}}}) == 1
    assert count({"term": {"country": "DE"}}) == 1200


def test_a_library_with_a_key_of_two_texts(
    client: Client, shop: psycopg.Connection[Any], searchsync: Command, include: Path
) -> None:
    """Keys that a separator would take for each other are documents of their own; without an index there is no sync."""
    shop.execute(LIBRARY)
    told = searchsync("entity", "new", "loans", "--postgres", "shop.loans").stdout
    assert "a sync by it needs: CREATE INDEX ON shop.loans (modified_at)" in told
    described = yaml.safe_load((include / "entities" / "loans.yaml").read_text())
    assert (described["key"], "changed" in described) == (["branch", "shelf"], False)
    searchsync("entity", "check", "loans")
    searchsync("reindex", "loans")
    assert json.loads(searchsync("compare", "loans").stdout)["findings"] == []
    live = EntityIndexes(client, made("loans")).live()
    assert live is not None
    found = living(client, live)
    assert sorted(found) == ['["a", "\\""]', '["a", "b-c"]', '["a-b", "c"]', '["a\\"b", "c"]']
    assert found['["a-b", "c"]']["authors"] == ["Ann Ay", "Bob Bee"]
    assert found['["a-b", "c"]']["label"] == "a-b c"


EVERY = """
CREATE TYPE shop.kind AS ENUM ('x', 'y'); CREATE DOMAIN shop.price AS numeric(8,2);
CREATE TYPE shop.pair AS (a int, b text);
CREATE TABLE shop."Odd Table" (
    "Order" text, "key part" char(5), "sync" int, "a.b" text, "a_b" text, "_id" int, "select" int,
    "Unit %" numeric(6,1), "it""s" text, "é" text, "r" int4range, "d" shop.pair, "t" time,
    prices shop.price[], pairs shop.pair[],
    span numrange, during tstzrange, days daterange, several int4multirange, bytes bytea, id8 uuid, host inet,
    net cidr, cost money, lasts interval, place point, kinds shop.kind[], words tsvector, bits bit(3), one "char",
    named name, number oid, doc json, docs jsonb[], f4 real, f8 float8, flag boolean, day date, moment timestamp,
    big numeric(18,2), whole numeric(12,0), costs money[], codes char(3)[], mac macaddr, hosts inet[], scalar jsonb,
    PRIMARY KEY ("Order", "key part"));
INSERT INTO shop."Odd Table" VALUES (
    'x', 'ab', 1, 'ab', 'a_b', 3, 4, 5.2, 'its', 'é', '[1,5)', (1, 'x'), '12:00', '{1.5,2}', ARRAY[(1, 'x')::shop.pair],
    '(1.5,2]', '[2026-01-01,)', 'empty', '{[1,2)}', '\\x00', '00000000-0000-0000-0000-000000000001', '10.0.0.1',
    '10.0.0.0/8', '12.30', '1 day', '(1,2)', '{x}', 'a b', '101', 'c', 'nm', 5, '{"a":1}', '{"{\\"a\\":1}"}', 1.5, 2.5,
    true, '2026-01-01', '2026-01-01 10:00', 12.5, 12, '{1.20}', '{a,bc}', '08:00:2b:01:02:03', '{10.0.0.1,::1}', '7');
"""


def test_every_type_and_names_of_every_kind(
    client: Client, shop: psycopg.Connection[Any], searchsync: Command, include: Path
) -> None:
    """What the table of ``field_choice`` promises, for each type; and the values, as both servers have them."""
    shop.execute(EVERY)
    searchsync("entity", "new", "odd", "--postgres", "shop.Odd Table")
    found = types(include, "odd")
    assert {"sync_", "a_b", "a_b_5", "id", "Unit", "it_s", "é", "key_part"} <= found.keys()
    assert {"bytes", "words"}.isdisjoint(found)
    by_type: dict[str, set[str]] = {}
    for name, kind in found.items():
        by_type.setdefault(kind, set()).add(name)
    keywords = by_type.pop("keyword")
    assert by_type == {
        "long": {"sync_", "id", "select", "number", "whole"},
        "scaled_float": {"Unit", "prices"},
        "double": {"cost", "f8", "big", "costs"},
        "float": {"f4"},
        "boolean": {"flag"},
        "date": {"day", "moment"},
        "flat_object": {"d", "pairs", "doc", "docs"},
        "object": {"scalar"},
        "long_range": {"r"},
        "double_range": {"span"},
        "date_range": {"during", "days"},
        "ip": {"host", "hosts"},
        "ip_range": {"net"},
    }
    assert {"Order", "key_part", "several", "id8", "lasts", "place", "kinds", "bits", "one", "named", "t"} <= keywords
    searchsync("entity", "check", "odd")
    searchsync("reindex", "odd")
    assert json.loads(searchsync("compare", "odd").stdout)["findings"] == []
    live = EntityIndexes(client, made("odd")).live()
    assert live is not None
    ((key, document),) = living(client, live).items()
    assert key == '["x", "ab"]'
    wanted = {
        "sync_": 1,
        "a_b": "ab",
        "a_b_5": "a_b",
        "id": 3,
        "key_part": "ab   ",
        "r": {"gte": 1, "lt": 5},
        "d": {"a": 1, "b": "x"},
        "prices": [1.5, 2],
        "span": {"gt": 1.5, "lte": 2},
        "days": None,
        "during": {"gte": "2026-01-01T00:00:00+00:00"},
        "cost": 12.3,
        "codes": ["a", "bc"],
        "scalar": 7,
    }
    assert {name: document[name] for name in wanted} == wanted


REFUSED = {
    "unknown": ("things", "shop.nothing", "there is no table shop.nothing in the database app"),
    "no name": ("things", "a.b.c", "names no table"),
    "no key": ("things", "shop.nokey", "neither a primary key nor a unique index"),
    "a view": ("things", "shop.seen", "is a view: it has no key"),
    "no privilege": ("things", "shop.secret", "GRANT SELECT ON shop.secret TO locations_reader"),
    "no entity": ("My-Things", "shop.good", "'My-Things' cannot name an entity"),
    "taken": ("locations", "shop.good", "locations.sql"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_no_file(
    what: str,
    shop: psycopg.Connection[Any],
    shell: None,
    include: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, table, says = REFUSED[what]
    shop.execute("CREATE TABLE shop.good (id int PRIMARY KEY); CREATE TABLE shop.nokey (id int UNIQUE)")
    shop.execute("CREATE VIEW shop.seen AS SELECT * FROM shop.good")
    shop.execute("CREATE TABLE shop.secret (id int PRIMARY KEY); REVOKE SELECT ON shop.secret FROM PUBLIC")
    before = {path: path.read_bytes() for path in include.rglob("*") if path.is_file()}
    assert main.main(["entity", "new", name, "--postgres", table]) == 1
    told = capsys.readouterr().err
    assert says in told
    assert "Nothing was written" in told
    assert {path: path.read_bytes() for path in include.rglob("*") if path.is_file()} == before


def test_one_file_that_is_there_stops_all(
    shop: psycopg.Connection[Any], shell: None, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.execute("CREATE TABLE shop.good (id int PRIMARY KEY)")
    there = include / "expectations" / "things.yaml"
    there.write_text("mine")
    assert main.main(["entity", "new", "things", "--postgres", "shop.good"]) == 1
    assert f"{there} is there already" in capsys.readouterr().err
    assert there.read_text() == "mine"
    assert [path for path in include.rglob("things*") if path != there] == []


def test_a_file_that_cannot_be_written_takes_the_others_with_it(tmp_path: Path) -> None:
    first = tmp_path / "things.sql"
    with pytest.raises(BadParams, match="Nothing was left behind"):
        files.write({first: "x", first / "things.json": "y"})
    assert not first.exists()


def test_an_empty_table_says_that_its_types_come_from_the_catalog(
    client: Client, shop: psycopg.Connection[Any], searchsync: Command
) -> None:
    """Also a unique index on NOT NULL columns is a key, and a name in capitals is found as it is written."""
    shop.execute('CREATE TABLE shop."Things" (id int NOT NULL, name text); CREATE UNIQUE INDEX k ON shop."Things" (id)')
    told = searchsync("entity", "new", "things", "--postgres", "shop.Things").stdout
    assert 'look at shop."Things" has no rows: the types come from the catalog alone' in told
    assert "look at name: the sample has no value" in told
    assert "only the types are proven" in searchsync("entity", "check", "things").stdout


def test_the_expectations_that_are_written_hold(
    shop: psycopg.Connection[Any], searchsync: Command, app: Any, include: Path, tmp_path: Path
) -> None:
    shop.execute(PRODUCTS)
    searchsync("entity", "new", "products", "--postgres", "shop.products")
    source = PostgresSource(made("products"), app.reader_dsn)
    described = yaml.safe_load((include / "expectations" / "products.yaml").read_text())
    figures = {one["column"]: 0.0 for one in described["operations"]}
    found = expectations.evaluate(source, figures, DiffReport("any"), tmp_path)
    source.close()
    assert [(result.name, result.observed) for result in found.failed] == []
    assert len(found.results) == 15


def test_names_that_can_name_no_entity() -> None:
    assert [name for name in ("a", "shop_2", "A", "a-b", "searchsync_a", "") if why_no_name(name)] == [
        *("A", "a-b", "searchsync_a", "")
    ]


@pytest.fixture
def second(
    postgres_server: local_postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection[Any]]:
    """The owner of another database, which the connection ``second_postgres`` leads to."""
    made = local_postgres.create_app(postgres_server, "second")
    monkeypatch.setenv("SECOND_POSTGRES_DSN", made.reader_dsn)
    with psycopg.connect(made.owner_dsn, autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC")
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC")
        yield owner
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE second WITH (FORCE)")


def test_tables_of_one_name_in_two_databases(
    client: Client, shop: psycopg.Connection[Any], second: psycopg.Connection[Any], searchsync: Command
) -> None:
    """With one connection for both, one shop's customers would see the other's prices."""
    things = "CREATE TABLE shop.things (id int PRIMARY KEY, name text NOT NULL); INSERT INTO shop.things "
    shop.execute(f"{things} SELECT n, 'A chair' FROM generate_series(1, 30) AS n".encode())
    second.execute(f"{things} SELECT n, 'A table' FROM generate_series(1, 20) AS n".encode())
    searchsync("entity", "new", "chairs", "--postgres", "shop.things")
    searchsync("entity", "new", "desks", "--postgres", "shop.things", "--connection", "second_postgres")
    for name in ("chairs", "desks"):
        searchsync("reindex", name)
    second.execute("DELETE FROM shop.things WHERE id = 7")
    assert json.loads(searchsync("compare", "chairs").stdout)["findings"] == []
    found = json.loads(searchsync("compare", "desks", "--repair").stdout.partition("\n}\n{")[0] + "}")
    assert found["kinds"] == {"orphan": 1}
    for name, wanted in (("chairs", {"A chair": 30}), ("desks", {"A table": 19})):
        client.request("POST", f"/{name}/_refresh")
        hits = client.request("POST", f"/{name}/_search", body={"size": 100})["hits"]["hits"]
        assert Counter(hit["_source"]["name"] for hit in hits) == wanted
