"""What a task sees of its Airflow, for the preflight: the pool of the loads, connections, Slack."""

import time
from typing import Any

from airflow.sdk import BaseHook

from search_ops.dag_policy import LOAD_POOL

SLOT_SECONDS = 60.0
"""Seconds in which the run's task in the pool has to begin. Airflow's scheduler takes a few on a busy machine."""

_ANSWER_SECONDS = 5


class Airflow:
    """The Airflow of the running task.

    :param dag_run: the task's run
    :param slot: id of the task of this run that is in the pool of the loads
    """

    def __init__(self, dag_run: Any, slot: str) -> None:
        self._dag_run, self._slot = dag_run, slot

    def pool(self) -> tuple[str, str]:
        """Return the pool's name, and what is wrong: a task cannot read pools, but see whether another gets a slot."""
        from search_ops.runs import states_of

        end = time.monotonic() + SLOT_SECONDS
        while states_of(self._dag_run, self._slot)[self._slot] not in ("running", "success"):
            if time.monotonic() > end:
                return (
                    LOAD_POOL,
                    f"{LOAD_POOL} gave no slot in {SLOT_SECONDS:.0f} s: there is no such pool, or it is full",
                )
            time.sleep(1.0)
        return LOAD_POOL, ""

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection; None when there is none."""
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            return str(BaseHook.get_connection(connection_id).conn_type)
        except AirflowNotFoundException:
            return None

    def slack(self) -> tuple[str, str]:
        """Return what Slack says to a message without text: it refuses that only after it has let the sender in.

        So nothing appears in the channel. Nothing of the address is told: it is the password.
        """
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        from search_ops.hook import SLACK

        try:
            hook = SlackWebhookHook(slack_webhook_conn_id=SLACK, timeout=_ANSWER_SECONDS, retry_handlers=[])
            answer = hook.client.send(text="")
        except Exception as error:
            return "", f"it cannot be asked: {type(error).__name__}"
        good = answer.status_code == 400 and answer.body in ("no_text", "invalid_payload")
        return "lets us in", "" if good else f"it answers {answer.status_code} {answer.body[:60]}"
