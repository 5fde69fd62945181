"""``slo_report``, as Airflow runs it: what OpenSearch has becomes a report, and what is missing is told."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from searchsync.catalog import entity
from searchsync.cluster.client import Client
from searchsync.freshness import result
from searchsync.freshness.result import MEASURED, Measured
from searchsync.quality.history import FULL, GOOD, History
from searchsync.slo import requests
from tests.members import World

Slack = Callable[[], list[str]]


def run(dags: dict[str, Any], **conf: str) -> Any:
    return dags["slo_report"].test(logical_date=None, run_conf=conf)


def figures(connected: Path, dag_run: Any) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((connected / "slo_report" / dag_run.run_id / "slo.json").read_text(encoding="utf-8"))
    return {(one["indicator"], one["subject"]): one for one in found["indicators"]}


@pytest.fixture
def quiet_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudWatch answers, and nobody asked the search API for anything."""
    monkeypatch.setattr(requests, "history", lambda *_: {})


def kept(client: Client, time: datetime, seconds: float) -> None:
    result.remember(client, Measured("members", MEASURED, time.isoformat(timespec="seconds"), seconds))


def test_the_records_of_a_month_become_its_report(
    connected: Path, members: World, dags: dict[str, Any], client: Client, slack: Slack, quiet_api: None
) -> None:
    """What `freshness` and `quality` kept is counted once, and what is of another month, index or entity is not."""
    begin = (datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)).replace(
        day=1
    )
    for minutes in range(0, 120, 5):
        kept(client, begin + timedelta(minutes=minutes), 90.0 if minutes == 60 else 2.0)
    kept(client, begin - timedelta(days=2), 500.0)
    result.keep(client, Measured("members", MEASURED, begin.isoformat(), 500.0))
    for name, live, found in (("a", True, 3), ("b", False, 5_000), ("c", True, 0)):
        History(client).keep(
            {
                "at": (begin + timedelta(days=1 if name == "a" else 2)).isoformat(timespec="seconds"),
                "entity": "members", "index": name, "live": live, "run": name, "level": FULL, "verdict": GOOD,
                "source_documents": 1_000, "index_documents": 1_001, "confirmed": found, "not_looked_at": 0,
            }
        )  # fmt: skip
    done = run(dags, month=f"{begin:%Y-%m}")
    assert done.state == "success"
    found_ = figures(connected, done)
    assert (found_["freshness", "members"]["events"], found_["freshness", "members"]["bad"]) == (24, 1)
    assert (found_["exactness", "members"]["events"], found_["exactness", "members"]["bad"]) == (2_002, 3)
    assert found_["freshness", "members"]["incidents"][0]["start"] == (begin + timedelta(hours=1)).isoformat()
    assert {one["state"] for one in found_.values()} == {"not enough data"}, "of a month, two hours are known"
    (said,) = slack()
    for part in (f"*slo_report* {begin:%Y-%m}", "Credits: not known", "docs/operations/slo.md", "summary.html"):
        assert part in said
    assert "100 %" not in said


def test_a_figure_takes_the_place_of_an_old_one_and_of_no_other(client: Client) -> None:
    """Nothing is deleted, so the index must not grow for ever; and nothing may be lost within two months."""
    first = datetime(2026, 9, 1, 0, 3, tzinfo=UTC)
    for days in (0, 30, 61, 69):
        kept(client, first + timedelta(days=days), float(days))
    members, end = entity("members"), first + timedelta(days=200)
    assert [one.seconds for one in result.kept(client, members, first, end)] == [0, 30, 61, 69]
    kept(client, first + timedelta(days=70), 70.0)
    assert [one.seconds for one in result.kept(client, members, first, end)] == [30, 61, 69, 70]
    assert result.kept(client, entity("locations"), first, end) == []


def test_what_cannot_be_read_fails_the_run_after_the_rest_was_told(
    connected: Path, members: World, dags: dict[str, Any], slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from searchsync.errors import SearchSyncError

    def away(*_: Any) -> Any:
        raise SearchSyncError("CloudWatch: Throttling: no. Run it again later")

    monkeypatch.setattr(requests, "history", away)
    done = run(dags)
    assert {one.task_id for one in done.get_task_instances() if one.state == "failed"} == {"announce"}
    report, failed = slack()
    assert "availability: not enough data; CloudWatch: Throttling" in report
    assert "*slo_report* failed" in failed


def test_a_month_that_is_none_is_refused(connected: Path, members: World, dags: dict[str, Any], slack: Slack) -> None:
    done = run(dags, month="2026-13")
    assert done.state == "failed"
    assert not (connected / "slo_report" / done.run_id).exists()
