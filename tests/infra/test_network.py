"""The network: who can reach what, and what can leave."""

from collections.abc import Callable

import pytest

from tests.infra.plans import ACCOUNT, REGION, Planned

ENVIRONMENTS = ("dev", "production")
RULES = "module.network.aws_vpc_security_group_{}_rule.connection"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_who_needs_it_can_connect(planned: Callable[[str], Planned], environment: str) -> None:
    """A row that is not here is a way in that nobody decided."""
    plan = planned(environment)
    wanted = {
        "functions_to_search": 443,
        "airflow_to_search": 443,
        "search_api_to_search": 443,
        "airflow_to_source_database": 5432,
        "airflow_to_airflow_database": 5432,
        "airflow_to_broker": 6379,
        "airflow_to_reports": 2049,
        "search_api_to_cache": 6379,
        "api_gateway_to_balancer": 443,
        "airflow_to_search_api": 443,
        "balancer_to_search_api": 8080,
        "balancer_to_airflow": 8080,
        "airflow_to_its_api_server": 8080,
        "functions_to_endpoints": 443,
        "airflow_to_endpoints": 443,
        "search_api_to_endpoints": 443,
    }
    for side in ("ingress", "egress"):
        rules = plan.of(RULES.format(side))
        assert {rule["description"]: rule["from_port"] for rule in rules.values()} == wanted
        for rule in rules.values():
            assert rule["from_port"] == rule["to_port"]
            assert rule["ip_protocol"] == "tcp"
            assert rule["cidr_ipv4"] is None


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_comes_in_from_an_address(planned: Callable[[str], Planned], environment: str) -> None:
    """Operators' networks are in environments.yaml; there is none yet. No older kind of rule is used beside."""
    plan = planned(environment)
    assert not [
        address
        for address, rule in plan.of("aws_vpc_security_group_ingress_rule").items()
        if rule["cidr_ipv4"] or rule["cidr_ipv6"] or rule["prefix_list_id"]
    ]
    assert not plan.of("aws_security_group_rule.")
    for address, group in plan.of(".aws_security_group.").items():
        assert not group.get("ingress"), address
        assert not group.get("egress"), address


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_callers_reach_the_internet_and_by_https_alone(
    planned: Callable[[str], Planned], environment: str
) -> None:
    out = planned(environment).of("aws_vpc_security_group_egress_rule.internet")
    assert {address.rpartition("[")[2] for address in out} == {'"functions"]', '"airflow"]', '"search_api"]'}
    assert {(rule["ip_protocol"], rule["from_port"], rule["to_port"]) for rule in out.values()} == {("tcp", 443, 443)}


def test_databases_have_no_way_out(planned: Callable[[str], Planned]) -> None:
    """The only routes are those of public and private subnets."""
    plan = planned("production")
    routes = plan.of("module.network.aws_route.")
    assert len([address for address in routes if ".nat[" in address]) == 3
    assert len(routes) == 4
    assert not [address for address, subnet in plan.of(".aws_subnet.").items() if subnet["map_public_ip_on_launch"]]


def test_production_outlives_a_zone_and_keeps_calls_in_the_network(planned: Callable[[str], Planned]) -> None:
    dev, production = planned("dev"), planned("production")
    assert len(production.of(".aws_nat_gateway.")) == len(production.of(".aws_subnet.private")) == 3
    assert len(dev.of(".aws_nat_gateway.")) == 1
    assert len(production.of(".aws_vpc_endpoint.gateway")) == len(dev.of(".aws_vpc_endpoint.gateway")) == 2
    assert {endpoint["service_name"].split(".", 3)[3] for endpoint in production.of("endpoint.interface").values()} == {
        *("ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "secretsmanager", "sqs", "ssm", "sts"),
    }
    assert not dev.of("endpoint.interface")


def test_subnets_do_not_overlap(planned: Callable[[str], Planned]) -> None:
    blocks = [subnet["cidr_block"] for subnet in planned("production").of(".aws_subnet.").values()]
    assert len(blocks) == len(set(blocks)) == 9


def test_connections_are_logged(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    log = plan.one("module.network.aws_flow_log.this")
    assert log["traffic_type"] == "ALL"
    assert log["log_destination"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/searchsync/flow-logs"
