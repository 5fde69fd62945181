"""Delete indexes that nobody can need any more. Without it every reindex adds one that all writers have to feed.

**When** every hour at a quarter past, or by hand: *Trigger* shows the parameter (dry run).

**What it may change** An index that was served and left the read alias longer ago than `rollback_hours`
(`include/policies/retention.yaml`), beyond the `keep_previous` newest, after a complete snapshot of it when
`snapshot_repository` names one; an index whose run ended without serving or discarding it; and a member of the write
set that is not live and refuses writes for five minutes (red or blocked), with an alert. Each leaves the write set, is
blocked, then deleted. Never an index that an alias serves. Tombstones older than `tombstone_days` are purged from every
member of the write set.

**When it fails** an index could not be saved and stays with its aliases: the log names the cause and the next step.

**Undo** a deleted index is rebuilt with `<entity>_reindex`; its snapshot is for looking into, see
`docs/operations/index_retire.md`. To keep an index longer, pause this DAG.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import retire
from searchsync.catalog import CATALOG

with DAG(
    dag_id="index_retire",
    schedule=CronTriggerTimetable("15 * * * *", timezone=timezone(), run_immediately=timedelta(0)),
    params=retire.PARAMS,
    doc_md=__doc__,
    tags=["retire", *CATALOG],
    **POLICY,
):
    retire.announce(retire.retire.expand(entity=sorted(CATALOG)))
