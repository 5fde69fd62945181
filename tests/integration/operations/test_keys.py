"""Tables with a sort key, and with numbers and bytes for keys: each way to an index and back knows its items."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.errors import BadSource
from searchsync.sources.dynamodb import DynamoSource, Segment
from tests.members import World, clients, newer
from tests.steps import documents, living, rebuild

Key = dict[str, Any]

KEYS: dict[tuple[str, ...], Any] = {
    ("N",): lambda n: {"member_id": {"N": f"{n}.50"}},
    ("B",): lambda n: {"member_id": {"B": bytes([n, 255, 254])}},
    ("S", "S"): lambda n: {"member_id": {"S": f"a|~{n % 3}"}, "at": {"S": f"{n}|"}},
    ("S", "N"): lambda n: {"member_id": {"S": f"org#{n % 3}"}, "at": {"N": f"{n}E+20"}},
    ("B", "B"): lambda n: {"member_id": {"B": b"\xfb" * (n % 3 + 1)}, "at": {"B": bytes([n])}},
}
"""By the types of the key, the n-th key."""

IDS = {("N",): "7.5", ("B",): "B__-", ("S", "S"): "a~1~01|7~1", ("S", "N"): "org#1|7" + "0" * 20, ("B", "B"): "-_s|Bw"}
"""The id of the seventh item."""


@pytest.fixture(params=KEYS, ids="".join)
def keyed(request: pytest.FixtureRequest, client: Client, aws_url: str) -> World:
    """A table of such keys."""
    types = request.param
    return World(
        client,
        newer(replace(entity("members"), key=("member_id", "at")[: len(types)], key_types=types)),
        clients(aws_url),
    )


def key(world: World, n: int) -> Key:
    found: Key = KEYS[world.entity.key_types](n)
    return found


def put(world: World, n: int, **attributes: Any) -> None:
    world.put("", **key(world, n), **attributes)


def there(world: World) -> dict[str, str]:
    """What the table has: the names by id."""
    return {one: item["name"]["S"] for one, item in world.table().items()}


def indexed(world: World, index: str) -> dict[str, str]:
    return {one: document["name"] for one, document in living(world.client, index).items()}


def test_every_way_to_an_index_knows_the_items(keyed: World, at_once: None, reports: Path) -> None:
    """Loaded, streamed, deleted, parked and replayed, pointed to, compared and repaired."""
    for n in range(12):
        put(keyed, n, name=f"first {n}")
    keyed.records()
    live = rebuild(keyed.client, keyed.connect, reports)["index"]
    assert indexed(keyed, live) == there(keyed)
    assert indexed(keyed, live)[IDS[keyed.entity.key_types]] == "first 7"

    put(keyed, 1, name="streamed")
    keyed.delete("", **key(keyed, 2))
    put(keyed, 3, name="poison", nickname="unknown yet")
    assert keyed.apply().parked.total() == 1
    put(keyed, 3, name="cured")
    put(keyed, 4, name="given up by the mapping")
    keyed.send_pointer(keyed.records())
    report = keyed.replay().as_dict()
    assert (report["failed"], report["why_parked"]) == ([], {})
    assert indexed(keyed, live) == there(keyed)
    assert sum(document["sync"]["deleted"] for document in documents(keyed.client, live).values()) == 1

    indexes = EntityIndexes(keyed.client, keyed.entity)
    keyed.client.request("DELETE", f"/{live}/_doc/{IDS[keyed.entity.key_types].replace('#', '%23')}")
    keyed.client.request("PUT", f"/{live}/_doc/nobody%7C%7C's", body={"name": "made by hand"})
    found = differences.find(indexes.get(live), keyed.source)
    assert found.kinds == {differences.MISSING: 1, differences.FOREIGN: 1}
    repair.repair(indexes, keyed.source, found, dry_run=False)
    assert indexed(keyed, live) == there(keyed)
    assert differences.find(indexes.get(live), keyed.source).kinds == {}


def test_a_scan_goes_on_from_what_json_can_hold(keyed: World) -> None:
    """A killed load notes its last key in a file or in Airflow."""
    for n in range(9):
        put(keyed, n, name=f"{n}")

    class Limited:
        def __getattr__(self, name: str) -> Any:
            return getattr(keyed.aws["dynamodb"], name)

        def scan(self, **arguments: Any) -> Any:
            return keyed.aws["dynamodb"].scan(**arguments, Limit=2)

    source = DynamoSource(keyed.entity, Limited())
    pages = list(source.pages(Segment(0, 1)))
    rest = source.pages(Segment(0, 1), after=json.loads(json.dumps(pages[1].resume)))
    keys = [document.key for page in [*pages[:2], *rest] for document in page.documents()]
    assert sorted(keys) == sorted(keyed.table())


@pytest.mark.parametrize(
    ("names", "types"),
    [(("member_id",), ("N",)), (("at",), ("S",)), (("member_id", "at"), ("S", "N")), (("at", "member_id"), ("S", "S"))],
)
def test_a_table_with_another_key_is_refused_before_anything_is_written(
    client: Client, aws_url: str, reports: Path, names: Any, types: Any
) -> None:
    """Its items would be written under ids that no key gives back."""
    world = World(client, newer(replace(entity("members"), key=names, key_types=types)), clients(aws_url))
    wrong = newer(replace(entity("members"), key=("member_id", "at"), key_types=("S", "S")))
    world.entity = wrong
    with pytest.raises(BadSource, match=r"its key is .*members\.yaml says member_id \(S\) and at \(S\)\. Nothing was"):
        rebuild(client, world.connect, reports)
    assert EntityIndexes(client, wrong).all() == []


def test_a_record_whose_key_has_another_type_is_parked_with_the_reason(keyed: World) -> None:
    change = {"Keys": {"member_id": {"BOOL": True}}, "SequenceNumber": "1", "ApproximateCreationDateTime": 1.0}
    assert keyed.apply([{"eventName": "REMOVE", "dynamodb": change}]).parked == {"invalid_key": 1}
    (message,) = keyed.messages()
    assert "the key member_id must be" in message["detail"]
    assert message["key"] == ""
