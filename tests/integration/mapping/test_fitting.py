"""No item of a table is refused for one of its attributes, whatever applications wrote; what is left out is counted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from searchsync.catalog import Entity, entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.documents import dynamodb_item
from searchsync.documents.page import Rejection, page_of
from searchsync.errors import BadMapping
from searchsync.mapping.fitting import Dropped
from searchsync.writing import writer
from tests.members import World
from tests.steps import documents, living, make_index, rebuild, serve

FIELDS: dict[str, Any] = {
    "a": {"type": "text", "fields": {"exact": {"type": "keyword", "normalizer": "exact", "ignore_above": 256}}},
    "b": {"type": "keyword"},
    "c": {"type": "boolean"},
    "d": {"type": "date", "ignore_malformed": True},
    "e": {"type": "long", "ignore_malformed": True},
    "f": {"type": "float", "ignore_malformed": True},
    "g": {"type": "scaled_float", "scaling_factor": 100, "ignore_malformed": False},
    "h": {"type": "geo_point", "ignore_malformed": True},
    "i": {"type": "ip", "ignore_malformed": True},
    "j": {"type": "wildcard"},
    "k": {"type": "search_as_you_type"},
    "n": {"type": "object", "enabled": False},
}
NESTED = {
    "m": {"type": "alias", "path": "b"},
    "o": {"properties": FIELDS},
    "p": {"type": "nested", "properties": FIELDS},
    "q": {"dynamic": False, "properties": FIELDS},
}


@pytest.fixture
def every_type(include: Path) -> Entity:
    """Members with fields of every type, and objects of them."""
    path = include / "mappings" / "members.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"] |= FIELDS | NESTED
    path.write_text(json.dumps(body))
    return replace(entity("members"))


@pytest.fixture
def index(client: Client, every_type: Entity) -> str:
    """Of them, empty."""
    return make_index(client, every_type, "any")


names = st.sampled_from([*FIELDS, *NESTED, "z", "", " ", ".", "..", "a.", ".a", "a.b", "o.b", "q.x", "_id", "_source"])
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(
        ["true", "1.5", "NaN", "-Infinity", "1e999", "2026-02-30", "10000-01-01", "::1", "91,0", "POINT (1)"]
    ),
    st.sampled_from(["x", "é", "Ⱥ", "𝒳"]).map(lambda letter: letter * 33_000),
)
numbers = st.one_of(
    st.integers(-(10**20), 10**20).map(str), st.sampled_from(["0.5", "1E+125", "-1E-130", "1700000000.5", "1" * 38])
)
values = st.recursive(
    st.one_of(
        texts.map(lambda text: {"S": text}),
        numbers.map(lambda number: {"N": number}),
        st.binary(max_size=8).map(lambda value: {"B": value}),
        st.booleans().map(lambda value: {"BOOL": value}),
        st.just({"NULL": True}),
        st.lists(texts, max_size=3).map(lambda some: {"SS": some}),
        st.lists(numbers, max_size=3).map(lambda some: {"NS": some}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda some: {"L": some}),
        st.dictionaries(names, inner, max_size=4).map(lambda some: {"M": some}),
    ),
    max_leaves=8,
)


@settings(max_examples=25, phases=[Phase.generate])
@given(st.lists(st.dictionaries(names, values, max_size=6), min_size=40, max_size=40))
def test_no_item_is_refused(client: Client, every_type: Entity, index: str, found: list[dict[str, Any]]) -> None:
    """A thousand items of the worst shapes, with names that OpenSearch takes for paths or for nothing."""
    dropped: Dropped = {}
    at = {"position": "1700000000." + "0" * 40, "written_at": "2026-01-01T00:00:00Z"}
    example = uuid4().hex
    lines = [
        dynamodb_item.document_of(every_type, f"{example}-{n}", item, dropped=dropped, **at)
        for n, item in enumerate(found)
    ]
    refused: list[Rejection] = []
    page = page_of(lines, position="", dropped=dropped)
    ledger = writer.compare_and_set(Index(client, index), page, on_rejected=refused.append)
    assert [(one.type, one.reason, found[int(one.id.partition("-")[2])]) for one in refused] == []
    assert (ledger.written, ledger.dropped) == (40, dict(dropped))


def test_what_is_left_out_is_counted_on_every_path(world: World, at_once: None, tmp_path: Path) -> None:
    """By name, so that somebody can decide whether to map it: stream, replay, load, gate and comparison alike."""
    blue = serve(world.client, world.entity, identity=world.identity)
    item = {
        "name": "Ada",
        "aws:rep:deleting": {"BOOL": False},
        "joined_date": "no date",
        "status": {"M": {"a": {"S": "x"}}},
    }
    world.put("m-1", **item)
    left_out = {"aws:rep:deleting": 1, "status": 1}
    records = world.records()
    assert world.apply(records).dropped == left_out
    shown = {"m-1": {"member_id": "m-1", "name": "Ada", "joined_date": "no date"}}
    assert living(world.client, blue) == shown
    world.send_pointer(records)
    assert world.replay().as_dict()["dropped"] == left_out
    report = rebuild(world.client, world.connect, tmp_path)
    assert (report["dropped"], report["gate"]["dropped"]) == (left_out, left_out)
    assert living(world.client, report["index"]) == shown
    found = _search(world.client, {"match": {"name.plain": "ada"}})
    assert [hit["_id"] for hit in found] == ["m-1"]
    assert [hit["_id"] for hit in _search(world.client, {"term": {"_ignored": "joined_date"}})] == ["m-1"]


def test_what_an_entity_refuses_is_parked_with_the_names(world: World) -> None:
    blue = serve(world.client, world.entity, identity=world.identity)
    world.entity = replace(world.entity, unmapped="refuse")
    world.__post_init__()
    world.put("m-1", name="Ada", photo="x")
    outcome = world.apply()
    assert (outcome.parked, outcome.dropped) == ({"unmapped": 1}, {})
    (message,) = world.messages()
    assert "photo" in message["detail"]
    assert documents(world.client, blue) == {}


def _search(client: Client, query: dict[str, Any]) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = client.request("POST", "/members/_search", body={"query": query})["hits"]["hits"]
    return hits


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sync.deleted": {"type": "boolean"}}, "sync.deleted"),
        ({"a": {"properties": {"b.c": {"type": "keyword"}}}}, "a.b.c"),
        ({" ": {"type": "keyword"}}, "no name of one field"),
        ({"a": {"properties": {"b": {"dynamic": "true", "properties": {}}}}}, "a.b.*dynamic"),
        ({"expires_at": {"type": "date"}}, "epoch_second"),
        ({"expires_at": {"type": "long"}}, "epoch_second"),
    ],
)
def test_mapping_files_that_would_merge_or_mislead_are_refused(include: Path, change: dict[str, Any], why: str) -> None:
    path = include / "mappings" / "members.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"] |= change
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping, match=why):
        _ = replace(entity("members")).index_body


def test_nothing_of_others_goes_into_sync(include: Path) -> None:
    path = include / "mappings" / "members.json"
    body = json.loads(path.read_text())
    body["mappings"]["properties"]["sync"]["properties"]["note"] = {"type": "keyword"}
    path.write_text(json.dumps(body))
    with pytest.raises(BadMapping, match="note"):
        _ = replace(entity("members")).index_body


def test_an_index_wide_option_would_drop_in_silence(client: Client) -> None:
    """Why each field has ``ignore_malformed`` for itself.

    Said for the whole index, it lets an object for a keyword and text for a boolean vanish without a word, not even
    under ``_ignored`` (OpenSearch 3.5.0).
    """
    mappings = {"dynamic": "strict", "properties": {"a": {"type": "keyword"}, "c": {"type": "boolean"}}}
    for setting, answers in ((True, ["created", "created"]), (False, ["refused", "refused"])):
        body = {"settings": {"index.mapping.ignore_malformed": setting, "number_of_replicas": 0}, "mappings": mappings}
        client.request("PUT", "/silent", body=body)
        lines = b"".join(
            b'{"create":{}}\n%b\n' % json.dumps(source).encode() for source in ({"a": {"x": 1}}, {"c": "yes"})
        )
        answer = client.transport.perform_request(
            "POST", "/silent/_bulk?refresh=true", body=lines, headers={"content-type": "application/x-ndjson"}
        )
        assert ["refused" if "error" in item["create"] else "created" for item in answer["items"]] == answers
        ignored = client.request("POST", "/silent/_count", body={"query": {"exists": {"field": "_ignored"}}})
        assert ignored["count"] == 0
        client.request("DELETE", "/silent")
