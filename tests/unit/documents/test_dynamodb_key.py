"""The ids of items: two keys with one id would be one document, and an id without its key could never be read again."""

import base64
import os
import random
import re
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from searchsync.documents import dynamodb_key
from searchsync.documents.dynamodb_key import canonical, decoder, encoder
from searchsync.documents.dynamodb_values import BadItem

SEED = int(os.environ.get("SEARCHSYNC_TEST_SEED") or random.SystemRandom().randrange(10**9))
"""Printed with each failure; the variable repeats a run."""

NAMES = ("pk", "sk")
TEXTS = st.text("a~|01\\é😀", min_size=1, max_size=5) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40
)
DIGITS = st.integers(1, 10**38 - 1) | st.integers(1, 300)


@st.composite
def numbers(draw: Any) -> Decimal:
    """Any number of a table, with its digits in all places that a number may have."""
    digits = str(draw(DIGITS))
    first = draw(st.integers(-130, 125) | st.integers(-9, 40))
    sign = "-" if draw(st.booleans()) else ""
    return Decimal(f"{sign}{digits}e{first - len(digits) + 1}")  # `scaleb` would round to 28 digits


@st.composite
def spelled(draw: Any) -> tuple[Decimal, str]:
    """A number, and one of the many ways to write it."""
    number = Decimal(0) if draw(st.integers(0, 9)) == 0 else draw(numbers())
    sign, digits, exponent = number.as_tuple()
    zeros = draw(st.integers(0, 3))
    whole = "0" * draw(st.integers(0, 3)) + "".join(map(str, digits)) + "0" * zeros
    power = int(exponent) - zeros
    ahead = ("-" if sign else draw(st.sampled_from(["", "+"]))) if digits != (0,) else draw(st.sampled_from("+-"))
    ways = [f"{whole}e{power}", f"{whole}E{power:+}", f"{whole}.e{power}", f"0.{whole}e{power + len(whole)}"]
    if abs(power) < 200:
        ways.append(f"{Decimal(f'{whole}e{power}'):f}")
    return number, ahead + draw(st.sampled_from(ways))


PARTS = {
    "S": TEXTS.map(lambda text: {"S": text}),
    "N": spelled().map(lambda both: {"N": both[1]}),
    "B": st.binary(min_size=1, max_size=9).map(lambda raw: {"B": base64.b64encode(raw).decode()}),
}
TYPES = st.lists(st.sampled_from("SNB"), min_size=1, max_size=2).map(tuple)


@st.composite
def keys(draw: Any, types: Any = TYPES) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Names, types and a key of them."""
    chosen: tuple[str, ...] = draw(types)
    names = NAMES[: len(chosen)]
    return names, chosen, {name: draw(PARTS[kind]) for name, kind in zip(names, chosen, strict=True)}


def value(key: dict[str, Any]) -> list[Any]:
    """What two spellings of one key have in common."""
    return [Decimal(part["N"]) if "N" in part else part for part in key.values()]


@seed(SEED)
@settings(max_examples=600, deadline=None)
@given(keys())
def test_an_id_gives_its_key_back(drawn: Any) -> None:
    names, types, key = drawn
    found = decoder(names, types)(encoder(names, types)(key))
    assert found is not None, f"seed {SEED}"
    assert (list(found), value(found)) == (list(key), value(key)), f"seed {SEED}"
    assert dynamodb_key.as_json(dynamodb_key.as_request(found)) == found


@seed(SEED)
@settings(max_examples=600, deadline=None)
@given(TYPES.flatmap(lambda types: st.tuples(keys(st.just(types)), keys(st.just(types)))))
def test_two_keys_have_two_ids_and_one_key_has_one(two: Any) -> None:
    (names, types, one), (_, _, other) = two
    id_of = encoder(names, types)
    assert (id_of(one) == id_of(other)) == (value(one) == value(other)), f"seed {SEED}"


@seed(SEED)
@settings(max_examples=600, deadline=None)
@given(TYPES, st.text("a~|01-_.e+9=", max_size=8) | st.text(max_size=8))
def test_a_text_is_the_id_of_one_key_or_of_none(types: tuple[str, ...], text: str) -> None:
    """An index may hold ids that somebody else made up: they must not pass for another item's."""
    names = NAMES[: len(types)]
    found = decoder(names, types)(text)
    assert found is None or encoder(names, types)(found) == text, f"seed {SEED}"


