"""Each DynamoDB entity has a delivery of its own: it waits for what is not there, and holds up no other."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import members, stream_function, tables
from local.airflow import aws_environment
from local.paths import ROOT
from searchsync.catalog import Entity, entity
from searchsync.cluster.client import Client
from searchsync.documents.position import MARGIN_SECONDS
from tests.integration.conftest import Command
from tests.steps import serve, until

PATIENCE = 30.0
HANDLER = """
import pathlib

def handler(event, context):
    with (pathlib.Path(__file__).parent / "seen").open("a") as seen:
        for record in event["Records"]:
            (key,) = record["dynamodb"]["Keys"].values()
            print(key["S"], file=seen)
"""
EVENTS = Entity("events", "dynamodb", ("id",), table="app.events")


class Delivery:
    """The process that delivers one entity's stream.

    :param handler: in place of the real one
    """

    def __init__(self, name: str, folder: Path, handler: Path | None = None, **environment: str) -> None:
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
        self.log = self.folder / "log"
        changed = f"from local import stream_function; stream_function.HANDLER = pathlib.Path({str(handler)!r}); "
        code = f"import pathlib; {changed if handler else ''}from local.delivery import main; main()"
        command = [sys.executable, "-c", code, "--entity", name, "--folder", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
            )

    def says(self) -> str | None:
        """What holds it up, as `./dev stream status` reads it; None before it says anything."""
        alive = self.folder / stream_function.ALIVE
        return alive.read_text(encoding="utf-8") if alive.exists() else None

    def waits_for(self, words: str) -> None:
        until(lambda: words in (self.says() or ""), f"it waits for {words}: {self.log.read_text()}", PATIENCE)

    def delivers(self) -> None:
        until(lambda: self.says() == "", f"it delivers: {self.says()}", PATIENCE)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """Ends what is left of processes, whatever the test did."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def emulator(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The emulator without tables and messages, for all processes of the test."""
    for name, value in aws_environment(aws_url).items():
        monkeypatch.setenv(name, value)
    for name, value in {**tables.variables(aws_url), **tables.queues(EVENTS, aws_url)}.items():
        monkeypatch.setenv(name, value)
    _empty(aws_url)  # tests of other files use it, too
    yield aws_url
    _empty(aws_url)


def _empty(aws_url: str) -> None:
    dynamodb, sqs = tables.client("dynamodb", aws_url), tables.client("sqs", aws_url)
    for table in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=table)
    for url in sqs.list_queues().get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=url)


class Aliases(BaseHTTPRequestHandler):
    """OpenSearch as far as it is asked: the members of an alias."""

    indexes: dict[str, Any]
    asked: Counter[str]

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        self.send_response(200 if self.indexes else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.indexes or {"error": "missing", "status": 404}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    bound = type("Bound", (Aliases,), {"indexes": {}, "asked": Counter()})
    with ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", f"http://127.0.0.1:{server.server_port}")
        yield bound
        server.shutdown()


def create_table(endpoint: str, name: str, *, stream: str = tables.IMAGES, sort: str = "") -> None:
    keys = {"id": ("HASH", "S"), **({sort: ("RANGE", "N")} if sort else {})}
    tables.client("dynamodb", endpoint).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": part, "KeyType": kind} for part, (kind, _) in keys.items()],
        AttributeDefinitions=[{"AttributeName": part, "AttributeType": type_} for part, (_, type_) in keys.items()],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": stream} if stream else {"StreamEnabled": False},
    )


