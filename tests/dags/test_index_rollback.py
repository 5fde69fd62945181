"""The rollback DAG runs for real; the wait for a person is in tests/e2e, where there is a scheduler."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.members import generate
from searchsync.catalog import Entity, entity
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from searchsync.operations import gate
from tests.members import World
from tests.steps import rebuild

pytestmark = pytest.mark.usefixtures("at_once")

Slack = Callable[[], list[str]]


def run(dags: dict[str, Any], entity: str = "locations", **conf: Any) -> Any:
    """Without asking: ``dag.test()`` has nobody to ask."""
    every = {"entity": entity, "approve": False, "force": "", "index": None, **conf}
    return dags["index_rollback"].test(logical_date=None, run_conf=every)


def result(dag_run: Any) -> Any:
    return dag_run.get_task_instance("announce").xcom_pull(task_ids="announce")


@pytest.fixture
def green(blue: str, reindexed: Callable[[], str]) -> str:
    """Live instead of ``blue``, which is a rollback candidate then."""
    return reindexed()


def test_back_and_forward(
    blue: str,
    green: str,
    dags: dict[str, Any],
    client: Client,
    locations: Entity,
    slack: Slack,
    rows: int,
) -> None:
    done = run(dags)
    assert done.state == "success"
    assert (result(done)["index"], result(done)["previous"]) == (blue, green)
    assert result(done)["compared"]["confirmed"] == 0
    assert EntityIndexes(client, locations).live() == blue
    (said,) = slack()
    assert blue in said
    assert f"{rows:,} documents" in said
    assert "pause locations_reindex" in said
    assert run(dags).state == "success"
    assert EntityIndexes(client, locations).live() == green


def test_a_rollback_tells_those_that_wait_for_the_entity(
    blue: str, green: str, dags: dict[str, Any], slack: Slack
) -> None:
    """The quality DAG of this entity is due, and not that of the other."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    done = run(dags)
    with create_session() as session:
        events = session.query(AssetEvent).filter(AssetEvent.source_run_id == done.run_id).all()
        assert [event.asset.name for event in events] == ["locations_index"]
        assert events[0].extra["index"] == blue


def test_a_candidate_that_missed_something_is_refused_and_forced_with_a_reason(
    blue: str, green: str, dags: dict[str, Any], client: Client, locations: Entity, slack: Slack
) -> None:
    client.request("DELETE", f"/{blue}/_doc/1", params={"refresh": "true"})
    assert run(dags).state == "failed"
    assert EntityIndexes(client, locations).live() == green
    forced = run(dags, force="the present mapping loses names")
    assert forced.state == "success"
    assert EntityIndexes(client, locations).live() == blue
    assert "the present mapping loses names" in slack()[-1]


def test_members_go_back_too(dags: dict[str, Any], members: World, slack: Slack, tmp_path: Path) -> None:
    generate(members.aws["dynamodb"], 50)
    blue, _ = [rebuild(members.client, members.connect, tmp_path)["index"] for _ in range(2)]
    members.apply()
    assert run(dags, "members").state == "success"
    assert EntityIndexes(members.client, members.entity).live() == blue


@pytest.mark.parametrize(("conf", "why"), [({"index": "locations-none"}, "rollback candidates"), ({"x": 1}, "unknown")])
def test_bad_input_says_what_there_is(
    blue: str, dags: dict[str, Any], slack: Slack, conf: dict[str, Any], why: str, capfd: Any
) -> None:
    assert run(dags, **conf).state == "failed"
    assert why in "".join(capfd.readouterr())


LOCATIONS = entity("locations")


def test_a_reindex_asks_only_when_there_is_a_reason() -> None:
    assert gate.why_ask(LOCATIONS, 1_000, 1_150, "auto") == ""
    assert gate.why_ask(LOCATIONS, 1_000, 1_150, "always") == "it was asked for"
    assert gate.why_ask(LOCATIONS, 1_000, 1_250, "auto") == "1250 documents instead of 1000: more than 20% of a change"
    assert gate.why_ask(LOCATIONS, 1_000, 1_250, "never") == ""
    assert gate.why_ask(LOCATIONS, 0, 1_000, "auto") == "", "the first one"


@pytest.mark.parametrize(
    ("by", "why"),
    [(None, "nobody answered within 4 hours"), ({"id": "1", "name": "Ada"}, "Ada said no")],
)
@pytest.mark.parametrize("dag_id", ["index_rollback", "locations_reindex"])
def test_a_no_is_said_and_no_answer_above_all(
    dags: dict[str, Any], slack: Slack, dag_id: str, by: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's scheduler answers for a person after four hours; the run is green, and serves nothing."""
    approve = dags[dag_id].get_task("approve")
    monkeypatch.setattr(type(approve), "skip", lambda *_, **__: None)
    answered = {"params_input": {}, "responded_at": datetime.now(UTC), "responded_by_user": by, "timedout": by is None}
    context = {"dag_run": SimpleNamespace(dag_id=dag_id, run_id="a run"), "task": approve, "ti": None}
    approve.execute_complete(context, {**answered, "chosen_options": ["Approve"]})
    assert slack() == []
    approve.execute_complete(context, {**answered, "chosen_options": ["Reject"]})
    (said,) = slack()
    assert f"*{dag_id}* served nothing" in said
    assert why in said
