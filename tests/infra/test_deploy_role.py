"""The role that deploys may make what the root consists of: a service that it lacks fails in the middle of an apply."""

import re
from functools import cache

import pytest

from local.terraform import INFRA
from searchsync.access.roles import Place, rendered
from searchsync.catalog import CATALOG
from tests.infra.plans import ACCOUNT, REGION

SERVICES = {
    "acm": "acm",
    "apigatewayv2": "apigateway",
    "appautoscaling": "application-autoscaling",
    "chatbot": "chatbot",
    "cloudformation": "cloudformation",
    "cloudwatch": "cloudwatch",
    "cloudwatch_log": "logs",
    "cognito": "cognito-idp",
    "db": "rds",
    "default_security_group": "ec2",
    "dynamodb": "dynamodb",
    "ecs": "ecs",
    "efs": "elasticfilesystem",
    "eip": "ec2",
    "elasticache": "elasticache",
    "flow_log": "ec2",
    "iam": "iam",
    "internet_gateway": "ec2",
    "kms": "kms",
    "lambda": "lambda",
    "lb": "elasticloadbalancing",
    "nat_gateway": "ec2",
    "opensearch": "es",
    "route": "ec2",
    "route53": "route53",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "security_group": "ec2",
    "service_discovery": "servicediscovery",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "subnet": "ec2",
    "vpc": "ec2",
    "wafv2": "wafv2",
}
"""Services of AWS, as its policies name them, by how the provider's resources begin."""

TYPES = sorted(
    {
        kind
        for path in INFRA.rglob("*.tf")
        if ".terraform" not in path.parts
        for kind in re.findall(r'^resource "aws_(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
)


@cache
def granted() -> set[str]:
    """Services of which the role may make some calls."""
    deploy = rendered(Place(ACCOUNT, REGION, REGION, "owner/name", "dev"), CATALOG.values())["searchsync-deploy"]
    return {call.partition(":")[0] for grant in deploy.grants if not grant.deny for call in grant.calls}


@pytest.mark.parametrize("kind", TYPES)
def test_it_may_make_each_kind_of_thing(kind: str) -> None:
    beginning = max((name for name in SERVICES if kind == name or kind.startswith(f"{name}_")), key=len, default="")
    assert beginning, f"aws_{kind}: say here of which service it is"
    assert SERVICES[beginning] in granted()
