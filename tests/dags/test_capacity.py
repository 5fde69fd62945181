"""The DAG capacity run for real: what is too large is said with what to do, and doing it ends it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from searchsync import capacity
from searchsync.catalog import entity, include_dir
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes
from tests.steps import serve, until

pytestmark = pytest.mark.usefixtures("at_once")

Slack = Callable[[], list[str]]


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policies, which a test may change."""
    shutil.copytree(include_dir(), tmp_path / "include")
    monkeypatch.setenv("SEARCHSYNC_INCLUDE", str(tmp_path / "include"))
    return tmp_path / "include" / "policies"


def limit(policies: Path, alarm: str, threshold: float) -> None:
    """Change the threshold of an alarm."""
    file = policies / "alarms.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["alarms"][alarm]["threshold"] = threshold
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


def shards_of(policies: Path, least: float, most: float) -> None:
    """Change how large a shard of a new index is, in GiB."""
    file = policies / "capacity.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) | {"shard_gib_least": least, "shard_gib_most": most}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")


def run(dags: dict[str, Any]) -> Any:
    return dags["capacity"].test(logical_date=None, run_conf={})


def size_of(client: Client, index: str) -> int:
    return int(client.request("GET", f"/{index}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"])


def result(dag_run: Any) -> Any:
    return dag_run.get_task_instance("look").xcom_pull(task_ids="look")


def test_small_indexes_are_kept_and_nothing_is_said(
    blue: str, dags: dict[str, Any], rows: int, client: Client, slack: Slack, policies: Path
) -> None:
    limit(policies, "disk-forecast", 0)  # the disk of this machine may be full
    done = run(dags)
    assert done.state == "success"
    assert result(done)["told"] == []
    assert slack() == []
    kept = capacity.summary(client, entity("locations"))
    assert kept is not None
    assert (kept.index, kept.documents, kept.shards, kept.advice) == (blue, rows, 1, [])
    assert kept.forecast == {"days": 1, "days_needed": 28}, "of one day, nothing can be said"
    assert capacity.summary(client, entity("members")) is None, "nothing is live"
    folder = Path(result(done)["evidence"])
    assert json.loads((folder / "capacity.json").read_text())["documents"][0]["index"] == blue
    page = (folder / "summary.html").read_text()
    assert "none yet: there are points of 1 days, 28 are needed" in page
    assert "http" not in page, "it has to be readable without a network"


def test_what_is_too_large_is_said_with_the_parameters_that_end_it(
    blue: str, dags: dict[str, Any], client: Client, slack: Slack, policies: Path
) -> None:
    limit(policies, "shard-large", 1_000)
    limit(policies, "disk-forecast", 0)
    until(lambda: size_of(client, blue) > 100_000, "OpenSearch has measured the index again: it does every 10 s")
    gib = size_of(client, blue) / 2**30
    shards_of(policies, gib / 5, gib / 2.5)
    assert run(dags).state == "success"
    (said,) = slack()
    assert "Reindex locations with 3 shards" in said
    assert "http://airflow.test:8080/dags/locations_reindex" in said
    run(dags)
    assert len(slack()) == 1, "what is to be planned is said once"

    (advice,) = capacity.summary(client, entity("locations")).advice  # type: ignore[union-attr]
    assert (advice["dag_id"], advice["parameters"]) == ("locations_reindex", {"number_of_shards": 3})
    followed = dags[advice["dag_id"]].test(logical_date=None, run_conf=advice["parameters"])
    assert followed.state == "success"
    live = EntityIndexes(client, entity("locations")).live_or_raise()
    assert live != blue
    assert client.request("GET", f"/{live}/_settings")[live]["settings"]["index"]["number_of_shards"] == "3"

    limit(policies, "shard-large", 40_000_000_000)
    run(dags)
    assert "locations: nothing needs to be done any more" in slack()[-1]
    run(dags)
    assert len(slack()) == 2


def test_what_must_be_done_is_said_every_day(blue: str, dags: dict[str, Any], slack: Slack, policies: Path) -> None:
    limit(policies, "shard-too-large", 1_000)
    limit(policies, "disk-forecast", 0)
    run(dags)
    run(dags)
    assert len([said for said in slack() if "more than 1e-06 GB" in said]) == 2


def test_one_that_cannot_be_measured_fails_the_run_and_hides_no_other(
    blue: str, dags: dict[str, Any], client: Client, slack: Slack, members: Any
) -> None:
    """A closed index has no size: it must not be taken for one of zero bytes, nor keep the others from being seen."""
    closed = serve(client, entity("members"))
    client.request("POST", f"/{closed}/_close")
    done = run(dags)
    assert done.state == "failed"
    assert result(done)["problems"][0].startswith("members cannot be measured: ")
    assert capacity.summary(client, entity("locations")) is not None
    assert len(slack()) == 1
    assert "*capacity* failed" in slack()[0]


def test_of_much_advice_the_most_severe_is_shown_and_the_end_of_the_message_too(slack: Slack) -> None:
    """Slack shows 3,000 characters: neither what must be done now nor the way to the rest may be behind them."""
    from types import SimpleNamespace

    from search_ops import alerts

    one = {"severity": "P3", "text": "a tenant is large " * 20, "dag_id": "", "parameters": {}}
    urgent = {**one, "severity": "P2", "text": "more shards", "dag_id": "x_reindex", "parameters": {"a": 1}}
    alerts.capacity(SimpleNamespace(dag_id="capacity", run_id="1"), {"told": [one] * 30 + [urgent], "over": ["disk"]})
    (said,) = slack()
    for part in ("P2 more shards", "*And* 27 more", "disk: nothing needs to be done", "docs/operations/capacity.md"):
        assert part in said
