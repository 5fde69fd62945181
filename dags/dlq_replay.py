"""Replay the dead-letter queue of `ENTITY`: the records that the stream function could not write, or never got.

**When** WHEN, or by hand: *Trigger* shows the parameters (dry run, cap, filters, parked messages).

**What it may change** It reads the keys of each message again from the table and writes them to every index of the
write set, never over something newer. It deletes a message only when the message's keys are written everywhere. A
record that is refused again comes back after ten minutes. After five attempts it moves to the queue of parked messages,
with an alert. Changes that the stream has forgotten are reported as a gap. An index of the write set that is not live
and refuses writes for five minutes is deleted, with an alert.

**When it fails** OpenSearch or AWS do not answer. Messages that were written everywhere are deleted, all others are
still in the queue, and the next run goes on. The log names the cause.

**Undo** There is nothing to undo: what it writes is the table's present state. See
`docs/operations/dlq_replay.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from search_ops.dag_docs import doc_of
from search_ops.dag_policy import POLICY, timezone
from search_ops.tasks import replay
from searchsync.catalog import CATALOG

for entity, described in CATALOG.items():
    if described.source != "dynamodb":
        continue
    with DAG(
        dag_id=f"{entity}_dlq_replay",
        schedule=CronTriggerTimetable(described.cron("replay"), timezone=timezone(), run_immediately=timedelta(0)),
        params=replay.PARAMS,
        doc_md=doc_of(__doc__, described, "replay"),
        tags=["replay", entity],
        # It fails fast: the next run is ten minutes away.
        **{**POLICY, "default_args": {**POLICY["default_args"], "retries": 0}},
    ):
        replayed = replay.replay(entity)
        replay.evict(entity) >> replayed
        replay.announce(replayed)
