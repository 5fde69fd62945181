"""Make an index live again that was live before: go back after a bad swap, or forward again. It runs only by hand.

**When** By hand, after a swap that turned out bad. It needs `entity`; `index` is a rollback candidate (empty: the one
that was live last).

**What it does** It compares the candidate with the source, by content, and shows the result. Then it waits for your
*Approve* on the task `approve` (tab *Required Actions*; after four hours the answer is no, and nothing was changed).
Then it brings the candidate all changes since the comparison, and moves the alias in one step. The other index still
gets all writes: to go forward again, run this DAG once more.

**What it may change** The alias of the entity, and documents that differ from their source. It refuses a candidate that
missed something; `force` with a reason serves the candidate all the same, also when the source is away.

**Undo** Run it again. The next scheduled reindex swaps forward, too: pause the reindex while you look for the cause.
See `docs/operations/index_rollback.md`.
"""

from airflow.sdk import DAG

from search_ops.approval import Approval
from search_ops.dag_policy import POLICY
from search_ops.tasks import rollback
from searchsync.catalog import CATALOG

with DAG(
    dag_id="index_rollback",
    schedule=None,
    allowed_run_types=["manual"],
    params=rollback.PARAMS,
    doc_md=__doc__,
    tags=["rollback", *CATALOG],
    **{
        **POLICY,
        "max_active_runs": 4,
    },  # one that waits for a person must not hold up another; the swap asserts the rest
):
    chosen = rollback.choose()
    compared = rollback.compare(chosen)
    approved = Approval(
        task_id="approve",
        because="{{ 'a rollback was started by hand' if params.approve else '' }}",
        subject="Serve {{ ti.xcom_pull('choose')['target'] }} instead of {{ ti.xcom_pull('choose')['live'] }}?",
        body="""
{% set index = ti.xcom_pull('choose') %}{% set found = ti.xcom_pull('compare') %}
| | |
|---|---|
| made | {{ index.created }} |
| not live since | {{ index.left_read_at }} |
| has all changes up to | {{ index.synced }} |
{% if "unproven" in found %}| **not proven**, forced because | {{ found.unproven }} |
{% else %}| documents | {{ found.index_count }}, source {{ found.source_count }} |
| differences | {{ found.confirmed }}, to be brought before the swap: {{ found.pending }} |
{% endif %}""",
    )
    reconciled = rollback.reconcile(chosen)
    swapped = rollback.swap(chosen)
    documents = rollback.verify(chosen)
    announced = rollback.announce(chosen, compared, reconciled, documents)
    compared >> approved >> reconciled >> swapped >> documents
