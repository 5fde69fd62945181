"""An `up` shortly after the nightly hour makes one run, not two.

If this failed, a newcomer who starts the stack at 02:30 would see the index rebuilt twice, and a laptop opened in the
morning would run the night's work beside the run that was asked for.
"""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local import servers
from local.airflow_api import AirflowApi
from local.paths import ROOT, Home
from local.stack import Stack

# The worst schedule there is: with a start date in the past, unpausing fires for the last scheduled time however long
# ago it was.
DAGS = """
from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable, task


@task
def announce():
    return {{"documents": 1}}


for dag_id in ("locations_reindex", "members_reindex", "canary"):
    with DAG(
        dag_id,
        schedule=CronTriggerTimetable("{cron}", timezone="UTC"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
    ):
        announce()
"""


@pytest.fixture
def home(servers_dir: Path) -> Home:
    home = Home(servers_dir / "up", servers_dir / "up-dags")
    home.dags.mkdir(parents=True)
    servers.claim(home.folder)
    return home


def dev(home: Home, *arguments: str) -> str:
    env = {**os.environ, "SEARCHSYNC_LOCAL_HOME": str(home.folder), "SEARCHSYNC_LOCAL_DAGS": str(home.dags)}
    result = subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        check=False,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def schedule(home: Home, last: datetime) -> None:
    """Let the daily hour of both DAGs be that of `last`."""
    (home.dags / "dags.py").write_text(DAGS.format(cron=f"{last.minute} {last.hour} * * *"), encoding="utf-8")


def runs_of_reindex(api: AirflowApi, *, canary_runs: int) -> list[str]:
    """All runs, after the scheduler has started what was due: the canary is due at the same time and unpaused last."""
    deadline = time.monotonic() + 60
    while len(api.runs("canary")) < canary_runs:
        assert time.monotonic() < deadline, "the scheduler never started the canary: this test would prove nothing"
        time.sleep(0.2)
    return [f"{run['run_type']} {run['state']}" for run in api.runs("locations_reindex")]


def test_one_run_for_a_new_stack_and_one_more_for_a_time_missed_while_it_was_down(home: Home) -> None:
    try:
        schedule(home, datetime.now(UTC) - timedelta(minutes=2))
        assert "documents" in dev(home, "up")
        api = Stack(home, print).api()
        assert runs_of_reindex(api, canary_runs=1) == ["scheduled success"]

        dev(home, "down")
        schedule(home, datetime.now(UTC) - timedelta(minutes=1))
        dev(home, "up")
        assert runs_of_reindex(api, canary_runs=2) == ["scheduled success", "scheduled success"]

        dev(home, "up")  # nothing is due any more: by hand, and only that
        assert runs_of_reindex(api, canary_runs=2) == ["manual success", "scheduled success", "scheduled success"]
    finally:
        dev(home, "down", "--wipe")
    assert not Stack(home, print).running()
