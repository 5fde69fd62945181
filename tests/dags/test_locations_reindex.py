"""The DAG run for real, task by task, against PostgreSQL and OpenSearch."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import ports
from search_ops import warming
from searchsync.catalog import Entity
from searchsync.cluster import aliases, creation
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations.reindex import Reindex

Slack = Callable[[], list[str]]


def run(dags: dict[str, Any], **conf: Any) -> Any:
    return dags["locations_reindex"].test(logical_date=None, run_conf=conf or None)


def result(dag_run: Any, task_id: str = "announce", map_index: int = -1) -> Any:
    return dag_run.get_task_instance(task_id, map_index=map_index).xcom_pull(task_ids=task_id)


def states(dag_run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}


def test_a_run_serves_every_row_and_keeps_the_previous_index_fed(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the search API, which could warm its cache before the swap, is away."""
    monkeypatch.setenv("AIRFLOW_CONN_SEARCH_API", f"http://127.0.0.1:{ports.choose()}")
    dag_run = run(dags, partitions=3)
    assert dag_run.state == "success"
    assert result(dag_run, "warm").startswith("not warmed: ")
    report = result(dag_run)
    live = EntityIndexes(client, locations).live()
    assert report["index"] == live != blue
    assert report["previous"] == blue
    assert report["ledger"] == {"read": rows, "written": rows, "stale": 0, "tombstoned": 0, "rejected": 0}
    assert client.request("POST", "/locations/_count")["count"] == rows
    assert set(EntityIndexes(client, locations).write_set()) == {blue, live}
    assert {i.name: i.role for i in EntityIndexes(client, locations).all()} == {
        blue: "rollback candidate",
        live: "live",
    }
    event = asset_events()[-1]
    assert event == {"index": live, "documents": rows, "previous": blue}


@pytest.mark.parametrize(("overlap", "state", "serves"), [(0.99, "success", True), (0.2, "failed", False)])
def test_an_index_that_answers_otherwise_is_not_served_where_that_was_asked_for(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity, monkeypatch: pytest.MonkeyPatch,
    overlap: float, state: str, serves: bool,
) -> None:  # fmt: skip
    compared: list[Any] = []

    def compare(entity: str, index: str) -> dict[str, Any]:
        compared.append((entity, EntityIndexes(client, locations).get(index).is_live))
        return {"queries": 90, "unanswered": 0, "overlap": overlap, "rank": 1.0, "live_ms": 3.0, "new_ms": 4.0}

    monkeypatch.setattr(warming, "compare", compare)
    dag_run = run(dags, canary=True)
    assert (dag_run.state, compared) == (state, [("locations", False)])
    assert (EntityIndexes(client, locations).live() != blue) is serves
    assert len(EntityIndexes(client, locations).all()) == (2 if serves else 1), "what is not served is deleted"


