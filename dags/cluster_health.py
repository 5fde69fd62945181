"""Look every five minutes whether OpenSearch, sources, queues and Airflow are well, and tell what changed, once.

**When** Every five minutes, or by hand.

**What it may change** Nothing. It looks, writes a report, and sends messages to Slack: one when something has been
wrong for as long as its row of `include/policies/alarms.yaml` says, and one when it is over. What could not be looked
at is *not known*, which is neither.

**When it fails** `look` fails when its own files are wrong: the message names file, line and key of `alarms.yaml`. What
is away or hangs fails nothing: it is in the report. `summary.html` in the run's folder has every check with what was
seen. A message that Slack did not take is sent by the next run.

**Undo** There is nothing to undo. To keep it quiet while you work, put a window into
`include/policies/maintenance.yaml` rather than pausing it: when the window is over, it says what happened meanwhile.
See `docs/operations/cluster_health.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import cluster_health

with DAG(
    dag_id="cluster_health",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone=timezone(), run_immediately=timedelta(0)),
    # A backfill would look at the present, and run beside the schedule.
    allowed_run_types=["scheduled", "manual"],
    doc_md=__doc__,
    tags=["health"],
    **POLICY,
):
    cluster_health.tell(cluster_health.look())
