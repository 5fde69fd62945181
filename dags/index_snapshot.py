"""Save what is live, so that an index comes back faster than by a reindex when the cluster is lost.

**When** Every day, by the schedule of `include/policies/snapshots.yaml`, or by hand. It has no parameters.

**What it may change** It makes one snapshot of the live indexes of all entities and of the bookkeeping (`searchsync-*`)
in the repository that `include/policies/snapshots.yaml` names. Then it deletes those of its own snapshots that are not
the newest good one of one of the last 7 days, 4 weeks or 12 months. The newest good one always stays, and one that a
drill or a restore uses. What `index_retire` or a person saved there is not touched. No index is changed.

**When it fails** Earlier snapshots are as they were. `save` or `verify` says what is wrong: the repository is missing,
read-only or full, a shard could not be saved (PARTIAL: the other indexes are saved), or a policy of OpenSearch saves
into the same repository. Remove the cause, then clear `save` with downstream: it waits for a snapshot that is under
way, and replaces a broken one. `prune` alone can be cleared, too.

**Undo** A snapshot that was deleted is gone. To keep one for longer, make it by hand under a name of your own. See
`docs/operations/index_snapshot.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import snapshot
from searchsync.catalog import CATALOG
from searchsync.config import snapshots

with DAG(
    dag_id="index_snapshot",
    schedule=CronTriggerTimetable(snapshots().schedule, timezone=timezone(), run_immediately=timedelta(0)),
    doc_md=__doc__,
    tags=["snapshot", *CATALOG],
    **POLICY,
):
    snapshot.prune(snapshot.verify(snapshot.save()))
