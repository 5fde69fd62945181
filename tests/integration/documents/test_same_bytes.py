"""One value, one rendering: whatever way a document takes, its bytes are those of the source, and terms find it."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import psycopg
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from local import opensearch as local_opensearch
from local import postgres as local_postgres
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import Effort
from searchsync.operations import sync
from searchsync.operations.sync import Interval
from searchsync.sources.postgres import PostgresSource
from searchsync.writing.progress import Rejections
from tests.members import World, clients
from tests.steps import connector, rebuild

pytestmark = pytest.mark.usefixtures("at_once")

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
PHASES = [Phase.explicit, Phase.generate]
"""A smaller example would cost a minute, and says no more."""

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


def remap(include: Path, name: str, properties: dict[str, Any]) -> None:
    """Other fields for an entity, beside the product's own."""
    file = include / "mappings" / f"{name}.json"
    body = json.loads(file.read_text())
    body["mappings"]["properties"] = {"sync": body["mappings"]["properties"]["sync"], **properties}
    file.write_text(json.dumps(body))
    (include / "mappings" / f"{name}.smoke.json").write_text("[]")


def stored(server: local_opensearch.Server, index: str, keys: list[str]) -> dict[str, bytes]:
    """The bytes of documents as OpenSearch keeps them, without those of ``sync``; it is refreshed, too."""
    found = {}
    with urlopen(f"{server.url}/{index}/_refresh"):
        pass
    for key in keys:
        with urlopen(f"{server.url}/{index}/_source/{quote(key, safe='')}") as answer:
            source = answer.read()
        assert source.startswith(b'{"sync":{')
        found[key] = b"{" + source[source.index(b"},") + 2 :]
    return found


def without(client: Client, index: str, keys: list[str]) -> None:
    """Somebody deletes documents, around the protocol."""
    for key in keys:
        client.request("DELETE", f"/{index}/_doc/{quote(key, safe='')}")
    client.request("POST", f"/{index}/_refresh")


def is_found(client: Client, index: str, key: str, terms: list[tuple[str, Any]]) -> bool:
    """Whether a document is found by each of its terms."""
    filters = [{"ids": {"values": [key]}}, *({"term": {field: {"value": term}}} for field, term in terms)]
    body = {"query": {"bool": {"filter": filters}}, "size": 1, "_source": False}
    return bool(client.request("POST", f"/{index}/_search", body=body)["hits"]["hits"])


def empty(client: Client) -> None:
    """Without the index of the example before."""
    for name in client.request("GET", "/_all", params={"expand_wildcards": "all"}):
        client.request("DELETE", f"/{name}")


# -- locations: load, sync, repair

THINGS = {
    "id": {"type": "long"},
    "word": {"type": "keyword"},
    "rate": {"type": "scaled_float", "scaling_factor": 100, "ignore_malformed": False},
    "price": {"type": "double"},
    "moment": {"type": "date"},
    "label": {"type": "keyword"},
    "tags": {"type": "keyword"},
    "extra": {"properties": {"n": {"type": "keyword"}, "deep": {"properties": {"list": {"type": "keyword"}}}}},
    "updated_at": {"type": "date"},
}
ROWS = st.fixed_dictionaries(
    {
        "word": st.decimals(allow_nan=False, allow_infinity=False, places=None).map(str)
        | st.sampled_from(["1.10", "12345678.5", "0.12345678901234567890123456789012345678", "1e22", "-0"]),
        "rate": st.decimals(-(10**9), 10**9, places=2).map(str),
        "price": st.floats(allow_nan=False, allow_infinity=False),
        "moment": st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        "label": TEXTS,
        "tags": st.lists(TEXTS, max_size=3),
        "extra": st.fixed_dictionaries(
            {"n": st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS}
        ).flatmap(
            lambda one: st.lists(st.integers() | TEXTS, max_size=3).map(lambda many: {**one, "deep": {"list": many}})
        ),
    }
)
ROW: dict[str, Any] = {
    "word": "12345678.50", "rate": "1.10", "price": 12345678.5, "moment": NOW, "label": 'a "b" \\ é 😀 \u2028',
    "tags": ["1.10"], "extra": {"n": 1.10, "deep": {"list": [12345678.5, 10**30]}},
}  # fmt: skip


