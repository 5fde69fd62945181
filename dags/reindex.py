"""Rebuild the index of `ENTITY` from its source of truth and serve it by an atomic alias swap.

**When** WHEN, or by hand: *Trigger* shows the parameters.

**What it may change** It adds one index, and writes to it beside the live one. After the gate it moves the alias
`ENTITY` to the new index. The gate demands: mapping and settings are as in the file, all of the source is accounted
for, the fingerprint of each bucket is equal to the source's, the smoke queries are answered. A run that fails leaves
the live index as it was and deletes the index that it built.

**When it fails** Read the log of the red task: its last line names the cause and the next step. Then trigger a new run,
or clear the failed task *with downstream*. If a load says "discarded", clear from `create_green`.

A run asks a person before the swap when the number of documents moves by more than `approval_share`. With `canary`, it
also compares searches of the new index with those of the live one, and swaps only when they are alike.

**Undo** After the swap, trigger `index_rollback`: the previous index gets all writes and is kept for 24 hours. See
`docs/operations/reindex.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_docs import doc_of
from search_ops.dag_policy import POLICY, timezone
from search_ops.reindex_params import parameters
from search_ops.tasks import reindex
from searchsync.catalog import CATALOG

for entity, described in CATALOG.items():
    with DAG(
        dag_id=f"{entity}_reindex",
        schedule=CronTriggerTimetable(described.cron("reindex"), timezone=timezone(), run_immediately=timedelta(0)),
        params=parameters(described),
        doc_md=doc_of(__doc__, described, "reindex"),
        tags=["reindex", entity],
        **POLICY,
    ):
        plan = reindex.check(entity)
        green = reindex.create_green(entity, plan)
        exported = reindex.export(entity, plan, green) if described.read_from == "export" else None
        ranges = reindex.partitions(entity, plan, green, exported)
        loaded = reindex.load.partial(entity=entity, plan=plan).expand(partition=ranges)
        tombstones = reindex.copy_tombstones(entity, plan, green, ranges, loaded)
        searchable = reindex.make_searchable(entity, green)
        passed = reindex.gate(entity, plan, green)
        approved = reindex.approve()
        passed_again = reindex.gate_again(entity, plan, green, passed)
        compared = reindex.canary(entity, green)
        warmed = reindex.warm(entity, green)
        swapped = reindex.swap(entity, plan, green)
        verified = reindex.verify.override(outlets=[reindex.served(entity)])(entity, plan, green)
        report = reindex.announce(plan, ranges, loaded, tombstones, passed, passed_again)
        discarded = reindex.discard_green(entity).as_teardown()
        completed = reindex.completed().as_teardown(on_failure_fail_dagrun=True)
        (
            loaded
            >> tombstones
            >> searchable
            >> passed
            >> approved
            >> passed_again
            >> compared
            >> warmed
            >> swapped
            >> verified
            >> report
            >> discarded
            >> completed
        )
