"""Who says that a plan is applied: a person at the terminal, a digest that a person reviewed, or nobody in between."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.deployment import plan as plans
from local.errors import LocalError

PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Approval:
    """What the command line says about it.

    :param plan_only: whether nothing is applied.
    :param automatic: whether a plan is applied that nobody looked at.
    :param digest: of the plan that a person looked at.
    """

    environment: str
    plan_only: bool = False
    automatic: bool = False
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.automatic and self.environment == PRODUCTION:
            raise LocalError(
                "production takes no --auto-approve: a person looks at each plan. Nothing was changed. Run it with "
                "--plan-only, and then with the --approved DIGEST that it prints"
            )

    def given(self, plan: Mapping[str, Any], command: str, ask: Callable[[str], str] = input) -> bool:
        """Show a plan, and return whether to apply it.

        :param command: the script's name, for the next step that is printed.
        :raises LocalError: when it is not the plan that was approved, or nobody can be asked
        """
        digest = plans.digest(plan)
        again = f"{command} --environment {self.environment} --approved {digest}"
        print(f"{plans.summary(plan)}\nplan {digest}", flush=True)
        if self.plan_only:
            print(f"nothing was changed; to apply just this: {again}", flush=True)
            return False
        if self.automatic or digest == self.digest:
            return True
        if self.digest is not None:
            raise LocalError(
                f"the plan is not the one that was approved ({self.digest}): something changed since. No plan "
                f"was applied. Look at the plan above; to apply it: {again}"
            )
        if not sys.stdin.isatty():
            raise LocalError(f"nobody is here to approve the plan. No plan was applied. To apply it: {again}")
        if ask(f"Type {self.environment} to apply this plan: ") != self.environment:
            raise LocalError("the plan was not approved. No plan was applied")
        return True
