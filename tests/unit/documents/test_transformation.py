"""A transformation of an entity's own: what it makes, what it may not do, and that one bad item is one bad item."""

import base64
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from searchsync.catalog import Entity, Transformation, entity
from searchsync.documents import dynamodb_item, transforms
from searchsync.documents.dynamodb_values import BadItem
from searchsync.errors import BadEntity, BadMapping, BadSource
from searchsync.scaffold import files
from searchsync.stream.consumer import Outcome, Stream
from tests.members import record
from tests.unit.documents.test_one_pass import ITEMS, OBJECTS, SCALARS

SEED = int(os.environ.get("SEARCHSYNC_TEST_SEED") or random.SystemRandom().randrange(10**9))

Shape = Callable[..., Entity]


@pytest.fixture
def shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shape:
    """Makes an entity with a field of every type and a transformation, whose Python file may be given by its text."""
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path))
    folder = tmp_path / "transforms"
    folder.mkdir()
    (tmp_path / "mappings").mkdir()
    mappings = {"dynamic": "strict", "properties": {**SCALARS, **OBJECTS, "sync": files.SYNC}}
    body = {"settings": {}, "mappings": mappings}
    (tmp_path / "mappings" / "members.json").write_text(json.dumps(body), encoding="utf-8")

    def make(code: str = "", **changes: Any) -> Entity:
        if code:
            (folder / "shaped.py").write_text(code, encoding="utf-8")
            changes["python"] = "shaped.py"
        return replace(entity("members"), tenant=None, transform=Transformation(1, **changes))

    return make


def content(one: Entity, **attributes: Any) -> dict[str, Any]:
    return dynamodb_item.content_of(one, attributes)


S, T, N = {"S": "one"}, {"S": "two"}, {"N": "3"}


def test_each_part_does_one_thing_in_the_order_that_is_documented(shape: Shape) -> None:
    renamed = {"byte": "short", "other": "text"}
    one = shape(take={"byte": "loose.deep.size"}, rename=renamed, drop=["loose"], constant={"day": "2027"})
    item: Any = {"loose": {"M": {"deep": {"M": {"size": N}}, "x": S}}, "other": S, "long": N}
    assert content(one, **item) == {"short": 3, "text": "one", "long": 3, "day": "2027"}
    assert item["loose"]["M"]["x"] == S, "the item itself stays as it is"


def test_renames_happen_at_once(shape: Shape) -> None:
    assert content(shape(rename={"text": "ip", "ip": "text"}), text=S, ip=T) == {"ip": "one", "text": "two"}


def test_where_there_is_nothing_nothing_changes(shape: Shape) -> None:
    one = shape(take={"text": "loose.text"}, rename={"absent": "ip"}, drop=["nothing"])
    elsewhere: list[Any] = [{"M": {}}, {"S": "x"}, {"L": [{"M": {"text": S}}]}, {"M": {"text": {"M": {}}}}]
    for loose in elsewhere:
        assert content(one, loose=loose, ip=S).get("ip") == "one"
    assert content(one, text=T) == {"text": "two"}
    assert content(one, text=T, loose={"M": {"text": S}})["text"] == "one", "what is found replaces what is there"


def test_constants_of_all_kinds(shape: Shape) -> None:
    made = content(shape(constant={"text": "x", "double": 1.5, "flag": False, "long": 7, "ip": ["a", "b"]}), text=T)
    assert made == {"text": "x", "double": 1.5, "flag": False, "long": 7, "ip": ["a", "b"]}


