"""Which events concern an entity that selects: one that is passed by wrongly leaves a document in every search."""

from dataclasses import replace
from typing import Any

import pytest

from searchsync.catalog import Entity, entity
from searchsync.documents.dynamodb_values import BadItem
from searchsync.selection import Selection
from searchsync.stream.consumer import decode, identify, is_outside, is_removal

GUESTS = replace(entity("members"), select=Selection("kind", equals="guest"))
NUMBERED = replace(entity("members"), select=Selection("member_id", prefix="m-"))
POSITION = f"1700000000.{1:040d}"


def event(name: str, old: Any = None, new: Any = None, key: str = "m-1") -> dict[str, Any]:
    """One record; images by their kind, "-" for an item without one, None for no image."""
    change: dict[str, Any] = {"Keys": {"member_id": {"S": key}}, "SequenceNumber": "1"}
    change["ApproximateCreationDateTime"] = 1_700_000_000.0
    for image, kind in (("OldImage", old), ("NewImage", new)):
        if kind is not None:
            change[image] = {"member_id": {"S": key}} | ({} if kind == "-" else {"kind": {"S": kind}})
    return {"eventName": name, "dynamodb": change}


@pytest.mark.parametrize(
    ("record", "becomes"),
    [
        (event("INSERT", new="guest"), "document"),
        (event("INSERT", new="staff"), "nothing"),
        (event("INSERT", new="-"), "nothing"),
        (event("MODIFY", "guest", "guest"), "document"),
        (event("MODIFY", "staff", "guest"), "document"),
        (event("MODIFY", "guest", "staff"), "tombstone"),
        (event("MODIFY", "guest", "-"), "tombstone"),
        (event("MODIFY", "staff", "-"), "nothing"),
        (event("MODIFY", None, "staff"), "tombstone"),
        (event("MODIFY", None, "guest"), "document"),
        (event("MODIFY", "staff", None), "poison"),
        (event("REMOVE", "guest"), "tombstone"),
        (event("REMOVE", "staff"), "nothing"),
        (event("REMOVE"), "tombstone"),
        (event("RENAME", "staff", "staff"), "poison"),
    ],
)
def test_what_an_event_becomes(record: Any, becomes: str) -> None:
    if is_outside(GUESTS, record):
        assert becomes == "nothing"
        return
    try:
        change = decode(GUESTS, record, *identify(GUESTS, record), at="2026-01-01T00:00:00.000Z")
    except BadItem:
        assert becomes == "poison"
        return
    assert becomes == ("tombstone" if change.document.deleted else "document")
    assert is_removal(GUESTS, record) == change.document.deleted


def test_where_the_key_selects_no_image_is_needed() -> None:
    for name in ("INSERT", "MODIFY", "REMOVE"):
        assert not is_outside(NUMBERED, event(name))
        assert is_outside(NUMBERED, event(name, key="x-1"))


@pytest.mark.parametrize(
    "record",
    [
        *(None, {}, {"dynamodb": None}, {"eventName": "REMOVE", "dynamodb": {"OldImage": 5}}),
        {"eventName": "REMOVE", "dynamodb": {"Keys": {"member_id": {"N": "1"}}}},
    ],
)
@pytest.mark.parametrize("selecting", [GUESTS, NUMBERED])
def test_a_record_of_which_nothing_can_be_told_is_not_passed_by(selecting: Entity, record: Any) -> None:
    """It is parked, with its reason."""
    assert not is_outside(selecting, record)


def test_an_entity_that_selects_all_passes_nothing_by() -> None:
    assert not is_outside(entity("members"), event("REMOVE", "staff"))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Selection("kind", equals="a"), Selection("kind", equals="a"), True),
        (Selection("kind", equals="a"), Selection("kind", equals="ab"), False),
        (Selection("kind", equals="ab"), Selection("kind", prefix="a"), True),
        (Selection("kind", equals="a"), Selection("kind", prefix="ab"), False),
        (Selection("kind", prefix="a"), Selection("kind", prefix="ab"), True),
        (Selection("kind", prefix="ac"), Selection("kind", prefix="ab"), False),
        (Selection("kind", equals="a"), Selection("type", equals="a"), False),
    ],
)
def test_selections_that_overlap(one: Selection, other: Selection, overlap: bool) -> None:
    assert (one.overlaps(other), other.overlaps(one)) == (overlap, overlap)


@pytest.mark.parametrize("item", [None, [], {}, {"kind": {"N": "1"}}, {"kind": "guest"}, {"kind": {"SS": ["guest"]}}])
def test_what_has_no_such_string_is_not_selected(item: Any) -> None:
    assert not Selection("kind", prefix="g").takes(item)
