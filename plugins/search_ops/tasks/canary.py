"""Tasks of ``canary``: judge and keep the verdict, then say it."""

import logging
from typing import Any

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of, whole

log = logging.getLogger(__name__)

PARAMS = {
    "subject": Param(
        "function", type="string", minLength=1, title="What is deployed",
        description="A subject of canary.yaml: function, search-api-ecs, search-api.",
    ),
    "stage": Param(
        10, type="integer", minimum=1, maximum=100, title="Stage",
        description="Percent of the traffic that the new version has; one of canary.yaml.",
    ),
    "deployment": Param(
        "by hand", type="string", minLength=1, title="Deployment",
        description="Of which it is a part, such as a commit.",
    ),
    "baseline": Param("", type="string", title="Version of before", description="As CloudWatch names it."),
    "canary": Param("", type="string", title="New version", description="As CloudWatch names it."),
    "entity": Param("", type="string", title="Entity", description="Whose function it is, for series of CloudWatch."),
    "since": Param("", type="string", title="Since", description="Begin of CloudWatch's series, in ISO 8601."),
    "until": Param("", type="string", title="Until", description="Their end."),
    "before": Param(
        "", type="string", title="Before",
        description="At 100 percent: when the deployment began. The version of before is looked at before that.",
    ),
    "names": Param(
        None, type=["null", "object"], title="Names",
        description="Of baseline and canary: what the dimensions of CloudWatch's signals are filled in with, such as "
        "load_balancer and target_group.",
    ),
    "series": Param(
        None, type=["null", "object"], title="Series",
        description="In place of CloudWatch's: of each signal baseline and canary, lists of pairs of time and value.",
    ),
}  # fmt: skip


@task_with_evidence
def judge(*, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Judge a new version; the record and the page are written here."""
    from searchsync.canary import report, run

    check_conf(dag_run.conf, PARAMS)
    question = run.Question(**{**params, "stage": whole(params["stage"])})
    judgement, series = run.answer(question, lambda: hook.aws("aws_default", "cloudwatch"))
    found = run.record(question, judgement, run_id_of(dag_run))
    folder = reports_dir(run_id_of(dag_run))
    report.write(found, run.keep(hook.opensearch(), found), series, folder)
    log.info("%s: %s; the report is in %s", judgement.verdict, judgement.why, folder)
    return found


@task
def announce(found: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """Tell Slack. The run's result is the verdict: a version that is bad was judged well, so the run is green."""
    alerts.judged(dag_run, found)
    return {name: found[name] for name in ("verdict", "why", "subject", "entity", "share", "baseline", "canary")}