@seed(SEED)
@settings(max_examples=600, deadline=None)
@given(spelled(), spelled())
def test_equal_numbers_have_one_text_whichever_way_they_are_written(one: Any, other: Any) -> None:
    with localcontext(prec=200):
        assert Decimal(canonical(one[1])) == one[0], f"seed {SEED}"
        assert (canonical(one[1]) == canonical(other[1])) == (one[0] == other[0]), f"seed {SEED}"
        assert canonical(canonical(one[1])) == canonical(one[1])


@pytest.mark.parametrize(
    ("written", "one"),
    [
        ("1.10", "1.1"), ("-0", "0"), ("0.000", "0"), ("0e99", "0"), ("+007", "7"), ("100", "100"), ("1E2", "100"),
        ("1e37", "1" + "0" * 37), ("1e38", "1e38"), ("15e79", "1.5e80"), ("0.0000001", "0.0000001"),
        ("0.00000001", "1e-8"), ("-.5", "-0.5"), ("12.50e1", "125"), ("1E-130", "1e-130"),
        ("9" * 38, "9" * 38), ("9" * 38 + "e88", f"9.{'9' * 37}e125"), ("1" + "0" * 125, "1e125"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)  # fmt: skip
def test_the_one_form_of_a_number(written: str, one: str) -> None:
    assert canonical(written) == one


@pytest.mark.parametrize(
    "text", ["", "x", "1_0", "１", "NaN", "Infinity", "1e126", "1E-131", "9" * 39, "1 ", "0x1", "-"]
)
def test_what_is_no_number_of_dynamodb_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        canonical(text)


@pytest.mark.parametrize(
    ("types", "key", "text"),
    [
        (("S",), {"pk": {"S": "a~b|c"}}, "a~b|c"),
        (("N",), {"pk": {"N": "42.0"}}, "42"),
        (("B",), {"pk": {"B": "AP//"}}, "AP__"),
        (("B",), {"pk": {"B": b"\x00"}}, "AA"),
        (("S", "N"), {"pk": {"S": "ORDER#7"}, "sk": {"N": "42"}}, "ORDER#7|42"),
        (("S", "S"), {"pk": {"S": "a|b"}, "sk": {"S": "~"}}, "a~1b|~0"),
        (("S", "S"), {"pk": {"S": "a"}, "sk": {"S": "b"}, "more": {"S": "x"}}, "a|b"),
    ],
)
def test_ids_can_be_read_by_people(types: tuple[str, ...], key: Any, text: str) -> None:
    """These stand in messages, queues and indexes: another encoding would orphan every document that is there."""
    assert encoder(NAMES[: len(types)], types)(key) == text


@pytest.mark.parametrize(
    ("types", "key", "reason"),
    [
        (("S",), {"pk": {"N": "1"}}, "the key pk must be a string, not {'N': '1'}"),
        (("N",), {"pk": {"S": "1"}}, "the key pk must be a number, not {'S': '1'}"),
        (("N",), {"pk": {"N": "1e126"}}, "the key pk must be a number, not"),
        (("B",), {"pk": {"S": "AA=="}}, "the key pk must be binary, not"),
        (("B",), {"pk": {"B": "no base64"}}, "the key pk must be binary, not"),
        (("S", "N"), {"pk": {"S": "a"}}, "the key sk must be a number, not None"),
        (("S", "S"), {"pk": {"S": "a"}, "sk": {"S": ""}}, "the key sk must not be empty"),
        (("S", "S"), {"pk": {"S": "é" * 200}, "sk": {"S": "|" * 56}}, "1 to 512 bytes, this has 513"),
        (("S", "S"), {"pk": {"S": "a"}, "sk": {"S": "\ud800"}}, "not Unicode"),
    ],
)
def test_a_key_that_no_document_can_have_is_poison_with_its_reason(types: Any, key: Any, reason: str) -> None:
    with pytest.raises(BadItem, match=re.escape(reason)):
        encoder(NAMES[: len(types)], types)(key)


def test_the_longest_id_of_two_parts_is_taken() -> None:
    key = {"pk": {"S": "é" * 200}, "sk": {"S": "x" * 111}}
    text = encoder(NAMES, ("S", "S"))(key)
    assert len(text.encode()) == 512
    assert decoder(NAMES, ("S", "S"))(text) == key


@pytest.mark.parametrize("text", ["a", "a|b|c", "a|", "|b", "~2|b", "a~|b", "", "a|~"])
def test_an_id_that_no_item_of_two_strings_can_have(text: str) -> None:
    assert decoder(NAMES, ("S", "S"))(text) is None
