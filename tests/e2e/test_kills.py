"""What a run is worth when processes die: the whole of Airflow, and SIGKILL. The tests build on each other."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import opensearchpy
import pytest

from local import opensearch as local_opensearch
from local import runs
from local.airflow_api import AirflowApi
from local.stack import Stack
from searchsync import indexes
from searchsync.entities import entity
from searchsync.opensearch import connect, request

DAG = "locations_reindex"
ROWS = 234_908
LOCATIONS = entity("locations")


@pytest.fixture(scope="module")
def api(stack: Stack) -> AirflowApi:
    api = stack.api()
    api.unpause(DAG)
    return api


@pytest.fixture(scope="module")
def search(stack: Stack) -> opensearchpy.OpenSearch:
    return connect(stack.variables()["SEARCHSYNC_OPENSEARCH_URL"])


def until(what: str, condition: Callable[[], Any], *, seconds: float = 180.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def follow(api: AirflowApi, run_id: str) -> runs.Outcome:
    return runs.follow(api, DAG, run_id, print, patience=420)


def loading(api: AirflowApi, run_id: str, *, attempt: int = 1) -> dict[str, Any]:
    """A load task that is running and has been for long enough to have written something."""

    def running() -> dict[str, Any] | None:
        tasks = [task for task in api.tasks(DAG, run_id) if task["task_id"] == "load" and task["state"] == "running"]
        return next((task for task in tasks if task["pid"] and task["try_number"] >= attempt), None)

    found: dict[str, Any] = until("a load task runs", running)
    return found


def documents(search: opensearchpy.OpenSearch, name: str) -> int:
    return int(request(search, "GET", f"/{name}/_stats/indexing")["_all"]["primaries"]["indexing"]["index_total"])


def green(search: opensearchpy.OpenSearch, run_id: str) -> str | None:
    found = [index for index in indexes.of_entity(search, LOCATIONS) if index.build == f"{DAG}/{run_id}"]
    return next((index.name for index in found if index.writers), None)


def in_the_middle_of_a_load(api: AirflowApi, search: opensearchpy.OpenSearch, run_id: str) -> dict[str, Any]:
    name = until("the run's index exists", lambda: green(search, run_id))
    task = loading(api, run_id)
    until("documents arrive", lambda: documents(search, name) > 10_000)
    return task


def served(search: opensearchpy.OpenSearch) -> int:
    return int(request(search, "POST", "/locations/_count")["count"])


def test_a_load_that_is_killed_is_retried_and_nothing_is_doubled_or_lost(
    api: AirflowApi, search: opensearchpy.OpenSearch
) -> None:
    run_id = api.trigger(DAG, {"partitions": 1})
    os.kill(in_the_middle_of_a_load(api, search, run_id)["pid"], signal.SIGKILL)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    ledger = outcome.result["ledger"]
    assert ledger["read"] == ROWS == ledger["written"] + ledger["stale"]
    # Rows that the killed attempt had written were written again, at a later position.
    assert documents(search, outcome.result["index"]) > ROWS, "killed before it had written anything: nothing is shown"
    assert max(task["try_number"] for task in api.tasks(DAG, run_id)) == 2
    assert served(search) == ROWS == outcome.result["gate"]["source"]
    assert outcome.result["gate"]["settled"] == 0


def test_opensearch_killed_and_restarted_in_the_middle_of_a_load(
    stack: Stack, api: AirflowApi, search: opensearchpy.OpenSearch
) -> None:
    run_id = api.trigger(DAG, {"partitions": 2})
    in_the_middle_of_a_load(api, search, run_id)
    folder, port = stack.home.part("opensearch"), stack.state.ports["opensearch"]
    local_opensearch.start(folder).kill()
    local_opensearch.start(folder, port=port)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    ledger = outcome.result["ledger"]
    assert ledger["read"] == ROWS == ledger["written"] + ledger["stale"]
    assert served(search) == ROWS
    assert {task["try_number"] for task in api.tasks(DAG, run_id) if task["task_id"] == "load"} == {1}


def test_a_load_killed_at_every_attempt_leaves_blue_and_reaches_slack(
    stack: Stack, api: AirflowApi, search: opensearchpy.OpenSearch
) -> None:
    blue = indexes.live(search, LOCATIONS)
    run_id = api.trigger(DAG, {"partitions": 1})
    for attempt in (1, 2, 3):
        os.kill(loading(api, run_id, attempt=attempt)["pid"], signal.SIGKILL)
    assert follow(api, run_id).state == "failed"
    assert indexes.live(search, LOCATIONS) == blue
    assert green(search, run_id) is None, "the index of a failed run must be discarded"
    assert served(search) == ROWS

    def message() -> str | None:
        lines = stack.home.slack_messages.read_text().splitlines() if stack.home.slack_messages.exists() else []
        return next((line for line in lines if run_id in json.loads(line).__repr__()), None)

    text = until("Slack hears of it", message, seconds=60)
    for part in (DAG, "load", str(blue), "Next", "Undo", "/dags/locations_reindex/runs/"):
        assert part in text


def test_a_load_cleared_after_its_index_was_discarded_is_refused_until_the_run_is_cleared_from_create_green(
    api: AirflowApi, search: opensearchpy.OpenSearch
) -> None:
    blue = indexes.live(search, LOCATIONS)
    failed = next(run for run in api.runs(DAG) if run["state"] == "failed")
    run_id = failed["dag_run_id"]
    clear = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
    api._call("POST", f"/dags/{DAG}/clearTaskInstances", {**clear, "task_ids": ["load"], "include_downstream": True})
    assert follow(api, run_id).state == "failed"
    (load,) = [task for task in api.tasks(DAG, run_id) if task["task_id"] == "load"]
    assert "GreenDiscarded" in "\n".join(api.log(load, lines=40))
    assert indexes.live(search, LOCATIONS) == blue

    body = {**clear, "task_ids": ["create_green"], "include_downstream": True}
    api._call("POST", f"/dags/{DAG}/clearTaskInstances", body)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    assert outcome.result["ledger"]["written"] == ROWS == served(search)
    assert indexes.live(search, LOCATIONS) != blue
