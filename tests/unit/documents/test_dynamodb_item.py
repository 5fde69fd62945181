"""The one transformation of DynamoDB items. A shape it misreads is a document that differs by the way it came."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchsync.catalog import BUCKETS, entity
from searchsync.documents import dynamodb_item, dynamodb_values
from searchsync.documents.dynamodb_values import BadItem
from searchsync.mapping.fitting import Dropped

MEMBERS = entity("members")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ({"S": "Zoë"}, "Zoë"),
        ({"S": ""}, ""),
        ({"N": "0"}, 0),
        ({"N": "-42"}, -42),
        ({"N": "9223372036854775808"}, 2**63),
        ({"N": "12345678901234567890123456789012345678"}, 12345678901234567890123456789012345678),
        ({"N": "0.1"}, 0.1),
        ({"N": "5.0"}, 5.0),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"B": b"\x00\xff"}, "AP8="),
        ({"B": "AP8="}, "AP8="),
        ({"SS": ["b", "a"]}, ["a", "b"]),
        ({"NS": ["10", "9", "0.5"]}, [0.5, 9, 10]),
        ({"BS": [b"\xff", "AA=="]}, ["/w==", "AA=="]),
        ({"L": []}, []),
        ({"M": {}}, {}),
        ({"L": [{"M": {"deep": {"L": [{"NULL": True}, {"N": "1"}]}}}]}, [{"deep": [None, 1]}]),
    ],
)
def test_every_type_in_every_shape(attribute: dict[str, Any], value: Any) -> None:
    assert dynamodb_values.decode({"a": attribute}) == {"a": value}


@pytest.mark.parametrize(
    "attribute",
    [
        {}, None, "text", [], {"S": "a", "N": "1"}, {"S": 1}, {"N": 1}, {"N": "NaN"}, {"N": "Infinity"}, {"N": "x"},
        {"N": ""}, {"BOOL": "true"}, {"B": "not base64!"}, {"B": 1}, {"L": "x"}, {"L": {"S": "a"}}, {"M": []},
        {"SS": "abc"}, {"SS": [1]}, {"NS": ["x"]}, {"X": "?"}, {"S": "\ud800"}, {"L": [{"N": "no"}]},
    ],
)  # fmt: skip
def test_what_is_not_dynamodbs_json_is_poison_and_nothing_else(attribute: Any) -> None:
    """Any other exception would be taken for a fault of ours, and block the shard."""
    with pytest.raises(BadItem):
        dynamodb_values.decode({"a": attribute})


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        *((same, same) for same in (
            "0", "-0", "-0.0", "5.0", "1.10", "1E+3", "1e22", "1E-7", "0.0000001", "12345678.5", "4102444800.5",
            "9007199254740993", "12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678",
            "-9.9999999999999999999999999999999999999E+125", "1E-130",
        )),
        ("+1", "1"), (".5", "0.5"), ("5.", "5"), ("007", "7"), ("-.50", "-0.50"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_the_table_writes_it(text: str, rendered: str) -> None:
    """Else one path would send 1.1 or 1.23456785E7 for what another sends as it is; and JSON has to be JSON."""
    for attribute, wanted in (
        ({"N": text}, rendered),
        ({"L": [{"M": {"n": {"N": text}}}, {"S": "x"}]}, f'[{{"n":{rendered}}},"x"]'),
        ({"NS": [text]}, f"[{rendered}]"),
    ):
        document = dynamodb_values.render(dynamodb_values.decode({"b": attribute, "a": {"S": '\u2028"é'}}))
        assert document == '{"a":"\\u2028\\"\\u00e9","b":' + wanted + "}"
        json.loads(document)


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-126, 80))
def test_a_number_keeps_its_value(digits: int, exponent: int) -> None:
    text = f"{digits}E{exponent}"
    found = dynamodb_values.render(dynamodb_values.decode({"a": {"N": text}}))
    assert found == f'{{"a":{text}}}'


@pytest.mark.parametrize("text", ["1_000", "١", "0x10", "1e1000", "1E+131", "1E-131", " 1", "1 ", "--1", "1e", "."])
def test_what_no_table_holds_is_no_number(text: str) -> None:
    """Python would take the first two, and OpenSearch might compute for ever with a million digits."""
    with pytest.raises(BadItem):
        dynamodb_values.decode({"a": {"N": text}})


def test_hash_is_of_the_values_and_not_of_their_order() -> None:
    """Sets have no order, and the API and the stream list attributes as they like."""
    one = dynamodb_item.text_of(MEMBERS, {"name": {"S": "Ada"}, "skills": {"SS": ["x", "y"]}})
    two = dynamodb_item.text_of(MEMBERS, {"skills": {"SS": ["y", "x"]}, "name": {"S": "Ada"}})
    other = dynamodb_item.text_of(MEMBERS, {"skills": {"SS": ["y", "z"]}, "name": {"S": "Ada"}})
    assert dynamodb_item.hash_of(one) == dynamodb_item.hash_of(two) != dynamodb_item.hash_of(other)
    assert all(0 <= half < 2**32 for half in dynamodb_item.hash_of(one))


def test_hash_is_of_what_the_document_shows() -> None:
    """What no search sees makes no document stale: an attribute that the mapping has no place for, or an empty one."""
    bare = {"member_id": {"S": "m-1"}, "name": {"S": "x"}}
    noted = {**bare, "login_count": {"N": "7"}, "city": {"S": ""}}
    assert dynamodb_item.content_of(MEMBERS, bare) == dynamodb_item.content_of(MEMBERS, noted)
    assert _sync(bare) == _sync(noted) != _sync({**bare, "city": {"S": "Berlin"}})


def _sync(item: dict[str, Any]) -> Any:
    return json.loads(dynamodb_item.document_of(MEMBERS, "m-1", item, position="p", written_at="w").source)["sync"]


def test_a_document_of_this_transform() -> None:
    """When this fails, documents have changed: raise ``dynamodb_item.TRANSFORM``, and write the new one here."""
    item = {
        "member_id": {"S": "m-1"},
        "joined_date": {"S": "2026-01-01"},
        "skills": {"SS": ["go", "c"]},
        "city": {"NULL": True},
        "expires_at": {"N": "4102444800.50"},
    }
    line = dynamodb_item.document_of(MEMBERS, "m-1", item, position="p", written_at="w")
    assert dynamodb_item.TRANSFORM == 1
    assert line.source.decode() == (
        '{"sync":{"position":"p","deleted":false,"written_at":"w","bucket":948,'
        '"hash_high":4172529818,"hash_low":1835137457},'
        '"expires_at":4102444800.50,"joined_date":"2026-01-01","member_id":"m-1","skills":["c","go"]}'
    )


def test_nothing_known_is_no_field() -> None:
    item = {"name": {"S": "Ada"}, "city": {"NULL": True}, "joined_date": {"S": ""}, "tags": {"L": []}}
    assert dynamodb_item.content_of(MEMBERS, item) == {"name": "Ada", "tags": []}


def test_live_and_gone_carry_the_same_state_fields() -> None:
    item = {"member_id": {"S": "m-1"}}
    there = dynamodb_item.document_of(MEMBERS, "m-1", item, position="p", written_at="w")
    gone = dynamodb_item.tombstone_of("m-1", position="p", written_at="w")
    assert (there.deleted, gone.deleted) == (False, True)
    sync, tombstone = (json.loads(line.source)["sync"] for line in (there, gone))
    assert sync.keys() == tombstone.keys()
    assert sync["bucket"] == tombstone["bucket"] < BUCKETS


@pytest.mark.parametrize("name", ["sync", "sync.deleted", "sync.bucket", "sync.", "sync.a.b"])
def test_what_would_become_the_documents_own_state_is_poison(name: str) -> None:
    """OpenSearch takes dots for a path: `sync.deleted` would hide a document that lives, and have it purged."""
    with pytest.raises(BadItem, match="sync") as caught:
        dynamodb_item.content_of(MEMBERS, {"member_id": {"S": "m-1"}, name: {"BOOL": True}})
    assert caught.value.type == "invalid_attribute"


@pytest.mark.parametrize("name", ["address.sync", "synced", "Sync", "_id", "aws:rep:deleting", "a", "", ".", "..", " ",
                                  ".sync", "name.x", "name."])  # fmt: skip
def test_an_attribute_that_nobody_mapped_is_left_out_and_counted(name: str) -> None:
    dropped: Dropped = {}
    item = {"member_id": {"S": "m-1"}, "name": {"S": "Ada"}, name: {"M": {"sync": {"N": "1"}}}}
    assert dynamodb_item.content_of(MEMBERS, item, dropped) == {"member_id": "m-1", "name": "Ada"}
    assert dropped == {name: 1}


def test_an_entity_may_refuse_what_it_has_no_place_for() -> None:
    with pytest.raises(BadItem, match="a, expires_at") as caught:
        dynamodb_item.content_of(replace(MEMBERS, unmapped="refuse"), {"a": {"S": "x"}, "expires_at": {"S": "1"}})
    assert caught.value.type == "unmapped"


@pytest.mark.parametrize(
    ("attribute", "second"),
    [
        ({"N": "1700000000"}, 1_700_000_000),
        ({"N": "1700000000.0000000000000000001"}, 1_700_000_001),
        ({"N": "1.7E+9"}, 1_700_000_000),
        ({"N": "-5.5"}, -5.5),
        ({"N": "1700000000.5"}, 1_700_000_000.5),
        ({"N": "0"}, 0),
        ({"N": "1700000000000"}, 1_700_000_000_000),
        ({"N": "9223372036854775"}, 9_223_372_036_854_775),
        ({"N": "9223372036854776"}, None),
        ({"N": "1E+125"}, None),
        ({"N": "-1E+125"}, None),
        ({"S": "1700000000"}, None),
        ({"SS": ["1700000000"]}, None),
        ({"NS": ["1700000000"]}, None),
        ({"L": [{"N": "1700000000"}]}, None),
        ({"M": {"N": {"N": "1700000000"}}}, None),
        ({"B": b"1700000000"}, None),
        ({"BOOL": True}, None),
    ],
)
def test_a_document_ends_when_dynamodb_ends_its_item(attribute: dict[str, Any], second: float | None) -> None:
    """It ignores all but numbers; the index would take text for a time, and hide what the table keeps for ever."""
    dropped: Dropped = {}
    document = dynamodb_item.content_of(MEMBERS, {"member_id": {"S": "m-1"}, "expires_at": attribute}, dropped)
    assert document.get("expires_at") == second
    assert dropped == ({} if second is not None else {"expires_at": 1})


@pytest.mark.parametrize("keys", [None, {}, {"member_id": {"N": "1"}}, {"other": {"S": "x"}}, {"member_id": {"S": ""}},
                                  {"member_id": {"S": "x" * 513}}, {"member_id": {"S": "é" * 257}},
                                  {"member_id": {"S": "\ud800"}}])  # fmt: skip
def test_a_key_that_no_document_can_have_is_poison(keys: Any) -> None:
    """One id over 512 bytes makes OpenSearch refuse the whole bulk."""
    with pytest.raises(BadItem):
        dynamodb_item.key_of(MEMBERS, keys)


def test_the_longest_key_is_taken() -> None:
    assert dynamodb_item.key_of(MEMBERS, {"member_id": {"S": "é" * 256}}) == "é" * 256
