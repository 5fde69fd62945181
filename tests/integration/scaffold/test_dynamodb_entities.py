"""From a table of DynamoDB to a live index in three commands, and what is refused on the way."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from searchsync.cli import main
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.scaffold import dynamodb_fields
from tests.integration.conftest import Command
from tests.integration.scaffold.conftest import made
from tests.members import clients
from tests.steps import living

Make = Callable[..., Any]


KINDS = {
    "customers": ("kind=customer", "{attribute: kind, equals: customer}"),
    "orders": ("at=ORDER#*", "{attribute: at, prefix: ORDER#}"),
    "products": ("id=PRODUCT#*", "{attribute: id, prefix: PRODUCT#}"),
}
"""Of one table: what selects each of its kinds, for the command and in the file."""


@pytest.fixture
def dynamodb(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the emulator. A shell's variables lead to the same; every table is deleted at the end."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    found = clients(aws_url)
    for name in ("EVENTS", *KINDS):
        for what in ("DEAD_LETTER_QUEUE", "PARKED_QUEUE"):
            url = found["sqs"].create_queue(QueueName=f"{name}-{what}-{time.monotonic_ns()}")["QueueUrl"]
            monkeypatch.setenv(f"SEARCHSYNC_{name.upper()}_{what}", url)
    yield found["dynamodb"]
    for name in found["dynamodb"].list_tables()["TableNames"]:
        found["dynamodb"].delete_table(TableName=name)


def create(dynamodb: Any, name: str, *, key: str = "S", sort: str = "", stream: bool = True) -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]
    attributes = [{"AttributeName": "id", "AttributeType": key}, {"AttributeName": "at", "AttributeType": sort}]
    parts = 2 if sort else 1
    on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"} if stream else {"StreamEnabled": False}
    dynamodb.create_table(
        TableName=name,
        KeySchema=keys[:parts],
        AttributeDefinitions=attributes[:parts],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification=on,
    )


def event(n: int) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": {"S": f"e-{n}"},
        "kind": {"S": "sign-in"},
        "title": {"S": f"Somebody came in by door {n}"},
        "at": {"S": f"2026-01-0{1 + n % 9}T10:00:00Z"},
        "count": {"N": str(n)},
        "seconds": {"N": str(n / 4)},
        "ok": {"BOOL": n % 2 == 0},
        "tags": {"SS": ["door", f"d{n}"]},
        "scores": {"NS": ["1", "2"]},
        "place": {"M": {"city": {"S": "Bern"}, "room": {"M": {"floor": {"N": "3"}, "name": {"S": "The large hall"}}}}},
        "steps": {"L": [{"M": {"by": {"S": "ada"}}}, {"M": {"by": {"S": "bob"}, "took": {"N": "2"}}}]},
        "raw": {"B": b"\x00\x01"},
        "nothing": {"NULL": True},
        "until": {"N": "4102444800"},
    }
    return item


def test_events_are_live_after_three_commands(
    client: Client, dynamodb: Any, searchsync: Command, include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers, nested maps, sets, bytes and a time to live: made, checked, live, equal and found."""
    create(dynamodb, "app.events")
    spec = {"Enabled": True, "AttributeName": "until"}
    dynamodb.update_time_to_live(TableName="app.events", TimeToLiveSpecification=spec)
    for n in range(40):
        dynamodb.put_item(TableName="app.events", Item=event(n))
    told = searchsync("entity", "new", "events", "--dynamodb", "app.events").stdout
    assert "look at raw: B is shown, and not searched" in told
    described = yaml.safe_load((include / "entities" / "events.yaml").read_text())
    assert (described["table"], described["key"], described["expires"]) == ("app.events", ["id"], "until")
    fields = json.loads((include / "mappings" / "events.json").read_text())["mappings"]["properties"]
    flat = ("kind", "title", "at", "count", "seconds", "ok", "tags", "scores", "raw", "nothing", "until")
    assert {name: fields[name]["type"] for name in flat} == {
        "kind": "keyword",
        "title": "text",
        "at": "date",
        "count": "long",
        "seconds": "double",
        "ok": "boolean",
        "tags": "keyword",
        "scores": "long",
        "raw": "object",
        "nothing": "keyword",
        "until": "date",
    }
    assert fields["place"]["properties"]["room"]["properties"]["floor"]["type"] == "long"
    assert set(fields["steps"]["properties"]) == {"by", "took"}

    report = json.loads(searchsync("entity", "check", "events").stdout.partition("\nnext:")[0])
    assert (report["documents"], report["dropped"], report["ignored"]) == (40, {}, {})
    assert (report["not_searched"], report["unproven"]) == (["raw"], ["nothing"])
    searchsync("reindex", "events")
    assert json.loads(searchsync("compare", "events").stdout)["findings"] == []
    live = EntityIndexes(client, made("events")).live()
    assert live is not None
    assert len(living(client, live)) == 40
    query = {"query": {"term": {"place.room.floor": 3}}}
    assert client.request("POST", "/events/_count", body=query)["count"] == 40


