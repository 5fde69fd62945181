"""Measure how soon a change of each source is found by searches.

**When** Every five minutes, or by hand: *Trigger*.

**What it may change** In the table of each entity whose file describes a `heartbeat`, this one item: it is written,
awaited in searches through the alias, and deleted, all within seconds. It is an ordinary item, and leaves one
tombstone, which is overwritten each time. The search API never shows it. The index `searchsync-freshness` keeps the
newest result, and each figure for 70 days. Of PostgreSQL, where the login may only read, it tells the age of what the
last sync or reindex proved.

**When it fails** Something could not be measured: the result of `measure` says what is in the way, such as a table
that is throttled, or OpenSearch away. A change that is not found in time is no failure of this DAG: its result is
`late`, Slack says so once, and once when it is over. See `docs/operations/freshness.md`.

**Undo** There is nothing to undo. A heartbeat that a killed run left in the table is deleted by the next run.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import freshness
from searchsync.catalog import CATALOG

with DAG(
    dag_id="freshness",
    # Not at the same minute as the other DAGs that look every five minutes.
    schedule=CronTriggerTimetable("3-59/5 * * * *", timezone=timezone(), run_immediately=timedelta(0)),
    doc_md=__doc__,
    tags=["freshness", *CATALOG],
    # It fails fast: the next run is five minutes away.
    **{**POLICY, "default_args": {**POLICY["default_args"], "retries": 0}},
):
    freshness.announce(freshness.measure.expand(entity=sorted(CATALOG)))
