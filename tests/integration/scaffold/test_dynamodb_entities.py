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
    for what in ("DEAD_LETTER_QUEUE", "PARKED_QUEUE"):
        url = found["sqs"].create_queue(QueueName=f"events-{what}-{time.monotonic_ns()}")["QueueUrl"]
        monkeypatch.setenv(f"SEARCHSYNC_EVENTS_{what}", url)
    yield found["dynamodb"]
    for name in found["dynamodb"].list_tables()["TableNames"]:
        found["dynamodb"].delete_table(TableName=name)


def create(dynamodb: Any, name: str, *, key: str = "S", sort: bool = False, stream: bool = True) -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}][: 1 + sort]
    attributes = [{"AttributeName": "id", "AttributeType": key}, {"AttributeName": "at", "AttributeType": "N"}]
    on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"} if stream else {"StreamEnabled": False}
    dynamodb.create_table(
        TableName=name,
        KeySchema=keys,
        AttributeDefinitions=attributes[: 1 + sort],
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
    assert "members is made from the table members already" in capsys.readouterr().err
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
