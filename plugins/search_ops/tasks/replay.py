"""Tasks of ``<entity>_dlq_replay``."""

import logging
from typing import Any

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.runs import check_conf, whole

log = logging.getLogger(__name__)

PARAMS = {
    "dry_run": Param(
        False, type="boolean", title="Dry run",
        description="Count what is there, by reason. Nothing is written and every message stays.",
    ),
    "cap": Param(
        10_000, type="integer", minimum=1, maximum=1_000_000, title="Messages at most",
        description="The rest stays for the next run.",
    ),
    "kind": Param(
        "", type="string", enum=["", "record", "pointer", "given-up"], title="Kind",
        description="record: parked by the function. Given up by the event source mapping: pointer, when the records "
        "are in the stream; given-up, when they are in a bucket. Empty: all.",
    ),
    "reason": Param(
        "", type="string", maxLength=200, title="Reason",
        description="Only messages parked for this reason, as the result of an earlier run names it. Empty: all.",
    ),
    "min_age_minutes": Param(
        0, type="number", minimum=0, title="Minimum age in minutes", description="Only messages sent so long ago.",
    ),
    "parked": Param(
        False, type="boolean", title="Parked messages",
        description="Replay those that wait for a person, after their cause was removed.",
    ),
}  # fmt: skip


@task
def evict(entity: str, *, params: dict[str, Any], dag_run: Any) -> dict[str, str]:
    """Give up members that are not live and refuse writes for five minutes: all that time they miss changes."""
    from searchsync.catalog import entity as lookup
    from searchsync.cluster import unwritable

    check_conf(dag_run.conf, PARAMS)
    if params["dry_run"]:
        return {}
    abandoned = unwritable.evict(hook.connections().indexes(lookup(entity)))
    if abandoned:
        alerts.abandoned(dag_run, abandoned)
    return abandoned


@task
def replay(entity: str, *, params: dict[str, Any]) -> dict[str, Any]:
    """Read the keys of all messages again and write them; a message goes when its keys are written everywhere."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations.replay import Choice, Replay

    connections, described = hook.connections(), lookup(entity)
    dead_letters, parked = connections.queues(described)
    queue, for_people = (parked, None) if params["parked"] else (dead_letters, parked)
    choice = Choice(
        dry_run=params["dry_run"],
        cap=whole(params["cap"]),
        kind=params["kind"],
        reason=params["reason"],
        min_age=params["min_age_minutes"] * 60,
    )
    indexes, source = connections.indexes(described), connections.source(described)
    return Replay(indexes, source, queue, for_people, connections.origins(described), choice).run().as_dict()


@task
def announce(report: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """The run's result; to Slack when a person has to do something; red when messages could not be replayed."""
    from searchsync.operations.replay_report import check_all

    for reason, counts in report["reasons"].items():
        log.info("%-40s %s", reason, ", ".join(f"{name} {count}" for name, count in counts.items()))
    if not report["dry_run"] and (report["why_parked"] or report["gaps"]):
        alerts.replay_needs_a_person(dag_run, report)
    check_all(report)
    return report
