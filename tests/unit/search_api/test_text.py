"""The clause for what was typed: no text becomes a query, and none is too long for OpenSearch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.query.searchable import Searchable, TextRoles
from search_api.query.text import suggest_query, text_query
from searchsync.catalog import CATALOG

PLACES, MEMBERS = (Searchable.of(CATALOG[name]) for name in ("locations", "members"))
HOSTILE = (
    'x"}},{"match_all":{}}',
    "name:* OR _exists_:sync",
    "../../_all",
    "{{#source}}",
    "a\\u0022b",
    "*?~2",
    "\x00\u2028",
    "(a+)+$",
)


def leaves(query: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is asked of single fields: the kind of the clause, and the field with the question."""
    if isinstance(query, list):
        for one in query:
            yield from leaves(one)
    elif isinstance(query, dict):
        for kind, below in query.items():
            if kind in ("term", "prefix", "fuzzy", "match"):
                yield kind, below
            else:
                yield from leaves(below)


def shape(query: Any) -> Any:
    """A query without the texts that are looked for."""
    if isinstance(query, dict):
        return {key: "?" if key in ("value", "query") else shape(value) for key, value in query.items()}
    return [shape(one) for one in query] if isinstance(query, list) else query


def tiers(query: dict[str, Any]) -> list[list[str]]:
    """The kinds and fields of each tier, the surest first."""
    scored = sorted(query["dis_max"]["queries"], key=lambda one: -one["constant_score"]["boost"])
    return [[f"{kind} {field}" for kind, asked in leaves(one) for field in asked] for one in scored]


@pytest.mark.parametrize("q", HOSTILE)
@pytest.mark.parametrize("make", [text_query, suggest_query])
def test_what_was_typed_stays_a_value(make: Any, q: str) -> None:
    query = make(PLACES, q)
    usual = make(PLACES, " ".join("x" * len(word) for word in q.split()))
    assert [kind for kind, _ in leaves(query)] == [kind for kind, _ in leaves(usual)]
    assert shape(query) == shape(usual)


def most_clauses(searchable: Searchable, q: str) -> int:
    """How many clauses OpenSearch makes of a text at most: in some scripts each letter is a word."""
    return sum(
        len("".join(str(asked["query"]).split())) if kind == "match" else 1
        for kind, below in leaves(text_query(searchable, q))
        for asked in below.values()
    )


@given(st.text(min_size=1, max_size=500).filter(str.strip))
def test_each_text_makes_a_query_of_bounded_size(q: str) -> None:
    """A query of more than 1,024 clauses is refused. A text may have as many words as letters."""
    for searchable in (PLACES, MEMBERS):
        assert most_clauses(searchable, q) < 1_024


@pytest.mark.parametrize("fields", [1, 4, 40])
def test_more_fields_leave_room_for_fewer_words(fields: int) -> None:
    properties = {f"f{n}": {"type": "text"} for n in range(fields)}
    roles = TextRoles(names=tuple(properties), other_names=(), words=(), prominence=None)
    searchable = replace(PLACES, properties=properties, text=roles)
    assert max(most_clauses(searchable, q) for q in ("北" * 500, "北 " * 250, "ab " * 166)) < 1_024


def test_a_name_as_it_is_comes_before_what_is_only_like_it() -> None:
    assert tiers(text_query(PLACES, "Köln")) == [
        ["term name.exact", "term alternate_names.exact"],
        ["prefix name.exact", "match name.plain"],
        ["fuzzy name.exact"],
        ["match name", "prefix alternate_names.exact", "fuzzy alternate_names.exact", "term region",
         "match alternate_names", "match region.words", "match name.plain", "match region.words"],
    ]  # fmt: skip


def test_without_guesses_nothing_is_misspelt() -> None:
    query = text_query(PLACES, "Köln", guesses=False)
    assert tiers(query) == [
        ["term name.exact", "term alternate_names.exact"],
        ["prefix name.exact", "match name.plain"],
        ["match name", "prefix alternate_names.exact", "term region", "match alternate_names", "match region.words"],
    ]
    assert "fuzz" not in str(text_query(MEMBERS, "Ada M. Lovelace", guesses=False))


def test_a_suggestion_is_found_by_names_alone() -> None:
    asked = {field for tier in tiers(suggest_query(MEMBERS, "ada lo")) for field in tier}
    assert asked == {"term name.exact", "prefix name.exact", "fuzzy name.exact", "match name.plain", "match name"}


def test_initials_may_be_missing_in_the_document() -> None:
    """Whoever signs with a middle initial has not always registered with it."""
    asked = [below for kind, below in leaves(text_query(MEMBERS, "Ada M. Lovelace")) if kind == "term"]
    whole = [below["name.exact"]["value"] for below in asked if "name.exact" in below]
    assert whole == ["Ada M. Lovelace", "Ada Lovelace"]


@pytest.mark.parametrize(("q", "forgiven"), [("Ulm", 0), ("Köln", 2), ("x" * 64, 2), ("x" * 65, 0)])
def test_too_short_a_text_is_near_to_everything(q: str, forgiven: int) -> None:
    assert [kind for kind, _ in leaves(text_query(PLACES, q))].count("fuzzy") == forgiven


def bools(query: Any) -> Iterator[dict[str, Any]]:
    if isinstance(query, list):
        for one in query:
            yield from bools(one)
    elif isinstance(query, dict):
        for kind, below in query.items():
            if kind == "bool":
                yield below
            yield from bools(below)


@pytest.mark.parametrize("q", ["ada", "ada b", "ada c. bell", "a", "x" * 100])
@pytest.mark.parametrize("make", [text_query, suggest_query])
def test_no_clause_is_empty(make: Any, q: str) -> None:
    """An empty one finds every document: suggestions would be whatever is there."""
    names_alone = replace(MEMBERS, text=TextRoles(("name",), (), (), None))
    for searchable in (PLACES, MEMBERS, names_alone):
        query = make(searchable, q)
        assert all(clauses for one in bools(query) for clauses in one.values()), query
