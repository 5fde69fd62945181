"""One deployment, from the checks before it to the checks after it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.deployment import checkout, functions, mappings, release, search_api, secrets, services
from local.deployment import plan as plans
from local.deployment.approval import Approval
from local.deployment.judge import Judge, airflow
from local.deployment.release import Release
from local.deployment.services import SEARCH_API
from local.deployment.shares import Shares
from local.deployment.target import Target, clients, read_release
from local.errors import LocalError
from local.paths import LOCAL, ROOT
from local.terraform import Terraform, Variables

_COMMAND = "scripts/deploy.sh"
CONFIGURATION: Final = "/searchsync"
"""Where Parameter Store has what a shell needs (infra/configuration.tf)."""
_HEALTHY_SECONDS = 300.0
_POLL_SECONDS = 5.0


def say(text: str) -> None:
    print(text, flush=True)


def deploy(target: Target, approval: Approval) -> None:
    """Deploy the checkout to an environment.

    :raises LocalError: with what was not changed, or how to go back
    """
    new = read_release(checkout.commit(), os.environ)
    aws = clients(target.session())
    before = release.deployed(aws["ssm"])
    if before is not None:
        mappings.check(before.commit)
        sound = preflight(target, aws["ssm"])
        if approval.automatic and not sound:
            raise LocalError(
                f"the preflight of {target.environment} failed before the deployment (above), and with --auto-approve "
                "nobody looks at it. Nothing was changed. Mend it, or run it without --auto-approve"
            )
    work = LOCAL / "deployment" / target.environment
    terraform = target.terraform(ROOT, work)
    plan = saved_plan(terraform, target.variables(new, checkout.packages(ROOT)), work)
    if not approval.given(terraform.show(plan), _COMMAND):
        return
    release.record(aws["ssm"], new)
    try:
        terraform.apply(plan, event=show)
        roll_out(target, aws, new, before)
    except (LocalError, BotoCoreError, ClientError) as error:
        back = f"go back with scripts/rollback.sh --environment {target.environment}, or mend it and deploy again"
        raise LocalError(
            f"{error}. The release is not complete: {back if before else 'mend it and deploy again'}"
        ) from None


def saved_plan(terraform: Terraform, variables: Variables, work: Path) -> Path:
    """Save a plan. Return its file.

    :raises LocalError: when it would destroy what holds data
    """
    plan = work / "plan"
    say("planning ...")
    terraform.plan(variables, plan)
    plans.refuse_loss(terraform.show(plan))
    return plan


def roll_out(target: Target, aws: dict[str, Any], new: Release, before: Release | None) -> None:
    """Bring traffic to what Terraform made, try it, and record it as complete.

    :param before: the newest release that was completed; None in an environment that is empty: no version shares its
        events with another, and nothing can be searched before the first reindex.
    """
    first = before is None
    secrets.fill(aws["secretsmanager"], say)
    services.migrate(aws["ecs"], say)
    services.grant_access(aws["ecs"], target.account_id, say)
    if first:
        services.put(aws["ecs"], SEARCH_API, services.newest(aws["ecs"], SEARCH_API))
        services.renew(aws["ecs"])
    images = {new.airflow_image, new.search_api_image}
    services.await_images(aws["ecs"], images, say, but=() if first else (SEARCH_API,))
    versions = {name: functions.current(aws["lambda"], name) for name in functions.served()}
    if before is not None:
        judge = Judge(lambda: airflow(target.domain_name, aws["secretsmanager"]), new.commit) if target.judged else None
        shares = Shares(aws["cloudwatch"], target.bake_seconds, say, judge)
        # Not what has most traffic now: a deployment that stopped may have left that with a version of no verdict.
        tasks = services.definitions(aws["ecs"]) | before.task_definitions
        search_api.to_newest(aws, shares, tasks[SEARCH_API])
        versions |= {name: version for name, version in before.functions.items() if name in versions}
        versions = functions.to_newest(aws["lambda"], shares, versions)
        smoke(target, aws["ssm"])
    found = services.definitions(aws["ecs"])
    release.record(aws["ssm"], Release(*new.content, functions=versions, task_definitions=found, complete=True))
    say(f"{target.environment} runs {new.commit[:12]}")
    if first:
        say("it is empty: docs/infrastructure/deployment.md says which reindexes come next, and what to check then")


def preflight(target: Target, ssm: Any) -> bool:
    """Run the preflight of the environment, which prints what it finds. Return whether all of it passed."""
    variables = {**os.environ, **configuration(ssm), "AWS_DEFAULT_REGION": target.region}
    command = [sys.executable, "-m", "searchsync.cli.main", "preflight", "--environment", target.environment]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode == 0


def configuration(ssm: Any) -> dict[str, str]:
    """Return the variables of a shell that works with the environment, as infra/configuration.tf keeps them."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=CONFIGURATION)
    found = {one["Name"].rpartition("/")[2]: one["Value"] for page in pages for one in page["Parameters"]}
    return {name: value for name, value in found.items() if name.isupper()}


def smoke(target: Target, ssm: Any) -> None:
    """Try what was deployed.

    :raises LocalError: when the search API does not say that it is healthy, or the preflight fails
    """
    url = f"https://{target.domain_name}/health"
    if why := _unhealthy(url):
        raise LocalError(f"{url} does not answer as it should: {why}")
    say(f"{url}: healthy")
    if not preflight(target, ssm):
        raise LocalError("the preflight failed after the deployment (above)")


def _unhealthy(url: str) -> str:
    """Why the search API is not healthy after some patience: a new name takes a while to be known."""
    end = time.monotonic() + _HEALTHY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return ""
        except urllib.error.HTTPError as error:
            why = f"status {error.code}"
        except OSError as error:
            why = str(error)
        if time.monotonic() > end:
            return why
        time.sleep(_POLL_SECONDS)


def show(event: dict[str, Any]) -> None:
    """Print a line of Terraform's progress."""
    if event.get("type") in ("apply_complete", "change_summary"):
        say(event["@message"])
