"""A run that a person stops, as the pages of Airflow do it: it must never pass for a good one."""

from collections.abc import Callable
from typing import Any

import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import gate
from searchsync.operations.reindex import Reindex

Slack = Callable[[], list[str]]

DAG = "locations_reindex"


@pytest.fixture
def mark(airflow_database: None) -> Callable[[str, str], None]:
    """What *Mark as* sends."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"), "http://airflow.test:8080")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role="admin"))

    def send(run_id: str, state: str) -> None:
        url = f"/api/v2/dags/{DAG}/dagRuns/{run_id}"
        answer = client.patch(url, json={"state": state}, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text

    return send


def asset_events() -> int:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return int(session.query(AssetEvent).count())


@pytest.mark.parametrize(("step", "state"), [("load", "failed"), ("gate", "failed"), ("gate", "success")])
def test_a_reindex_that_a_person_stops_is_red_and_serves_nothing(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    slack: Slack,
    mark: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    state: str,
) -> None:
    """Airflow lets the teardown run and then judges by what is left, which is skipped: it would be a success."""
    synced, events = EntityIndexes(client, locations).get(blue).synced, asset_events()

    def stopped(*_: Any, **__: Any) -> Any:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        with create_session() as session:
            (run_id,) = session.query(DagRun.run_id).filter_by(dag_id=DAG, state="running").one()
        mark(run_id, state)
        raise RuntimeError("its process is killed")

    monkeypatch.setattr({"load": Reindex, "gate": gate}[step], step, stopped)
    dags[DAG].get_task(step).retries = 0
    run = dags[DAG].test(logical_date=None)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert (states["swap"], states["announce"], states["discard_green"]) == ("skipped", "skipped", "success")
    assert run.state == "failed", states
    assert states["completed"] == "failed"
    assert [index.name for index in EntityIndexes(client, locations).all()] == [blue]
    assert EntityIndexes(client, locations).get(blue).synced == synced, "nothing is younger by a run that was stopped"
    assert asset_events() == events
    (said,) = slack()
    assert "completed" in said
