"""Tasks of ``preflight``: look, write the table, and only then say whether all is as it should be."""

import logging
from typing import Any

from airflow.sdk import Param, task

from search_ops.dag_policy import LOAD_POOL
from search_ops.evidence import task_with_evidence

log = logging.getLogger(__name__)

PARAMS = {
    "environment": Param(
        "dev", type="string", enum=["dev", "staging", "production"], title="Environment",
        description="Whose values the files give: a column of infra/environments.yaml. The connections lead to it.",
    ),
}  # fmt: skip

SLOT = "get_slot"


@task(task_id=SLOT, pool=LOAD_POOL, priority_weight=1_000)
def get_slot() -> None:
    """Be in the pool of the loads: ``look`` sees whether this task begins. It goes first where only one may run."""


@task_with_evidence
def look(*, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Make all checks, show them in the log, write the page and the file for programs. Nothing is changed."""
    from search_ops import hook
    from search_ops.runs import check_conf, reports_dir, run_id_of
    from search_ops.seen_by_task import Airflow
    from searchsync.preflight import report, run, table
    from searchsync.preflight.target import Target

    check_conf(dag_run.conf, PARAMS)
    environment = params["environment"]
    results = run.run(Target(hook.connections(), environment, scheduler=Airflow(dag_run, SLOT)))
    for line in table.lines(results):
        log.info("%s", line)
    folder = reports_dir(run_id_of(dag_run))
    report.write(folder, f"Preflight of {environment}", results)
    log.info("the evidence is in %s", folder)
    return {"checks": len(results), "bad": run.bad(results), "environment": environment, "evidence": str(folder)}


@task
def announce(found: dict[str, Any]) -> dict[str, Any]:
    """The verdict: the run fails when a check failed or could not be made; the evidence is there by now."""
    from searchsync.preflight.run import judge

    judge(found["environment"], found["bad"])
    return found
