"""A person's yes before an index is live, where one is wanted. It holds no worker while it waits."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.standard.operators.hitl import ApprovalOperator

from search_ops import alerts

WAIT = timedelta(hours=4)
"""Then the answer is no."""


class Approval(ApprovalOperator):
    """Waits only when there is a reason to; a no skips what follows.

    :param because: why somebody is asked, a template; nobody is when it renders to nothing
    """

    template_fields: ClassVar[Sequence[str]] = (*ApprovalOperator.template_fields, "because")  # type: ignore[misc]

    def __init__(self, *, because: str, **options: Any) -> None:
        super().__init__(defaults=ApprovalOperator.REJECT, response_timeout=WAIT, **options)
        self.because = because

    def execute(self, context: Any) -> Any:
        """Ask, in Slack too, and wait; or go on at once."""
        if not self.because:
            self.log.info("nobody has to be asked")
            return None
        alerts.approval_wanted(context["dag_run"], self.subject, self.because)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on after the answer; a no, and above all none, is said: the run stays green, and serves nothing."""
        if self.REJECT in event.get("chosen_options", []):
            user = event.get("responded_by_user") or {}
            by = user.get("name") or user.get("id")
            alerts.not_approved(context["dag_run"], self.subject, by, waited=WAIT)
        return super().execute_complete(context, event)
