"""What all DAGs have in common: retries, the alert of a failure, the pool of the loads, the time zone of schedules."""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from search_ops.alerts import run_failed

LOAD_POOL = os.environ.get("SEARCHSYNC_LOAD_POOL") or "default_pool"
"""Limits the load tasks that run at once, over all runs: bulk requests are what a cluster can be overloaded with.

``default_pool`` is in every Airflow. Tasks of a pool that does not exist stay scheduled for ever, without a word.
"""

POLICY: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "on_failure_callback": run_failed,
    "default_args": {
        "owner": "search",
        "retries": 2,
        "retry_delay": timedelta(seconds=15),
        # What a person has to change does not get better by waiting.
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception="searchsync.errors.Permanent", action=RetryAction.FAIL, reason="needs a change first")]
        ),
    },
}
"""Keyword arguments of every DAG."""


def timezone() -> str:
    """Return the time zone of all schedules: ``SEARCHSYNC_TIMEZONE``, default UTC."""
    return os.environ.get("SEARCHSYNC_TIMEZONE") or "UTC"
