"""The transformation of docs/entities.md, from the page's own text; and what ``entity check`` says of a bad one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from tests.integration.conftest import Command
from tests.integration.scaffold.conftest import made
from tests.integration.scaffold.test_dynamodb_entities import create
from tests.members import clients
from tests.steps import living

REPO = Path(__file__).parents[3]
SECTION = (REPO / "docs" / "entities.md").read_text(encoding="utf-8").partition("## Transformations")[2]


def example(kind: str) -> str:
    """The first block of a kind in the section of the page."""
    found = re.search(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return found[1]


def order(n: int) -> dict[str, Any]:
    lines = [{"M": {"code": {"S": f"c-{k}"}, "quantity": {"N": str(k)}, "price": {"N": "1.25"}}} for k in (2, 1)]
    return {
        "id": {"S": f"o-{n}"},
        "eMail": {"S": f"person{n}@example.org"},
        "customer": {"M": {"name": {"S": "Ada"}, "address": {"M": {"city": {"S": "Bern"}}}}},
        "lines": {"L": lines},
        "debug": {"S": "x"},
    }


@pytest.fixture
def dynamodb(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the emulator; a shell's variables lead to the same, and to two queues."""
    aws = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "eu-west-1"}
    for name, value in {**aws, "AWS_ENDPOINT_URL": aws_url}.items():
        monkeypatch.setenv(name, value)
    found = clients(aws_url)
    for what in ("DEAD_LETTER_QUEUE", "PARKED_QUEUE"):
        url = found["sqs"].create_queue(QueueName=f"orders-{what}-{uuid4().hex}")["QueueUrl"]
        monkeypatch.setenv(f"SEARCHSYNC_ORDERS_{what}", url)
    yield found["dynamodb"]
    for name in found["dynamodb"].list_tables()["TableNames"]:
        found["dynamodb"].delete_table(TableName=name)


@pytest.fixture
def orders(dynamodb: Any, searchsync: Command, include: Path) -> Path:
    """Twenty orders, and the files of their entity as the page writes them."""
    create(dynamodb, "app.orders")
    for n in range(20):
        dynamodb.put_item(TableName="app.orders", Item=order(n))
    searchsync("entity", "new", "orders", "--dynamodb", "app.orders")
    with (include / "entities" / "orders.yaml").open("a", encoding="utf-8") as file:
        file.write(example("yaml"))
    (include / "transforms").mkdir(exist_ok=True)
    (include / "transforms" / "orders.py").write_text(example("python"))
    mapping, smoke = include / "mappings" / "orders.json", include / "mappings" / "orders.smoke.json"
    body = json.loads(mapping.read_text())
    fields = body["mappings"]["properties"]
    kept = {name: field for name, field in fields.items() if name in ("id", "sync")}
    body["mappings"]["properties"] = {**kept, **json.loads(example("json"))}
    mapping.write_text(json.dumps(body))
    queries = [query for query in json.loads(smoke.read_text()) if query["sample"]["exists"]["field"] in kept]
    smoke.write_text(json.dumps(queries))
    return include


SHOWN = {"city": "Bern", "kind": "order", "codes": ["c-1", "c-2"], "total": 3.75}


def test_the_example_of_the_page_is_live_and_equal(client: Client, orders: Path, searchsync: Command) -> None:
    report = json.loads(searchsync("entity", "check", "orders").stdout.partition("\nnext:")[0])
    assert (report["documents"], report["rejections"], report["dropped"], report["unsteady"]) == (20, 0, {}, 0)
    assert report["unproven"] == []
    searchsync("reindex", "orders")
    assert json.loads(searchsync("compare", "orders").stdout)["findings"] == []
    live = EntityIndexes(client, made("orders")).live()
    assert live is not None
    assert living(client, live)["o-7"] == {"id": "o-7", "email": "person7@example.org", **SHOWN}


UNSTEADY = {
    "the time": "import time\n\ndef transform(item):\n    return {**item, 'email': str(time.time())}\n",
    "the zone": "import datetime\n\ndef transform(item):\n"
    "    return {**item, 'email': datetime.datetime.fromtimestamp(0).isoformat()}\n",
    "a set": "def transform(item):\n    return {**item, 'email': ' '.join({item['email'], *'abcdefghij'})}\n",
    "the order": "def transform(item):\n    return {**item, 'email': ' '.join(item)}\n",
    "chance": "import random\n\ndef transform(item):\n    return {**item, 'email': str(random.random())}\n",
}


@pytest.mark.parametrize("what", UNSTEADY)
def test_what_depends_on_more_than_its_item_is_found_before_it_is_live(
    what: str, orders: Path, searchsync: Command
) -> None:
    """Function and comparison would never agree on such a document: it would be repaired for ever."""
    (orders / "transforms" / "orders.py").write_text(UNSTEADY[what])
    told = searchsync("entity", "check", "orders", fails=True)
    report = json.loads(told.stdout)
    assert report["unsteady"] == 20
    assert set(report["differences"].values()) == {"email"}
    assert "20 another document when made again, so no comparison is equal: use the item alone" in told.stderr


def test_items_that_it_fails_on_are_told_and_hold_up_no_other(dynamodb: Any, orders: Path, searchsync: Command) -> None:
    spoilt = {**order(99), "lines": {"S": "none"}}
    dynamodb.put_item(TableName="app.orders", Item=spoilt)
    told = searchsync("entity", "check", "orders", fails=True)
    report = json.loads(told.stdout)
    assert (report["documents"], report["rejections"], report["unsteady"]) == (20, 1, 0)
    assert report["rejected"] == {"o-99": "transform: include/transforms/orders.py, line 9: TypeError"}


def test_a_file_that_cannot_be_loaded_is_named_with_its_line(orders: Path, searchsync: Command) -> None:
    (orders / "transforms" / "orders.py").write_text("import nothing_like_it\n")
    for command in (["entity", "check", "orders"], ["reindex", "orders"]):
        told = searchsync(*command, fails=True).stderr
        assert re.search(r"BadSource: .*/transforms/orders\.py:1: it has no function transform", told)