def test_a_function_gets_plain_values_of_its_own_and_its_values_are_fitted_as_all_others(shape: Shape) -> None:
    code = """
from decimal import Decimal

def transform(item):
    seen = repr(sorted((name, type(value).__name__, repr(value)) for name, value in item.items()
                       if not isinstance(value, set)))
    sets = repr(sorted(sorted(map(repr, value)) for value in item.values() if isinstance(value, set)))
    item["loose"]["text"] = "changed"
    item.clear()
    return {"text": seen + sets, "long": Decimal("1.5"), "double": 0.1 + 0.2, "byte": 300,
            "raw": {"a": (1, None, b"x"), "s": {2, 1}}, "ip": frozenset({"b", "a"})}
"""
    item = {
        "b": {"B": "AP8="}, "n": {"N": "1.10"}, "i": {"N": "7"}, "yes": {"BOOL": True}, "no": {"NULL": True},
        "loose": {"M": {"text": S, "list": {"L": [N, {"B": b"a"}]}}}, "ns": {"NS": ["1", "2.50"]},
        "ss": {"SS": ["x", "y"]}, "bs": {"BS": ["AA=="]},
    }  # fmt: skip
    before = json.loads(json.dumps(item, default=repr))
    dropped: dict[str, int] = {}
    made = dynamodb_item.content_of(shape(code), item, dropped)
    plain = {"b": b"\x00\xff", "n": Decimal("1.10"), "i": 7, "yes": True, "no": None,
             "loose": {"text": "one", "list": [3, b"a"]}}  # fmt: skip
    seen = repr(sorted((name, type(value).__name__, repr(value)) for name, value in plain.items()))
    sets = repr(sorted(sorted(map(repr, value)) for value in ({1, Decimal("2.50")}, {"x", "y"}, {b"\x00"})))
    assert made == {"text": seen + sets, "double": 0.30000000000000004, "raw": {"a": [1, None, "eA=="], "s": [1, 2]},
                    "ip": ["a", "b"]}  # fmt: skip
    assert dropped == {"long": 1, "byte": 1}, "the mapping has no place for them"
    assert json.loads(json.dumps(item, default=repr)) == before


def normal(item: dict[str, Any]) -> dict[str, Any]:
    """An item as DynamoDB has it: one form of each number, no value twice in a set, names of Unicode."""
    return {
        name: dict([attribute(*pair) for pair in typed.items()]) for name, typed in item.items() if name != "\ud800"
    }


def attribute(kind: str, value: Any) -> tuple[str, Any]:
    if kind == "N":
        return kind, number(value)
    if kind == "NS":
        return kind, [*{Decimal(one): one for one in map(number, value)}.values()]
    if kind in ("SS", "BS"):
        return kind, [
            *dict.fromkeys(base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in value)
        ]
    if kind == "L":
        return kind, [dict([attribute(*pair) for pair in one.items()]) for one in value]
    return kind, normal(value) if kind == "M" else value


def number(text: str) -> str:
    try:
        return str(Decimal(text)) if text.isascii() and Decimal(text).is_finite() else "1"
    except ArithmeticError:
        return "1"


@seed(SEED)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=ITEMS)
def test_a_function_that_changes_nothing_changes_no_document(shape: Shape, item: dict[str, Any]) -> None:
    """There is one rendering: an item makes the same document, whether it went through Python or not."""
    item = normal(item)
    try:
        plainly = dynamodb_item.text_of(replace(shape(), transform=None), item)
    except BadItem:
        return
    assert dynamodb_item.text_of(shape("def transform(item): return item"), item) == plainly, f"seed {SEED}"


POISON = {
    "raise KeyError(item['text'])": "include/transforms/shaped.py, line 2: KeyError",
    "return item['secret']": "include/transforms/shaped.py, line 2: KeyError",
    "raise SystemExit": "include/transforms/shaped.py, line 2: SystemExit",
    "return transform(item)": "include/transforms/shaped.py, line 2: RecursionError",
    "return None": "include/transforms/shaped.py: it returned NoneType, not dict",
    "return [item]": "include/transforms/shaped.py: it returned list, not dict",
    "yield item": "include/transforms/shaped.py: it returned generator, not dict",
    "return {1: 'x'}": "include/transforms/shaped.py: the item has a name of the type int, not str",
    "return {'raw': {None: 1}}": "raw has a name of the type NoneType, not str",
    "return {'raw': [{'a': object()}]}": "raw.a is of the type object, which no document has",
    "return {'day': __import__('datetime').date.today()}": "day is of the type date, which no document has",
    "return {'raw': 1j}": "raw is of the type complex",
    "return {'double': float('nan')}": "double is a number that no document has",
    "return {'double': float('inf')}": "double is a number that no document has",
    "return {'long': 10 ** 5000}": "long is a number that no document has",
    "return {'raw': {1, 'a'}}": "raw is a set of other values than only texts, only numbers or only bytes",
    "return {'raw': {True, False}}": "raw is a set of other values",
    "return {'raw': {(1, 2)}}": "raw is a set of other values",
    "return {'text': '\\ud800'}": "text is not Unicode text",
    "return {'\\ud800': 1}": "a name is not Unicode text",
    "item['raw'] = item; return item": "levels deep",
    "return {'sync': {'deleted': True}}": "the attribute name 'sync' is taken",
}


