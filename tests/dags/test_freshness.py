"""The DAG that measures freshness, against the emulator, PostgreSQL and OpenSearch."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from searchsync.freshness import run
from tests.members import World
from tests.steps import serve

Slack = Callable[[], list[str]]


def measured(dags: dict[str, Any]) -> tuple[str, dict[str, dict[str, Any]]]:
    dag_run = dags["freshness"].test(logical_date=None)
    found = dag_run.get_task_instance("announce").xcom_pull(task_ids="announce") or []
    return str(dag_run.state), {one["entity"]: one for one in found}


def test_before_anything_is_live_nothing_is_measured_and_nobody_is_told(
    dags: dict[str, Any], members: World, slack: Slack
) -> None:
    state, found = measured(dags)
    assert (state, {one["state"] for one in found.values()}) == ("success", {"none"})
    assert slack() == []
    assert members.records() == []


def test_what_is_late_is_said_once_and_once_when_it_is_over(
    dags: dict[str, Any], members: World, blue: str, slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = serve(members.client, members.entity, identity=members.identity)
    members.client.request("PUT", f"/{live}/_settings", body={"index.refresh_interval": "100ms"})
    monkeypatch.setattr(run, "WAIT_SECONDS", 0.5)
    for _ in range(2):
        state, found = measured(dags)
        assert state == "success", "it was measured, and CloudWatch has the figure"
        assert (found["members"]["state"], found["members"]["seconds"]) == ("late", 0.5)
        assert found["locations"]["state"] == "measured"
        assert 0 <= found["locations"]["seconds"] < 600
    (said,) = slack()
    for part in ("*members*", "not searchable in time", "docs/operations/freshness.md"):
        assert part in said
    monkeypatch.setattr(run, "WAIT_SECONDS", 30.0)
    over = threading.Event()

    def deliver() -> None:
        while not over.wait(0.05):
            members.apply()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    state, found = measured(dags)
    over.set()
    thread.join()
    assert (state, found["members"]["state"]) == ("success", "measured")
    assert "is searchable after" in slack()[-1]
    assert len(slack()) == 2
    assert members.table() == {}


def test_what_cannot_be_measured_fails_the_run_and_the_others_are_measured(
    dags: dict[str, Any], members: World, blue: str, slack: Slack
) -> None:
    serve(members.client, members.entity, identity=members.identity)
    members.put("searchsync-heartbeat", name="a member, after all")
    dag_run = dags["freshness"].test(logical_date=None)
    assert dag_run.state == "failed"
    states = {task.state for task in dag_run.get_task_instances() if task.task_id == "measure"}
    assert states == {"success"}
    assert "*freshness* failed" in slack()[-1]
