"""Try a recovery: restore a snapshot, bring it up to date, compare it; build an index from the source; measure both.

**When** Monthly, for each entity, by the schedule of `include/policies/snapshots.yaml`; or by hand: *Trigger* shows the
parameters (entity, snapshot).

**What it may change** It makes indexes beside what is live, one at a time: `searchsync-drill-...`. They are in no alias
and no write set, so nobody searches or writes them, and each is deleted when it was measured. It reads the source as a
reindex does, and needs the disk space of one more copy of the index. What is live is not touched; the run checks it.

**When it fails** `announce` says which entity did not come back, came back different, or took longer than is promised.
`summary.html` and `drill.json` in the run's folder have all figures, and the index `searchsync-recovery` keeps them.
Read the log of the red task, remove the cause, and trigger a new run: a drill that is cleared is measured anew.

**Undo** There is nothing to undo. `clean_up` deletes what the run made, also after a kill; what is left all the same,
the next drill deletes. By hand: `DELETE /searchsync-drill-NAME`. See `docs/operations/recovery_drill.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import drill
from searchsync.catalog import CATALOG
from searchsync.config import snapshots

with DAG(
    dag_id="recovery_drill",
    schedule=CronTriggerTimetable(snapshots().drill_schedule, timezone=timezone(), run_immediately=timedelta(0)),
    params=drill.PARAMS,
    doc_md=__doc__,
    tags=["drill", *CATALOG],
    **POLICY,
):
    plans = drill.prepare()
    restored = drill.restore.expand(plan=plans)
    built = drill.build.expand(plan=plans)
    announced = drill.announce(plans)
    cleaned_up = drill.clean_up().as_teardown()
    completed = drill.completed().as_teardown(on_failure_fail_dagrun=True)
    restored >> built >> announced >> cleaned_up >> completed
