"""Items become documents in one pass, and these are the documents that they became in the steps of before.

A byte that differs is a document that a comparison finds stale, or one that depends on the way it came.
"""

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from searchsync.catalog import Entity, entity
from searchsync.documents import dynamodb_item
from searchsync.documents.dynamodb_values import BadItem
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped
from tests import former_items

SEED = int(os.environ.get("SEARCHSYNC_TEST_SEED") or random.SystemRandom().randrange(10**9))
"""Printed with each failure; the variable repeats a run."""

_SUB = {"fields": {"exact": {"type": "keyword", "normalizer": "exact", "ignore_above": 8191}}}
SCALARS: dict[str, Any] = {
    "member_id": {"type": "keyword"}, "text": {"type": "text", **_SUB}, "long": {"type": "long"},
    "integer": {"type": "integer"}, "short": {"type": "short"}, "byte": {"type": "byte"},
    "unsigned": {"type": "unsigned_long"}, "double": {"type": "double"}, "float": {"type": "float"},
    "half": {"type": "half_float"}, "scaled": {"type": "scaled_float", "scaling_factor": 100},
    "huge": {"type": "scaled_float", "scaling_factor": 10**17}, "flag": {"type": "boolean"}, "day": {"type": "date"},
    "ip": {"type": "ip"}, "both": {"type": "keyword", "fields": {"number": {"type": "short"}}},
    "other": {"type": "alias", "path": "text"}, "place": {"type": "geo_point"},
    "expires_at": {"type": "date", "format": "epoch_second"},
}  # fmt: skip
OBJECTS: dict[str, Any] = {
    "object": {"properties": SCALARS}, "nested": {"type": "nested", "properties": {"deep": {"properties": SCALARS}}},
    "loose": {"dynamic": False, "properties": SCALARS}, "raw": {"type": "object", "enabled": False},
}  # fmt: skip
MAPPING = {"dynamic": "strict", "properties": {**SCALARS, **OBJECTS}}
FORMER = former_items.object_of(MAPPING)

NAMES = st.sampled_from([*SCALARS, *OBJECTS, "z", "", " ", "a.b", "é", "\ud800", "_id"])
TOP_NAMES = NAMES | st.sampled_from([*SCALARS, *SCALARS, *OBJECTS, "deep"])
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "true", "false", "null", "\ud800", "a\udc00b", '\u2028\x7f\\"/', "12,34", "1.5, -180", "95,1"]
    ),
    st.sampled_from(["x", "é", "😀"]).map(lambda letter: letter * 9_000),
    st.sampled_from(["x", "é", "😀"]).map(lambda letter: letter * 33_000),
)
NUMBERS = st.one_of(
    st.integers(-(10**39), 10**39).map(str),
    st.integers(-200, 200).map(str),
    st.sampled_from([*range(-(2**7) - 1, -(2**7) + 2), 2**15, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64]).map(str),
    st.decimals(-(10**6), 10**6, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["0", "-0", "-0.0", "0.0", "1.10", "5.0", "007", "+1", ".5", "5.", "1E+5", "1e22", "9.99E+125", "1E-130",
         "1E131", "65504", "65505", "9999.5", "90", "90.0000000000001", "-180", "0.1234567890123456", "１", "1_0", "",
         "99999999999999.99", "92233720368547758.07", "92233720368547758.08", "1700000000.0000000001",
         "9223372036854775", "9223372036854776", "NaN", " 1"]
    ),
)  # fmt: skip
BYTES = st.binary(max_size=4) | st.sampled_from(["", "AA==", "/w==", "not base64", "AA"])
WRONG: Any = st.sampled_from(
    [None, "x", [], {}, {"S": "a", "N": "1"}, {"S": 1}, {"S": None}, {"S": b""}, {"N": 1}, {"N": 0}, {"BOOL": "true"},
     {"BOOL": 0}, {"L": "x"}, {"M": []}, {"SS": ["a", 1]}, {"X": "?"}, {"B": 1}, {"B": None}, {"L": [{}]}, {"L": {}},
     {"M": {"long": {"N": "x"}}}, {"NS": "1"}, {"NULL": False}, 5, ["S"], [0], [True], ("S", "x")]
)  # fmt: skip
DEGREES = st.decimals(-200, 200, places=4).map(str) | st.integers(-200, 200).map(str) | NUMBERS
PLACES = st.tuples(DEGREES, DEGREES | TEXTS).map(lambda two: {"M": {"lat": {"N": two[0]}, "lon": {"N": str(two[1])}}})
LEAVES = st.one_of(
    TEXTS.map(lambda value: {"S": value}),
    NUMBERS.map(lambda value: {"N": value}),
    NUMBERS.map(lambda value: {"N": value}),
    BYTES.map(lambda value: {"B": value}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
    st.lists(TEXTS, max_size=4).map(lambda value: {"SS": value}),
    st.lists(NUMBERS, max_size=4).map(lambda value: {"NS": value}),
    st.lists(BYTES, max_size=3).map(lambda value: {"BS": value}),
    PLACES,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda value: {"L": value}),
        st.dictionaries(NAMES | st.sampled_from(["place", "lat", "lon"]), inner, max_size=5).map(
            lambda value: {"M": value}
        ),
    ),
    max_leaves=8,
)
ITEMS = st.dictionaries(TOP_NAMES, VALUES, max_size=8)
SPOILT_NAMES = st.sampled_from(["sync", "sync.deleted", "synced", "z", *SCALARS, *OBJECTS])
SPOILT = st.tuples(ITEMS, st.dictionaries(SPOILT_NAMES, WRONG | VALUES, max_size=3), st.booleans()).map(
    lambda drawn: {**drawn[1], **drawn[0]} if drawn[2] else {**drawn[0], **drawn[1]}
)