@pytest.mark.parametrize("body", POISON)
def test_what_makes_no_document_is_poison_and_its_reason_has_no_values(shape: Shape, body: str) -> None:
    one = shape(f"def transform(item):\n    {body}")
    item = {"member_id": {"S": "m-1"}, "text": {"S": "a secret"}}
    with pytest.raises(BadItem) as caught:
        dynamodb_item.document_of(one, "m-1", item, position="p", written_at="w")
    assert POISON[body] in str(caught.value)
    assert "a secret" not in str(caught.value)
    assert caught.value.type == ("invalid_attribute" if "sync" in body else "transform")


def test_the_line_is_that_of_the_file_and_not_of_what_it_calls(shape: Shape) -> None:
    one = shape(
        "import json\n\ndef _inner(text):\n    json.loads(text)\n\ndef transform(item):\n    return _inner('{')\n"
    )
    with pytest.raises(BadItem, match=r"shaped\.py, line 4: JSONDecodeError$"):
        content(one, text=S)


IMAGES: dict[int, dict[str, Any]] = {1: {"text": "ada"}, 2: {"other": "x"}, 3: {"text": "bob"}}


def test_one_item_that_is_poison_holds_up_no_other(shape: Shape) -> None:
    """In the stream it is parked with its key and position; the others are written."""
    one = shape("def transform(item):\n    return {'text': item['text'].upper()}")
    stream = object.__new__(Stream)
    stream._entity = one
    good, bad, other = (record(f"m-{n}", sequence=n, **image) for n, image in IMAGES.items())
    latest, parked = stream._decode([good, bad, other], Outcome())
    assert [json.loads(change.document.source)["text"] for change in latest.values()] == ["ADA", "BOB"]
    assert [(one.key, one.reason, one.detail) for one in parked] == [
        ("m-2", "transform", "BadItem: include/transforms/shaped.py, line 2: KeyError")
    ]


WRONG = {
    "def transform(item:\n    return item": r"shaped\.py:1: not Python",
    "x = 1\n\ndef other(item): return item": r"shaped\.py:1: it has no function transform",
    "def _transform(item): return item": r"it has no function transform",
    "def transform(item): return item\n\ndef again(item): return item": r"shaped\.py:3: again is a second public",
    "async def transform(item): return item": r"shaped\.py:1: transform must be no async function",
    "def transform(): return {}": r"shaped\.py:1: transform must have one argument",
    "def transform(item, other): return item": r"must have one argument",
    "def transform(item=None): return item": r"must have one argument",
    "def transform(*items): return items": r"must have one argument",
    "def transform(item, *, other): return item": r"must have one argument",
    "\nimport no_such_module\ndef transform(item): return item": r"shaped\.py:2: it cannot be loaded: ModuleNotFound",
    "from . import other\ndef transform(item): return item": r"shaped\.py:1: it cannot be loaded: ImportError",
    "def transform(item): return item\n\n1 / 0": r"shaped\.py:3: it cannot be loaded: ZeroDivisionError",
    "import sys\ndef transform(item): return item\nsys.exit()": r"shaped\.py:3: it cannot be loaded: SystemExit",
    "def transform(item): return item\ntransform = 5": r"transform is no function any more",
    "\0": "shaped",
}  # fmt: skip


@pytest.mark.parametrize("code", WRONG)
def test_a_file_that_cannot_be_used_is_no_items_fault(shape: Shape, code: str) -> None:
    """It is refused before the first item: the function would else park all of the stream."""
    with pytest.raises(BadSource, match=WRONG[code]):
        dynamodb_item.check(shape(code))