def test_results_of_an_earlier_attempt_are_not_counted(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a clear Airflow keeps what a map index returned that is gone, and a task that is skipped now."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    original = Reindex.copy_tombstones

    def after_a_clear(*args: Any, **options: Any) -> Any:
        """As if partitions, run again, had found two parts instead of three."""
        with create_session() as session:
            (run_id,) = session.query(DagRun.run_id).filter_by(dag_id="locations_reindex", state="running").one()
            keys = {"key": "return_value", "dag_id": "locations_reindex", "run_id": run_id, "session": session}
            made = session.query(XComModel).filter_by(run_id=run_id, task_id="partitions").one()
            XComModel.set(**keys, task_id="partitions", value=made.value[:2], serialize=False)
            XComModel.set(**keys, task_id="swap", value=True, serialize=False)
        return original(*args, **options)

    monkeypatch.setattr(Reindex, "copy_tombstones", after_a_clear)
    dag_run = run(dags, partitions=3, swap=False)
    assert dag_run.state == "success"
    parts = [each["ledger"]["read"] for each in result(dag_run, "load", map_index=0)]
    assert sum(parts) == rows
    assert result(dag_run)["ledger"]["read"] == parts[0] + parts[1]
    assert result(dag_run)["swapped"] is False


def test_a_load_that_a_person_marks_done_is_not_taken_for_done(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    from search_ops.tasks import reindex as tasks

    original = tasks._loaded
    monkeypatch.setattr(tasks, "_loaded", lambda ranges, results: original(ranges, [*results][:-1]))
    dag_run = run(dags, partitions=2)
    assert dag_run.state == "failed"
    assert states(dag_run)["copy_tombstones"] == "failed"
    assert "not loaded in this attempt" in "".join(capfd.readouterr())
    assert [index.name for index in EntityIndexes(client, locations).all()] == [blue]


def test_whole_numbers_may_come_as_4_point_0(blue: str, dags: dict[str, Any], rows: int) -> None:
    """For JSON it is an integer, and so it is for the form; no part of the product has to know."""
    dag_run = run(dags, partitions=2.0, bulk_bytes=100_000.0, max_rejected=0.0)
    assert dag_run.state == "success"
    assert result(dag_run)["ledger"]["read"] == rows


def test_a_load_goes_on_when_airflow_cannot_keep_how_far_it_has_come() -> None:
    """Airflow's API server is restarted in the middle of it."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    from search_ops.tasks.reindex import _Checkpoint

    class Away:
        def set(self, *_: Any) -> None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    _Checkpoint(Away()).set({"resume": 1})


@pytest.mark.parametrize("length", [1, 250, 2_000])
def test_a_partitions_name_is_short_and_its_own(length: int) -> None:
    """Airflow's database keeps 250 characters, and fails a task with more of them after its work."""
    from search_ops.tasks.reindex import _name

    names = [_name(f"[{'ß' * length}{end}..{'x' * length}]") for end in ("a", "b")]
    assert names[0] != names[1]
    assert all(len(name) <= 250 for name in names)


def asset_events() -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return [event.extra for event in session.query(AssetEvent).order_by(AssetEvent.id)]


def test_swap_off_builds_and_checks_only(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity, rows: int
) -> None:
    events = len(asset_events())
    dag_run = run(dags, swap=False)
    assert dag_run.state == "success"
    assert states(dag_run)["swap"] == "skipped"
    assert result(dag_run)["swapped"] is False
    assert result(dag_run)["documents"] == rows
    assert [index.name for index in EntityIndexes(client, locations).all()] == [blue]
    assert len(asset_events()) == events, "nothing was served, so nobody may be told so"


def test_gate_failure_leaves_blue_serving_and_discards_green(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    owner: psycopg.Connection,
    slack: Slack,
) -> None:
    owner.execute("DELETE FROM locations WHERE location_id % 10 <> 0")
    dag_run = run(dags)
    assert dag_run.state == "failed"
    assert states(dag_run)["gate"] == "failed"
    assert states(dag_run)["swap"] == "upstream_failed"
    assert [index.name for index in EntityIndexes(client, locations).all()] == [blue]
    (message,) = slack()
    for part in ("locations_reindex", dag_run.run_id, "gate", blue, "Next", "Undo", "http://airflow.test:8080/dags/"):
        assert part in message
    assert run(dags, allow_shrink=True, approve="never").state == "success"


def test_poison_is_listed_and_stops_the_swap_unless_allowed(
    blue: str,
    dags: dict[str, Any],
    connected: Path,
    client: Client,
    locations: Entity,
    owner: psycopg.Connection,
    rows: int,
) -> None:
    owner.execute("UPDATE locations SET rate = 'NaN' WHERE location_id IN (SELECT min(location_id) FROM locations)")
    dag_run = run(dags)
    assert dag_run.state == "failed"
    assert states(dag_run)["load"] == "success"
    assert EntityIndexes(client, locations).live() == blue
    (listed,) = [json.loads(line) for path in connected.rglob("rejected-gate.ndjson") for line in path.open()]
    assert listed["type"] == "mapper_parsing_exception"
    allowed = run(dags, max_rejected=1)
    assert allowed.state == "success"
    report = result(allowed)
    assert report["ledger"]["rejected"] == 1
    assert report["gate"]["rejected"] == 1
    assert report["documents"] == rows - 1


def test_unknown_conf_keys_change_nothing(
    connected: Path, dags: dict[str, Any], client: Client, locations: Entity, rows: int
) -> None:
    dag_run = run(dags, partition=3)
    assert dag_run.state == "failed"
    assert states(dag_run)["check"] == "failed"
    assert EntityIndexes(client, locations).all() == []


@pytest.mark.parametrize("conf", [{"partitions": 0}, {"bulk_bytes": 99}, {"swap": "maybe"}, {"max_rejected": -1}])
def test_out_of_range_params_are_refused_before_a_run_exists(dags: dict[str, Any], conf: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises((ParamValidationError, ValueError), match=next(iter(conf))):
        run(dags, **conf)


def test_source_down_fails_with_its_name_and_leaves_nothing(
    connected: Path,
    connect: Callable[..., None],
    opensearch_server: Any,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    slack: Slack,
) -> None:
    connect(opensearch_server.port, port=1)
    dag_run = run(dags)
    assert dag_run.state == "failed"
    assert dag_run.get_task_instance("check").try_number == 3, "an absent source may come back: it is tried again"
    assert EntityIndexes(client, locations).all() == []
    assert len(slack()) == 1


def test_wrong_password_is_not_tried_again_and_not_shown(
    connected: Path, connect: Callable[..., None], opensearch_server: Any, dags: dict[str, Any], capsys: Any
) -> None:
    connect(opensearch_server.port, password="hunter2-is-wrong")
    dag_run = run(dags)
    assert dag_run.state == "failed"
    assert dag_run.get_task_instance("check").try_number == 1
    output = "".join(capsys.readouterr())
    assert "refuses the connection" in output
    assert "hunter2-is-wrong" not in output


def test_keep_green_leaves_the_write_set_for_index_retire(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    owner: psycopg.Connection,
) -> None:
    owner.execute("TRUNCATE locations")
    assert run(dags, keep_green=True).state == "failed"
    assert set(EntityIndexes(client, locations).write_set()) == {blue}
    kept = [index for index in EntityIndexes(client, locations).all() if index.name != blue]
    assert len(kept) == 1
    retired = dags["index_retire"].test(logical_date=None)
    assert retired.state == "success"
    lines = result(retired, "retire", map_index=0)
    lines = lines[0] if isinstance(lines[0], list) else lines
    assert {line["index"]: line["action"] for line in lines if line["index"] != blue} == {kept[0].name: "kept"}


def test_a_second_run_is_refused_while_one_builds(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity
) -> None:
    other = creation.find_or_create(
        EntityIndexes(client, locations), run_id="cli/other", source={"identity": "x", "epoch": 1}
    )
    aliases.join(EntityIndexes(client, locations), other.name)
    dag_run = run(dags)
    assert dag_run.state == "failed"
    assert states(dag_run)["check"] == "failed"
    assert {index.name for index in EntityIndexes(client, locations).all()} == {blue, other.name}
    assert run(dags, force=True).state == "success"
    assert other.name in {index.name for index in EntityIndexes(client, locations).all()}


def test_the_green_of_a_killed_run_is_swept_by_the_next(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity
) -> None:
    # A run that Airflow knows and that has ended. (A test run without a logical date replaces the one before it.)
    dead = dags["locations_reindex"].test(logical_date=datetime(2026, 1, 1, tzinfo=UTC), run_conf={"partition": 1})
    assert dead.state == "failed"
    build = f"locations_reindex/{dead.run_id}"
    left = creation.find_or_create(EntityIndexes(client, locations), run_id=build, source={"identity": "x", "epoch": 1})
    aliases.join(EntityIndexes(client, locations), left.name)
    assert run(dags).state == "success"
    assert left.name not in {index.name for index in EntityIndexes(client, locations).all()}
    assert len(EntityIndexes(client, locations).write_set()) == 2
