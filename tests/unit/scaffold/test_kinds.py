"""Several kinds of items in a sample: said where it shows, and not said of every table that has a status."""

from typing import Any

import pytest

from searchsync.scaffold.dynamodb_kinds import kinds


def items(*texts: dict[str, str], times: int = 3) -> list[dict[str, Any]]:
    return [{name: {"S": text} for name, text in item.items()} for item in texts for _ in range(times)]


@pytest.mark.parametrize(
    ("sample", "seen"),
    [
        ([], []),
        (items({"pk": "a", "status": "open"}, {"pk": "b", "status": "closed"}), []),
        (items({"pk": "a", "_Type": "order"}, {"pk": "b", "_Type": "user"}), ["_Type=order", "_Type=user"]),
        (items({"pk": "a", "type": "order"}), []),
        (items({"pk": "ORDER#1"}, {"pk": "USER#1"}), ["pk=ORDER#*", "pk=USER#*"]),
        (items({"pk": "USER#1", "sk": "PROFILE"}, {"pk": "USER#1", "sk": "ORDER#1"}), ["sk=ORDER#*", "sk=PROFILE"]),
        (items(*({"pk": f"u{n}"} for n in range(9)), times=1), []),
        (items(*({"pk": f"T{n}#1"} for n in range(30))), []),
    ],
)  # fmt: skip
def test_kinds_of_a_sample(sample: list[dict[str, Any]], seen: list[str]) -> None:
    assert [str(one) for one in kinds(sample, ("pk", "sk"))] == seen
