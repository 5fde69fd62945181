"""cluster_health runs for real: what is wrong is told once, also when its task is killed, and so is that it is over."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from searchsync.cluster.client import Client
from searchsync.health.memory import Memory

Slack = Callable[[], list[str]]

RED = "locations-20260101t000000-00000000"
NOWHERE = {"settings": {"number_of_replicas": 0, "index.routing.allocation.require.place": "nowhere"}}


@pytest.fixture
def forgotten(airflow_database: None) -> None:
    """Nothing was told before."""
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(AssetStateStoreModel))


def run(dags: dict[str, Any]) -> Any:
    done = dags["cluster_health"].test(logical_date=None, run_conf={})
    assert done.state == "success"
    return done


def make_red(client: Client) -> None:
    client.request("PUT", f"/{RED}", body=NOWHERE, params={"wait_for_active_shards": "0"})


def test_a_red_index_is_told_once_and_once_that_it_is_over(
    forgotten: None, dags: dict[str, Any], client: Client, slack: Slack, connected: Path
) -> None:
    make_red(client)
    looked = run(dags).get_task_instance("look").xcom_pull(task_ids="look")
    (said,) = slack()
    assert "*P0* *cluster-red*" in said
    assert "http://airflow.test:8080/searchsync/reports/cluster_health/" in said
    folder = Path(looked["evidence"])
    page = (folder / "summary.html").read_text()
    assert "require] filters [place:&quot;nowhere&quot;]" in page, "why the shard has no node"
    assert "http" not in page.replace("http://127.0.0.1", "").replace("http://airflow.test", ""), "it needs no network"
    found = json.loads((folder / "health.json").read_text())
    assert found["verdicts"][0]["alarm"] == "cluster-red"
    run(dags)
    assert len(slack()) == 1
    client.request("DELETE", f"/{RED}")
    run(dags)
    assert "*over*: P0 cluster-red" in slack()[-1]
    assert len(slack()) == 2


def test_a_window_keeps_it_quiet_and_a_file_that_is_wrong_does_not(
    forgotten: None, dags: dict[str, Any], client: Client, slack: Slack, connected: Path, windows: Callable[..., None]
) -> None:
    make_red(client)
    hour, now = timedelta(hours=1), datetime.now(UTC)
    row = {
        "what": "all",
        "from": (now - hour).isoformat(timespec="seconds"),
        "until": (now + hour).isoformat(timespec="seconds"),
        "who": "Ada",
        "why": "W.",
    }
    windows(work=row)
    run(dags)
    assert slack() == []
    windows()
    run(dags)
    (said,) = slack()
    assert "the maintenance window work (W. Ada) is over" in said
    assert "P0 cluster-red" in said
    assert "it still is" in said
    windows(work=row | {"until": "2999-01-01T00:00:00Z"})
    run(dags)
    run(dags)
    assert "heeds no maintenance window" in slack()[-1]
    assert "maintenance.yaml:2: work: it lasts" in slack()[-1]
    assert len(slack()) == 2, "that the file is wrong is told once"


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the file of windows."""
    import shutil

    from searchsync.catalog import include_dir

    folder = tmp_path / "include"
    shutil.copytree(include_dir(), folder)
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(folder))

    def write(**rows: Any) -> None:
        (folder / "policies" / "maintenance.yaml").write_text(yaml.safe_dump({"windows": rows}))

    return write


# -- a task that is killed, at each of its steps


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class World:
    """Airflow's store and Slack; the task is killed at one of its steps: before it, or after.

    :param at: number of the step
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: Any = None
        self.said: list[tuple[str, bool]] = []
        self.away = False
        self._kill = (0, False)
        self.steps = 0
        monkeypatch.setattr("search_ops.alerts.health", self._health)

    def kill(self, at: int, *, after: bool) -> None:
        self.steps, self._kill = 0, (at, after)

    def _step(self, done: Callable[[], Any]) -> None:
        self.steps += 1
        at, after = self._kill
        if self.steps != at or after:
            done()
        if self.steps == at:
            raise Killed

    def get(self, _: str) -> Any:
        return json.loads(json.dumps(self.kept))

    def set(self, _: str, value: Any) -> None:
        self._step(lambda: setattr(self, "kept", json.loads(json.dumps(value))))

    def _health(self, _: Any, text: str, *, again: bool) -> bool:
        if self.away:
            return False
        self._step(lambda: self.said.append((text, again)))
        return True

    def tell(self, at: datetime, *wrong: str) -> None:
        from search_ops.tasks import cluster_health

        looked = {"at": at.isoformat(), "wrong": [bad(name) for name in wrong], "paused": {}, "searches": {}}
        store = {cluster_health.MEMORY: self}
        cluster_health.tell.function(looked, dag_run=SimpleNamespace(dag_id="x", run_id="y"), asset_state_store=store)


def bad(name: str) -> dict[str, Any]:
    texts = dict.fromkeys(("subject", "entity", "limit", "seen", "signal", "runbook"), "")
    return texts | {"alarm": name, "state": "bad", "value": 1, "severity": "P0", "looks": 1}


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)


@pytest.mark.parametrize("then", ["retried", "next run", "an old run is cleared"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_killed_task_loses_no_news_and_doubles_none(
    monkeypatch: pytest.MonkeyPatch, step: int, after: bool, then: str
) -> None:
    """Its steps: what is to be said is kept; Slack is told; that it was told is kept."""
    world = World(monkeypatch)
    world.tell(NOW)
    world.kill(step, after=after)
    with pytest.raises(Killed):
        world.tell(NOW + STEP, "a")
    world.kill(0, after=False)
    if then == "an old run is cleared":  # its `look` is not: it has what was seen then
        world.tell(NOW)
    at = NOW + STEP if then == "retried" else NOW + 2 * STEP
    world.tell(at, "a")
    world.tell(NOW + 3 * STEP, "a")
    world.tell(NOW + 4 * STEP)
    told = [text for text, _ in world.said if "*a*" in text]
    over = [text for text, _ in world.said if "*over*: P0 a" in text]
    assert len(over) == 1
    # Nobody can know whether Slack took it when the task was killed right then: it is said again, and says so.
    twice = (step, after) in ((2, True), (3, False))
    assert len(told) == 1 + twice
    assert not twice or [again for text, again in world.said if text == told[0]] == [False, True]
    assert Memory.read(world.kept).unsent == []


def test_news_wait_for_slack_and_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.away = True
    world.tell(NOW, "a")
    world.tell(NOW + STEP)
    assert world.said == []
    world.away = False
    world.tell(NOW + 2 * STEP, "b")
    assert [
        next(name for name in ("*P0* *a*", "*over*: P0 a", "*P0* *b*") if name in text) for text, _ in world.said
    ] == [
        "*P0* *a*",
        "*over*: P0 a",
        "*P0* *b*",
    ]
    assert [again for _, again in world.said] == [True, True, False]


def test_a_run_that_is_cleared_tells_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tell(NOW, "a")
    world.tell(NOW + STEP)
    for _ in range(2):
        world.tell(NOW, "a")
    assert len(world.said) == 2


def test_each_dag_with_a_schedule_is_looked_at(dags: dict[str, Any]) -> None:
    from search_ops import airflow_health

    named = {dag_id for dag_id, dag in dags.items() if dag.schedule is not None}
    assert {*airflow_health.scheduled()} == named - {"cluster_health"}, "list a new DAG in search_ops.airflow_health"
