"""``readiness``, as Airflow runs it: the evidence first, then the verdict, which is never good by accident."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchsync.preflight import run as preflight
from tests.members import World

Slack = Callable[[], list[str]]


def test_what_nobody_has_shown_is_open_in_the_evidence_the_error_and_slack(
    blue: str, connected: Path, members: World, dags: dict[str, Any], slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an emulator without infrastructure: the live index of one entity proves nothing of the other."""
    monkeypatch.setattr(preflight, "run", lambda _: [])
    done = dags["readiness"].test(logical_date=None, run_conf={"environment": "production"})
    assert {one.task_id for one in done.get_task_instances() if one.state == "failed"} == {"announce"}
    folder = connected / "readiness" / done.run_id
    found = {row["check"]: row for row in json.loads((folder / "readiness.json").read_text(encoding="utf-8"))}
    assert len(found) == 30
    assert "nothing of members is live" in found["blue-green"]["seen"]
    assert "locations was never tried; members was never tried" in found["recovery-drill"]["seen"]
    assert "there is no good one" in found["backups"]["seen"]
    assert "nobody has said it" in found["on-call"]["seen"]
    assert found["index-settings"]["seen"].endswith("the preflight has no such line")
    assert found["runbooks"]["outcome"] == "passed"
    assert (folder / "summary.html").read_text(encoding="utf-8").count("OPEN") == sum(
        row["outcome"] == "open" for row in found.values()
    )
    (said,) = slack()
    assert "docs/operations/readiness.md" in said
