"""The hourly sync run for real: over its data interval, over one given by hand, and never over none."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from tests.steps import living, make_index

NOW = datetime.now(UTC)


def result(dag_run: Any, task_id: str = "announce") -> Any:
    return dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def test_a_run_by_hand_syncs_the_interval_it_is_given(
    blue: str, dags: dict[str, Any], client: Client, owner: psycopg.Connection
) -> None:
    owner.execute("UPDATE locations SET name = 'new', updated_at = %s WHERE location_id = 1", [NOW - timedelta(days=3)])
    owner.execute("DELETE FROM locations WHERE location_id = 2")
    conf = {"from": (NOW - timedelta(days=4)).isoformat(), "to": (NOW - timedelta(days=2)).isoformat()}
    done = dags["locations_sync"].test(logical_date=None, run_conf=conf)
    assert done.state == "success"
    assert (result(done)["changed"], result(done)["deleted"]) == (1, 1)
    found = living(client, blue)
    assert found["1"]["name"] == "new"
    assert "2" not in found


def test_a_scheduled_run_or_backfill_syncs_its_hour(
    blue: str, dags: dict[str, Any], client: Client, owner: psycopg.Connection
) -> None:
    hour = (NOW - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    changed = {1: hour - timedelta(minutes=30), 2: hour + timedelta(minutes=59), 3: hour}
    for location_id, when in changed.items():
        query = "UPDATE locations SET name = 'new', updated_at = %s WHERE location_id = %s"
        owner.execute(query, [when, location_id])
    done = dags["locations_sync"].test(logical_date=hour + timedelta(minutes=60))
    assert done.state == "success"
    start, end = (datetime.fromisoformat(result(done)[name]) for name in ("from", "to"))
    assert (start, end) == (hour, hour + timedelta(minutes=60))
    assert {key for key, doc in living(client, blue).items() if doc["name"] == "new"} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ({}, "no data interval"),
        ({"from": "2026-01-01T00:00:00+00:00"}, "belong together"),
        ({"since": "2026-01-01T00:00:00+00:00"}, "unknown parameters"),
    ],
)
def test_without_an_interval_it_says_what_is_missing(
    dags: dict[str, Any], connected: Path, slack: Callable[[], list[str]], conf: dict[str, Any], why: str, capfd: Any
) -> None:
    assert dags["locations_sync"].test(logical_date=None, run_conf=conf).state == "failed"
    assert why in "".join(capfd.readouterr())


def test_a_moment_without_a_time_zone_is_refused_before_the_run(dags: dict[str, Any], connected: Path) -> None:
    """Two o'clock of whom? The wrong hours would be synced, and nothing would say so."""
    conf = {"from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00"}
    with pytest.raises(Exception, match="date-time"):
        dags["locations_sync"].test(logical_date=None, run_conf=conf)


def test_a_table_that_is_empty_stops_the_run_and_alerts_until_a_person_confirms_it(
    blue: str,
    dags: dict[str, Any],
    client: Client,
    owner: psycopg.Connection,
    slack: Callable[[], list[str]],
) -> None:
    before = living(client, blue)
    owner.execute("TRUNCATE locations")
    conf: dict[str, Any] = {"from": (NOW - timedelta(days=2)).isoformat(), "to": NOW.isoformat()}
    assert dags["locations_sync"].test(logical_date=None, run_conf=conf).state == "failed"
    assert "locations_sync" in slack()[-1]
    assert living(client, blue) == before
    conf["allow_deletes"] = len(before)
    assert dags["locations_sync"].test(logical_date=None, run_conf=conf).state == "success"
    assert living(client, blue) == {}


def test_a_candidate_that_takes_no_writes_ends_the_run_red_after_the_live_one_is_done(
    blue: str, dags: dict[str, Any], client: Client, owner: psycopg.Connection, locations: Entity
) -> None:
    candidate = make_index(
        client, locations, "candidate", identity=EntityIndexes(client, locations).get(blue).meta["source"]["identity"]
    )
    client.request("PUT", f"/{candidate}/_block/write")
    owner.execute("UPDATE locations SET name = 'new', updated_at = %s WHERE location_id = 1", [NOW - timedelta(days=3)])
    conf = {"from": (NOW - timedelta(days=4)).isoformat(), "to": (NOW - timedelta(days=2)).isoformat()}
    done = dags["locations_sync"].test(logical_date=None, run_conf=conf)
    assert done.state == "failed"
    assert list(result(done, "sync")["behind"]) == [candidate]
    assert living(client, blue)["1"]["name"] == "new"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> ZoneInfo:
    """The zone of all schedules of DAGs that are parsed after it."""
    monkeypatch.setenv("SEARCHSYNC_TIMEZONE", "Europe/Berlin")
    return ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29", "2026-07-01"])  # of 25, 23 and 24 hours
def test_a_backfill_from_a_day_to_the_next_is_the_whole_day(
    day: str, berlin: ZoneInfo, dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backfill takes the runs that begin between two moments, and each reads the hour before it."""
    from airflow.models.backfill import _get_info_list
    from airflow.serialization.serialized_objects import DagSerialization

    first = datetime.fromisoformat(day).replace(tzinfo=berlin)
    after = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=berlin)
    with monkeypatch.context() as later:
        later.setattr("airflow.models.backfill.timezone.utcnow", lambda: datetime(2027, 1, 1, tzinfo=UTC))
        stored = DagSerialization.from_dict(DagSerialization.to_dict(dags["locations_sync"]))
        found = _get_info_list(from_date=first, to_date=after, reverse=False, dag=stored)
    intervals = sorted((each.start, each.end) for info in found if (each := info.data_interval))
    hours = (after.astimezone(UTC) - first.astimezone(UTC)) / timedelta(hours=1)
    assert len(intervals) == hours + 1
    assert intervals[0][0] <= first
    assert intervals[-1][1] == after
    assert all(before[1] == then[0] for before, then in pairwise(intervals)), "an hour is in none"
