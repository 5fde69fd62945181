"""The quality DAGs run for real: evidence first, then the verdict; a repair only when asked for."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import opensearchpy
import psycopg
import pytest

from local.members import generate
from searchsync import differences, indexes, reindex
from searchsync.entities import Entity
from searchsync.opensearch import request
from tests.members import World
from tests.steps import living

Slack = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fence, no grace: nothing moves in these tests."""
    monkeypatch.setattr(reindex, "FENCE_SECONDS", 0)
    original = differences.find
    monkeypatch.setattr(differences, "find", lambda *args, **options: original(*args, **{**options, "grace": 0.0}))


@pytest.fixture
def blue(
    connected: Path,
    dags: dict[str, Any],
    client: opensearchpy.OpenSearch,
    owner: psycopg.Connection,
    rows: int,
    locations: Entity,
) -> str:
    """The live index of rows that were changed long ago."""
    owner.execute("UPDATE locations SET updated_at = %s", [datetime.now(UTC) - timedelta(days=9)])
    assert dags["locations_reindex"].test(logical_date=None).state == "success"
    return str(indexes.live(client, locations))


def run(dags: dict[str, Any], dag_id: str = "locations_quality", **conf: Any) -> Any:
    return dags[dag_id].test(logical_date=None, run_conf=conf or None)


def result(dag_run: Any, task_id: str = "compare") -> Any:
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def remove(client: opensearchpy.OpenSearch, index: str, key: str) -> None:
    request(client, "DELETE", f"/{index}/_doc/{key}", params={"refresh": "true"})


def test_an_index_as_its_table_passes_with_evidence(
    blue: str, dags: dict[str, Any], rows: int, slack: Slack, connected: Path
) -> None:
    done = run(dags)
    assert done.state == "success"
    found = result(done)
    assert (found["index"], found["documents"], found["kinds"], found["failed"]) == (blue, rows, {}, [])
    folder = Path(found["evidence"])
    evidence = json.loads((folder / "quality.json").read_text())
    names = {expectation["name"]: expectation["holds"] for expectation in evidence["expectations"]["results"]}
    assert names["PostgreSQL and OpenSearch counts are equal"] is True
    assert names["the key is unique"] is True
    assert len(names) == 12
    page = (folder / "data_docs" / "index.html").read_text()
    assert "comparison" in page
    assert "password" not in (page + json.dumps(evidence)).lower()
    assert slack() == []


def test_a_fault_fails_the_run_after_the_evidence_and_a_repair_mends_it(
    blue: str, dags: dict[str, Any], client: opensearchpy.OpenSearch, slack: Slack
) -> None:
    remove(client, blue, "1")
    failed = run(dags)
    assert failed.state == "failed"
    assert result(failed)["kinds"] == {"missing": 1}
    assert "no row is missing in the index" in slack()[0]
    assert (Path(result(failed)["evidence"]) / "quality.json").exists()
    dry = run(dags, repair="dry run")
    assert result(dry)["repair"] == {**result(dry)["repair"], "dry_run": True, "found": 1, "written": 0}
    assert "1" not in living(client, blue)
    assert result(run(dags, repair="on"))["repair"]["written"] == 1
    assert "1" in living(client, blue)
    assert run(dags).state == "success"


def test_a_warning_is_said_and_fails_nothing(blue: str, dags: dict[str, Any], owner: psycopg.Connection) -> None:
    ahead = datetime.now(UTC) + timedelta(days=2)
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


def test_a_rollback_candidate_can_be_proven(blue: str, dags: dict[str, Any], client: opensearchpy.OpenSearch) -> None:
    assert dags["locations_reindex"].test(logical_date=None).state == "success"
    remove(client, blue, "5")
    assert result(run(dags))["kinds"] == {}
    assert result(run(dags, index=blue))["kinds"] == {"missing": 1}


def test_members_are_proven_against_their_table(dags: dict[str, Any], members: World, slack: Slack) -> None:
    generate(members.aws["dynamodb"], 200)
    assert dags["members_reindex"].test(logical_date=None).state == "success"
    assert run(dags, "members_quality").state == "success"
    blue = str(indexes.live(members.client, members.entity))
    remove(members.client, blue, "m-0000005")
    failed = run(dags, "members_quality")
    assert failed.state == "failed"
    assert result(failed)["kinds"] == {"missing": 1}


def test_each_swap_is_followed_by_a_comparison(dags: dict[str, Any]) -> None:
    for entity in ("locations", "members"):
        watched = dags[f"{entity}_quality"].timetable.asset_condition
        assert [asset.name for asset in watched.objects] == [f"{entity}_index"]
