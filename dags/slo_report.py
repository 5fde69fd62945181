"""Report a month against its objectives: what share was good, how much of the budget is left, and what used it up.

**When** On the second day of each month at 06:20, for the month before; or by hand: *Trigger* shows the parameter
(which month). CloudWatch keeps the figures of requests for 63 days, OpenSearch those of freshness for 70.

**What it may change** Nothing. It reads, writes a report, and sends one message to Slack.

**When it fails** A part of the history could not be read: the error of `announce` says which, and why. The rest is
reported, and what could not be read is *not enough data*. Remove the cause, then clear `look` *with downstream*. An
objective that was missed is no failure of this DAG: the report says it.

**Undo** There is nothing to undo. See `docs/operations/slo.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import slo_report
from searchsync.catalog import CATALOG

with DAG(
    dag_id="slo_report",
    # Not on the first day, when the month may not be over in the zone of slo.yaml.
    schedule=CronTriggerTimetable("20 6 2 * *", timezone=timezone(), run_immediately=timedelta(0)),
    params=slo_report.PARAMS,
    doc_md=__doc__,
    tags=["slo", *CATALOG],
    **POLICY,
):
    slo_report.announce(slo_report.look())