def test_a_file_that_is_not_there_is_named(shape: Shape) -> None:
    with pytest.raises(BadSource, match=r"cannot read .*transforms/gone\.py: No such file"):
        dynamodb_item.check(shape(python="gone.py"))


def test_a_file_is_loaded_by_its_path_and_may_have_classes(
    shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of that name elsewhere is another; dataclasses with annotations of text look their module up."""
    (tmp_path / "shaped.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(str(tmp_path))
    code = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Name:
    text: str

def transform(item: dict) -> dict:
    return {"text": Name(item["text"]).text + "!"}
"""
    assert content(shape(code), text=S) == {"text": "one!"}
    assert content(shape("def transform(item): return {'text': 'other'}"), text=S) == {"text": "other"}


@pytest.mark.parametrize("returned", ["{}", "{**item, 'expires_at': 5}", "{'expires_at': None}", "{'expires_at': 'x'}"])
def test_the_time_to_live_stays_as_it_is_stored(shape: Shape, returned: str) -> None:
    """DynamoDB removes the item by it: the index has to hide the document at the same second."""
    one = shape(f"def transform(item): return {returned}")
    assert content(one, expires_at={"N": "1800000000"}) == {"expires_at": 1_800_000_000}
    assert content(one) == {}
    assert dynamodb_item.expires_at(one, {"expires_at": {"N": "1800000000"}}) == 1_800_000_000


def test_the_id_is_that_of_the_stored_key(shape: Shape) -> None:
    one = shape("def transform(item): return {'member_id': 'another', 'text': item['member_id']}")
    item = {"member_id": {"S": "m-1"}}
    key = dynamodb_item.key_of(one, item)
    document = dynamodb_item.document_of(one, key, item, position="p", written_at="w")
    assert document.key == "m-1"
    assert content(one, **item) == {"member_id": "another", "text": "m-1"}


def test_what_no_document_would_show_is_refused(shape: Shape) -> None:
    with pytest.raises(BadMapping, match=r"members\.yaml: transform writes city, town, and include/mapp"):
        dynamodb_item.check(shape(take={"town": "text"}, rename={"text": "city"}, constant={"long": 1}))
    dynamodb_item.check(shape("def transform(item): return item", take={"town": "text"}))  # the function may use it
    with pytest.raises(BadEntity, match=r"members\.yaml: transform\.constant: double is a number that no document has"):
        dynamodb_item.check(shape(constant={"double": float("inf")}))


# -- versions


def changed(one: Entity, version: int = 1, **changes: Any) -> Entity:
    assert one.transform is not None
    return replace(one, transform=replace(one.transform, version=version, **changes))


def test_a_changed_transformation_has_to_raise_its_version(shape: Shape) -> None:
    """Else nobody knows which documents are of which, and a comparison takes all of them for stale."""
    before = shape("def transform(item): return item", drop=["text"])
    meta = transforms.present(before).as_meta()
    assert (meta["own"], transforms.of_index(meta)) == (1, transforms.present(before))
    transforms.check_raised(before, "i-1", meta)
    other_yaml = changed(before, drop=["ip"])
    other_code = shape("def transform(item): return dict(item)", drop=["text"])
    for now in (other_yaml, other_code):
        assert transforms.present(now) != transforms.of_index(meta)
        with pytest.raises(
            BadSource, match=r"transforms/shaped\.py is not the one that i-1 .* version 1.*'version: 2' below"
        ):
            transforms.check_raised(now, "i-1", meta)
        transforms.check_raised(changed(now, 2), "i-1", meta)


def test_an_index_of_before_has_no_transformation(shape: Shape) -> None:
    plain = replace(shape(), transform=None)
    recorded = transforms.present(plain).as_meta()
    assert not {"own", "digest"} & recorded.keys()
    assert transforms.of_index(recorded) == transforms.present(plain)
    transforms.check_raised(shape(drop=["text"]), "i-1", recorded)
    assert transforms.of_index(recorded) != transforms.present(shape(drop=["text"]))
    for spoilt in ({"own": "x"}, {"own": None}, {"digest": 5}):
        assert transforms.of_index({**recorded, **spoilt}) != transforms.present(plain)