def made(**changes: Any) -> Entity:
    """An entity with a field of every type."""
    found = replace(entity("members"), **changes)
    found.__dict__["fits"] = fitting.object_of(MAPPING)
    return found


ENTITIES = [made(), made(expires=None), made(unmapped="refuse")]


def outcome(make: Any, *arguments: Any) -> Any:
    """What becomes of an item: id, source and counts, or what is wrong with it."""
    dropped: Dropped = {"z": 1}
    try:
        document = make(*arguments, position="1800000000.0", written_at="2027", dropped=dropped)
    except BadItem as error:
        return error.type, str(error), dropped
    return document[0], document[1], dropped


@seed(SEED)
@settings(max_examples=500, deadline=None)
@given(item=ITEMS | SPOILT, key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
def test_an_item_becomes_the_document_that_it_became_in_steps(item: dict[str, Any], key: str) -> None:
    for one in ENTITIES:
        before = outcome(former_items.document_of, one, FORMER, key, item)
        assert outcome(dynamodb_item.document_of, one, key, item) == before, f"seed {SEED}"


@pytest.mark.parametrize("item", [None, [], "x", 5, {"a": {"S": "x"}}.items()])
def test_what_is_no_item_is_poison_as_before(item: Any) -> None:
    for one in ENTITIES:
        before = outcome(former_items.document_of, one, FORMER, "m-1", item)
        assert outcome(dynamodb_item.document_of, one, "m-1", item) == before


@pytest.mark.parametrize("wrong", [None, "x", "", b"", 0, 5, [], ["S"], [["S"]], [0], [True], [-1], {}, {"S": ["x"]},
                                   {"S": "a", "N": "1"}, {"B": []}, {"NULL": []}, {"N": 0}, {"X": "?"}])  # fmt: skip
def test_a_wrong_shape_is_poison_as_before_wherever_it_stands(wrong: Any) -> None:
    """A message by hand may have anything: what is not told as poison would block the shard."""
    places = [wrong, {"L": [wrong]}, {"M": {"text": wrong, "z": wrong}}, {"L": [{"M": {"place": wrong}}]}]
    for name in (*SCALARS, *OBJECTS, "z", "sync"):
        for place in places:
            for one in ENTITIES:
                before = outcome(former_items.document_of, one, FORMER, "m-1", {name: place})
                assert outcome(dynamodb_item.document_of, one, "m-1", {name: place}) == before
