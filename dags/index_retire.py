"""Delete indexes that nobody can need any more. Without this DAG, every reindex adds an index that all writers feed.

**When** Every hour at a quarter past, or by hand: *Trigger* shows the parameter (dry run).

**What it may change** It deletes three kinds of indexes:

- An index that was live, that left the read alias longer ago than `rollback_hours`
  (`include/policies/retention.yaml`) and that is not among the `keep_previous` newest. When
  `save_before_deletion` is true, a complete snapshot of the index is made first, in the repository of
  `include/policies/snapshots.yaml`.
- An index whose run ended without serving or discarding it.
- A member of the write set that is not live and refuses writes for five minutes (red or blocked), with an alert.

It also deletes the folders of runs that are older than `evidence_days`; the newest of each DAG stays.

An index whose entity has no file any more is named in the result, and kept. Each of the others leaves the write set, is
blocked, then deleted. It never deletes an index that an alias serves. It purges
tombstones older than `tombstone_days` from every member of the write set.

**When it fails** An index could not be saved and stays with its aliases: the log names the cause and the next step.

**Undo** Rebuild a deleted index with `<entity>_reindex`. Its snapshot only lets you look into it, see
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
    retire.evidence()
