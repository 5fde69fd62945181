"""What hangs or fails is unknown, and holds up nothing else."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from searchsync.health.airflow import DagSeen, lateness
from searchsync.health.gather import AT_ONCE, gather
from searchsync.health.reading import Look, Reading


def good(name: str) -> Iterator[Reading]:
    yield Reading(name, "", 0, "well")


def test_a_server_that_hangs_holds_up_no_other() -> None:
    release = threading.Event()

    def hangs() -> Iterator[Reading]:
        release.wait(30)
        yield from good("late")

    hanging = [Look(("a", "b"), "AWS", hangs, "members", "members") for _ in range(AT_ONCE + 1)]
    began = time.monotonic()
    found = gather([*hanging, Look(("c",), "OpenSearch", lambda: good("c"))], seconds=0.5)
    assert time.monotonic() - began < 5
    release.set()
    assert found[-1] == Reading("c", "", 0, "well")
    unknown = found[:-1]
    assert {(one.alarm, one.subject, one.entity, one.value) for one in unknown} == {
        ("a", "members", "members", None),
        ("b", "members", "members", None),
    }
    assert len(unknown) == 2 * len(hanging)
    assert unknown[0].seen == "AWS: it did not answer within 0.5 s"


def test_a_look_that_fails_half_way_is_unknown_as_a_whole() -> None:
    def fails() -> Iterator[Reading]:
        yield from good("a")
        raise KeyError("nodes")

    found = gather([Look(("a", "b"), "X", fails), Look(("c",), "X", lambda: good("c"))])
    assert [(one.alarm, one.value) for one in found] == [("a", None), ("b", None), ("c", 0)]
    assert found[0].seen == "KeyError: 'nodes'"


NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("dag", "late", "seen"),
    [
        (DagSeen(paused=True, succeeded=NOW - 9 * DAY, first=NOW, interval=DAY), 0, "it is paused"),
        (DagSeen(paused=False), 0, "it has had no scheduled run yet"),
        (DagSeen(False, NOW - DAY, NOW, DAY), 0, "was due at 2026-03-04 12:00 UTC; one is due every 1 day"),
        (DagSeen(False, NOW - 2 * DAY - timedelta(hours=2), NOW, DAY), 7200, "was due at 2026-03-03 10:00"),
        (DagSeen(False, None, NOW - 3 * DAY, DAY), 2 * 86400, "no scheduled run has succeeded since 2026-03-01"),
    ],
)
def test_a_dag_is_late_when_the_next_run_was_due_and_none_has_succeeded(dag: DagSeen, late: float, seen: str) -> None:
    found = lateness("capacity", dag, NOW)
    assert found.value == late
    assert seen in found.seen
