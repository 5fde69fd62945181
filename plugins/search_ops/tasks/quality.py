"""Tasks of ``<entity>_quality``: compare, expect, repair, and only then say whether it is good."""

import logging
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Param, task

from search_ops import alerts, hook
from search_ops.dag_policy import timezone
from search_ops.evidence import task_with_evidence
from search_ops.runs import check_conf, reports_dir, run_id_of, whole

log = logging.getLogger(__name__)

NIGHT_HOUR = 4
"""From then on a scheduled run compares DynamoDB whole, once a day: a scan is billed by what it reads."""

PARAMS = {
    "level": Param(
        "auto", type="string", enum=["auto", "light", "full"], title="Level",
        description="light: stream, queues, gaps and counts. full: compare everything. auto: what the run is due.",
    ),
    "index": Param(
        None, type=["null", "string"], title="Index",
        description="An index of the write set, such as a rollback candidate. Empty: the live one.",
    ),
    "sample": Param(
        100, type="integer", minimum=0, maximum=10_000, title="Sample",
        description="Documents that are compared field by field.",
    ),
    "repair": Param(
        "off", type="string", enum=["off", "dry run", "on"], title="Repair",
        description="Write the confirmed keys as the source has them now, into every index of the write set.",
    ),
    "cap": Param(
        None, type=["null", "integer"], minimum=1, title="Repair at most",
        description="Keys that a repair may write. Empty: as thresholds.yaml has it (one in a hundred).",
    ),
    "read_units": Param(
        None, type=["null", "number"], exclusiveMinimum=0, title="Read capacity units a second",
        description="What all reads of a DynamoDB table may use, together. Empty: as thresholds.yaml has it.",
    ),
}  # fmt: skip


def level(asked: str, source: str, dag_run: Any, compared: datetime | None) -> str:
    """What a run is due: everything, but on DynamoDB by schedule only what no run has compared since ``NIGHT_HOUR``.

    So a night in which the scheduler was away is made up for by the next run, and an index that was swapped in while
    this DAG was paused, of which Airflow does not tell it, is compared at once.

    :param compared: when the index was last compared in full
    """
    if asked != "auto":
        return asked
    if source != "dynamodb" or dag_run.run_type != "scheduled" or compared is None:
        return "full"
    due = dag_run.run_after.astimezone(ZoneInfo(timezone()))
    night = due.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    night = night if night <= due else night - timedelta(days=1)
    return "full" if compared < night else "light"


@task_with_evidence
def compare(entity: str, *, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Look at the index, write the evidence, repair if asked to."""
    from searchsync.catalog import entity as lookup
    from searchsync.quality import run
    from searchsync.quality.history import History

    check_conf(dag_run.conf, PARAMS)
    connections, described = hook.connections(), lookup(entity)
    indexes = connections.indexes(described)
    name = params["index"] or indexes.live_or_raise()
    built_from = indexes.built_from(name)
    folder = reports_dir(run_id_of(dag_run))
    due = level(params["level"], described.source, dag_run, History(indexes.client).last_full(name))
    sample, cap = whole(params["sample"]), whole(params["cap"])
    wanted = run.Wanted(run_id_of(dag_run), due, sample, params["repair"], cap)
    feed = connections.feed(described, built_from)
    source = connections.source(described, built_from, read_units=params["read_units"])
    result = run.run(indexes, source, name, feed, folder, wanted)
    log.info("the evidence is in %s", folder)
    return result | {"evidence": str(folder)}


@task
def announce(result: dict[str, Any], *, dag_run: Any) -> dict[str, Any]:
    """The verdict: the run fails when a critical expectation does not hold; the evidence is there by now.

    Slack hears of it by the DAG's failure callback, which reads what was found: also when this task was killed.
    """
    from searchsync.errors import Different

    for problem in result["problems"]:
        log.error("%s", problem)
    for failed in result["failed"]:
        log.error("%(severity)s: does not hold: %(name)s (%(observed)s)", failed)
    if result["verdict"] == "bad":
        what = ", ".join([failed["name"] for failed in result["failed"]] or result["problems"])
        raise Different(f"{result['index']}: does not hold: {what}. The evidence is in {result['evidence']}")
    if result["recovered"]:
        alerts.quality_recovered(dag_run, result)
    return result
