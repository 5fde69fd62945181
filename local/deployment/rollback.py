"""The way back to the release before: traffic first, in seconds; then Terraform, with the plan of that commit.

Nothing is destroyed: a plan that would is refused, and what the newer release added to it stays.
"""

from dataclasses import replace
from typing import Any

from local.deployment import checkout, functions, release, search_api, services
from local.deployment.approval import Approval
from local.deployment.deploy import saved_plan, say, show, smoke
from local.deployment.release import Release
from local.deployment.target import Target, clients
from local.errors import LocalError
from local.paths import LOCAL

_COMMAND = "scripts/rollback.sh"


def roll_back(target: Target, approval: Approval) -> None:
    """Go back to the newest release that was completed before the one that runs.

    :raises LocalError: with what was changed and what was not
    """
    aws = clients(target.session())
    wanted = release.previous(aws["ssm"])
    say(f"{target.environment} goes back to {wanted.commit[:12]}")
    if not approval.plan_only:
        _bring_traffic_back(aws, wanted)
    try:
        applied = _apply_its_plan(target, approval, wanted)
    except LocalError as error:
        if approval.plan_only:
            raise
        raise LocalError(
            f"functions and services are back at {wanted.commit[:12]}; the rest of the environment is not: {error}"
        ) from None
    if applied:
        services.await_images(aws["ecs"], {wanted.airflow_image, wanted.search_api_image}, say)
        smoke(target, aws["ssm"])
        release.record(aws["ssm"], replace(wanted, task_definitions=services.definitions(aws["ecs"])))
        say(f"{target.environment} runs {wanted.commit[:12]}")


def _bring_traffic_back(aws: dict[str, Any], wanted: Release) -> None:
    for name, version in wanted.functions.items():
        functions.put(aws["lambda"], name, version)
        say(f"{name}: version {version} gets all events")
    search_api.leave(aws)
    say(f"{services.SEARCH_API} gets all searches, and no task runs beside")
    services.bring_back(aws["ecs"], wanted.task_definitions, say)


def _apply_its_plan(target: Target, approval: Approval, wanted: Release) -> bool:
    with checkout.at(wanted.commit) as folder:
        work = LOCAL / "deployment" / target.environment
        terraform = target.terraform(folder, work)
        plan = saved_plan(terraform, target.variables(wanted, checkout.packages(folder)), work)
        if not approval.given(terraform.show(plan), _COMMAND):
            return False
        terraform.apply(plan, event=show)
        return True
