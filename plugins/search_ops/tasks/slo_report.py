"""Tasks of ``slo_report``: read and judge a month, then tell it."""

import logging
from typing import Any

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of

log = logging.getLogger(__name__)

PARAMS = {
    "month": Param(
        None, type=["null", "string"], pattern=r"^\d{4}-\d{2}$", title="Month",
        description="Such as 2026-11. Empty: the last one that is over.",
    ),
}  # fmt: skip


@task_with_evidence
def look(*, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Read the history of the month and judge it; the report is written here."""
    from datetime import UTC, datetime

    from searchsync.catalog import CATALOG, DEFAULT_CONNECTION
    from searchsync.slo import month, policy, report, run

    check_conf(dag_run.conf, PARAMS)
    now, zone = datetime.now(UTC), policy.read().zone
    wanted = month.of(params["month"], zone) if params["month"] else month.last(now, zone)
    connections, entities = hook.connections(), [*CATALOG.values()]

    def cloudwatch() -> Any:
        return connections.aws(DEFAULT_CONNECTION["dynamodb"], "cloudwatch")

    found = run.run(connections.opensearch(), cloudwatch, entities, wanted, now=now)
    folder = reports_dir(run_id_of(dag_run))
    report.write(found, folder)
    lines = report.lines(found)
    for line in lines:
        log.info("%s", line)
    states = {one.name: one.budget.state for one in found.judged}
    return {"lines": lines, "states": states, "problems": found.problems, "evidence": str(folder)}


@task
def announce(found: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """Tell Slack. The run fails when a part of the history could not be read."""
    from searchsync.errors import Different

    alerts.objectives(dag_run, found["lines"], all_met={*found["states"].values()} == {"met"})
    if found["problems"]:
        # No attempt of this task alone could change that, and each would tell Slack again.
        raise Different(f"{'; '.join(found['problems'])}. The rest was judged: {found['evidence']}")
    return found
