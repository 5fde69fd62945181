"""Judge a new version beside the one before: pass, fail or inconclusive. It deploys nothing, and has no right to.

**When** Asked by a deployment (`scripts/deploy.sh`) at each share of the traffic; or by hand, with the series.

**What it may change** Nothing but its own record in the index `searchsync-canary` and the page behind *Evidence*. Who
asked shifts the traffic on after `pass`, takes it back after `fail`, and stops after `inconclusive`.

**When it fails** There is no verdict, which the deployment takes as inconclusive: the log of `judge` names the cause,
such as a stage that `include/policies/canary.yaml` does not have, or CloudWatch away. A version that is bad does not
make the run red.

**Undo** There is nothing to undo. See `docs/operations/canary.md`.
"""

from airflow.sdk import DAG

from search_ops.dag_policy import POLICY
from search_ops.tasks import canary
from searchsync.catalog import CATALOG

with DAG(
    dag_id="canary",
    schedule=None,
    allowed_run_types=["manual"],
    params=canary.PARAMS,
    doc_md=__doc__,
    tags=["canary", *CATALOG],
    **POLICY,
):
    canary.announce(canary.judge())
