"""The tasks of ``freshness``."""

import logging
from typing import Any

from airflow.sdk import task

from search_ops import alerts, hook
from search_ops.runs import check_conf

log = logging.getLogger(__name__)


@task(map_index_template="{{ task.op_kwargs['entity'] }}")
def measure(entity: str, *, dag_run: Any) -> dict[str, Any]:
    """Measure one entity. What is away becomes its result, so that the others are told all the same."""
    from searchsync.catalog import entity as lookup
    from searchsync.freshness import run

    check_conf(dag_run.conf, {})
    connections, described = hook.connections(), lookup(entity)
    found = run.measure(connections.indexes(described), lambda: connections.heartbeat(described))
    return {**found.result.as_dict(), "news": found.news}


@task
def announce(results: list[dict[str, Any]], *, dag_run: Any) -> list[dict[str, Any]]:
    """The run's result; Slack hears of what is late, once, and when it is over; red when something was not measured."""
    from searchsync.errors import SearchSyncError
    from searchsync.freshness.result import FAILED

    found = list(results)
    for one in found:
        log.info("%(entity)s: %(state)s, %(seconds)s s %(why)s", one)
    if changed := [one for one in found if one["news"]]:
        alerts.freshness_changed(dag_run, changed)
    if failed := [one for one in found if one["state"] == FAILED]:
        raise SearchSyncError("; ".join(f"{one['entity']}: {one['why']}" for one in failed))
    return found
