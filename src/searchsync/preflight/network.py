"""The network: that calls to AWS need not leave it, and that OpenSearch is in it and takes no other calls."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from searchsync.alarms import PREFIX
from searchsync.preflight.checks import Check, Finding, NotAsItShould, differences
from searchsync.preflight.tables import APPLY
from searchsync.preflight.target import Target

GATEWAYS = ("dynamodb", "s3")
INTERFACES = ("ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "secretsmanager", "sqs", "ssm", "sts")
"""Services that are called through an interface endpoint where ``interface_endpoints`` says so."""


def checks(target: Target) -> Iterator[Check]:
    """Yield a check of each VPC endpoint, and of the domain."""
    yield Check(
        "OpenSearch domain",
        PREFIX,
        "what is indexed could be read on its way, or by somebody else",
        APPLY,
        partial(_domain, target.aws("opensearch")),
    )
    client = target.aws("ec2")
    for service in (*GATEWAYS, *(INTERFACES if target.values["interface_endpoints"] else ())):
        yield Check(
            "VPC endpoint",
            service,
            "calls would leave the network, or not arrive at all",
            APPLY,
            partial(_endpoint, client, f"com.amazonaws.{target.region}.{service}"),
        )


def _endpoint(client: Any, service: str) -> Finding:
    networks = client.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [PREFIX]}])["Vpcs"]
    if len(networks) != 1:
        raise NotAsItShould(f"{len(networks)} VPCs are named {PREFIX}, instead of one")
    filters = [{"Name": "vpc-id", "Values": [networks[0]["VpcId"]]}, {"Name": "service-name", "Values": [service]}]
    found = client.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    if not found:
        raise NotAsItShould(f"{networks[0]['VpcId']} has none")
    endpoint = found[0]
    problems = [] if endpoint["State"].lower() == "available" else [f"it is {endpoint['State']}"]
    if not (endpoint.get("RouteTableIds") or endpoint.get("SubnetIds")):
        problems.append("no route table and no subnet uses it")
    return Finding(endpoint["VpcEndpointId"], problems)


def _domain(client: Any) -> Finding:
    found = client.describe_domain(DomainName=PREFIX)["DomainStatus"]
    rights = found.get("AdvancedSecurityOptions", {})
    has = {
        "in a VPC": bool(found.get("VPCOptions", {}).get("SubnetIds")),
        "encrypted": found.get("EncryptionAtRestOptions", {}).get("Enabled"),
        "encrypted between nodes": found.get("NodeToNodeEncryptionOptions", {}).get("Enabled"),
        "HTTPS alone": found.get("DomainEndpointOptions", {}).get("EnforceHTTPS"),
        "fine-grained rights": rights.get("Enabled"),
        "without passwords": not rights.get("InternalUserDatabaseEnabled"),
    }
    return Finding(found["EngineVersion"], differences(dict.fromkeys(has, True), has))
