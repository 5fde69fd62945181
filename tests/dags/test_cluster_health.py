"""cluster_health runs for real: it says what is wrong once, and when it is over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Slack = Callable[[], list[str]]


def run(dags: dict[str, Any]) -> Any:
    return dags["cluster_health"].test(logical_date=None, run_conf={})


def test_a_look_leaves_evidence_and_fails_for_nothing_that_is_away(
    blue: str, dags: dict[str, Any], slack: Slack, connected: Path
) -> None:
    done = run(dags)
    assert done.state == "success"
    looked = done.get_task_instance("look").xcom_pull(task_ids="look")
    assert "cluster-red" in (Path(looked["evidence"]) / "summary.html").read_text()
