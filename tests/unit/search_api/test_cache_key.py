"""Keys of kept answers: two questions with one key would show a tenant what another one may see."""

from hypothesis import given
from hypothesis import strategies as st

from search_api.cache.key import cache_key
from search_api.caller import EveryTenant, OneTenant, Scope

# Few letters, among them those that could divide parts, so that different parts often make equal texts when joined.
TEXTS = st.text("*:1a ", max_size=4)
SCOPES = st.builds(OneTenant, TEXTS) | st.just(EveryTenant())
QUESTIONS = st.tuples(SCOPES, TEXTS, TEXTS, TEXTS.map(str.encode))
Question = tuple[Scope, str, str, bytes]


@given(one=QUESTIONS, other=QUESTIONS)
def test_different_questions_have_different_keys(
    one: tuple[Scope, str, str, bytes], other: tuple[Scope, str, str, bytes]
) -> None:
    assert (cache_key(*one) == cache_key(*other)) == (one == other)


def test_a_tenant_named_like_every_tenant_is_not_every_tenant() -> None:
    keys = {
        cache_key(scope, "1", "i", b"q") for scope in (EveryTenant(), OneTenant("*"), OneTenant(""), OneTenant("every"))
    }
    assert len(keys) == 4


def test_a_moved_border_between_parts_makes_another_key() -> None:
    """What a plain join of the parts would not tell apart."""
    assert cache_key(OneTenant("a"), "1", "b", b"bc") != cache_key(OneTenant("ab"), "1", "b", b"c")
    assert cache_key(OneTenant("a"), "1", "b", b"cd") != cache_key(OneTenant("a"), "1", "bc", b"d")


def test_a_key_begins_with_the_index_and_shows_no_tenant_and_no_query() -> None:
    """Whoever lists keys learns which index they are of, and nothing about people."""
    key = cache_key(OneTenant("acme"), "1", "members-20261130t000000-0badcafe", b"Smith")
    assert key.startswith("answer:1:members-20261130t000000-0badcafe:")
    assert "acme" not in key
    assert "Smith" not in key
