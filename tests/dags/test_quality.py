"""The quality DAGs run for real: evidence first, then the verdict; a repair only when asked for."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from local.members import generate
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.quality import history
from searchsync.quality.history import History
from tests.members import World
from tests.steps import living, rebuild

pytestmark = pytest.mark.usefixtures("at_once")

Slack = Callable[[], list[str]]


def run(dags: dict[str, Any], dag_id: str = "locations_quality", **conf: Any) -> Any:
    every = {"level": "auto", "repair": "off", "index": None, **conf}  # dag.test() keeps the last run's for the next
    return dags[dag_id].test(logical_date=None, run_conf=every)


def result(dag_run: Any, task_id: str = "compare") -> Any:
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def remove(client: Client, index: str, key: str) -> None:
    client.request("DELETE", f"/{index}/_doc/{key}", params={"refresh": "true"})


def test_an_index_as_its_table_passes_with_evidence(
    blue: str, dags: dict[str, Any], rows: int, slack: Slack, connected: Path
) -> None:
    done = run(dags)
    assert done.state == "success"
    found = result(done)
    assert (found["index"], found["source_documents"], found["kinds"], found["failed"]) == (blue, rows, {}, [])
    folder = Path(found["evidence"])
    evidence = json.loads((folder / "quality.json").read_text())
    names = {expectation["name"]: expectation["holds"] for expectation in evidence["expectations"]["results"]}
    assert names["PostgreSQL and OpenSearch counts are equal"] is True
    assert names["the key is unique"] is True
    assert names["the last full comparison is recent"] is True
    assert len(names) == 19
    page = (folder / "data_docs" / "index.html").read_text()
    assert "comparison" in page
    summary = (folder / "summary.html").read_text()
    assert "the key is unique" in summary
    assert "http" not in summary, "it has to be readable without a network"
    assert "password" not in (page + summary + json.dumps(evidence)).lower()
    assert slack() == []


def test_a_fault_fails_the_run_after_the_evidence_and_a_repair_mends_it(
    blue: str, dags: dict[str, Any], client: Client, slack: Slack
) -> None:
    remove(client, blue, "1")
    failed = run(dags)
    assert failed.state == "failed"
    assert result(failed)["kinds"] == {"missing": 1}
    assert "no row is missing in the index" in slack()[0]
    assert "http://airflow.test:8080/searchsync/reports/locations_quality/" in slack()[0]
    assert (Path(result(failed)["evidence"]) / "quality.json").exists()
    dry = run(dags, repair="dry run")
    assert result(dry)["repair"] == {**result(dry)["repair"], "dry_run": True, "found": 1, "written": 0}
    assert "1" not in living(client, blue)
    assert result(run(dags, repair="on"))["repair"]["written"] == 1
    assert "1" in living(client, blue)
    assert "is not what its source is" in slack()[-1]
    assert run(dags).state == "success"
    assert run(dags).state == "success"
    said = slack()
    assert sum("is what its source is again" in message for message in said) == 1, said
    assert not any("*locations_quality* failed" in message for message in said), "one message for a failure"


def test_a_warning_is_said_and_fails_nothing(blue: str, dags: dict[str, Any], owner: psycopg.Connection) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=30)  # more than a sync reads would be stale for ever
    owner.execute("UPDATE locations SET updated_at = %s WHERE location_id = 1", [ahead])
    done = run(dags)
    assert done.state == "success"
    assert [failed["name"] for failed in result(done)["failed"]] == ["no timestamp is in the future"]


def test_rows_that_no_search_should_show_fail_it(
    blue: str, dags: dict[str, Any], owner: psycopg.Connection, slack: Slack
) -> None:
    owner.execute("UPDATE locations SET latitude = 95 WHERE location_id = 1")
    done = run(dags)
    assert done.state == "failed"
    assert "latitudes are valid" in {failed["name"] for failed in result(done)["failed"]}


def test_a_rollback_candidate_can_be_proven(
    blue: str, dags: dict[str, Any], reindexed: Callable[[], str], client: Client
) -> None:
    reindexed()
    remove(client, blue, "5")
    assert result(run(dags))["kinds"] == {}
    assert result(run(dags, index=blue))["kinds"] == {"missing": 1}


def test_members_are_proven_against_their_table(
    dags: dict[str, Any], members: World, slack: Slack, tmp_path: Path
) -> None:
    generate(members.aws["dynamodb"], 200)
    blue = rebuild(members.client, members.connect, tmp_path)["index"]
    members.apply()
    assert run(dags, "members_quality").state == "success"
    remove(members.client, blue, "m-0000005")
    assert run(dags, "members_quality", level="light").state == "success", "one in 200: a light run cannot see that"
    failed = run(dags, "members_quality")
    assert failed.state == "failed"
    assert result(failed)["kinds"] == {"missing": 1}


def test_a_stalled_stream_fails_as_such_and_nothing_is_compared(
    dags: dict[str, Any], members: World, slack: Slack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(members.client, members.connect, tmp_path, allow_shrink=True)
    generate(members.aws["dynamodb"], 50)
    monkeypatch.setattr("searchsync.stream.lag.time", SimpleNamespace(time=lambda: time.time() + 1_000))
    failed = run(dags, "members_quality")
    assert failed.state == "failed"
    assert "kinds" not in result(failed)
    assert "the stream is up to date" in slack()[0]
    assert "nothing was compared" in slack()[0]
    members.apply()
    assert run(dags, "members_quality", level="light").state == "success"
    assert "again (light check)" in slack()[-1]


def test_results_are_kept_to_be_searched_and_a_repeated_run_replaces_its_own(
    blue: str, dags: dict[str, Any], client: Client, locations: Entity
) -> None:
    remove(client, blue, "1")
    page = Path(result(run(dags))["evidence"], "summary.html").read_text()
    assert "<svg" not in page, "one result is no course"
    run(dags, repair="on")
    assert run(dags).state == "success"
    found = History(client).latest(locations)
    assert [kept["confirmed"] for kept in found] == [0, 1, 1]
    assert [kept["repaired"] for kept in found] == [0, 1, 0]
    assert [kept["verdict"] for kept in found] == ["good", "bad", "bad"]
    query = {"query": {"range": {"kinds.missing": {"gte": 1}}}}
    assert client.request("POST", f"/{history.INDEX}/_count", body=query)["count"] == 2
    History(client).keep(found[0])
    assert len(History(client).latest(locations)) == 3


@pytest.mark.parametrize(
    ("asked", "source", "run_type", "at", "compared", "due"),
    [
        ("auto", "dynamodb", "scheduled", "07-02 03:20", "07-01 04:21", "light"),
        ("auto", "dynamodb", "scheduled", "07-02 04:20", "07-01 04:21", "full"),
        ("auto", "dynamodb", "scheduled", "07-02 05:20", "07-02 04:21", "light"),
        ("auto", "dynamodb", "scheduled", "07-02 09:20", "07-01 04:21", "full"),  # the scheduler was away at night
        ("auto", "dynamodb", "scheduled", "07-02 03:20", "06-30 04:21", "full"),
        ("auto", "dynamodb", "scheduled", "07-02 09:20", None, "full"),  # swapped in while the DAG was paused
        ("auto", "dynamodb", "asset_triggered", "07-02 09:20", "07-02 09:00", "full"),
        ("auto", "dynamodb", "manual", "07-02 09:20", "07-02 09:00", "full"),
        ("auto", "postgres", "scheduled", "07-02 09:20", "07-02 08:20", "full"),
        ("light", "postgres", "manual", "07-02 04:20", None, "light"),
        ("full", "dynamodb", "scheduled", "07-02 09:20", "07-02 04:21", "full"),
    ],
)
def test_a_scan_is_made_once_a_day_after_a_swap_and_by_hand(
    asked: str,
    source: str,
    run_type: str,
    at: str,
    compared: str | None,
    due: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is billed by what it reads."""
    from search_ops.tasks import quality

    def moment(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)

    monkeypatch.setenv("SEARCHSYNC_TIMEZONE", "Europe/Berlin")
    run = SimpleNamespace(run_type=run_type, run_after=moment(at))
    assert quality.level(asked, source, run, moment(compared) if compared else None) == due


def test_each_swap_is_followed_by_a_comparison(dags: dict[str, Any]) -> None:
    for entity in ("locations", "members"):
        watched = dags[f"{entity}_quality"].timetable.asset_condition
        assert [asset.name for asset in watched.objects] == [f"{entity}_index"]
