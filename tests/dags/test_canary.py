"""The DAG that judges a new version: what it says is what a deployment does next."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.airflow_api import AirflowApi
from local.deployment.judge import Judge, Shared, Versions
from local.deployment.shares import WEIGHTS
from search_ops.tasks.canary import PARAMS
from searchsync.canary.policy import policy
from searchsync.canary.run import INDEX
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client
from tests.unit.canary.steps import Given, equal, worse

REPO = Path(__file__).parents[2]
Slack = Callable[[], list[str]]


def judged(dags: dict[str, Any], **conf: Any) -> tuple[Any, Any]:
    asked = {"subject": "search-api", "deployment": "abc", "baseline": "1", "canary": "2", **conf}
    dag_run = dags["canary"].test(run_conf=asked, logical_date=None)
    return dag_run, dag_run.get_task_instance("announce").xcom_pull(task_ids="announce")


@pytest.mark.parametrize(
    ("series", "verdict", "said"),
    [
        (equal(), "pass", "the deployment goes on"),
        (worse(equal(), "errors", 1, add=15), "fail", "the deployment takes the traffic back"),
        ({}, "inconclusive", "the deployment stops where it is"),
    ],
)
def test_a_verdict_is_kept_shown_and_said(
    dags: dict[str, Any], client: Client, connected: Path, slack: Slack, series: Given, verdict: str, said: str
) -> None:
    dag_run, result = judged(dags, stage=50, series=series)
    assert (dag_run.state, result["verdict"], result["share"]) == ("success", verdict, 50)
    folder = connected / "canary" / dag_run.run_id
    assert json.loads((folder / "canary.json").read_text(encoding="utf-8"))["verdict"] == verdict
    assert f'class="{verdict}"' in (folder / "summary.html").read_text(encoding="utf-8")
    (message,) = slack()
    for part in ("*search-api*, version 2 at 50 %", verdict, said, "summary.html", "docs/operations/canary.md"):
        assert part in message
    hits = Bookkeeping(client, INDEX).find({"query": {"term": {"run": f"canary/{dag_run.run_id}"}}})
    assert [hit["_source"]["verdict"] for hit in hits] == [verdict]


@pytest.mark.parametrize(
    "conf", [{"stage": 25, "series": {}}, {"stage": 10, "series": {"latency": {}}}, {"stage": 10}, {"stages": 10}]
)
def test_a_question_that_cannot_be_answered_is_no_verdict(
    dags: dict[str, Any], client: Client, connected: Path, slack: Slack, conf: Any
) -> None:
    dag_run, result = judged(dags, **conf)
    assert (dag_run.state, result) == ("failed", None)
    assert "*canary* failed" in slack()[-1]
    assert Bookkeeping(client, INDEX).find({}) == []


@pytest.mark.parametrize("subject", ["function", "search-api-ecs"])
def test_what_a_deployment_asks_is_understood(subject: str) -> None:
    """Else each verdict would be inconclusive, and nothing could be deployed any more."""
    now = datetime.now(UTC)
    versions = Versions("any", subject, "1", "2", names={"baseline": {}, "canary": {}})
    asked = Judge(AirflowApi, "abc")._question(Shared(versions, 0.1, now, now), now)  # type: ignore[arg-type]
    assert asked.keys() <= PARAMS.keys()
    rules = policy()
    assert rules.subject(asked["subject"]).name == subject
    assert [stage.share for stage in rules.stages] == [round(100 * share) for share in (*WEIGHTS, 1.0)]


def test_whoever_judges_cannot_deploy() -> None:
    """A judge that could shift traffic would be a second way to do it, with nobody to look at."""
    roles = yaml.safe_load((REPO / "include" / "policies" / "roles.yaml").read_text(encoding="utf-8"))["roles"]
    may = {call for grant in roles["airflow-task"]["grants"] for call in grant["calls"]}
    deploys: tuple[str, ...] = (
        "lambda:Update",
        "lambda:Publish",
        "lambda:Invoke",
        "ecs:UpdateService",
        "ecs:Register",
        "ecs:RunTask",
    )
    deploys += ("elasticloadbalancing:Modify", "elasticloadbalancing:Set", "apigateway:")
    assert "cloudwatch:GetMetricStatistics" in may
    assert not [call for call in may if call.startswith(deploys) or call.endswith("*")]
