"""What people may search for is held against the mapping when the file is read, not when the first of them asks."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from searchsync import entity_file
from searchsync.catalog import CATALOG, entity
from searchsync.errors import BadEntity
from searchsync.mapping import searching
from searchsync.mapping.searching import Compared, Kind, Search, Unfit

ENTITIES = Path(entity_file.__file__).parents[2] / "include" / "entities"
HEAD = "source: postgres\nkey: [id]\nfreshness: {hours: 1}\n"
TEXT = {"type": "text", "fields": {"words": {"type": "text"}, "exact": {"type": "keyword", "normalizer": "exact"}}}
FIELDS: dict[str, Any] = {
    "id": {"type": "long"},
    "name": TEXT,
    "bare": {"type": "text"},
    "code": {"type": "keyword"},
    "code_min": {"type": "keyword"},
    "size": {"type": "double"},
    "size_min": {"type": "keyword"},
    "at": {"type": "date"},
    "on": {"type": "boolean"},
    "spot": {"type": "geo_point"},
    "q": {"type": "keyword"},
    "distance": {"type": "long"},
    "unseen": {"type": "keyword", "index": False},
    "unsorted": {"type": "keyword", "doc_values": False},
    "address": {"properties": {"city": {"type": "keyword"}}},
    "lines": {"type": "nested", "properties": {"sku": {"type": "keyword"}}},
    "of,two": {"type": "keyword"},
    "loose": {"type": "keyword", "normalizer": "exact"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An include folder with one mapping and no entity."""
    (tmp_path / "entities").mkdir()
    (tmp_path / "mappings").mkdir()
    shutil.copy(ENTITIES / entity_file.SCHEMA, tmp_path / "entities")
    (tmp_path / "mappings" / "things.json").write_text(json.dumps({"mappings": {"properties": FIELDS}}))
    return tmp_path


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "entities" / "things.yaml"
    path.write_text(text, encoding="utf-8")
    return entity_file.read(path)


def searched(block: str, key: str = "id") -> str:
    """An entity's file whose block ``search`` begins in line 4."""
    return HEAD.replace("[id]", f"[{key}]") + block


NAMES = "search:\n  text: {names: [name]}\n"
WRONG = {
    "search: {}\n": (4, "search lacks text"),
    "search:\n  text: {}\n": (5, "search.text lacks names"),
    "search:\n  text: {names: []}\n": (5, "search.text.names must not be empty"),
    "search:\n  text: {names: name}\n": (5, "search.text.names must be a list, not 'name'"),
    f"{NAMES}  colour: red\n": (6, "colour is no key of search; the keys are shared, text, prominence, near, filters"),
    f"{NAMES}  shared: false\n": (6, "search.shared must be true, not False"),
    f"{NAMES}  shared: true\ntenant: code\n": (6, "search.shared: tenant says whose a document is"),
    f"{NAMES}  filters: [code, code]\n": (6, "search.filters names something twice"),
    f"{NAMES}  filters:\n  - code\n  - nothing\n": (8, "search.filters: nothing: the mapping has no such field; its"),
    f"{NAMES}  filters: [sync.deleted]\n": (6, "search.filters: sync.deleted: the mapping has no such field"),
    f"{NAMES}  filters: [spot]\n": (6, "search.filters: spot: it must be keyword (also below a text) or whole number"),
    f"{NAMES}  filters: [bare]\n": (6, "search.filters: bare: it must be keyword"),
    f"{NAMES}  filters: [unseen]\n": (6, "search.filters: unseen: it must be keyword"),
    f"{NAMES}  filters: [lines.sku]\n": (6, "search.filters: lines.sku: it is in nested objects"),
    f"{NAMES}  filters: ['of,two']\n": (6, "search.filters: of,two: a parameter's name has letters"),
    f"{NAMES}  filters: [q]\n": (6, "search.filters: q: its parameter q is one of every search already"),
    f"{NAMES}  filters: [size, size_min]\n": (6, "search.filters: size_min: its parameter size_min is one of size"),
    f"{NAMES}  facets: [size]\n": (
        6,
        "search.facets: size: it must be keyword (also below a text) or boolean, not double",
    ),
    f"{NAMES}  facets: [unsorted]\n": (6, "search.facets: unsorted: it must be keyword"),
    f"{NAMES}  sorts: ['on']\n": (6, "search.sorts: on: it must be keyword"),
    f"{NAMES}  sorts: [distance]\n": (6, "search.sorts: distance: a sort has letters, digits"),
    f"{NAMES}  near: name\n": (6, "search.near: name: it must be a geo_point that is searched, not text"),
    f"{NAMES}  prominence: name\n": (6, "search.prominence: name: it must be whole number or decimal number, not text"),
    "search:\n  text: {names: [code]}\n": (5, "search.text.names: code: it must be text that is searched, not keyword"),
    "search:\n  text: {names: [name], words: [size]}\n": (5, "search.text.words: size: it must be text or keyword"),
}


@pytest.mark.parametrize("block", WRONG)
def test_a_wrong_block_is_named_with_its_line_and_what_may_stand_there(folder: Path, block: str) -> None:
    line, problem = WRONG[block]
    with pytest.raises(BadEntity) as caught:
        read(folder, searched(block))
    assert f"{folder}/entities/things.yaml:{line}: {problem}" in str(caught.value)


@pytest.mark.parametrize("key", ["size", "name", "loose", "nothing", "unsorted"])
def test_a_key_that_orders_nothing_is_refused(folder: Path, key: str) -> None:
    """Hits that are equal otherwise would have no order: a page could repeat some, and skip others."""
    with pytest.raises(BadEntity, match=rf"things\.yaml:4: search: hits .* ordered by the key, and {key} cannot do it"):
        read(folder, searched(NAMES, key))
    assert read(folder, searched("", key))["key"] == [key], "without a search nobody needs an order"


def test_what_fits_is_taken(folder: Path) -> None:
    block = (
        "  near: spot\n  prominence: size\n  filters: [code, size, at, 'on', name, address.city]\n"
        "  facets: ['on', name]\n  sorts: [name, size, at]\n"
    )
    assert read(folder, searched(NAMES + block))["search"]["near"] == "spot"


def test_without_its_mapping_a_block_cannot_be_held_against_it(folder: Path) -> None:
    """That the mapping is missing is said where it is read."""
    (folder / "mappings" / "things.json").unlink()
    assert read(folder, searched("search:\n  text: {names: [nothing]}\n"))


def test_a_text_is_compared_by_the_keyword_below_it() -> None:
    assert searching.filtered(FIELDS, "name") == Compared("name", "name.exact", Kind.KEYWORD)
    assert searching.sorted_by(FIELDS, "address.city") == Compared("address.city", "address.city", Kind.KEYWORD)
    with pytest.raises(Unfit):
        searching.faceted(FIELDS, "bare")


def test_bounds_are_parameters_of_what_has_an_order() -> None:
    parameters = {name: searching.filtered(FIELDS, name).parameters for name in ("code", "on", "size", "at")}
    assert parameters == {
        "code": ("code",), "on": ("on",), "size": ("size_min", "size_max"), "at": ("at_min", "at_max"),
    }  # fmt: skip


def test_the_entities_of_this_repository_are_searched() -> None:
    assert isinstance(entity("locations").search, Search)
    assert {name: (one.tenant, bool(one.search and one.search.shared)) for name, one in CATALOG.items()} == {
        "locations": (None, True), "members": ("tenant_id", False),
    }  # fmt: skip
