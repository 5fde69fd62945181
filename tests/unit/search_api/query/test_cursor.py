"""A cursor opens for whom and what it was made, as it was made, while it is young; nothing else does."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from search_api.caller import EveryTenant, OneTenant, Scope
from search_api.problems import Problem
from search_api.query.cursor import LIFETIME_SECONDS, Cursor, Cursors, Page
from search_api.query.parse import parse
from search_api.query.request import SearchRequest, question
from search_api.query.searchable import Searchable
from tests.search_requests import LOCATIONS, asked, scopes

KEY, OTHER = b"a" * 32, b"b" * 32
NOW = 1_800_000_000.0

after = st.lists(st.none() | st.text(max_size=10) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False))


def cursors(*keys: bytes, at: float = NOW) -> Cursors:
    return Cursors(keys or [KEY], clock=lambda: at)


def with_cursor(request: SearchRequest, text: str) -> SearchRequest:
    return replace(request, cursor=text)


def sealed(request: SearchRequest, scope: Scope, values: list[object] | None = None) -> str:
    page = Page(request, scope, "locations-20260101t000000-aaaa")
    return cursors().following(page, [1.5, "x"] if values is None else values)


def refused(text: str, request: SearchRequest, scope: Scope, opening: Cursors | None = None) -> int:
    with pytest.raises(Problem) as caught:
        (opening or cursors()).open(with_cursor(request, text), scope)
    return int(caught.value.status)


@given(asked, scopes, after)
def test_a_cursor_opens_as_it_was_sealed(
    what: tuple[Searchable, SearchRequest], scope: Scope, values: list[object]
) -> None:
    """Numbers to the last bit: a rounded one would repeat or skip a hit."""
    _, request = what
    page = Page(request, scope, "any-index", Cursor("another-index", 4, 0, []))
    opened = cursors().open(with_cursor(request, cursors().following(page, values)), scope)
    assert opened == Cursor("any-index", 5, int(NOW) + LIFETIME_SECONDS, values)


@given(asked, asked, scopes, scopes)
def test_a_cursor_of_another_scope_or_question_is_refused(
    one: tuple[Searchable, SearchRequest], two: tuple[Searchable, SearchRequest], mine: Scope, theirs: Scope
) -> None:
    (_, request), (_, other) = one, two
    text = sealed(request, mine)
    if mine != theirs:
        assert refused(text, request, theirs) == 400
    if question(request) != question(other):
        assert refused(text, other, mine) == 400


def test_no_tenant_can_be_called_like_the_administrator_of_all() -> None:
    request = parse(LOCATIONS, [])
    for name in ("*", "", "None", "null"):
        assert refused(sealed(request, EveryTenant()), request, OneTenant(name)) == 400
        assert refused(sealed(request, OneTenant(name)), request, EveryTenant()) == 400


@given(st.data())
def test_a_cursor_that_was_changed_is_refused(data: st.DataObject) -> None:
    request = parse(LOCATIONS, [("q", "berlin")])
    text = sealed(request, OneTenant("acme"))
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    assume(changed not in (text, ""))
    assert refused(changed, request, OneTenant("acme")) == 400


def test_a_cursor_has_one_spelling() -> None:
    """The last letter of base64 may have bits that say nothing."""
    request = parse(LOCATIONS, [("q", "berlin")])
    for values in ([1], [1, "x"], [1, "xx"]):
        text = sealed(request, EveryTenant(), [*values])
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
            if letter != text[-1]:
                assert refused(text[:-1] + letter, request, EveryTenant()) == 400
        assert refused(f"{text}=", request, EveryTenant()) == 400


@given(st.text(min_size=1, max_size=200))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert refused(text, parse(LOCATIONS, []), EveryTenant()) == 400


def test_fields_and_facets_may_change_from_page_to_page() -> None:
    """They decide neither what is found nor its order: facets are often wanted with the first page alone."""
    first = parse(LOCATIONS, [("q", "a"), ("facets", "region"), ("limit", "10")])
    second = parse(LOCATIONS, [("q", "a"), ("fields", "name"), ("limit", "50")])
    assert cursors().open(with_cursor(second, sealed(first, EveryTenant())), EveryTenant())


def test_an_old_cursor_is_refused() -> None:
    request = parse(LOCATIONS, [])
    text = sealed(request, EveryTenant())
    assert cursors(at=NOW + LIFETIME_SECONDS).open(with_cursor(request, text), EveryTenant())
    late = cursors(at=NOW + LIFETIME_SECONDS + 1)
    assert refused(text, request, EveryTenant(), late) == 410


def test_a_key_is_replaced_while_its_cursors_live() -> None:
    request = parse(LOCATIONS, [])
    text = sealed(request, EveryTenant())
    assert cursors(OTHER, KEY).open(with_cursor(request, text), EveryTenant())
    assert refused(text, request, EveryTenant(), cursors(OTHER)) == 400
    page = Page(request, EveryTenant(), "any")
    new = cursors(OTHER, KEY).following(page, [1])
    assert cursors(OTHER).open(with_cursor(request, new), EveryTenant())


def test_a_key_that_could_be_guessed_is_refused() -> None:
    for keys in ([], [b"short"], [KEY, b""]):
        with pytest.raises(ValueError, match="at least 32 bytes"):
            Cursors(keys)
    assert "a" * 32 not in repr(Cursors([KEY]))


def test_a_cursor_is_short() -> None:
    """It travels in addresses."""
    assert len(sealed(parse(LOCATIONS, []), EveryTenant(), [1_234_567, "a name of some letters", 9_999_999])) < 200


def test_the_longest_cursor_is_taken_back() -> None:
    """A keyword has up to 8,191 bytes, and the key of a document 512."""
    text = sealed(parse(LOCATIONS, []), EveryTenant(), ["x" * 8_191, 1, "k" * 512])
    request = parse(LOCATIONS, [("cursor", text)])
    assert cursors().open(request, EveryTenant())
