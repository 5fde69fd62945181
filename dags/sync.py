"""Write the changes and deletions of the last hour in `ENTITY` to every index that is live or may be live again.

**When** WHEN, for the hour before. For past hours, make a *backfill*: from
the 28th 00:00 to the 29th 00:00 is the whole 28th, because both ends are times at which a run begins, and a run reads
the hour before it. For any interval, *Trigger* by hand with `from` and `to`. Runs may overlap each other and a reindex.

**What it may change** Documents whose rows changed in the interval, or in the hour before it, or are deleted. It never
writes over something newer. To delete more than a share of the documents, it needs a person's word (`allow_deletes`).

**When it fails** The log names the cause. Clear the run: it does no harm to read an interval again. Rows that
OpenSearch refuses are listed in the log; all others were written.

**Undo** There is nothing to undo: what it writes is the table's present state. See `docs/operations/sync.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_docs import doc_of
from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import sync
from searchsync.catalog import CATALOG

for entity, described in CATALOG.items():
    if described.changed is None:
        continue
    with DAG(
        dag_id=f"{entity}_sync",
        schedule=CronTriggerTimetable(
            described.cron("sync"), timezone=timezone(), interval=timedelta(hours=1), run_immediately=timedelta(0)
        ),
        params=sync.PARAMS,
        doc_md=doc_of(__doc__, described, "sync"),
        tags=["sync", entity],
        **POLICY,
    ):
        sync.announce(sync.sync(entity))
