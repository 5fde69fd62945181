# ruff: noqa: ARG002 - the stand-in has the signatures of what it stands in for
"""What a person reads about a run, and the settings that reach Airflow and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local import airflow, runs
from local.airflow_api import AirflowApi
from local.errors import LocalError
from local.paths import Home
from local.report import result_rows, table


def task(
    name: str, state: str | None, map_index: int = -1, start: str | None = "2026-11-20T02:00:00Z"
) -> dict[str, Any]:
    return {"task_id": name, "state": state, "map_index": map_index, "start_date": start}


def test_progress_counts_mapped_tasks_and_names_what_is_unusual() -> None:
    tasks = [
        task("check", "success"),
        *(task("load", state, i) for i, state in enumerate(["success", "running", "up_for_retry", None])),
    ]
    assert runs.summary([*tasks, task("gate", None, start=None)]) == {"check": "", "load": " 1/4 (up_for_retry)"}
    assert runs.summary([task("gate", "failed"), task("swap", "upstream_failed")]) == {"gate": " (failed)"}


class Scheduler(AirflowApi):
    """An Airflow that creates a due run as soon as its DAG is unpaused."""

    def __init__(self, due: datetime, *, paused: bool = True) -> None:
        super().__init__("http://127.0.0.1:0", "admin", "")
        self.shown = {"dag_id": "d", "is_paused": paused, "next_dagrun_run_after": due.isoformat()}
        self.made: list[dict[str, Any]] = [{"dag_run_id": "earlier"}]
        self.due = due <= datetime.now(UTC)

    def trigger(self, dag_id: str, conf: Any = None) -> str:
        self.made.insert(0, {"dag_run_id": "manual"})
        return "manual"

    def unpause(self, dag_id: str) -> None:
        if self.due:
            self.made.insert(0, {"dag_run_id": "scheduled"})

    def runs(self, dag_id: str, *, states: tuple[str, ...] = (), since: datetime | None = None) -> list[dict[str, Any]]:
        return list(self.made)


@pytest.mark.parametrize(
    ("minutes", "paused", "expected"),
    [(-30, True, "scheduled"), (30, True, "manual"), (30, False, "manual")],
)
def test_one_run_comes_of_one_start(minutes: int, paused: bool, expected: str) -> None:
    api = Scheduler(datetime.now(UTC) + timedelta(minutes=minutes), paused=paused)
    assert runs.start_once(api, api.shown) == expected
    assert [run["dag_run_id"] for run in api.made] == [expected, "earlier"]


class Forgetful(AirflowApi):
    """An Airflow whose run waits, because the file of its DAG is wrong since."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:0", "admin", "")

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return {"state": "running", "start_date": None, "end_date": None}

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [task("check", None, start=None)]

    def dag(self, dag_id: str) -> dict[str, Any]:
        return {"dag_id": dag_id, "is_stale": True, "last_parsed_time": datetime.now(UTC).isoformat()}

    def dags(self) -> list[dict[str, Any]]:
        return [{"dag_id": "others"}]

    def import_errors(self) -> list[str]:
        return ["entities.py: BadEntity: include/entities/d.yaml:3: chagned is no key"]


def test_a_run_whose_dag_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait until somebody mends the file, and say nothing."""
    monkeypatch.setattr(runs, "_GONE_SECONDS", 0.0)
    with pytest.raises(LocalError, match="no DAG d any more, so this run waits") as caught:
        runs.follow(Forgetful(), "d", "r", lambda _: None)
    assert "d.yaml:3: chagned is no key" in str(caught.value)


def test_a_dag_that_its_file_does_not_make_any_more_is_named_with_the_reason() -> None:
    """Airflow goes on to show it for a while, and would refuse a run without a reason."""
    with pytest.raises(LocalError) as caught:
        runs.await_dag(Forgetful(), "d", parsed_since=datetime.min.replace(tzinfo=UTC), patience=0.3)
    first, second = str(caught.value).splitlines()
    assert first == "Airflow has no DAG d; it has: others"
    assert "d.yaml:3: chagned is no key" in second


def test_connections_are_what_airflow_parses() -> None:
    made = airflow.connections(opensearch_port=1, postgres_port=2, postgres_password="p", slack_port=3, aws_port=4)
    described = {name.removeprefix("AIRFLOW_CONN_"): json.loads(value) for name, value in made.items()}
    assert described["SEARCHSYNC_OPENSEARCH"]["extra"] == {"use_ssl": False}
    assert described["SEARCHSYNC_POSTGRES"]["login"] == "locations_reader"
    assert described["SEARCHSYNC_SLACK"]["host"] == "http://127.0.0.1:3/services"
    assert described["AWS_DEFAULT"]["extra"]["endpoint_url"] == "http://127.0.0.1:4"


def test_no_real_aws_account_and_no_other_airflow_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW_CONN_PROD",
        "PYTHONDONTWRITEBYTECODE",
    ):
        monkeypatch.setenv(name, "foreign")
    monkeypatch.setenv("SEARCHSYNC_TIMEZONE", "Europe/Berlin")
    env = airflow.environment(airflow.aws_environment("http://127.0.0.1:4"))
    assert "foreign" not in env.values()
    assert env["AWS_ACCESS_KEY_ID"] == "testing"
    assert env["SEARCHSYNC_TIMEZONE"] == "Europe/Berlin"
    assert "127.0.0.1" in env["NO_PROXY"].split(",")


def test_the_settings_of_a_shell_change_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `eval "$(./dev env)"` each `up` would start everything anew, with the queues of entities that are gone."""
    before = airflow.fingerprint(airflow.environment({}))
    for name in ("OPENSEARCH_URL", "SLACK_SINK_URL", "POSTGRES_DSN", "EVENTS_DEAD_LETTER_QUEUE", "EVENTS_PARKED_QUEUE"):
        monkeypatch.setenv(f"SEARCHSYNC_{name}", "http://127.0.0.1:1")
    assert airflow.fingerprint(airflow.environment({})) == before


def test_secrets_stay_the_same_between_starts_and_differ_between_stacks(tmp_path: Path) -> None:
    one, two = (Home(tmp_path / name, tmp_path) for name in ("one", "two"))
    first = airflow.settings(one, port=1, metadata_dsn="postgresql://u:p@h/airflow")
    assert first == airflow.settings(one, port=1, metadata_dsn="postgresql://u:p@h/airflow")
    second = airflow.settings(two, port=1, metadata_dsn="postgresql://u:p@h/airflow")
    for name in ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY"):
        assert first[name] != second[name]
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert first["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg://u:p@h/airflow"
    assert "postgres" not in repr(AirflowApi("http://127.0.0.1", "admin", "postgres-secret"))


def test_the_result_table_starts_with_the_figures() -> None:
    result = {
        "gate": {"source": 2, "documents": 2},
        "swapped": True,
        "index": "locations-1",
        "documents_per_second": 7500,
        "documents": 234908,
    }
    outcome = runs.Outcome("locations_reindex", "manual__1", "success", 31.24, result, "http://127.0.0.1/run")
    assert table(result_rows(outcome)).splitlines() == [
        "  run        manual__1",
        "  run took   31.2 s",
        "  documents  234,908",
        "  docs/s     7,500",
        "  index      locations-1",
        "  gate       documents 2, source 2",
        "  swapped    yes",
    ]
