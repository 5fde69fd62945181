"""The whole of Airflow: processes are killed, a person is asked, a swap triggers its comparison. In order."""

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from local import airflow as local_airflow
from local import cognito, processes, runs
from local import opensearch as local_opensearch
from local import postgres as local_postgres
from local.airflow_api import AirflowApi
from local.errors import LocalError
from local.stack import Stack
from searchsync.catalog import entity
from searchsync.cluster import aliases
from searchsync.cluster.client import Client, connect
from searchsync.cluster.indexes import EntityIndexes
from searchsync.health import report as health_report
from searchsync.operations import rollback
from tests.e2e.conftest import ROWS

DAG = "locations_reindex"
LOCATIONS = entity("locations")
SMALL_BULKS = {"bulk_bytes": 10_000}  # a load has a middle


@pytest.fixture(scope="module")
def api(stack: Stack) -> AirflowApi:
    api = stack.api()
    api.unpause(DAG)
    return api


@pytest.fixture(scope="module")
def search(stack: Stack) -> Client:
    return connect(stack.variables()["SEARCHSYNC_OPENSEARCH_URL"])


def until(what: str, condition: Callable[[], Any], *, seconds: float = 180.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def follow(api: AirflowApi, run_id: str) -> runs.Outcome:
    outcome = runs.follow(api, DAG, run_id, print, patience=420)
    for task in api.tasks(DAG, run_id):
        if task["state"] == "failed" and not outcome.succeeded:  # the stack and its logs are gone after the tests
            print(task["task_id"], *api.log(task, lines=20), sep="\n    ")
    return outcome


def loading(api: AirflowApi, run_id: str, *, attempt: int = 1) -> dict[str, Any]:
    """A load task that is running and has been for long enough to have written something."""

    def running() -> dict[str, Any] | None:
        tasks = [task for task in api.tasks(DAG, run_id) if task["task_id"] == "load" and task["state"] == "running"]
        return next((task for task in tasks if task["pid"] and task["try_number"] >= attempt), None)

    found: dict[str, Any] = until("a load task runs", running)
    return found


def documents(search: Client, name: str) -> int:
    return int(search.request("GET", f"/{name}/_stats/indexing")["_all"]["primaries"]["indexing"]["index_total"])


def green(search: Client, run_id: str) -> str | None:
    found = [index for index in EntityIndexes(search, LOCATIONS).all() if index.run_id == f"{DAG}/{run_id}"]
    return next((index.name for index in found if index.in_write_set), None)


def in_the_middle_of_a_load(api: AirflowApi, search: Client, run_id: str) -> dict[str, Any]:
    name = until("the run's index exists", lambda: green(search, run_id))
    task = loading(api, run_id)
    until("documents arrive", lambda: documents(search, name) > ROWS // 10)
    assert documents(search, name) < ROWS, "all are written: a kill would show nothing"
    return task


def served(search: Client) -> int:
    return int(search.request("POST", "/locations/_count")["count"])


def make_room(search: Client) -> None:
    """Each swap leaves a member in the write set for a day, and it takes four; the candidate that stays is the last."""
    for older in rollback.candidates(EntityIndexes(search, LOCATIONS))[1:]:
        aliases.delete(EntityIndexes(search, LOCATIONS), older.name)


def test_a_load_that_is_killed_is_retried_and_nothing_is_doubled_or_lost(api: AirflowApi, search: Client) -> None:
    run_id = api.trigger(DAG, {"partitions": 1, **SMALL_BULKS})
    os.kill(in_the_middle_of_a_load(api, search, run_id)["pid"], signal.SIGKILL)
    assert documents(search, str(green(search, run_id))) < ROWS, "it had written all: nothing is shown"
    outcome = follow(api, run_id)
    assert outcome.succeeded
    ledger = outcome.result["ledger"]
    assert ledger["read"] == ROWS == ledger["written"] + ledger["stale"]
    # Rows that the killed attempt had written were written again, at a later position.
    assert documents(search, outcome.result["index"]) > ROWS, "killed before it had written anything: nothing is shown"
    assert max(task["try_number"] for task in api.tasks(DAG, run_id)) == 2
    assert served(search) == ROWS == outcome.result["gate"]["source"]
    assert outcome.result["gate"]["reconciled"] == 0


def test_opensearch_killed_and_restarted_in_the_middle_of_a_load(stack: Stack, api: AirflowApi, search: Client) -> None:
    folder, port = stack.home.part("opensearch"), stack.state.ports["opensearch"]
    run_id = api.trigger(DAG, {"partitions": 2, **SMALL_BULKS})
    in_the_middle_of_a_load(api, search, run_id)
    local_opensearch.start(folder).kill()
    local_opensearch.start(folder, port=port)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    ledger = outcome.result["ledger"]
    assert ledger["read"] == ROWS == ledger["written"] + ledger["stale"]
    assert served(search) == ROWS
    assert {task["try_number"] for task in api.tasks(DAG, run_id) if task["task_id"] == "load"} == {1}


OUTAGE_SECONDS = 60.0
"""Of the API server: by Airflow's own settings three heartbeats of a task fail in it, and the task is killed."""


def test_a_load_survives_an_outage_of_the_api_server(stack: Stack, api: AirflowApi, search: Client) -> None:
    """It is restarted at any deployment; a load of an hour must not begin anew, nor be killed."""
    run_id = api.trigger(DAG, {"partitions": 1, **SMALL_BULKS})
    in_the_middle_of_a_load(api, search, run_id)
    frozen = local_opensearch.start(stack.home.part("opensearch")).process.pid
    os.kill(frozen, signal.SIGSTOP)  # the load has something to do for the whole outage
    try:
        processes.stop(stack.state.parts["api-server"].process, first=signal.SIGKILL)
        time.sleep(OUTAGE_SECONDS)
    finally:
        os.kill(frozen, signal.SIGCONT)
    start_api_server(stack)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    assert {task["try_number"] for task in api.tasks(DAG, run_id) if task["task_id"] == "load"} == {1}
    assert outcome.result["ledger"]["read"] == ROWS == served(search)


def start_api_server(stack: Stack) -> None:
    """At once; `./dev up` looks at all parts first, and a busy machine takes longer for it than tasks wait."""
    server, name = stack.server("postgres"), "api-server"
    metadata = local_postgres.create_database(server, "airflow", owner="airflow")
    env = stack._airflow_environment(server, metadata, cognito.ensure(local_airflow.url(stack.state.ports["aws"])))
    folder = stack.home.part("airflow")
    process = processes.spawn(local_airflow.command(name), folder=folder, log=stack.home.log(name), env=env, cwd=folder)
    stack._remember(name, process, stack.state.parts["scheduler"].fingerprint)
    until("Airflow's API answers again", lambda: local_airflow.is_healthy(stack.api()))


def test_what_is_dead_is_started_again_and_nothing_else_with_it(stack: Stack) -> None:
    """Lost otherwise: each load that runs, when a part that it does not need has ended; and the rows."""
    stack.up()  # tests before this one have started OpenSearch by themselves
    alive = {name: part.process for name, part in stack.state.parts.items() if name != "triggerer"}
    processes.stop(stack.state.parts["triggerer"].process, first=signal.SIGKILL)
    stack.up()
    assert stack.state.running("triggerer")
    assert {name: part.process for name, part in stack.state.parts.items() if name != "triggerer"} == alive
    with psycopg.connect(stack.server("postgres").dsn(local_postgres.OWNER, "app")) as owner:
        assert owner.execute("SELECT count(*) FROM locations").fetchone() == (ROWS,)


def test_a_run_that_a_person_marks_failed_is_red_and_leaves_nothing(
    stack: Stack, api: AirflowApi, search: Client
) -> None:
    """By Airflow's own rules it would be a success: what is left is skipped, and the teardown is through."""
    blue = EntityIndexes(search, LOCATIONS).live()
    run_id = api.trigger(DAG, {"partitions": 1, **SMALL_BULKS})
    in_the_middle_of_a_load(api, search, run_id)
    api.fail(DAG, run_id)
    assert follow(api, run_id).state == "failed"
    assert EntityIndexes(search, LOCATIONS).live() == blue
    assert green(search, run_id) is None
    until("Slack hears of it", lambda: heard(stack, run_id, "completed"), seconds=60)


def test_a_load_killed_at_every_attempt_leaves_blue_and_reaches_slack(
    stack: Stack, api: AirflowApi, search: Client
) -> None:
    blue = EntityIndexes(search, LOCATIONS).live()
    run_id = api.trigger(DAG, {"partitions": 1, **SMALL_BULKS})
    for attempt in (1, 2, 3):
        os.kill(loading(api, run_id, attempt=attempt)["pid"], signal.SIGKILL)
    assert follow(api, run_id).state == "failed"
    assert EntityIndexes(search, LOCATIONS).live() == blue
    assert green(search, run_id) is None, "the index of a failed run must be discarded"
    assert served(search) == ROWS

    def message() -> str | None:
        lines = stack.home.slack_messages.read_text().splitlines() if stack.home.slack_messages.exists() else []
        return next((line for line in lines if run_id in json.loads(line).__repr__()), None)

    text = until("Slack hears of it", message, seconds=60)
    for part in (DAG, "load", str(blue), "Next", "Undo", "/dags/locations_reindex/runs/"):
        assert part in text


def test_a_load_cleared_after_its_index_was_discarded_is_refused_until_the_run_is_cleared_from_create_green(
    api: AirflowApi, search: Client
) -> None:
    blue = EntityIndexes(search, LOCATIONS).live()
    failed = next(run for run in api.runs(DAG) if run["state"] == "failed")
    run_id = failed["dag_run_id"]
    clear = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
    api._call("POST", f"/dags/{DAG}/clearTaskInstances", {**clear, "task_ids": ["load"], "include_downstream": True})
    assert follow(api, run_id).state == "failed"
    (load,) = [task for task in api.tasks(DAG, run_id) if task["task_id"] == "load"]
    assert "GreenDiscarded" in "\n".join(api.log(load, lines=40))
    assert EntityIndexes(search, LOCATIONS).live() == blue

    body = {**clear, "task_ids": ["create_green"], "include_downstream": True}
    api._call("POST", f"/dags/{DAG}/clearTaskInstances", body)
    outcome = follow(api, run_id)
    assert outcome.succeeded
    assert outcome.result["ledger"]["written"] == ROWS == served(search)
    assert EntityIndexes(search, LOCATIONS).live() != blue


def test_a_swap_is_followed_by_its_comparison(stack: Stack, api: AirflowApi, search: Client) -> None:
    """The nightly chain: nobody has to remember to look."""
    make_room(search)
    api.forget_events("locations_quality")  # of the swaps before
    api.unpause("locations_quality")
    began = datetime.now(UTC)
    assert follow(api, api.trigger(DAG)).succeeded

    def compared() -> dict[str, Any] | None:
        found = [run for run in api.runs("locations_quality", since=began) if run["run_type"] == "asset_triggered"]
        return next((run for run in found if run["state"] in ("success", "failed")), None)

    run = until("the comparison is done", compared)
    result = api.result("locations_quality", run["dag_run_id"], "compare")
    assert run["state"] == "success", result
    assert (result["index"], result["level"], result["kinds"]) == (EntityIndexes(search, LOCATIONS).live(), "full", {})
    assert result["source_documents"] == result["index_documents"] == ROWS
    assert (Path(result["evidence"]) / "summary.html").exists()


def test_past_hours_are_backfilled_by_the_scheduler(stack: Stack, api: AirflowApi, search: Client) -> None:
    """For rows whose change came with a late or a wrong date: no run of now would look there."""
    api.unpause("locations_sync")
    hour = (datetime.now(UTC) - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    dsn = stack.server("postgres").dsn(local_postgres.OWNER, "app")
    with psycopg.connect(dsn, autocommit=True) as owner:
        query = "UPDATE locations SET name = 'backfilled', updated_at = %s WHERE location_id = ANY(%s)"
        keys = [str(row[0]) for row in owner.execute("SELECT location_id FROM locations ORDER BY 1 LIMIT 5").fetchall()]
        owner.execute(query, [hour + timedelta(minutes=30), [int(key) for key in keys]])
    body = {
        "dag_id": "locations_sync",
        "from_date": hour.isoformat(),
        "to_date": (hour + timedelta(hours=3)).isoformat(),
        "max_active_runs": 3,
        "reprocess_behavior": "none",
    }
    api._call("POST", "/backfills", body)

    def done() -> list[dict[str, Any]] | None:
        found = [run for run in api.runs("locations_sync") if run["run_type"] == "backfill"]
        ended = [run for run in found if run["state"] in ("success", "failed")]
        return found if len(found) >= 3 and len(ended) == len(found) else None

    found = until("the backfill is done", done)
    assert {run["state"] for run in found} == {"success"}
    results = [api.result("locations_sync", run["dag_run_id"], "announce") for run in found]
    assert max(result["changed"] for result in results) == 5
    ids = {"ids": keys}
    answer = search.request("POST", f"/{EntityIndexes(search, LOCATIONS).live()}/_mget", body=ids)
    assert {doc["_source"]["name"] for doc in answer["docs"]} == {"backfilled"}


def asked(api: AirflowApi, dag_id: str, run_id: str) -> None:
    """Wait until a run waits for a person."""

    def waits() -> bool:
        return any(t["task_id"] == "approve" and t["state"] == "awaiting_input" for t in api.tasks(dag_id, run_id))

    until(f"{dag_id} asks", waits)


THINKING_SECONDS = 5.0
"""That a person takes at least. Airflow loses an answer that comes before its executor has reported the parked task's
process as ended, and asks again; nothing shows from outside that it has."""


def answer(api: AirflowApi, dag_id: str, run_id: str, option: str) -> None:
    """Answer, and again if Airflow asks again."""
    time.sleep(THINKING_SECONDS)
    _answer(api, dag_id, run_id, option)

    def decided() -> bool:
        (task,) = [task for task in api.tasks(dag_id, run_id) if task["task_id"] == "approve"]
        if task["state"] == "awaiting_input" and task["try_number"] > 1:
            time.sleep(THINKING_SECONDS)
            _answer(api, dag_id, run_id, option)
        return bool(task["state"] == "success")

    until("the answer is taken", decided)


def _answer(api: AirflowApi, dag_id: str, run_id: str, option: str) -> None:
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
    api._call("PATCH", path, {"chosen_options": [option], "params_input": {}})


def heard(stack: Stack, *parts: str) -> bool:
    """Whether a message in Slack has all of these."""
    lines = stack.home.slack_messages.read_text().splitlines() if stack.home.slack_messages.exists() else []
    return any(all(part in line for part in parts) for line in lines)


def test_a_reindex_that_is_not_approved_changes_nothing(stack: Stack, api: AirflowApi, search: Client) -> None:
    make_room(search)
    blue = EntityIndexes(search, LOCATIONS).live()
    run_id = api.trigger(DAG, {"approve": "always"})
    asked(api, DAG, run_id)
    assert heard(stack, "waits for you", "it was asked for", "required_actions")
    assert EntityIndexes(search, LOCATIONS).live() == blue
    assert green(search, run_id), "it is fed while somebody thinks about it"
    answer(api, DAG, run_id, "Reject")
    outcome = follow(api, run_id)
    assert outcome.succeeded
    assert outcome.result["swapped"] is False
    assert EntityIndexes(search, LOCATIONS).live() == blue
    until("the index is discarded", lambda: green(search, run_id) is None)
    assert heard(stack, "served nothing", "said no", quote(run_id))


def test_back_to_the_index_before_after_a_yes(stack: Stack, api: AirflowApi, search: Client) -> None:
    api.unpause("index_rollback")
    with pytest.raises(LocalError, match="entity"):
        api.trigger("index_rollback", {})
    live = EntityIndexes(search, LOCATIONS).live()
    run_id = api.trigger("index_rollback", {"entity": "locations"})
    asked(api, "index_rollback", run_id)
    assert EntityIndexes(search, LOCATIONS).live() == live
    answer(api, "index_rollback", run_id, "Approve")
    outcome = runs.follow(api, "index_rollback", run_id, print, patience=120)
    assert outcome.succeeded
    assert outcome.result["previous"] == live
    assert EntityIndexes(search, LOCATIONS).live() == outcome.result["index"] != live
    assert served(search) == ROWS
    assert heard(stack, "is served from", str(outcome.result["index"]))


def test_health_looks_at_airflow_itself(stack: Stack, api: AirflowApi) -> None:
    """Pools and DAG files that cannot be read are shown only to a login, which nobody may have forgotten to give it."""
    api.unpause("cluster_health")
    outcome = runs.follow(api, "cluster_health", api.trigger("cluster_health"), print, patience=120)
    assert outcome.succeeded
    files = stack.home.reports.glob(f"cluster_health/*/{health_report.DATA}")
    newest = max(files, key=lambda file: file.stat().st_mtime)
    found = {one["alarm"]: one["state"] for one in json.loads(newest.read_text())["verdicts"]}
    assert found["airflow-import-errors"] == found["airflow-pool-starving"] == "good"
