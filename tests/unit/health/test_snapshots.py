"""The ages of snapshots and drills are held to rows of other units: in the wrong one no snapshot would ever be old."""

from typing import Any

import pytest

from searchsync import alarms, recovery
from searchsync.health.recovery import looks


@pytest.mark.parametrize(
    ("hours", "days", "told"),
    [
        (35.0, 30.0, set()),
        (37.0, 30.0, {"snapshot-old"}),
        (None, None, {"snapshot-old", "drill-old"}),
    ],
)
def test_what_is_too_old_is_told(
    hours: float | None, days: float | None, told: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "summary", lambda _: {"hours_since_snapshot": hours, "days_since_drill": days})

    class Client:
        def until(self, _: Any) -> "Client":
            return self

    (look,) = looks(Client)  # type: ignore[arg-type]
    values = {reading.alarm: reading.value for reading in look.ask() if reading.value is not None}
    assert {name for name, value in values.items() if alarms.table()[name].breaches(value)} == told
