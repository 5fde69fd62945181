"""The task of ``index_retire``."""

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.runs import check_conf, reports_root, running

log = logging.getLogger(__name__)

PARAMS = {
    "dry_run": Param(
        False, type="boolean", title="Dry run",
        description="Report what would be deleted and purged. Nothing is changed.",
    ),
}  # fmt: skip


@task(map_index_template="{{ task.op_kwargs['entity'] }}")
def retire(entity: str, *, params: dict[str, Any], dag_run: Any) -> list[dict[str, Any]]:
    """Delete what is out of the rollback window, or abandoned; purge old tombstones; say why for each index."""
    from dataclasses import asdict

    from searchsync.catalog import entity as lookup
    from searchsync.cluster import unwritable
    from searchsync.operations import retire as library

    check_conf(dag_run.conf, PARAMS)
    library.check_policy(datetime.now(UTC))
    indexes, dry_run = hook.connections().indexes(lookup(entity)), params["dry_run"]
    if not dry_run and (abandoned := unwritable.evict(indexes)):
        alerts.abandoned(dag_run, abandoned)
    return [asdict(decision) for decision in library.retire(indexes, running, dry_run=dry_run)]


@task
def evidence(*, params: dict[str, Any]) -> list[str]:
    """Delete the folders of old runs. Return which."""
    from searchsync.operations import evidence as library

    return library.delete_old(reports_root(), dry_run=params["dry_run"])


@task
def announce(reports: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The run's result: what became of each index, and why; also of those whose entity has no file any more."""
    from dataclasses import asdict

    from searchsync.cluster.indexes import explain_without_entity, without_entity
    from searchsync.operations.retire import Decision

    lines = [line for report in reports for line in report]
    for entity, names in without_entity(hook.opensearch()).items():
        why = explain_without_entity(entity, names)
        log.warning("%s", why)
        lines += [asdict(Decision(name, "without entity", "kept", why)) for name in names]
    return lines
