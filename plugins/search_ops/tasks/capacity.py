"""Tasks of ``capacity``: look and keep what was seen, then say what to do."""

import logging
from typing import Any

from airflow.sdk import task

from search_ops import alerts, hook
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of

log = logging.getLogger(__name__)


@task_with_evidence
def look(*, dag_run: Any) -> dict[str, Any]:
    """Sizes, forecast and advice; the report and the points of this day are written here."""
    from searchsync.capacity import report, run
    from searchsync.catalog import CATALOG

    check_conf(dag_run.conf, {})
    client = hook.opensearch()
    found = run.run(client, [*CATALOG.values()], run_id_of(dag_run))
    found.keep(client)
    found.emit()
    folder = reports_dir(run_id_of(dag_run))
    report.write(found, folder)
    log.info("the report is in %s", folder)
    for advice in found.advice:
        log.warning("%s: %s", advice.severity, advice.text)
    return found.news() | {"problems": found.problems, "evidence": str(folder)}


@task
def announce(found: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """Tell Slack what is new, other or urgent. The run fails when something could not be measured."""
    from searchsync.errors import Different

    if found["told"] or found["over"]:
        alerts.capacity(dag_run, found)
    if found["problems"]:
        # No attempt of this task alone could change that, and each would tell Slack again.
        raise Different(f"{'; '.join(found['problems'])}. The rest was judged: {found['evidence']}")
    return found
