"""Look whether a system is ready for production: thirty items, each proven by a look, a report or a person, or open.

**When** By hand: *Trigger* shows the parameter (which environment this Airflow belongs to). Before production for the
first time, and then each quarter: reports and statements count for 90 days.

**What it may change** Nothing.

**When it fails** The error of `announce` names each item that is open. The button *Evidence* of the task `look` shows
the table: what was looked at, what was seen, and why it is not enough. What cannot be looked at is open, too. Mend what
is named, or state in `include/policies/statements.yaml` what only a person can say, then trigger again.

**Undo** There is nothing to undo. See `docs/operations/readiness.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG

from search_ops.dag_policy import POLICY
from search_ops.tasks import readiness

with DAG(
    dag_id="readiness",
    schedule=None,
    dagrun_timeout=timedelta(minutes=30),
    params=readiness.PARAMS,
    doc_md=__doc__,
    tags=["readiness"],
    **POLICY,
):
    readiness.announce(readiness.look())
