"""The services of the cluster: whether each runs what was deployed, and the way back to its previous definition."""

import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, Final

from local.errors import LocalError

CLUSTER: Final = "searchsync"
MIGRATION: Final = "searchsync-airflow-migrate"
SCHEDULER: Final = "searchsync-airflow-scheduler"
ADMINISTRATOR: Final = "searchsync-opensearch-admin"
SEARCH_API: Final = "searchsync-search-api"
CANARY: Final = "searchsync-search-api-canary"
"""The service beside the one of the search API: it has tasks during a canary alone, and belongs to no release."""
PATIENCE_SECONDS: Final = 1800.0
"""Seconds until all services must run what was deployed; a worker finishes its tasks first."""

_POLL_SECONDS = 15.0
_DESCRIBED_AT_ONCE = 10


def definitions(ecs: Any) -> dict[str, str]:
    """Return the task definition of each service, by the service's name."""
    return {service["serviceName"]: service["taskDefinition"] for service in _services(ecs)}


def await_images(
    ecs: Any,
    images: set[str],
    say: Callable[[str], None],
    but: Collection[str] = (),
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Wait until every service has replaced its tasks, and runs one of the images that were deployed.

    :param but: services that are not waited for
    :raises LocalError: when one does not, because ECS has brought it back or the time is up
    """
    waited: set[str] = set()
    end = time.monotonic() + patience
    while unfinished := {name: why for name, why, failed in _rollouts(ecs, but) if _is_open(name, why, failed)}:
        if time.monotonic() > end:
            told = "; ".join(f"{name}: {why}" for name, why in sorted(unfinished.items()))
            raise LocalError(f"after {patience / 60:.0f} minutes these services still replace their tasks: {told}")
        if new := unfinished.keys() - waited:
            say(f"waiting for {', '.join(sorted(new))}")
            waited |= new
        time.sleep(_POLL_SECONDS)
    if others := {name: found for name, found in _images(ecs, but).items() if not images & {*found}}:
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


def newest(ecs: Any, family: str) -> str:
    """Return the ARN of the newest task definition of a family: the one that Terraform has made."""
    arn: str = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["taskDefinitionArn"]
    return arn


def desired(ecs: Any, name: str) -> int:
    """Return how many tasks a service is to have."""
    return int(_one(ecs, name)["desiredCount"])


def running_since(ecs: Any, name: str) -> datetime:
    """Return when a service began to run what it runs."""
    since: datetime = _primary(_one(ecs, name))["createdAt"]
    return since


def put(ecs: Any, name: str, definition: str | None, tasks: int | None = None) -> None:
    """Let a service run a task definition, and so many tasks; None leaves it as it is."""
    found = _one(ecs, name)
    wanted = {"taskDefinition": definition, "desiredCount": tasks}
    changed = {field: value for field, value in wanted.items() if value is not None and value != found[field]}
    if changed:
        _, failed = _rollout(found)  # a deployment that failed starts no task any more, whatever their number is
        ecs.update_service(cluster=CLUSTER, service=name, forceNewDeployment=failed, **changed)


def await_tasks(
    ecs: Any,
    name: str,
    definition: str,
    healthy: Callable[[str], int],
    say: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Wait until a service runs a task definition alone, and all of its tasks are healthy.

    :param healthy: returns how many tasks of a service are
    :raises LocalError: when they do not become healthy, or the time is up
    """
    end, said = time.monotonic() + patience, False
    while True:
        service = _one(ecs, name)
        why, failed = _rollout(service)
        if _primary(service)["taskDefinition"] != definition:
            raise LocalError(f"ECS brought {name} back, because its new tasks did not stay healthy")
        if failed:
            raise LocalError(f"the deployment of the service {name} failed: {why}")
        if not why and healthy(name) >= service["desiredCount"]:
            return
        if time.monotonic() > end:
            raise LocalError(
                f"after {patience / 60:.0f} minutes {name} has too few healthy tasks: {why or 'see its log'}"
            )
        if not said:
            say(f"waiting for {name}")
            said = True
        time.sleep(_POLL_SECONDS)


def _is_open(name: str, why: str, failed: bool) -> bool:
    if failed:
        raise LocalError(f"the deployment of the service {name} failed, and ECS brings it back: {why}")
    return bool(why)


def _rollouts(ecs: Any, but: Collection[str]) -> Iterator[tuple[str, str, bool]]:
    """Of each service: its name, why its deployment is not over ("" when it is), and whether it failed."""
    for service in _services(ecs):
        if service["serviceName"] not in but:
            yield service["serviceName"], *_rollout(service)


def _rollout(service: dict[str, Any]) -> tuple[str, bool]:
    """Why the deployment of a service is not over ("" when it is), and whether it failed."""
    primary = _primary(service)
    state = primary.get("rolloutState", "COMPLETED")
    return "" if state == "COMPLETED" else primary.get("rolloutStateReason") or state, state == "FAILED"


def _primary(service: dict[str, Any]) -> dict[str, Any]:
    (primary,) = (one for one in service["deployments"] if one["status"] == "PRIMARY")
    return dict(primary)


def _images(ecs: Any, but: Collection[str]) -> dict[str, list[str]]:
    """The images of each service's containers: its own one, and those that run beside it."""
    found = {}
    for name, definition in definitions(ecs).items():
        if name in but:
            continue
        described = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        found[name] = [container["image"] for container in described["containerDefinitions"]]
    return found


def _one(ecs: Any, name: str) -> dict[str, Any]:
    (found,) = ecs.describe_services(cluster=CLUSTER, services=[name])["services"]
    return dict(found)


def _services(ecs: Any) -> list[dict[str, Any]]:
    """All services that a release consists of."""
    arns = [arn for page in ecs.get_paginator("list_services").paginate(cluster=CLUSTER) for arn in page["serviceArns"]]
    found: list[dict[str, Any]] = []
    for first in range(0, len(arns), _DESCRIBED_AT_ONCE):
        some = arns[first : first + _DESCRIBED_AT_ONCE]
        found += ecs.describe_services(cluster=CLUSTER, services=some)["services"]
    return [one for one in found if one["serviceName"] != CANARY]
