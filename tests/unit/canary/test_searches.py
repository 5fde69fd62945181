"""A new index is swapped in after a pass alone, where a comparison was asked for."""

from typing import Any

import pytest

from searchsync.canary.policy import policy
from searchsync.canary.searches import judge
from searchsync.errors import BadParams

ALIKE = {"queries": 100, "unanswered": 0, "overlap": 0.97, "rank": 0.99, "live_ms": 4.0, "new_ms": 5.0}


@pytest.mark.parametrize(
    ("changed", "verdict", "said"),
    [
        ({}, "pass", "100 queries, overlap 0.97"),
        ({"rank": None}, "pass", "rank None"),
        ({"overlap": 0.5}, "fail", "an overlap of 0.8 is demanded"),
        ({"rank": 0.1}, "fail", "a rank of 0.8 is demanded"),
        ({"new_ms": 9.0}, "inconclusive", "more than 2.0 times as long"),
        ({"unanswered": 30}, "inconclusive", "30 more that the live index answers, the new one does not"),
        ({"queries": 19}, "inconclusive", "20 queries are needed"),
        ({"queries": 0, "overlap": None, "rank": None, "live_ms": None, "new_ms": None}, "inconclusive", "20 queries"),
    ],
)
def test_alike_enough_often_enough_and_fast_enough(changed: dict[str, Any], verdict: str, said: str) -> None:
    found = judge(policy().searches, {**ALIKE, **changed})
    assert (found[0], said in found[1]) == (verdict, True), found


def test_an_api_of_another_version_is_no_verdict() -> None:
    with pytest.raises(BadParams, match="and not with queries, unanswered"):
        judge(policy().searches, {"filled": 3})
