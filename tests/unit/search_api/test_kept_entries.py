"""Entries on their way to Redis and back, and in memory: a wrong byte would be a wrong answer, a leak would end it."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_api.cache.memory import OVERHEAD_BYTES, Memory
from search_api.cache.store import COMPRESS_BYTES, Entry, pack, unpack

ENTRIES = st.builds(Entry, st.binary(max_size=5_000), st.floats(0, 4e9), st.floats(0, 1e5))


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert unpack(pack(entry)) == entry


def test_only_a_large_body_is_compressed() -> None:
    small, large = b"x" * (COMPRESS_BYTES - 1), b"x" * COMPRESS_BYTES
    assert small in pack(Entry(small, 1.0, 1.0))
    assert len(pack(Entry(large, 1.0, 1.0))) < 100


@pytest.mark.parametrize("size", [0, 1, 16, 17, 30])
def test_a_cut_value_is_no_entry(size: int) -> None:
    value = pack(Entry(os.urandom(COMPRESS_BYTES), 1.0, 1.0))
    assert unpack(value[:size]) is None


def test_a_value_of_another_form_is_no_entry() -> None:
    assert unpack(b"\x09" + pack(Entry(b"body", 1.0, 1.0))[1:]) is None
    assert unpack(zlib.compress(b"something else" * 10)) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3_000)), max_size=60))
def test_memory_holds_the_latest_and_no_more_bytes_than_it_may(puts: list[tuple[str, int]]) -> None:
    memory = Memory(5_000)
    for key, size in puts:
        memory.put(key, Entry(bytes(size), 1.0, 1.0))
        assert memory.get(key) == Entry(bytes(size), 1.0, 1.0)
        assert memory.bytes <= 5_000
    held = [entry for key in "abcdef" if (entry := memory.get(key)) is not None]
    assert memory.bytes == sum(len(entry.body) + OVERHEAD_BYTES for entry in held)


def test_memory_forgets_first_what_was_asked_for_longest_ago() -> None:
    memory = Memory(3 * (OVERHEAD_BYTES + 1_000))
    for key in "abc":
        memory.put(key, Entry(bytes(1_000), 1.0, 1.0))
    memory.get("a")
    memory.put("d", Entry(bytes(1_000), 1.0, 1.0))
    assert [key for key in "abcd" if memory.get(key)] == ["a", "c", "d"]


def test_what_is_larger_than_the_whole_memory_is_not_held() -> None:
    memory = Memory(1_000)
    memory.put("a", Entry(bytes(2_000), 1.0, 1.0))
    assert memory.get("a") is None
    assert memory.bytes == 0
