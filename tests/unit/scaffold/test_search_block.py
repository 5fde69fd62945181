"""The block that ``entity new`` writes is one that the entity's file may have: else the new entity would not load."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from searchsync.mapping import searching
from searchsync.scaffold import field_choice, search

FIELDS: list[dict[str, Any]] = [
    *(field_choice.LONG, field_choice.DOUBLE, field_choice.DATE, field_choice.KEYWORD, field_choice.ANY_CASE),
    *(field_choice.TEXT, field_choice.BOOLEAN, field_choice.NOT_SEARCHED, {"type": "flat_object"}, {"type": "ip"}),
    *({"properties": {"inner": field_choice.KEYWORD}}, {"type": "date_range"}),
]
names = st.sampled_from(
    ["id", "name", "title", "q", "limit", "size", "size_min", "size_max", "relevance", "a b", "x,y", "été", "-a", "n"]
)
mappings = st.dictionaries(names, st.sampled_from(FIELDS), min_size=1)


def block(fields: dict[str, Any], key: list[str], hidden: str = "") -> Any:
    return yaml.safe_load("\n".join(search.block(fields, key, hidden)) or "{}")


@given(mappings, st.lists(names, min_size=1, max_size=2, unique=True), names)
def test_a_block_that_is_written_is_not_refused(fields: dict[str, Any], key: list[str], hidden: str) -> None:
    if written := block(fields, key, hidden):
        assert [*searching.problems(written["search"], key, fields)] == []


def test_what_people_call_a_document_is_its_name() -> None:
    fields = {
        "id": field_choice.LONG,
        "notes": field_choice.TEXT,
        "product_name": field_choice.TEXT,
        "price": field_choice.DOUBLE,
        "status": field_choice.KEYWORD,
        "until": field_choice.DATE,
    }
    assert block(fields, ["id"], "until")["search"] == {
        "text": {"names": ["product_name"], "words": ["notes"]},
        "filters": ["notes", "price", "status"],
        "facets": ["status"],
        "sorts": ["product_name", "price", "status"],
    }


def test_without_names_or_an_order_there_is_a_comment_alone() -> None:
    """What a person may add, or why hits would have no order."""
    (told,) = search.block({"id": field_choice.LONG, "code": field_choice.KEYWORD}, ["id"])
    assert told.startswith("# search: {text: {names: [FIELD]}}")
    (told,) = search.block({"id": field_choice.DOUBLE, "name": field_choice.TEXT}, ["id"])
    assert told.startswith("# search: hits have no order of their own by the key id: it must be keyword")
