"""The preflight runs as a DAG: the evidence first, then the verdict; it also sees what only Airflow knows."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_ops import runs, seen_by_task
from searchsync.access import repository
from searchsync.config import snapshots
from searchsync.operations import reindex
from searchsync.preflight import airflow as rows_of_airflow
from searchsync.preflight import rows, run, search
from tests.members import World
from tests.steps import rebuild

REPO = Path(__file__).parents[2]
Slack = Callable[[], list[str]]


def finished(dags: dict[str, Any]) -> Any:
    return dags["preflight"].test(logical_date=None, run_conf={"environment": "dev"})


def table(connected: Path, dag_run: Any) -> dict[tuple[str, str], dict[str, str]]:
    folder = connected / "preflight" / dag_run.run_id
    found = json.loads((folder / "preflight.json").read_text(encoding="utf-8"))
    return {(row["check"], row["subject"]): row for row in found}


def in_pool(monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    """Let the task in the pool have a state: here one task runs after the other, in any order, without pools."""
    monkeypatch.setattr(runs, "states_of", lambda _, task_id: {task_id: state})


@pytest.fixture
def without_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what needs none: `./dev infra` shows the rest, and tests/infra/test_applied.py breaks it."""
    monkeypatch.setattr(run, "PARTS", (search.checks, rows.checks, rows_of_airflow.checks))


@pytest.fixture
def whole(
    blue: str,
    members: World,
    slack: Slack,
    without_infrastructure: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Slack:
    """A live index of each entity, all connections, and a Slack."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    in_pool(monkeypatch, "success")
    repository.register(members.client, "fs", {"location": snapshots().repository})
    rebuild(members.client, members.connect, tmp_path / "rebuilt", allow_shrink=True)
    return slack


def test_an_environment_that_is_whole_passes_and_nothing_is_said(
    whole: Slack, dags: dict[str, Any], connected: Path
) -> None:
    done = finished(dags)
    found = table(connected, done)
    assert [row for row in found.values() if row["outcome"] not in ("passed", "not_applicable")] == []
    assert done.state == "success"
    assert found["Airflow pool", "of the loads"]["seen"] == "searchsync_load"
    assert {subject for check, subject in found if check == "Airflow connection"} == {
        "aws_default", "searchsync_opensearch", "searchsync_postgres", "searchsync_slack",
    }  # fmt: skip
    assert whole() == [], "Slack was asked, and shows nothing"
    page = (connected / "preflight" / done.run_id / "summary.html").read_text(encoding="utf-8")
    assert f"all {len(found)}</span> are as they should be" in page


def test_what_is_wrong_is_in_the_evidence_the_error_and_slack(
    whole: Slack, dags: dict[str, Any], connected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = json.loads(os.environ["AIRFLOW_CONN_SEARCHSYNC_POSTGRES"])
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_POSTGRES", json.dumps({**postgres, "conn_type": "mysql"}))
    done = finished(dags)
    found = table(connected, done)
    assert found["Airflow connection", "searchsync_postgres"]["seen"] == "its type is mysql, not postgres"
    assert done.state == "failed"
    assert {task.task_id for task in done.get_task_instances() if task.state == "failed"} == {"announce"}
    page = (connected / "preflight" / done.run_id / "summary.html").read_text(encoding="utf-8")
    assert page.index("its type is mysql") < page.index("searchsync_load"), "what is wrong comes first"
    (said,) = whole()
    assert "docs/operations/preflight.md" in said


@pytest.mark.parametrize(
    ("host", "said"), [("HOST/elsewhere", "it answers 404"), ("http://127.0.0.1:1", "it cannot be asked: URLError")]
)
def test_a_slack_that_lets_nobody_in_is_red_and_its_address_is_not_told(
    whole: Slack,
    dags: dict[str, Any],
    connected: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    host: str,
    said: str,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_SEARCHSYNC_SLACK"])
    host = host.replace("HOST", connection["host"].removesuffix("/services"))
    changed = {**connection, "host": host, "password": "T/B/secret-token"}
    monkeypatch.setenv("AIRFLOW_CONN_SEARCHSYNC_SLACK", json.dumps(changed))
    done = finished(dags)
    found = table(connected, done)
    assert said in found["Slack", "searchsync_slack"]["seen"]
    assert "secret-token" not in json.dumps([*found.values()])
    assert "secret-token" not in "".join(capfd.readouterr())


def test_a_pool_without_a_slot_is_red(
    whole: Slack, dags: dict[str, Any], connected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow leaves the tasks of a pool that does not exist scheduled, without a word."""
    in_pool(monkeypatch, "scheduled")
    monkeypatch.setattr(seen_by_task, "SLOT_SECONDS", 0.0)
    found = table(connected, finished(dags))
    assert "there is no such pool" in found["Airflow pool", "of the loads"]["seen"]


def test_a_missing_connection_is_red(
    whole: Slack, dags: dict[str, Any], connected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SEARCHSYNC_SLACK")
    found = table(connected, finished(dags))
    assert found["Airflow connection", "searchsync_slack"]["seen"] == "there is none"
    assert found["Slack", "searchsync_slack"]["outcome"] == "failed"


def test_the_names_are_those_of_the_connections_and_environments(dags: dict[str, Any]) -> None:
    from search_ops import hook
    from search_ops.tasks import preflight

    assert set(rows_of_airflow.CONNECTIONS) == {hook.OPENSEARCH, hook.SLACK}
    columns = yaml.safe_load((REPO / "infra" / "environments.yaml").read_text(encoding="utf-8"))["zones"]
    assert preflight.PARAMS["environment"].schema["enum"] == [*columns]
