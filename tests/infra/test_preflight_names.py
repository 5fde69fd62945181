"""The preflight looks for what Terraform makes, under the names that Terraform gives."""

from collections.abc import Callable

from searchsync.alarms import PREFIX
from searchsync.catalog import CATALOG
from searchsync.preflight import network, stream
from searchsync.stream import event_source
from tests.infra.plans import Planned

MEMBERS = CATALOG["members"]


def test_endpoints_are_those_of_production(planned: Callable[[str], Planned]) -> None:
    found = planned("production").of(".aws_vpc_endpoint.")
    services = {values["service_name"].removeprefix("com.amazonaws.eu-west-1."): values for values in found.values()}
    kinds = {name: values["vpc_endpoint_type"] for name, values in services.items()}
    assert kinds == dict.fromkeys(network.GATEWAYS, "Gateway") | dict.fromkeys(network.INTERFACES, "Interface")


def test_names_are_those_of_the_plan(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    looked = stream._Stream(None, MEMBERS)  # type: ignore[arg-type]
    assert plan.one('module.stream.aws_lambda_function.stream["members"]')["function_name"] == looked.function
    assert plan.one('module.stream.aws_lambda_alias.live["members"]')["name"] == event_source.ALIAS
    queues = {values["name"] for values in plan.of("module.stream.aws_sqs_queue.").values()}
    assert set(looked.queues) <= queues
    assert plan.one("module.search.aws_opensearch_domain.this")["domain_name"] == PREFIX
    assert plan.one("module.network.aws_vpc.this")["tags"]["Name"] == PREFIX
    assert plan.one("module.edge.aws_cognito_user_pool.this")["name"] == PREFIX
