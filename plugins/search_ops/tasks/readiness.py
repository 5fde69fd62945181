"""Tasks of ``readiness``: look at each item, write the table, and only then say whether all is proven."""

import logging
from typing import Any

from airflow.sdk import Param, task

from search_ops.evidence import task_with_evidence

log = logging.getLogger(__name__)

PARAMS = {
    "environment": Param(
        "production", type="string", enum=["dev", "staging", "production"], title="Environment",
        description="Whose values the files give: a column of infra/environments.yaml. The connections lead to it.",
    ),
}  # fmt: skip


@task_with_evidence
def look(*, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Look at all items, show them in the log, write the page and the file for programs. Nothing is changed."""
    from search_ops import hook
    from search_ops.runs import check_conf, reports_dir, run_id_of
    from searchsync.preflight import report, table
    from searchsync.preflight.target import Target
    from searchsync.readiness import run

    check_conf(dag_run.conf, PARAMS)
    environment = params["environment"]
    results = run.run(Target(hook.connections(), environment))
    for line in table.lines(results):
        log.info("%s", line)
    folder = reports_dir(run_id_of(dag_run))
    report.write(folder, run.title(environment), results, name=run.NAME)
    log.info("the evidence is in %s", folder)
    opened = run.open_items(results)
    return {"items": len(results), "open": opened, "environment": environment, "evidence": str(folder)}


@task
def announce(found: dict[str, Any]) -> dict[str, Any]:
    """The verdict: the run fails when an item is open; the evidence is there by now."""
    from searchsync.readiness.run import judge

    judge(found["environment"], found["open"])
    return found
