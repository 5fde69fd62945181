"""The search API on Fargate: it starts with what it is told, and is replaced without a gap."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.terraform import INFRA
from search_api.settings import FORBIDDEN_IN_PRODUCTION, Settings
from tests.infra import alarms
from tests.infra.plans import Planned

ENVIRONMENTS = ("dev", "production")
EACH = pytest.mark.parametrize("environment", ENVIRONMENTS)
VALUES_OF_SECRETS = {"SEARCH_API_CURSOR_KEYS": "5e" * 32}


def container(plan: Planned) -> dict[str, Any]:
    (found,) = json.loads(plan.one("module.api.aws_ecs_task_definition.search_api")["container_definitions"])
    return dict(found)


def told(plan: Planned) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(plan)["environment"]}


@EACH
def test_the_service_starts_with_what_it_is_told(
    planned: Callable[[str], Planned], environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each environment on AWS is a production service; one wrong or missing variable, and it does not start."""
    plan = planned(environment)
    for name in FORBIDDEN_IN_PRODUCTION:
        monkeypatch.delenv(name, raising=False)
    given = told(plan)
    assert {one["name"] for one in container(plan)["secrets"]} == VALUES_OF_SECRETS.keys()
    assert not set(given) & {*VALUES_OF_SECRETS, *FORBIDDEN_IN_PRODUCTION}
    for name, value in {**given, **VALUES_OF_SECRETS}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-the-task-role")
    settings = Settings.from_environment()
    assert not settings.in_development
    assert settings.opensearch.signer is not None, "requests to the domain are signed"
    assert settings.audience == ("client1", "client2")
    assert settings.issuer == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
    assert settings.port == container(plan)["portMappings"][0]["containerPort"]
    assert settings.address_header == "x-client-address"
    assert settings.trusted_proxies == 0


@EACH
def test_the_header_with_the_address_is_the_one_that_the_gateway_overwrites(
    planned: Callable[[str], Planned], environment: str
) -> None:
    """With another one, callers would write their own address, or share one limit."""
    plan = planned(environment)
    (integration,) = plan.of(".aws_apigatewayv2_integration.").values()
    header = told(plan)["SEARCH_API_ADDRESS_HEADER"]
    assert integration["request_parameters"][f"overwrite:header.{header}"] == "$context.identity.sourceIp"


@EACH
def test_it_runs_as_nobody_on_a_file_system_that_it_cannot_write(
    planned: Callable[[str], Planned], environment: str
) -> None:
    plan = planned(environment)
    found = container(plan)
    assert found["readonlyRootFilesystem"] is True
    assert found["user"] == "50000:50000"
    assert found["linuxParameters"]["capabilities"] == {"add": [], "drop": ["ALL"]}
    assert found["image"].endswith(f"@sha256:{'b' * 64}")
    assert found["logConfiguration"]["options"]["awslogs-group"] == "/searchsync/search-api"
    assert plan.one("module.api.aws_ecs_task_definition.search_api")["task_role_arn"].endswith(
        "searchsync-search-api-task"
    )


@EACH
def test_tasks_are_replaced_without_a_gap(planned: Callable[[str], Planned], environment: str) -> None:
    service = planned(environment).one("module.api.aws_ecs_service.search_api")
    assert (service["deployment_minimum_healthy_percent"], service["deployment_maximum_percent"]) == (100, 200)
    assert service["deployment_circuit_breaker"] == [{"enable": True, "rollback": True}]
    assert service["health_check_grace_period_seconds"] == 60
    assert not service["network_configuration"][0]["assign_public_ip"]


SAME = ("launch_type", "health_check_grace_period_seconds", "propagate_tags", "network_configuration")


@EACH
def test_the_service_of_a_canary_is_the_same_without_tasks(planned: Callable[[str], Planned], environment: str) -> None:
    """What it showed of a version would otherwise say nothing about the main service."""
    plan = planned(environment)
    main, canary = (plan.one(f"module.api.aws_ecs_service.{name}") for name in ("search_api", "canary"))
    assert canary["desired_count"] == 0
    assert [canary[name] for name in SAME] == [main[name] for name in SAME]
    (of_main,), (of_canary,) = main["load_balancer"], canary["load_balancer"]
    assert (of_main["container_name"], of_main["container_port"]) == (
        of_canary["container_name"],
        of_canary["container_port"],
    )
    resources = plan.json["configuration"]["root_module"]["module_calls"]["api"]["module"]["resources"]
    references = [
        resource["expressions"]["task_definition"]["references"]
        for resource in resources
        if resource["type"] == "aws_ecs_service"
    ]
    assert len(references) == 2
    assert references[0] == references[1]


def test_terraform_leaves_the_deployment_what_it_shifts() -> None:
    """A plan that set definitions, numbers or weights again would end a canary, or deploy a version at once."""
    for file, count, ignored in (
        ("api/main.tf", 2, "[desired_count, task_definition]"),
        ("api/main.tf", 1, "[suspended_state]"),
        ("edge/canary.tf", 1, "[action]"),
    ):
        text = (INFRA / "modules" / file).read_text(encoding="utf-8")
        assert text.count(f"ignore_changes = {ignored}") == count


@EACH
def test_sizes_and_times_are_those_of_the_table(planned: Callable[[str], Planned], environment: str) -> None:
    plan, value = planned(environment), {name: row[environment] for name, row in alarms.ENVIRONMENTS.items()}
    size, scaling = value["search_api_size"], value["search_api_scaling"]
    definition = plan.one("module.api.aws_ecs_task_definition.search_api")
    assert (definition["cpu"], definition["memory"]) == (str(size["cpu"]), str(size["memory"]))
    assert definition["skip_destroy"] is True, "a rollback goes back to an earlier revision"
    limits = plan.one("module.api.aws_appautoscaling_target.search_api")
    assert (limits["min_capacity"], limits["max_capacity"]) == (scaling["min"], scaling["max"])
    assert plan.one("module.api.aws_ecs_service.search_api")["desired_count"] == scaling["min"]
    assert plan.scheduled("api") == value["search_api_schedule"]


def test_it_scales_by_processor_memory_requests_and_the_clock(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    found = {}
    for policy in plan.of("module.api.aws_appautoscaling_policy.").values():
        (tracked,) = policy["target_tracking_scaling_policy_configuration"]
        (metric,) = tracked["predefined_metric_specification"]
        found[metric["predefined_metric_type"]] = (tracked["target_value"], metric["resource_label"])
    assert found == {
        "ECSServiceAverageCPUUtilization": (70, None),
        "ECSServiceAverageMemoryUtilization": (80, None),
        "ALBRequestCountPerTarget": (
            8000,
            "app/searchsync-search-api/0123456789abcdef/targetgroup/searchsync-search-api/0123456789abcdef",
        ),
    }
    limits = plan.one("module.api.aws_appautoscaling_target.search_api")
    least, most = limits["min_capacity"], limits["max_capacity"]
    assert 3 <= least <= most, "one in each zone"
    actions = plan.of("module.api.aws_appautoscaling_scheduled_action.")
    assert len(actions) == 2
    for action in actions.values():
        (to,) = action["scalable_target_action"]
        assert least <= int(to["min_capacity"]) <= int(to["max_capacity"]) == most