@pytest.fixture
def things(app: local_postgres.AppDatabase, include: Path) -> Iterator[psycopg.Connection[Any]]:
    columns = "word, rate, price, moment, label, tags, extra, updated_at"
    (include / "sql" / "locations.sql").write_text(
        f"-- transform: 1\nSELECT id::text AS _id, id, {columns} FROM things"
    )
    remap(include, "locations", THINGS)
    with psycopg.connect(app.owner_dsn, autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS things")
        owner.execute(
            "CREATE TABLE things (id bigserial PRIMARY KEY, word numeric, rate numeric(12, 2), price float8,"
            " moment timestamptz, label text, tags text[], extra jsonb, updated_at timestamptz)"
        )
        owner.execute("GRANT SELECT ON things TO PUBLIC; SET TimeZone = 'UTC'")
        yield owner
        owner.execute("DROP TABLE things")


@settings(max_examples=2, phases=PHASES)
@given(rows=st.lists(ROWS, min_size=1, max_size=8))
@example(rows=[ROW])
def test_a_row_has_the_same_bytes_on_every_way(
    client: Client,
    opensearch_server: local_opensearch.Server,
    app: local_postgres.AppDatabase,
    things: psycopg.Connection[Any],
    tmp_path: Path,
    rows: list[dict[str, Any]],
) -> None:
    empty(client)
    things.execute("TRUNCATE things RESTART IDENTITY")
    for row in rows:
        values = [Jsonb(value) if name == "extra" else value for name, value in row.items()]
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        things.execute(f"INSERT INTO things ({names}, updated_at) VALUES ({places}, %s)", [*values, NOW])
    table = dict(things.execute("SELECT t.id::text, row_to_json(t)::text FROM things AS t").fetchall())
    keys = list(table)
    entity = Entity(name="locations", source="postgres", key=("id",), changed="updated_at")
    connect = connector(entity, app.reader_dsn)
    index = str(rebuild(client, connect, tmp_path, run_id=f"{datetime.now(UTC)}")["index"])

    def check(way: str) -> None:
        for key, source in stored(opensearch_server, index, keys).items():
            assert source.decode() == table[key], way
            document = json.loads(source, parse_float=str, parse_int=str)
            terms = [(field, document[field]) for field in ("word", "label", "rate", "moment", "id")]
            terms += [("price", float(document["price"])), ("extra.n", document["extra"]["n"])]
            terms += [("tags", tag) for tag in document["tags"]]
            terms += [("extra.deep.list", one) for one in document["extra"]["deep"]["list"]]
            assert is_found(client, index, key, terms), (way, terms)

    check("load")
    without(client, index, keys)
    served = sync.check(EntityIndexes(client, entity))
    with (
        closing(PostgresSource(entity, app.reader_dsn, epoch=served.epoch, identity=served.identity)) as source,
        Rejections(tmp_path / "rejected") as rejections,
    ):
        indexes, interval = EntityIndexes(client, entity), Interval(NOW - HOUR, NOW + HOUR)
        assert sync.run(indexes, source, served, interval, rejections=rejections).written == len(rows)
        check("sync")
        without(client, index, keys)
        report = differences.find(EntityIndexes(client, source.entity).get(index), source)
        assert report.kinds == {"missing": len(rows)}
        repair.repair(EntityIndexes(client, source.entity), source, report, dry_run=False)
        check("repair")
        assert (
            differences.find(
                EntityIndexes(client, source.entity).get(index), source, effort=Effort(sample=10_001)
            ).findings
            == []
        )


# -- members: load, stream, replay, repair

FIELDS = {
    "member_id": {"type": "keyword"},
    "word": {"type": "keyword"},
    "whole": {"type": "long"},
    "double": {"type": "double"},
    "expires_at": {"type": "date", "format": "epoch_second"},
    "day": {"type": "date", "format": "strict_date_optional_time"},
    "label": {"type": "keyword"},
    "tags": {"type": "keyword"},
    "extra": {"properties": {"n": {"type": "keyword"}, "list": {"type": "keyword"}}},
}
NUMBERS = st.one_of(
    st.integers(-(10**38) + 1, 10**38 - 1).map(str),
    st.tuples(st.integers(-(10**15), 10**15), st.text("0123456789", min_size=1, max_size=20)).map(
        lambda parts: f"{parts[0]}.{parts[1]}"
    ),
    st.sampled_from(["1.10", "12345678.5", "-0", "0.00000012", "1E+5", "-9.99E+125", "1E-130", "9007199254740993"]),
)
ITEMS = st.fixed_dictionaries(
    {
        "word": NUMBERS.map(lambda text: {"N": text}),
        "whole": st.integers(-(2**63), 2**63 - 1).map(lambda number: {"N": str(number)}),
        "double": st.decimals(-(10**6), 10**6, places=3).map(lambda number: {"N": str(number)}),
        "expires_at": st.sampled_from(["4102444800", "4102444800.5", "4102444800.50"]).map(lambda text: {"N": text}),
        "day": st.dates().map(lambda day: {"S": day.isoformat()}),
        "label": TEXTS.map(lambda text: {"S": text}),
        "tags": st.sets(NUMBERS, min_size=1, max_size=3).map(
            lambda texts: {"L": [{"N": text} for text in sorted(texts)]}
        ),
        "extra": st.tuples(NUMBERS, TEXTS).map(
            lambda pair: {"M": {"n": {"N": pair[0]}, "list": {"L": [{"S": pair[1]}, {"N": pair[0]}, {"BOOL": True}]}}}
        ),
    }
)


def written(attribute: dict[str, Any]) -> str:
    """An attribute as JSON, each number as the table has it: said once more, in the simplest way."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return str(value)
    if kind == "M":
        return "{" + ",".join(f"{json.dumps(name)}:{written(value[name])}" for name in sorted(value)) + "}"
    return "[" + ",".join(map(written, value)) + "]" if kind == "L" else json.dumps(value)


def terms_of(item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """All its values by the fields that hold them; a number as the table writes it."""
    for field, attribute in item.items():
        nested = field == "extra"
        for one in attribute["M"]["list"]["L"] if nested else attribute.get("L", [attribute]):
            ((kind, value),) = one.items()
            yield "extra.list" if nested else field, str(value).lower() if kind == "BOOL" else value


@settings(max_examples=2, phases=PHASES)
@given(members=st.lists(ITEMS, min_size=1, max_size=8))
def test_an_item_has_the_same_bytes_on_every_way(
    client: Client,
    opensearch_server: local_opensearch.Server,
    aws_url: str,
    include: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list[dict[str, Any]],
) -> None:
    empty(client)
    remap(include, "members", FIELDS)
    monkeypatch.setattr("searchsync.operations.replay.EMPTY_SECONDS", 0)
    # Without a time to live, which is a whole second whatever the table says.
    entity = Entity(name="members", source="dynamodb", key=("member_id",))
    world = World(client, entity, clients(aws_url))
    keys = [f"m-{number}" for number in range(len(members))]

    def put() -> list[Any]:
        for key, item in zip(keys, members, strict=True):
            world.delete(key)
            world.put(key, **item)
        return [record for record in world.records() if record["eventName"] == "INSERT"]

    put()
    table = world.table()
    index = str(rebuild(client, world.connect, tmp_path, run_id=f"{datetime.now(UTC)}")["index"])

    def check(way: str) -> None:
        for key, source in stored(opensearch_server, index, keys).items():
            assert source.decode() == written({"M": table[key]}), way
            assert is_found(client, index, key, list(terms_of(table[key]))), way

    check("load")
    without(client, index, keys)
    records = put()
    assert world.apply(records).failed == ""
    check("stream")
    without(client, index, keys)
    world.send_pointer(records)
    world.replay()
    check("replay")
    without(client, index, keys)
    report = differences.find(EntityIndexes(client, world.source.entity).get(index), world.source)
    assert report.kinds == {"missing": len(members)}
    repair.repair(EntityIndexes(client, world.source.entity), world.source, report, dry_run=False)
    check("repair")


def test_no_number_of_a_document_is_one_of_java(client: Client) -> None:
    """Why it matters: OpenSearch keeps the digits that were sent, as long as it does not write them again."""
    client.request("PUT", "/probe", body={"mappings": {"properties": {"word": {"type": "keyword"}}}})
    body = b'{"index":{"_id":"1"}}\n{"word":12345678.50}\n{"update":{"_id":"1"}}\n{"doc":{"other":1}}\n'
    client.transport.perform_request(
        "POST", "/probe/_bulk?refresh=true", body=body, headers={"content-type": "application/x-ndjson"}
    )
    found = client.request("POST", "/probe/_search", body={"docvalue_fields": ["word"]})["hits"]["hits"][0]
    assert re.fullmatch(r"1\.23456785E7", found["fields"]["word"][0]), "an update writes it in its own way"
