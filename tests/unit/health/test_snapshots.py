"""The ages of snapshots and drills are held to rows of other units: in the wrong one no snapshot would ever be old."""

import time
from typing import Any

import pytest

from searchsync import alarms, recovery
from searchsync.health.recovery import looks


@pytest.mark.parametrize(
    ("hours", "days", "kept", "told"),
    [
        (35.0, 30.0, 90, set()),
        (37.0, 30.0, 90, {"snapshot-old"}),
        (30.0, 36.0, 90, {"drill-old"}),
        (None, None, 90, {"snapshot-old", "drill-old"}),
        (None, None, 2, {"snapshot-old"}),
        (None, None, 1, set()),
        (None, None, None, set()),
    ],
)
def test_what_is_too_old_is_told_and_nothing_of_a_cluster_that_is_new(
    hours: float | None, days: float | None, kept: int | None, told: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kept``: days since the first of the bookkeeping was made."""
    monkeypatch.setattr(recovery, "summary", lambda _: {"hours_since_snapshot": hours, "days_since_drill": days})
    made = (
        [] if kept is None else [("searchsync-quality", kept), ("searchsync-capacity", 0), (f"{recovery.COPIES}x", 99)]
    )

    class Client:
        def until(self, _: Any) -> "Client":
            return self

        def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            now = time.time()
            dates = {name: int((now - days * 86_400) * 1000) for name, days in made}
            return {name: {"settings": {"index": {"creation_date": str(date)}}} for name, date in dates.items()}

    (look,) = looks(Client)  # type: ignore[arg-type]
    values = {reading.alarm: reading.value for reading in look.ask() if reading.value is not None}
    assert {name for name, value in values.items() if alarms.table()[name].breaches(value)} == told