def test_it_waits_for_an_index_and_then_delivers(
    emulator: str, aliases: Any, tmp_path: Path, started: ExitStack
) -> None:
    """Before the first reindex every batch would fail and end in the queue; without the process nothing arrives."""
    members.create(emulator)
    members.generate(tables.client("dynamodb", emulator), 30)
    handler = tmp_path / "handler.py"
    handler.write_text(HANDLER, encoding="utf-8")
    delivery = Delivery("members", tmp_path, handler)
    started.callback(delivery.process.kill)
    until(lambda: aliases.asked["/_alias/members-writers"] >= 2, "it asks for an index", PATIENCE)
    delivery.waits_for("no index has the alias members-writers: run members_reindex")
    assert not (tmp_path / "seen").exists()
    aliases.indexes["members-1"] = {}
    until((tmp_path / "seen").exists, "the function is called", PATIENCE)
    checkpoint = delivery.folder / stream_function.CHECKPOINT
    until(checkpoint.exists, "it remembers how far it is", PATIENCE)
    delivery.stop()
    assert (tmp_path / "seen").read_text(encoding="utf-8").split() == [f"m-{number:07d}" for number in range(1, 31)]
    saved = json.loads(checkpoint.read_text(encoding="utf-8"))
    assert saved["stream"] == tables.stream_arn(entity("members"), emulator)


