"""A deployment ends when every service runs its image, and says which one does not."""

from typing import Any

import pytest

from local.deployment import services
from local.errors import LocalError
from tests.unit.local.deployment.conftest import IMAGES, define


def silent(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_POLL_SECONDS", 0.0)


class Answers:
    """A client that answers some calls as it is told, one answer after the other, the last one again and again."""

    def __init__(self, client: Any, **answers: list[Any]) -> None:
        self._client, self._answers = client, answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in self._answers:
            return getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            told = self._answers[name]
            return told.pop(0) if len(told) > 1 else told[0]

        return call


def rollout(state: str, definition: str = "x", reason: str = "") -> dict[str, Any]:
    primary = {"status": "PRIMARY", "rolloutState": state, "rolloutStateReason": reason}
    service = {
        "serviceName": services.SEARCH_API,
        "taskDefinition": definition,
        "deployments": [primary, {"status": "ACTIVE", "rolloutState": "COMPLETED"}],
    }
    return {"services": [service]}


def test_services_with_the_image_are_deployed(cluster: dict[str, Any]) -> None:
    services.await_images(cluster["ecs"], {IMAGES["old"]}, silent)


def test_a_service_that_ecs_brought_back_fails_the_deployment(cluster: dict[str, Any]) -> None:
    """Terraform has succeeded, and the circuit breaker has put the old tasks back: it looks healthy, and is old."""
    with pytest.raises(
        LocalError, match=rf"brought services back.*searchsync-search-api runs collector, {IMAGES['old']}"
    ):
        services.await_images(cluster["ecs"], {IMAGES["new"]}, silent)


def test_it_waits_until_the_tasks_are_replaced(cluster: dict[str, Any]) -> None:
    new = define(cluster, services.SEARCH_API, IMAGES["new"])
    said: list[str] = []
    answers = [rollout("IN_PROGRESS", new), rollout("IN_PROGRESS", new), rollout("COMPLETED", new)]
    ecs = Answers(cluster["ecs"], describe_services=answers)
    services.await_images(ecs, {IMAGES["new"]}, said.append)
    assert said == ["waiting for searchsync-search-api"]


def test_a_failed_rollout_is_told_at_once(cluster: dict[str, Any]) -> None:
    ecs = Answers(cluster["ecs"], describe_services=[rollout("FAILED", reason="tasks failed to start")])
    with pytest.raises(LocalError, match="searchsync-search-api failed, and ECS brings it back: tasks failed to start"):
        services.await_images(ecs, set(), silent)


def test_the_wait_ends(cluster: dict[str, Any]) -> None:
    ecs = Answers(cluster["ecs"], describe_services=[rollout("IN_PROGRESS", reason="2 of 3 run")])
    with pytest.raises(LocalError, match=r"after 0 minutes .* searchsync-search-api: 2 of 3 run"):
        services.await_images(ecs, set(), silent, patience=0.0)


def test_services_go_back_to_their_definitions(cluster: dict[str, Any]) -> None:
    before = services.definitions(cluster["ecs"])
    new = define(cluster, services.SEARCH_API, IMAGES["new"])
    cluster["ecs"].update_service(cluster=services.CLUSTER, service=services.SEARCH_API, taskDefinition=new)
    assert services.definitions(cluster["ecs"]) != before
    said: list[str] = []
    services.bring_back(cluster["ecs"], {**before, "of-an-older-release": "x"}, said.append)
    assert services.definitions(cluster["ecs"]) == before
    assert said == ["searchsync-search-api: goes back to searchsync-search-api:1"]


def test_each_service_starts_anew(cluster: dict[str, Any]) -> None:
    ecs = Answers(cluster["ecs"], update_service=[{}])
    services.renew(ecs)
    told = [(arguments["service"], arguments["forceNewDeployment"]) for _, arguments in ecs.calls]
    assert sorted(told) == sorted((name, True) for name in services.definitions(cluster["ecs"]))


def task(status: str, *codes: int) -> dict[str, Any]:
    containers = [{"exitCode": code} for code in codes]
    return {"tasks": [{"taskArn": "t", "lastStatus": status, "containers": containers, "stoppedReason": "why"}]}


def test_the_database_is_migrated_where_the_scheduler_runs(cluster: dict[str, Any]) -> None:
    answers = {"run_task": [task("PENDING")], "describe_tasks": [task("RUNNING"), task("STOPPED", 0)]}
    ecs = Answers(cluster["ecs"], **answers)
    services.migrate(ecs, silent)
    (name, arguments), *_ = ecs.calls
    assert (name, arguments["taskDefinition"]) == ("run_task", services.MIGRATION)
    assert arguments["networkConfiguration"]["awsvpcConfiguration"]["subnets"]


def test_the_roles_of_opensearch_are_made_by_its_master_user_and_nobody_else(cluster: dict[str, Any]) -> None:
    ecs = Answers(cluster["ecs"], run_task=[task("PENDING")], describe_tasks=[task("STOPPED", 0)])
    services.grant_access(ecs, "123456789012", silent)
    (_, arguments), *_ = ecs.calls
    assert arguments["overrides"]["taskRoleArn"] == "arn:aws:iam::123456789012:role/searchsync-opensearch-admin"
    (container,) = arguments["overrides"]["containerOverrides"]
    assert container["command"][-1] == "searchsync access apply --account 123456789012"


@pytest.mark.parametrize("codes", [(1,), (0, 1)])
def test_a_failed_migration_fails_the_deployment(cluster: dict[str, Any], codes: tuple[int, ...]) -> None:
    ecs = Answers(cluster["ecs"], run_task=[task("PENDING")], describe_tasks=[task("STOPPED", *codes)])
    with pytest.raises(LocalError, match=r"failed \(why\); see its log"):
        services.migrate(ecs, silent)


def test_a_migration_that_does_not_end_is_told(cluster: dict[str, Any]) -> None:
    ecs = Answers(cluster["ecs"], run_task=[task("PENDING")], describe_tasks=[task("RUNNING")])
    with pytest.raises(LocalError, match="has not ended"):
        services.migrate(ecs, silent, patience=0.0)
