"""The tasks of ``<entity>_sync``."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, task

from search_ops import hook
from search_ops.runs import check_conf, reports_dir, run_id_of

if TYPE_CHECKING:
    from searchsync.operations.sync import Interval

log = logging.getLogger(__name__)

PARAMS = {
    "from": Param(
        None, type=["null", "string"], format="date-time", title="From",
        description="Rows changed since then, and for the overlap before. Empty: the run's data interval. "
        "A day is from 00:00 to 00:00 of the next day.",
    ),
    "to": Param(
        None, type=["null", "string"], format="date-time", title="To",
        description="Rows changed before then; the moment itself is not in it. Empty: the run's data interval.",
    ),
    "allow_deletes": Param(
        None, type=["null", "integer"], minimum=0, title="Documents that may be deleted",
        description="Confirms that so many rows are gone for good. Empty: as thresholds.yaml has it.",
    ),
}  # fmt: skip


def interval(params: dict[str, Any], start: datetime | None, end: datetime | None) -> "Interval":
    """The interval of a run: its parameters, else its data interval.

    :raises BadParams: when a run by hand names none, or half of one
    """
    from searchsync.errors import BadParams
    from searchsync.operations.sync import Interval

    given = [params[name] for name in ("from", "to")]
    if all(given):
        return Interval(*map(datetime.fromisoformat, given))  # with a zone, says the format
    if any(given):
        raise BadParams("from and to belong together: give both, or none in a run that has a data interval")
    if start is None or end is None or start == end:
        raise BadParams(
            'this run has no data interval: give it one, {"from": "2026-01-31T00:00:00+00:00", "to": '
            '"2026-02-01T00:00:00+00:00"}, or run a backfill over the dates'
        )
    return Interval(start, end)


@task
def sync(
    entity: str,
    *,
    params: dict[str, Any],
    dag_run: Any,
    data_interval_start: Any = None,
    data_interval_end: Any = None,
) -> dict[str, Any]:
    """Write what the interval changed, and what is deleted."""
    from searchsync.catalog import entity as lookup
    from searchsync.operations import sync as library
    from searchsync.writing.progress import Rejections

    check_conf(dag_run.conf, PARAMS)
    wanted = interval(params, data_interval_start, data_interval_end)
    indexes = hook.connections().indexes(lookup(entity))
    live = library.check(indexes)
    source = hook.connections().rows(indexes.entity, live)
    with Rejections(reports_dir(run_id_of(dag_run)) / "rejected.ndjson") as rejections:
        allowed = params["allow_deletes"]
        report = library.run(indexes, source, live, wanted, rejections=rejections, allow_deletes=allowed)
    return report.as_dict()


@task
def announce(result: dict[str, Any]) -> dict[str, Any]:
    """The run's result; red when a row or an index was left behind."""
    from searchsync.errors import Different, GateFailed

    log.info("%s", result)
    if result["behind"]:
        raise Different(
            f"{result['index']} is live and up to date; these are not, and the next sync brings them what they lack: "
            + "; ".join(f"{name}: {why}" for name, why in sorted(result["behind"].items()))
            + ". index_retire gives up one that goes on refusing writes"
        )
    if result["rejected"]:
        raise GateFailed(
            f"{result['rejected']} rows were rejected: see the log of sync. They stay as they were in the index; "
            "correct the rows, or the mapping, and clear this run"
        )
    return result
