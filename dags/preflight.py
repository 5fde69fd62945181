"""Check that an environment is as its files say: before a deployment, and whenever something seems wrong.

**When** By hand: *Trigger* shows the parameter (which environment this Airflow belongs to).

**What it may change** Nothing. To Slack it sends a message without text, which Slack refuses.

**When it fails** The error of `announce` names each check that failed or could not be made. The button *Evidence* of
the task `look` shows the table: what was seen, why it matters, and the fix. Make the fix, then trigger again. When
`get_slot` stays *scheduled*, its pool does not exist; the run ends by itself after ten minutes.

**Undo** There is nothing to undo. See `docs/operations/preflight.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG

from search_ops.dag_policy import POLICY
from search_ops.tasks import preflight

with DAG(
    dag_id="preflight",
    schedule=None,
    dagrun_timeout=timedelta(minutes=10),
    params=preflight.PARAMS,
    doc_md=__doc__,
    tags=["preflight"],
    **POLICY,
):
    preflight.get_slot()
    preflight.announce(preflight.look())
