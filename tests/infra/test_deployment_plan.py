"""What a deployment asks for by name is what Terraform makes under that name."""

from collections.abc import Callable

import pytest

from local.deployment import deploy, functions, release, services, shares
from local.deployment import plan as plans
from tests.infra.plans import Planned

PRODUCTION = "production"


@pytest.fixture(scope="module")
def production(planned: Callable[[str], Planned]) -> Planned:
    return planned(PRODUCTION)


def test_functions_have_their_names_and_the_alias(production: Planned) -> None:
    made = {values["function_name"] for values in production.of(".aws_lambda_function.stream").values()}
    assert made == set(functions.served())
    assert {values["name"] for values in production.of(".aws_lambda_alias.").values()} == {functions.ALIAS}


def test_an_alarm_watches_each_function_and_all_have_the_prefix(production: Planned) -> None:
    alarms = production.of("aws_cloudwatch_metric_alarm.")
    names = [values["alarm_name"] for values in alarms.values()]
    assert len(names) > 20
    assert all(name.startswith(shares.PREFIX) for name in names)
    watched = {value for values in alarms.values() for value in (values["dimensions"] or {}).values()}
    assert set(functions.served()) <= watched


def test_cluster_and_services_have_their_names(production: Planned) -> None:
    assert production.one("aws_ecs_cluster.this")["name"] == services.CLUSTER
    made = {values["name"] for values in production.of(".aws_ecs_service.").values()}
    assert services.SCHEDULER in made
    families = {values["family"] for values in production.of(".aws_ecs_task_definition.").values()}
    assert services.MIGRATION in families
    assert {services.SEARCH_API, services.CANARY} <= made
    assert services.SEARCH_API in families, "its newest definition is what both services of the search API get"
    groups = {values["name"] for values in production.of(".aws_lb_target_group.").values()}
    assert {services.SEARCH_API, services.CANARY} <= groups, "a service's target group is found by the service's name"
    for values in production.of(".aws_ecs_service.").values():
        (breaker,) = values["deployment_circuit_breaker"]
        back = values["name"] != services.CANARY  # which the deployment itself stops
        assert breaker == {"enable": True, "rollback": back}, "else a bad image is only told, and stays"


def test_parameters_are_below_the_path_and_leave_the_release_alone(production: Planned) -> None:
    names = {values["name"] for values in production.of("aws_ssm_parameter.").values()}
    assert names
    assert all(name.startswith(f"{deploy.CONFIGURATION}/SEARCHSYNC_") for name in names)
    assert release.PARAMETER.startswith(f"{deploy.CONFIGURATION}/")
    assert release.PARAMETER not in names


def test_what_holds_data_is_known_as_such(production: Planned) -> None:
    """A type that is not in the list would be destroyed without a word."""
    made = {change["type"] for change in production.json["resource_changes"]}
    assert {"aws_dynamodb_table", "aws_db_instance", "aws_opensearch_domain", "aws_s3_bucket"} <= made
    made_again = made - plans.STATEFUL - {"aws_route_table"}
    for kind in ("database", "db_instance", "table", "bucket", "file_system", "domain", "queue", "user_pool", "zone"):
        assert not {name for name in made_again if name.endswith(f"_{kind}")}, kind
    assert "create         module.data.aws_dynamodb_table" in plans.summary(production.json)
