"""Each row of the table that is for this DAG is looked at, and each look has its row: else nobody would be told."""

import pytest

from searchsync.catalog import CATALOG
from searchsync.connections import Connections
from searchsync.health import airflow, cluster, entities, recovery, silences
from searchsync.health.airflow import Api, DagSeen
from searchsync.health.verdict import rows


def unasked(*_: object) -> None:
    raise AssertionError("nobody asks anything here")


def test_every_row_has_a_look_and_every_look_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(entities.ENVIRONMENT, "dev")
    connections = Connections(unasked, unasked, unasked)  # type: ignore[arg-type]
    looks = [
        *cluster.looks(connections.opensearch, cluster.Searches()),
        *entities.looks(connections, CATALOG),
        *recovery.looks(connections.opensearch),
        *airflow.looks(Api("http://airflow.test", "viewer"), {"capacity": DagSeen(paused=False)}),
    ]
    assert {alarm for look in looks for alarm in look.alarms} | {silences.ALARM, "snapshot-old", "drill-old"} == set(
        rows()
    )
