"""See early when an index needs more shards, or the disks more room, and say what to do in numbers.

**When** Every day at 05:40, or by hand.

**What it may change** Nothing but its own documents in the index `searchsync-capacity`: the sizes of each day, from
which it forecasts.

**When it fails** Something could not be measured: the log of `announce` names the index and the cause. What could be
measured is kept and was judged. Remove the cause, then clear `look` *with downstream*.

**What it says** Slack hears once when something should be planned, every day when something must be done, and once when
it is over. The report behind *Evidence* has the curves. The limits are the rows `shard-large`, `shard-too-large`,
`tenant-large` and `disk-forecast` of `include/policies/alarms.yaml`; `include/policies/capacity.yaml` has the rest.

**Undo** There is nothing to undo. See `docs/operations/capacity.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import capacity
from searchsync.catalog import CATALOG

with DAG(
    dag_id="capacity",
    schedule=CronTriggerTimetable("40 5 * * *", timezone=timezone(), run_immediately=timedelta(0)),
    doc_md=__doc__,
    tags=["capacity", *CATALOG],
    **POLICY,
):
    capacity.announce(capacity.look())
