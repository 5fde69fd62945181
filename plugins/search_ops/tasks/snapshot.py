"""Tasks of ``index_snapshot``."""

import logging
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import task

from search_ops import hook
from search_ops.dag_policy import timezone
from search_ops.runs import check_conf, run_id_of, running

log = logging.getLogger(__name__)


@task
def save(*, dag_run: Any) -> dict[str, Any]:
    """Make the snapshot of this run, and wait for it; one that is under way is waited for."""
    from dataclasses import asdict

    from searchsync.recovery import snapshot

    check_conf(dag_run.conf, {})
    return asdict(snapshot.save(hook.opensearch(), run_id_of(dag_run), dag_run.run_after))


@task
def verify(saved: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """All shards of all indexes are there, and each node can write to the repository; else the run fails."""
    from searchsync.recovery import snapshot

    return snapshot.verify(hook.opensearch(), run_id_of(dag_run), snapshot.Saved(**saved))


@task
def prune(record: dict[str, Any]) -> dict[str, list[str]]:
    """Delete what the calendar keeps no longer, once there is a good snapshot of today."""
    from searchsync.recovery import snapshot

    log.info("%s is good", record["snapshot"])
    return snapshot.prune(hook.opensearch(), running, ZoneInfo(timezone()))
