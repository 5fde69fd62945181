"""The services of the cluster: whether each runs what was deployed, and the way back to its previous definition."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from local.errors import LocalError

CLUSTER: Final = "searchsync"
MIGRATION: Final = "searchsync-airflow-migrate"
SCHEDULER: Final = "searchsync-airflow-scheduler"
ADMINISTRATOR: Final = "searchsync-opensearch-admin"
PATIENCE_SECONDS: Final = 1800.0
"""Seconds until all services must run what was deployed; a worker finishes its tasks first."""

_POLL_SECONDS = 15.0
_DESCRIBED_AT_ONCE = 10


def definitions(ecs: Any) -> dict[str, str]:
    """Return the task definition of each service, by the service's name."""
    return {service["serviceName"]: service["taskDefinition"] for service in _services(ecs)}


def await_images(ecs: Any, images: set[str], say: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
    """Wait until every service has replaced its tasks, and runs one of the images that were deployed.

    :raises LocalError: when one does not, because ECS has brought it back or the time is up
    """
    waited: set[str] = set()
    end = time.monotonic() + patience
    while unfinished := {name: why for name, why, failed in _rollouts(ecs) if _is_open(name, why, failed)}:
        if time.monotonic() > end:
            told = "; ".join(f"{name}: {why}" for name, why in sorted(unfinished.items()))
            raise LocalError(f"after {patience / 60:.0f} minutes these services still replace their tasks: {told}")
        if new := unfinished.keys() - waited:
            say(f"waiting for {', '.join(sorted(new))}")
            waited |= new
        time.sleep(_POLL_SECONDS)
    if others := {name: found for name, found in _images(ecs).items() if not images & {*found}}:
        told = "; ".join(f"{name} runs {', '.join(found)}" for name, found in sorted(others.items()))
        raise LocalError(f"ECS brought services back, because their new tasks did not stay healthy: {told}")


def migrate(ecs: Any, say: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
    """Bring Airflow's database to the version of the new image: its services wait for that.

    :raises LocalError: when the task fails, or does not end
    """
    say(f"{MIGRATION}: Airflow's database is migrated")
    _run_once(ecs, {}, patience)


def grant_access(ecs: Any, account: str, say: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
    """Make the roles of OpenSearch, inside the network and as its master user: no other may, and nobody is outside.

    :raises LocalError: when the task fails, or does not end
    """
    say(f"{MIGRATION}: the roles of OpenSearch are made")
    command = ["bash", "-ec", f"searchsync access apply --account {account}"]
    overrides = {
        "taskRoleArn": f"arn:aws:iam::{account}:role/{ADMINISTRATOR}",
        "containerOverrides": [{"name": "airflow", "command": command}],
    }
    _run_once(ecs, overrides, patience)


def _run_once(ecs: Any, overrides: dict[str, Any], patience: float) -> None:
    """Run the task of the migration to its end, where the services run.

    :param overrides: what it does instead, and as which role
    """
    scheduler = next(one for one in _services(ecs) if one["serviceName"] == SCHEDULER)
    (started,) = ecs.run_task(
        cluster=CLUSTER,
        taskDefinition=MIGRATION,
        launchType="FARGATE",
        networkConfiguration=scheduler["networkConfiguration"],
        overrides=overrides,
    )["tasks"]
    end = time.monotonic() + patience
    while True:
        (task,) = ecs.describe_tasks(cluster=CLUSTER, tasks=[started["taskArn"]])["tasks"]
        if task["lastStatus"] == "STOPPED":
            break
        if time.monotonic() > end:
            raise LocalError(f"after {patience / 60:.0f} minutes the task {MIGRATION} has not ended; see its log")
        time.sleep(_POLL_SECONDS)
    codes = [container.get("exitCode") for container in task["containers"]]
    if codes != [0] * len(codes):
        raise LocalError(f"the task {MIGRATION} failed ({task.get('stoppedReason') or codes}); see its log")


def renew(ecs: Any) -> None:
    """Let each service start new tasks: ECS has given up those that had no secrets and no database yet."""
    for name in definitions(ecs):
        ecs.update_service(cluster=CLUSTER, service=name, forceNewDeployment=True)


def bring_back(ecs: Any, wanted: dict[str, str], say: Callable[[str], None]) -> None:
    """Let each service run the task definition that it had, as far as it differs."""
    for name, definition in definitions(ecs).items():
        if name in wanted and wanted[name] != definition:
            ecs.update_service(cluster=CLUSTER, service=name, taskDefinition=wanted[name])
            say(f"{name}: goes back to {wanted[name].rpartition('/')[2]}")


def _is_open(name: str, why: str, failed: bool) -> bool:
    if failed:
        raise LocalError(f"the deployment of the service {name} failed, and ECS brings it back: {why}")
    return bool(why)


def _rollouts(ecs: Any) -> Iterator[tuple[str, str, bool]]:
    """Of each service: its name, why its deployment is not over ("" when it is), and whether it failed."""
    for service in _services(ecs):
        (primary,) = (one for one in service["deployments"] if one["status"] == "PRIMARY")
        state = primary.get("rolloutState", "COMPLETED")
        why = "" if state == "COMPLETED" else primary.get("rolloutStateReason") or state
        yield service["serviceName"], why, state == "FAILED"


def _images(ecs: Any) -> dict[str, list[str]]:
    """The images of each service's containers: its own one, and those that run beside it."""
    found = {}
    for name, definition in definitions(ecs).items():
        described = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        found[name] = [container["image"] for container in described["containerDefinitions"]]
    return found


def _services(ecs: Any) -> list[dict[str, Any]]:
    arns = [arn for page in ecs.get_paginator("list_services").paginate(cluster=CLUSTER) for arn in page["serviceArns"]]
    found: list[dict[str, Any]] = []
    for first in range(0, len(arns), _DESCRIBED_AT_ONCE):
        some = arns[first : first + _DESCRIBED_AT_ONCE]
        found += ecs.describe_services(cluster=CLUSTER, services=some)["services"]
    return found
