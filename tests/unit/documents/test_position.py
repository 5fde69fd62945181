"""Positions are compared as strings, by a script in the index: their text must sort as the snapshots do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchsync.documents.position import Snapshot, behind, known, of_event, of_read

NUMBERS = st.integers(0, 2**63 - 1)
SNAPSHOTS = st.tuples(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 10**7)).map(
    lambda s: (s[0], min(s[1:3]), max(s[1:3]), s[3])
)
OWN = re.compile(r"\d{4}\.c\d{20}\.\d{20}\.\d{20}\.\d{8}")


def snapshot(checkpoint: int, *rest: int, kind: str = "c") -> Snapshot:
    return Snapshot("any", f"{kind}{checkpoint:020d}", *rest)


@given(st.integers(1, 9999), SNAPSHOTS, SNAPSHOTS)
def test_text_sorts_as_checkpoint_xmin_xmax_and_fewer_in_progress(
    epoch: int, a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> None:
    first, second = (snapshot(*s).position(epoch) for s in (a, b))
    assert OWN.fullmatch(first)
    in_order = (*a[:3], -a[3]) < (*b[:3], -b[3])
    assert (first < second) is in_order


@given(st.integers(1, 9998), SNAPSHOTS, SNAPSHOTS)
def test_any_position_of_a_later_epoch_is_later(
    epoch: int, a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> None:
    assert snapshot(*a).position(epoch) < snapshot(*b).position(epoch + 1)


@given(st.integers(1, 9999), SNAPSHOTS, SNAPSHOTS)
def test_positions_from_before_checkpoints_were_counted_are_below_all_others_of_their_epoch(
    epoch: int, a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> None:
    old = f"{epoch:04d}.{a[1]:020d}.{a[2]:020d}.{10**7 - a[3]:08d}"
    assert old < snapshot(*b).position(epoch)
    assert known(old)
    assert behind(snapshot(*b), old) == ""


@given(SNAPSHOTS, SNAPSHOTS)
def test_only_an_earlier_checkpoint_or_fewer_ids_at_the_same_one_mean_that_a_server_was_put_back(
    now: tuple[int, int, int, int], seen: tuple[int, int, int, int]
) -> None:
    highest = snapshot(*seen).position(1)
    put_back = now[0] < seen[0] or (now[0] == seen[0] and now[2] < seen[2])
    assert bool(behind(snapshot(*now), highest)) is put_back
    assert behind(snapshot(*now), f"{highest}+") == behind(snapshot(*now), highest)
    same = snapshot(seen[0], now[1], now[2], now[3])
    assert bool(behind(same, highest)) is (now[2] < seen[2])


@given(st.integers(1, 9999), SNAPSHOTS, st.integers(0, 10**10 - 1), st.integers(0, 10**40 - 1))
def test_our_positions_are_known(epoch: int, s: tuple[int, int, int, int], second: int, sequence: int) -> None:
    for position in (snapshot(*s).position(epoch), snapshot(*s, kind="t").position(epoch), of_read(second + 5)):
        assert known(position)
        assert known(f"{position}+")
    assert known(of_event(second, str(sequence)))


@pytest.mark.parametrize("value", [None, 7, "", "0001", ["0001"], {}, "9999", "0001.x" + "0" * 20, "zzz", True])
def test_what_is_no_position_is_not_known(value: object) -> None:
    assert not known(value)
