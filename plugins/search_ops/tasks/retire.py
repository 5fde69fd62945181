"""The task of ``index_retire``."""

import logging
from typing import Any

from airflow.sdk import task

from search_ops import alerts, hook
from search_ops.runs import check_conf, running

log = logging.getLogger(__name__)


@task(map_index_template="{{ task.op_kwargs['entity'] }}")
def retire(entity: str, *, dag_run: Any) -> list[dict[str, str]]:
    """Delete what is out of the rollback window, or abandoned; say why for each index."""
    from searchsync import retire as library
    from searchsync import sick
    from searchsync.entities import entity as lookup

    check_conf(dag_run.conf, {})
    if abandoned := sick.abandon_sick(hook.opensearch(), lookup(entity)):
        alerts.abandoned(dag_run, abandoned)
    report = library.retire(hook.opensearch(), lookup(entity), running)
    for line in report:
        log.info("%(index)s (%(role)s): %(action)s, %(why)s", line)
    return report
