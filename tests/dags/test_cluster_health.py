"""cluster_health runs for real: it says what is wrong once, and when it is over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchsync.cluster.client import Client

Slack = Callable[[], list[str]]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow's store has; empty at first."""
    return {}


def run(dags: dict[str, Any]) -> Any:
    return dags["cluster_health"].test(logical_date=None, run_conf={})


def test_a_red_index_is_told_once(blue: str, dags: dict[str, Any], client: Client, slack: Slack, connected: Path) -> None:
    first = run(dags)
    assert first.state == "success"
    print(slack())
    result = first.get_task_instance("look").xcom_pull(task_ids="look")
    print(json.dumps(result, indent=1))
    assert run(dags).state == "success"
    print(slack())