def test_what_a_later_item_has_is_told_by_the_check(client: Client, dynamodb: Any, searchsync: Command) -> None:
    create(dynamodb, "app.events")
    dynamodb.put_item(TableName="app.events", Item=event(1))
    searchsync("entity", "new", "events", "--dynamodb", "app.events")
    dynamodb.put_item(TableName="app.events", Item={"id": {"S": "e-x"}, "colour": {"S": "red"}, "count": {"N": "0.5"}})
    told = searchsync("entity", "check", "events", fails=True)
    assert json.loads(told.stdout)["dropped"] == {"colour": 1, "count": 1}
    assert "left out of documents" in told.stderr


@pytest.mark.parametrize(
    ("types", "item", "ids"),
    [
        ("SN", lambda n: {"id": {"S": f"door|{n % 4}"}, "at": {"N": f"{n}.5"}}, "door~11|5.5"),
        ("B", lambda n: {"id": {"B": bytes([250, n])}}, "-gU"),
    ],
)
def test_events_of_any_key_are_live_after_three_commands(
    client: Client, dynamodb: Any, searchsync: Command, include: Path, types: str, item: Any, ids: str
) -> None:
    create(dynamodb, "app.events", key=types[0], sort=types[1:])
    for n in range(12):
        dynamodb.put_item(TableName="app.events", Item={**event(n), **item(n)})
    searchsync("entity", "new", "events", "--dynamodb", "app.events")
    described = yaml.safe_load((include / "entities" / "events.yaml").read_text())
    assert (described["key"], described["key_types"]) == (["id", "at"][: len(types)], [*types])
    assert json.loads(searchsync("entity", "check", "events").stdout.partition("\nnext:")[0])["documents"] == 12
    searchsync("reindex", "events")
    assert json.loads(searchsync("compare", "events").stdout)["findings"] == []
    live = EntityIndexes(client, made("events")).live()
    assert live is not None
    assert living(client, live)[ids]["title"] == "Somebody came in by door 5"


def kind(n: int) -> dict[str, Any]:
    """The n-th item of a table with three kinds."""
    key = [
        ("customer", f"CUSTOMER#{n}", "PROFILE"),
        ("order", f"CUSTOMER#{n % 5}", f"ORDER#{n}"),
        ("product", f"PRODUCT#{n}", "PRODUCT"),
    ][n % 3]
    item = {name: {"S": text} for name, text in zip(("kind", "id", "at"), key, strict=True)}
    return {**item, f"only_of_{key[0]}": {"S": f"x{n}"}}


def test_three_kinds_of_one_table_are_three_entities(
    client: Client, dynamodb: Any, searchsync: Command, include: Path
) -> None:
    """Each index has its own kind, each comparison is equal, and what does not fit together is refused."""
    create(dynamodb, "app.shop", sort="S")
    for n in range(30):
        dynamodb.put_item(TableName="app.shop", Item=kind(n))
    told = searchsync("entity", "new", "shop", "--dynamodb", "app.shop").stdout
    seen = "'kind=customer' (10), 'kind=order' (10), 'kind=product' (10)"
    assert seen in told
    assert f"# Look: the items of app.shop seem to be of several kinds; the sample has {seen}" in (
        include / "entities" / "shop.yaml"
    ).read_text(encoding="utf-8")
    refused = ("entity", "new", "orders", "--dynamodb", "app.shop", "--select", "kind=order")
    assert "Two entities share a table only when both select" in searchsync(*refused, fails=True).stderr
    for path in include.rglob("shop.*"):
        path.unlink()

    for name, (select, described) in KINDS.items():
        searchsync("entity", "new", name, "--dynamodb", "app.shop", "--select", select)
        assert f"select: {described}" in (include / "entities" / f"{name}.yaml").read_text(encoding="utf-8")
        assert "count_difference" not in (include / "expectations" / f"{name}.yaml").read_text(encoding="utf-8")
        checked = searchsync("entity", "check", name).stdout
        assert json.loads(checked.partition("\nlook at")[0].partition("\nnext:")[0])["documents"] == 10
        assert ("look at customers, orders, products" in checked) == (name == "products")
        searchsync("reindex", name)
    for name in KINDS:
        assert json.loads(searchsync("compare", name).stdout)["findings"] == []
        live = EntityIndexes(client, made(name)).live()
        assert live is not None
        found = living(client, live)
        assert {document["kind"] for document in found.values()} == {name.removesuffix("s")}
        assert len(found) == 10
    assert "CUSTOMER#4|ORDER#4" in living(client, str(EntityIndexes(client, made("orders")).live()))
    overlapping = ("entity", "new", "big_orders", "--dynamodb", "app.shop", "--select", "at=ORDER#1*")
    assert "orders selects at=ORDER#* of the same table" in searchsync(*overlapping, fails=True).stderr


