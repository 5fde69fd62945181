"""What of an item an index can hold. What of it the engine really takes: tests/integration/mapping/test_fitting.py."""

from typing import Any

import pytest

from searchsync.catalog import CATALOG
from searchsync.errors import BadMapping
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped

PROPERTIES: dict[str, Any] = {
    "name": {"type": "text", "fields": {"exact": {"type": "keyword", "ignore_above": 256}}},
    "code": {"type": "keyword"},
    "folded": {"type": "keyword", "normalizer": "lowercase"},
    "active": {"type": "boolean"},
    "other_name": {"type": "alias", "path": "name"},
    "place": {"type": "geo_point"},
    "address": {
        "properties": {"city": {"type": "keyword"}, "rooms": {"type": "nested", "properties": {"no": {"type": "long"}}}}
    },
    "loose": {"dynamic": False, "properties": {"a": {"type": "keyword"}}},
    "raw": {"type": "object", "enabled": False},
}  # fmt: skip
FIT = fitting.object_of({"dynamic": "strict", "properties": PROPERTIES})


@pytest.mark.parametrize(
    ("item", "held", "dropped"),
    [
        ({"name": "x", "code": 5, "active": "true"}, {"name": "x", "code": 5, "active": "true"}, {}),
        ({"name": {"first": "x"}}, {}, {"name": 1}),
        ({"name": ["x", {"y": 1}, ["z", {}]]}, {"name": ["x", ["z"]]}, {"name": 2}),
        ({"active": 1, "code": None}, {"code": None}, {"active": 1}),
        ({"active": [True, "yes", None]}, {"active": [True, None]}, {"active": 1}),
        ({"other_name": "x"}, {}, {"other_name": 1}),
        ({"place": [1, 2]}, {"place": [1, 2]}, {}),
        ({"place": [1, {"sync": {"deleted": True}}, "9,9"]}, {"place": ["9,9"]}, {"place": 2}),
        ({"place": [[1, 2], {"geohash": "u"}, {"lat": 1}, [2, 95]]}, {"place": [[1, 2]]}, {"place": 3}),
        ({"place": {"lat": 1, "lon": "2"}}, {"place": {"lat": 1, "lon": "2"}}, {}),
        ({"place": []}, {"place": []}, {}),
        ({"address": "Berlin"}, {}, {"address": 1}),
        ({"address": {"city": "x", "zip": 1}}, {"address": {"city": "x"}}, {"address.zip": 1}),
        ({"address": [{"city": {}}, 5, None]}, {"address": [{}, None]}, {"address.city": 1, "address": 1}),
        ({"address": {"rooms": [{"no": 1, "x": 2}]}}, {"address": {"rooms": [{"no": 1}]}}, {"address.rooms.x": 1}),
        ({"address.city": "x"}, {}, {"address.city": 1}),
        ({"loose": {"a": "x", "b": {"": 1}}}, {"loose": {"a": "x", "b": {"": 1}}}, {}),
        ({"loose": {"a": "x", "": 1, "a.b": 2}}, {"loose": {"a": "x"}}, {"loose.": 1, "loose.a.b": 1}),
        ({"raw": {"": [1, {".": 2}]}}, {"raw": {"": [1, {".": 2}]}}, {}),
        ({"code": "é" * 16_383}, {"code": "é" * 16_383}, {}),
        ({"code": "é" * 16_384}, {}, {"code": 1}),
        ({"folded": "é" * 12_000}, {}, {"folded": 1}),
        ({"name": "é" * 40_000}, {"name": "é" * 40_000}, {}),
    ],
)  # fmt: skip
def test_what_has_no_place_is_left_out_and_counted_by_its_path(
    item: dict[str, Any], held: dict[str, Any], dropped: dict[str, int]
) -> None:
    counted: Dropped = {}
    assert FIT(item, "", counted) == held
    assert counted == dropped


def test_a_type_that_is_not_known_is_no_guess() -> None:
    """What such a field does not take, OpenSearch may refuse with the document, or take for another field."""
    with pytest.raises(BadMapping, match="geo_shape"):
        fitting.object_of({"properties": {"a": {"properties": {"b": {"type": "geo_shape"}}}}})


def test_names_that_are_data_do_not_fill_the_memory() -> None:
    """Attribute names may be user ids: millions of them, 64 kB each."""
    counted: Dropped = {}
    FIT({f"{number}{'x' * 300}": 1 for number in range(1_000)}, "", counted)
    assert len(counted) == fitting.MOST_PATHS + 1
    assert sum(counted.values()) == 1_000
    assert max(map(len, counted)) <= 200
    assert fitting.total(counted, counted)[fitting.OTHERS] == 2 * counted[fitting.OTHERS]


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_a_malformed_value_does_not_take_its_document_along(name: str) -> None:
    """Every field of a type that can be malformed says so for itself; nothing of ours is ever ignored."""
    properties = CATALOG[name].index_body["mappings"]["properties"]
    lacking = [field for field, mapping in properties.items() if field != "sync" and not _tolerant(mapping)]
    assert lacking == []
    assert "ignore_malformed" not in str(properties["sync"])


def _tolerant(mapping: dict[str, Any]) -> bool:
    inner = [*mapping.get("properties", {}).values(), *mapping.get("fields", {}).values()]
    known = mapping.get("type", "object") in ("text", "keyword", "boolean", "scaled_float", "object", "nested")
    return (known or mapping.get("ignore_malformed") is True) and all(map(_tolerant, inner))
