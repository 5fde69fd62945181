"""The one transformation of DynamoDB items. A shape it misreads is a document that differs by the way it came."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchsync import items
from searchsync.entities import BUCKETS, entity
from searchsync.items import BadItem

MEMBERS = entity("members")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ({"S": "Zoë"}, "Zoë"),
        ({"S": ""}, ""),
        ({"N": "0"}, 0),
        ({"N": "-42"}, -42),
        ({"N": "5.0"}, 5),
        ({"N": "1E+3"}, 1000),
        ({"N": "9223372036854775807"}, 2**63 - 1),
        ({"N": "-9223372036854775808"}, -(2**63)),
        ({"N": "9223372036854775808"}, "9223372036854775808"),
        ({"N": "9223372036854775809"}, "9223372036854775809"),
        ({"N": "0.1"}, 0.1),
        ({"N": "12345678901234567890123456789012345678"}, "12345678901234567890123456789012345678"),
        ({"N": "0.12345678901234567890123456789012345678"}, "0.12345678901234567890123456789012345678"),
        ({"N": "1E+126"}, 1e126),
        ({"N": "1E-130"}, 1e-130),
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
    assert items.decode({"a": attribute}) == {"a": value}


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
        items.decode({"a": attribute})


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-126, 80))
def test_a_number_keeps_its_value(digits: int, exponent: int) -> None:
    """Rounded on one path and exact on another, a document would differ for ever."""
    text = f"{digits}E{exponent}"
    (value,) = items.decode({"a": {"N": text}}).values()
    from decimal import Decimal, localcontext

    with localcontext(prec=60):
        assert Decimal(str(value)) == Decimal(text)
    assert not isinstance(value, int) or -(2**63) <= value < 2**63
    assert not isinstance(value, float) or math.isfinite(value)


def test_hash_is_of_the_values_and_not_of_their_order() -> None:
    """Sets have no order, and the API and the stream list attributes as they like."""
    one = items.decode({"b": {"SS": ["x", "y"]}, "a": {"N": "1"}})
    two = items.decode({"a": {"N": "1.0"}, "b": {"SS": ["y", "x"]}})
    other = items.decode({"a": {"N": "1"}, "b": {"SS": ["y", "z"]}})
    assert items.hash_of(one) == items.hash_of(two) != items.hash_of(other)
    assert all(0 <= half < 2**32 for half in items.hash_of(one))


def test_hash_covers_what_the_document_leaves_out() -> None:
    """The hash is of the source's state: an index of an older rendering stays comparable."""
    bare, noted = items.decode({"a": {"S": "x"}}), items.decode({"a": {"S": "x"}, "b": {"S": ""}})
    assert items.document(bare) == items.document(noted)
    assert items.hash_of(bare) != items.hash_of(noted)


def test_nothing_known_is_no_field() -> None:
    item = items.decode({"name": {"S": "Ada"}, "city": {"NULL": True}, "joined_date": {"S": ""}, "tags": {"L": []}})
    assert items.document(item) == {"name": "Ada", "tags": []}


def test_live_and_gone_carry_the_same_state_fields() -> None:
    there = items.live("m-1", {"member_id": "m-1"}, position="p", written_at="w")
    gone = items.gone("m-1", position="p", written_at="w")
    assert (there.deleted, gone.deleted) == (False, True)
    sync, tombstone = (json.loads(line.source)["sync"] for line in (there, gone))
    assert sync.keys() == tombstone.keys()
    assert sync["bucket"] == tombstone["bucket"] < BUCKETS


def test_an_attribute_sync_is_poison() -> None:
    """It would overwrite the document's own state, and with it the order of writes."""
    with pytest.raises(BadItem, match="sync"):
        items.live("m-1", {"member_id": "m-1", "sync": {"position": "9"}}, position="p", written_at="w")


@pytest.mark.parametrize("keys", [None, {}, {"member_id": {"N": "1"}}, {"other": {"S": "x"}}, {"member_id": {"S": ""}},
                                  {"member_id": {"S": "x" * 513}}, {"member_id": {"S": "é" * 257}},
                                  {"member_id": {"S": "\ud800"}}])  # fmt: skip
def test_a_key_that_no_document_can_have_is_poison(keys: Any) -> None:
    """One id over 512 bytes makes OpenSearch refuse the whole bulk."""
    with pytest.raises(BadItem):
        items.key_of(MEMBERS, keys)


def test_the_longest_key_is_taken() -> None:
    assert items.key_of(MEMBERS, {"member_id": {"S": "é" * 256}}) == "é" * 256