@pytest.mark.parametrize("select", ["kind", "kind=", "=order", "kind=*"])
def test_what_selects_nothing_is_refused(
    dynamodb: Any, shell: None, include: Path, capsys: pytest.CaptureFixture[str], select: str
) -> None:
    assert main.main(["entity", "new", "orders", "--dynamodb", "app.shop", "--select", select]) == 1
    assert "selects nothing. Nothing was written" in capsys.readouterr().err
    assert [*include.rglob("orders*")] == []


def test_a_number_does_not_select(
    dynamodb: Any, shell: None, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(dynamodb, "app.events", sort="N")
    assert main.main(["entity", "new", "events", "--dynamodb", "app.events", "--select", "at=5*"]) == 1
    assert "at is no string, and only strings can select. Nothing was written" in capsys.readouterr().err
    assert [*include.rglob("events*")] == []


REFUSED: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "sync": ({}, [{"id": {"S": "1"}, "sync": {"BOOL": True}}], "have the attribute 'sync'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_that_cannot_be_an_entity_is_refused(
    what: str, dynamodb: Any, shell: None, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, items, says = REFUSED[what]
    create(dynamodb, "things", **options)
    for item in items:
        dynamodb.put_item(TableName="things", Item=item)
    assert main.main(["entity", "new", "things", "--dynamodb", "things"]) == 1
    told = capsys.readouterr().err
    assert says in told
    assert "Nothing was written" in told
    assert [*include.rglob("things*")] == []


def test_an_unknown_table_and_that_of_another_entity_are_refused(
    dynamodb: Any, shell: None, include: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["entity", "new", "things", "--dynamodb", "nowhere"]) == 1
    assert "ResourceNotFoundException" in capsys.readouterr().err
    assert main.main(["entity", "new", "things", "--dynamodb", "members"]) == 1
    assert "members is made from the same table members" in capsys.readouterr().err
    assert [*include.rglob("things*")] == []


def test_an_empty_table_without_a_stream_says_what_is_missing(dynamodb: Any, searchsync: Command) -> None:
    create(dynamodb, "things", stream=False)
    told = searchsync("entity", "new", "things", "--dynamodb", "things").stdout
    assert "look at things has no items" in told
    assert "aws dynamodb update-table --table-name things" in told
    assert "NEW_AND_OLD_IMAGES" in searchsync("entity", "check", "things", fails=True).stderr


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ([{"N": "1"}, {"S": "a"}], "keyword", "N and S"),
        ([{"M": {"a": {"N": "1"}}}, {"S": "a"}], "object", "M, S is shown"),
        ([{"M": {f"n{n}": {"N": "1"}}} for n in range(101)], "object", "its names are data"),
        ([{"M": {"a.b": {"N": "1"}}}], "object", "its names are data"),
        ([{"N": "0.1234567890123456789"}], "double", "15 digits"),
        ([{"N": "9223372036854775808"}], "double", "15 digits"),
        ([{"L": [{"L": [{"S": "a b"}]}, {"NULL": True}]}], "text", ""),
        ([{"S": "2026-01-01"}, {"S": "soon"}], "keyword", ""),
    ],
)
def test_values_that_have_not_one_plain_type(values: list[Any], kind: str, says: str) -> None:
    notes: list[str] = []
    assert dynamodb_fields.field_of(values, "x", notes)["type"] == kind
    assert says in "".join(notes)
