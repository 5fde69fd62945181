"""Prove that the index of `ENTITY` is equal to its source: by content, not by counts.

**When** WHEN (HOW), after each swap, or by hand: *Trigger* shows the parameters.

**What it may change** Nothing, unless `repair` is on. Then it writes the confirmed documents, as the source has them
now, to every index of the write set, never over something newer, and never more than the cap.

**When it fails** A critical expectation does not hold. Slack names it. `summary.html`, `quality.json` and the Data Docs
in the run's folder are the evidence, and the index `searchsync-quality` keeps the results. If the stream lags, mend
that first: until it has caught up, nothing is compared. Then trigger again with `repair` on *dry run*, then *on*; or
find the fault, and reindex.

**Undo** There is nothing to undo: a repair writes the source's present state. See `docs/operations/quality.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from search_ops.dag_docs import doc_of
from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import quality, reindex
from searchsync.catalog import CATALOG

HOW = {
    "postgres": "each time by a whole comparison",
    "dynamodb": (
        "each time stream, queues, gaps and counts; once a day with a scan of the table: by the first run after 04:00"
    ),
}

for entity, described in CATALOG.items():
    with DAG(
        dag_id=f"{entity}_quality",
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(
                described.cron("quality"), timezone=timezone(), run_immediately=timedelta(0)
            ),
            assets=[reindex.served(entity)],
        ),
        params=quality.PARAMS,
        doc_md=doc_of(__doc__, described, "quality").replace("HOW", HOW[described.source]),
        tags=["quality", entity],
        **POLICY,
    ):
        quality.announce(quality.compare(entity))
