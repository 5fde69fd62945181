"""Positions are compared as strings, by a script in the index: their text must sort as the snapshots do."""

import re

from hypothesis import given
from hypothesis import strategies as st

from searchsync.position import Snapshot, xmax_of

XIDS = st.integers(0, 2**63 - 1)
SNAPSHOTS = st.tuples(XIDS, XIDS, st.integers(0, 10**7)).map(lambda s: (min(s[:2]), max(s[:2]), s[2]))
FORM = re.compile(r"\d{4}\.\d{20}\.\d{20}\.\d{8}")


@given(st.integers(1, 9999), SNAPSHOTS, SNAPSHOTS)
def test_text_sorts_as_xmin_xmax_and_fewer_in_progress(
    epoch: int, a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    first, second = (Snapshot("any", *s).position(epoch) for s in (a, b))
    assert FORM.fullmatch(first)
    in_order = (a[0], a[1], -a[2]) < (b[0], b[1], -b[2])
    assert (first < second) is in_order


@given(st.integers(1, 9998), SNAPSHOTS, SNAPSHOTS)
def test_any_position_of_a_later_epoch_is_later(epoch: int, a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    assert Snapshot("old", *a).position(epoch) < Snapshot("new", *b).position(epoch + 1)


@given(st.integers(1, 9999), SNAPSHOTS)
def test_xmax_is_read_back(epoch: int, snapshot: tuple[int, int, int]) -> None:
    position = Snapshot("any", *snapshot).position(epoch)
    assert xmax_of(position) == snapshot[1]