def test_a_table_that_comes_late_needs_no_restart(
    emulator: str, aliases: Any, tmp_path: Path, include: Path, started: ExitStack
) -> None:
    """A person creates the table after `./dev up`, without a stream at first; it is deleted and made again."""
    aliases.indexes["events-1"] = {}
    described = {"source": "dynamodb", "table": "app.events", "key": ["id"], "freshness": {"hours": 192}}
    (include / "entities" / "events.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    handler = tmp_path / "handler.py"
    handler.write_text("def handler(:", encoding="utf-8")
    delivery = Delivery("events", tmp_path, handler)
    started.callback(delivery.process.kill)
    dynamodb = tables.client("dynamodb", emulator)

    delivery.waits_for("the emulator has no table app.events")
    create_table(emulator, "app.events", stream="KEYS_ONLY")
    delivery.waits_for("has a stream of KEYS_ONLY")
    dynamodb.delete_table(TableName="app.events")
    create_table(emulator, "app.events", stream="")
    delivery.waits_for("aws dynamodb update-table --table-name app.events --stream-specification StreamEnabled=true")
    on = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.update_table(TableName="app.events", StreamSpecification=on)
    delivery.waits_for("the function cannot be loaded")
    assert "SyntaxError" in delivery.log.read_text(encoding="utf-8")
    handler.write_text(HANDLER, encoding="utf-8")
    dynamodb.put_item(TableName="app.events", Item={"id": {"S": "first"}})
    seen = tmp_path / "seen"
    until(lambda: seen.exists() and seen.read_text().split() == ["first"], "it is delivered", PATIENCE)

    dynamodb.delete_table(TableName="app.events")
    create_table(emulator, "app.events")
    dynamodb.put_item(TableName="app.events", Item={"id": {"S": "again"}})
    until(lambda: seen.read_text().split() == ["first", "again"], "the new stream is delivered", PATIENCE)
    delivery.delivers()
    delivery.stop()


def test_a_second_entity_beside_members(
    client: Client, searchsync: Command, emulator: str, tmp_path: Path, include: Path, started: ExitStack
) -> None:
    """A user's own table: its changes reach its index, its poison its own queue, and its replay takes it from there.

    It has a sort key, a number. Members, and an entity without a table, are served beside it.
    """
    create_table(emulator, "app.events", sort="at")
    dynamodb = tables.client("dynamodb", emulator)

    def put(number: int, **more: Any) -> None:
        item = {"id": {"S": "ada"}, "at": {"N": str(number)}, "kind": {"S": "sign-in"}, **more}
        dynamodb.put_item(TableName="app.events", Item=item)

    put(1)
    searchsync("entity", "new", "events", "--dynamodb", "app.events")
    (include / "entities" / "lost.yaml").write_text(
        "{source: dynamodb, key: [id], freshness: {hours: 192}}", encoding="utf-8"
    )
    members.create(emulator)
    blue = serve(client, members.ENTITY)
    deliveries = {name: Delivery(name, tmp_path) for name in ("events", "lost", "members")}
    for delivery in deliveries.values():
        started.callback(delivery.process.kill)
    deliveries["events"].waits_for("no index has the alias events-writers")
    searchsync("reindex", "events")
    deliveries["events"].delivers()
    deliveries["members"].delivers()
    deliveries["lost"].waits_for("the emulator has no table lost")

    put(2)
    put(3, sync={"M": {}})
    dynamodb.put_item(TableName="members", Item={"member_id": {"S": "m-1"}, "name": {"S": "Ada"}})
    until(lambda: shown(client, "events") == {"ada|1", "ada|2"}, "the change of an event is found", PATIENCE)
    until(lambda: shown(client, blue) == {"m-1"}, "the change of a member is found", PATIENCE)
    until(lambda: waiting(emulator, EVENTS) == 1, "the poison waits in the queue of events", PATIENCE)
    parked_before = time.time()
    assert waiting(emulator, members.ENTITY) == 0

    deliveries["events"].stop()  # so that the replay alone can bring what comes now
    put(3)
    until(lambda: time.time() > parked_before + 2 * MARGIN_SECONDS + 1, "the read is later than the parking", 20)
    report = json.loads(searchsync("replay", "events").stdout)
    assert {reason: counts["written"] for reason, counts in report["reasons"].items()} == {"invalid_attribute": 1}
    assert shown(client, "events") == {"ada|1", "ada|2", "ada|3"}
    assert waiting(emulator, EVENTS) == 0
    deliveries["members"].stop()
    deliveries["lost"].stop()


def test_two_entities_of_one_table_have_a_delivery_each(
    client: Client, searchsync: Command, emulator: str, tmp_path: Path, include: Path, started: ExitStack
) -> None:
    """Each selects its kind: an item that changes its kind leaves one index and enters the other, while both run."""
    create_table(emulator, "app.events")
    dynamodb = tables.client("dynamodb", emulator)
    for name in ("events", "orders"):
        dynamodb.put_item(TableName="app.events", Item={"id": {"S": name}, "kind": {"S": name}})
    searchsync("entity", "new", "events", "--dynamodb", "app.events")
    described = yaml.safe_load((include / "entities" / "events.yaml").read_text(encoding="utf-8"))
    for file in (*include.glob("mappings/events.*"), *include.glob("expectations/events.*")):
        shutil.copy(file, file.with_name(file.name.replace("events", "orders")))
    for name in ("events", "orders"):
        selected = described | {"select": {"attribute": "kind", "equals": name}}
        selected["heartbeat"] = {"id": f"{name}-searchsync-heartbeat", "kind": name}
        (include / "entities" / f"{name}.yaml").write_text(yaml.safe_dump(selected), encoding="utf-8")
    deliveries = {name: Delivery(name, tmp_path) for name in ("events", "orders")}
    for name, delivery in deliveries.items():
        started.callback(delivery.process.kill)
        searchsync("reindex", name)
    for delivery in deliveries.values():
        delivery.delivers()
    for name in ("events", "orders"):
        assert shown(client, name) == {name}
    dynamodb.put_item(TableName="app.events", Item={"id": {"S": "events"}, "kind": {"S": "orders"}})
    until(lambda: shown(client, "orders") == {"events", "orders"}, "it enters", PATIENCE)
    until(lambda: shown(client, "events") == set(), "it leaves", PATIENCE)
    for delivery in deliveries.values():
        delivery.stop()


def shown(client: Client, name: str) -> set[str]:
    """The ids that a search of an alias or index shows."""
    client.request("POST", f"/{name}/_refresh")
    return {hit["_id"] for hit in client.request("POST", f"/{name}/_search", body={"size": 100})["hits"]["hits"]}


def waiting(endpoint: str, of: Entity) -> int:
    """Messages in the dead-letter queue of an entity."""
    found = tables.client("sqs", endpoint).get_queue_attributes(
        QueueUrl=tables.dead_letters(of, endpoint),
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(map(int, found["Attributes"].values()))
