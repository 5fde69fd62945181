"""``index_snapshot`` and ``recovery_drill``, as Airflow runs them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from searchsync.cluster.client import Client
from searchsync.config import snapshots
from searchsync.errors import RequestRejected
from searchsync.recovery import COPIES, summary
from tests.steps import until

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def repository(client: Client) -> Iterator[str]:
    """Name of the repository of the policy."""
    name = snapshots().repository
    client.request("PUT", f"/_snapshot/{name}", body={"type": "fs", "settings": {"location": "of-dags"}})
    for one in client.request("GET", f"/_snapshot/{name}/_all")["snapshots"]:
        client.request("DELETE", f"/_snapshot/{name}/{one['snapshot']}")
    yield name
    until(lambda: _unregistered(client), "nothing is under way in the repository")


def _unregistered(client: Client) -> bool:
    try:
        client.request("DELETE", "/_snapshot/*")
    except RequestRejected as error:
        if error.error_type != "illegal_state_exception":  # a snapshot or a restore is still under way
            raise
        return False
    return True


def copies(client: Client) -> list[str]:
    return [*client.request("GET", f"/{COPIES}*", params={"expand_wildcards": "all"})]


def test_a_snapshot_and_a_drill_of_it(
    dags: dict[str, Any], client: Client, blue: str, repository: str, connected: Path
) -> None:
    saved = dags["index_snapshot"].test(logical_date=None)
    assert saved.state == "success"
    name = saved.get_task_instance("prune").xcom_pull("verify")["snapshot"]
    assert saved.get_task_instance("prune").xcom_pull("prune") == {"kept": [name], "deleted": [], "used": []}

    run = dags["recovery_drill"].test(logical_date=None, run_conf={"entity": "locations"})
    assert run.state == "success"
    assert copies(client) == []
    folder = connected / "recovery_drill" / run.run_id
    (record,) = json.loads((folder / "drill.json").read_text())
    assert (record["state"], record["documents"], record["details"]["live_after"]) == ("good", 2_000, blue)
    assert "2,000 documents" in (folder / "summary.html").read_text()
    known = summary(client)
    assert known["snapshot"]["snapshot"] == name
    assert known["drills"]["locations"]["restore_seconds"] == record["restore_seconds"]
    assert known["hours_since_snapshot"] < 1
    assert known["days_since_drill"] < 1


def test_a_drill_without_a_snapshot_measures_nothing_and_is_red(
    dags: dict[str, Any], client: Client, blue: str, repository: str, slack: Callable[[], list[str]]
) -> None:
    run = dags["recovery_drill"].test(logical_date=None, run_conf={"entity": "locations"})
    assert run.state == "failed"
    assert copies(client) == []
    assert "docs/operations/recovery_drill.md" in slack()[-1]


def test_what_cannot_be_restored_is_red_and_the_reindex_is_measured_all_the_same(
    dags: dict[str, Any], client: Client, blue: str, repository: str, monkeypatch: pytest.MonkeyPatch, connected: Path
) -> None:
    """When no snapshot helps, the source is the only way back: how long that takes has to be known."""
    from searchsync.errors import SnapshotFailed
    from searchsync.recovery import measure

    assert dags["index_snapshot"].test(logical_date=None).state == "success"

    def broken(*_: Any) -> None:
        raise SnapshotFailed("a file of the snapshot is lost")

    monkeypatch.setattr(measure, "_restore", broken)
    run = dags["recovery_drill"].test(logical_date=None, run_conf={"entity": "locations"})
    assert run.state == "failed"
    (record,) = json.loads((connected / "recovery_drill" / run.run_id / "drill.json").read_text())
    assert record["state"] == "bad"
    assert "the restore did not come to its end" in record["why"]
    assert record["reindex_seconds"] > 0
    assert copies(client) == []
