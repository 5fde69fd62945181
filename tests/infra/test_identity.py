"""The roles that Terraform makes are those of the file, and what they may use is there."""

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import pytest
import yaml

from local.terraform import INFRA
from searchsync.access.roles import Place, Role, rendered
from searchsync.catalog import CATALOG
from tests.infra.plans import ACCOUNT, REGION, Planned

Plans = Callable[[str], Planned]


def asked_for(environment: str) -> dict[str, Role]:
    """The roles of the file for an environment."""
    table = yaml.safe_load((INFRA / "environments.yaml").read_text(encoding="utf-8"))
    values = {name: row[environment] for name, row in table.items()}
    replica = values["replica_region"] or REGION
    return rendered(Place(ACCOUNT, REGION, replica, values["github_repository"], environment), CATALOG.values())


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_terraform_renders_what_the_checks_render(planned: Plans, environment: str) -> None:
    """Else the linter and the proof by record would be about other policies than those that are applied."""
    plan, roles = planned(environment), asked_for(environment)
    made = {values["name"]: values for values in plan.of(".aws_iam_role.").values()}
    policies = {values["role"]: values for values in plan.of(".aws_iam_role_policy.").values()}
    assert made.keys() == policies.keys() == roles.keys()
    for name, role in roles.items():
        assert json.loads(made[name]["assume_role_policy"]) == role.trust, name
        assert json.loads(policies[name]["policy"]) == role.policy, name


def test_nothing_is_granted_elsewhere(planned: Plans) -> None:
    """A policy beside the file is one that nobody lints and nothing proves."""
    plan = planned("production")
    elsewhere = [
        address for address in plan.values if "aws_iam" in address and not address.startswith("module.identity.")
    ]
    assert not elsewhere
    assert not {**plan.of("aws_iam_role_policy_attachment"), **plan.of("aws_iam_policy.")}


def test_each_role_that_is_used_is_made(planned: Plans) -> None:
    """A service that is given a role of another name fails when it first needs it."""
    plan = planned("production")
    made = {values["name"] for values in plan.of(".aws_iam_role.").values()}
    used = {
        name: address
        for address, values in plan.values.items()
        for name in re.findall(rf"arn:aws:iam::{ACCOUNT}:role/(searchsync-[a-z-]+[a-z])", json.dumps(values))
    }
    assert used.keys() <= made, {name: used[name] for name in used.keys() - made}


NAMED: Mapping[str, Callable[[str], tuple[str, str]]] = {
    "dynamodb": lambda arn: ("aws_dynamodb_table", arn.split("table/")[1].split("/")[0]),
    "sqs": lambda arn: ("aws_sqs_queue", arn.rsplit(":", 1)[1]),
    "s3": lambda arn: ("aws_s3_bucket", arn.split(":::")[1].split("/")[0]),
    "logs": lambda arn: ("aws_cloudwatch_log_group", arn.split("log-group:")[1].split(":")[0]),
    "secretsmanager": lambda arn: ("aws_secretsmanager_secret", arn.split("secret:")[1].removesuffix("-??????")),
    "es": lambda arn: ("aws_opensearch_domain", arn.split("domain/")[1].split("/")[0]),
    "lambda": lambda arn: ("aws_lambda_function", arn.split("function:")[1].split(":")[0]),
}
"""How the resource that an ARN is about is found in a plan: its type, and its name."""


def test_what_may_be_used_is_there(planned: Plans) -> None:
    """A grant on a resource of another name is void. The deployment may make more than there is."""
    plan = planned("production")
    there = {
        (kind, values.get("name") or values.get("bucket") or values.get("domain_name") or values.get("function_name"))
        for kind in {one("a:b:c:d/table/x:::log-group:secret:domain/function:x")[0] for one in NAMED.values()}
        for address, values in plan.of(f".{kind}.").items()
    }
    missing = set()
    for name, role in asked_for("production").items():
        for arn in [arn for grant in role.grants for arn in grant.resources if name != "searchsync-deploy"]:
            service = arn.split(":")[2] if arn != "*" else ""
            if service in NAMED and "RDS*" not in arn:
                kind, named = NAMED[service](arn)
                if not any(kind == one and fnmatchcase(str(other), named) for one, other in there):
                    missing.add(f"{name}: {arn}")
    assert not missing


TAKEN_BY: Mapping[str, Mapping[str, str]] = {
    "module.airflow.aws_ecs_task_definition.": {
        "task_role_arn": "airflow-task",
        "execution_role_arn": "airflow-execution",
    },
    "module.api.aws_ecs_task_definition.": {
        "task_role_arn": "search-api-task",
        "execution_role_arn": "search-api-execution",
    },
    ".aws_flow_log.": {"iam_role_arn": "flow-logs"},
    ".aws_db_instance.": {"monitoring_role_arn": "rds-monitoring"},
    ".aws_s3_bucket_replication_configuration.": {"role": "replication"},
}
"""Roles by what takes them, and as what; those of functions, of the domain and of the chat are with their own tests."""


@pytest.mark.parametrize("kind", TAKEN_BY)
def test_each_thing_takes_the_role_that_is_made_for_it(planned: Plans, kind: str) -> None:
    """With another one's, it may do what nobody thought of, and is refused what it needs."""
    things = planned("production").of(kind)
    assert things
    for address, values in things.items():
        for attribute, role in TAKEN_BY[kind].items():
            assert values[attribute] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-{role}", address


ALLOWED_BY_THINGS = {
    "aws_cloudwatch_log_resource_policy": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "aws_kms_key": {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"},
    "aws_opensearch_domain": {"es:ESHttp*"},
    "aws_s3_bucket_policy": {"s3:PutObject"},
    "aws_sns_topic_policy": {"sns:Publish"},
    "aws_sqs_queue_policy": {"sqs:SendMessage"},
}
"""What the policies of things themselves allow, by kind. The account has all of a key: its roles' policies decide."""


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_things_let_in_their_account_and_services_for_it_alone(planned: Plans, environment: str) -> None:
    """A principal that is forgotten here is everybody, and no role's policy says otherwise."""
    documents = {
        address: json.loads(document)
        for address, values in planned(environment).values.items()
        for document in map(values.get, ("policy", "policy_document", "access_policies"))
        if document and not address.startswith("module.identity.")
    }
    kinds = {address: next(part for part in address.split(".") if part.startswith("aws_")) for address in documents}
    assert {*kinds.values()} == ALLOWED_BY_THINGS.keys()
    for kind in ALLOWED_BY_THINGS:
        assert planned(environment).of(f".{kind}.").keys() <= documents.keys(), "a policy that no plan shows"
    for address, document in documents.items():
        for statement in document["Statement"]:
            if statement["Effect"] == "Deny":
                continue
            calls, who = statement["Action"], statement["Principal"]
            said = {calls} if isinstance(calls, str) else {*calls}
            if who == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}:
                assert said <= ALLOWED_BY_THINGS[kinds[address]] | {"kms:*"}, address
                continue
            assert re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com", who["Service"]), address
            assert who.keys() == {"Service"}, address
            assert said <= ALLOWED_BY_THINGS[kinds[address]], address
            assert ACCOUNT in json.dumps([statement["Resource"], statement.get("Condition")]), address
