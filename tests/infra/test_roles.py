"""The policies of the roles: what stands in them means something to AWS, and is no more than is needed."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from searchsync.access.roles import Grant, Place, Role, rendered
from searchsync.catalog import CATALOG, include_dir
from searchsync.heartbeat import Heartbeat
from tests.infra.linter import problems

REPO = Path(__file__).parents[2]
HERE = Place("123456789012", "eu-west-1", "eu-central-1", "owner/name", "production")
FROM_EXPORT = [replace(entity, read_from="export") for entity in CATALOG.values() if entity.source == "dynamodb"]
ROLES = rendered(HERE, FROM_EXPORT)
MOST_CHARACTERS = 10_240
"""Of all inline policies of a role, without white space
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html)."""

GOOD = Grant(
    calls=("sqs:SendMessage",),
    resources=("arn:aws:sqs:eu-west-1:123456789012:members-dlq",),
    when={},
    where="somewhere",
    by="",
    why="",
    unlimited="",
    deny=False,
)
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/members"


def test_the_file_is_what_its_schema_says() -> None:
    folder = include_dir() / "policies"
    schema = json.loads((folder / "roles.schema.json").read_text(encoding="utf-8"))
    said = yaml.safe_load((folder / "roles.yaml").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert not [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(said)]


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_each_grant_means_something_and_is_limited(role: Role) -> None:
    found = [
        f"{role.name}, grant {number}: {one}" for number, grant in enumerate(role.grants) for one in problems(grant)
    ]
    assert not found, "correct include/policies/roles.yaml:\n" + "\n".join(found)


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_aws_takes_the_policy(role: Role) -> None:
    assert len(json.dumps(role.policy, separators=(",", ":"))) <= MOST_CHARACTERS
    assert len(role.name) <= 64


def test_a_role_grants_nothing_twice() -> None:
    for role in ROLES.values():
        pairs = Counter(
            (call, arn, json.dumps(grant.when, sort_keys=True))
            for grant in role.grants
            if not grant.deny
            for call in grant.calls
            for arn in grant.resources
        )
        assert not [pair for pair, times in pairs.items() if times > 1], role.name


def test_the_code_that_is_named_is_there() -> None:
    for role in ROLES.values():
        for grant in role.grants:
            assert not grant.where or (REPO / grant.where).is_file(), f"{role.name}: there is no {grant.where}"


PLANTED = {
    "no service": (replace(GOOD, calls=("sqss:SendMessage",)), "no call of AWS"),
    "no action": (replace(GOOD, calls=("sqs:SendMessages",)), "no call of AWS"),
    "an action in the wrong case": (replace(GOOD, calls=("sqs:sendMessage",)), "no call of AWS"),
    "a pattern that matches nothing": (replace(GOOD, calls=("sqs:Sent*",), why="x"), "no call of AWS"),
    "the void grant of the documents": (
        replace(GOOD, calls=("dynamodb:ListStreams",), resources=(f"{TABLE}/stream/*",), why="x"),
        "takes no resource",
    ),
    "a stream's call on a table": (replace(GOOD, calls=("dynamodb:GetRecords",), resources=(TABLE,)), "does not take"),
    "a table's call on a stream": (
        replace(GOOD, calls=("dynamodb:Scan",), resources=(f"{TABLE.replace('table', 'tables')}",)),
        "does not take",
    ),
    "an object's call on a bucket": (
        replace(GOOD, calls=("s3:GetObject",), resources=("arn:aws:s3:::bucket",)),
        "does not take",
    ),
    "another service's resource": (replace(GOOD, resources=(TABLE,)), "does not take"),
    "everything": (replace(GOOD, resources=("*",), why="x"), "can be limited to queue"),
    "a wildcard without a reason": (
        replace(GOOD, resources=("arn:aws:sqs:*:123456789012:members-dlq",)),
        "without a why",
    ),
    "all calls without a reason": (replace(GOOD, calls=("sqs:*",)), "without a why"),
    "an unknown condition key": (
        replace(GOOD, when={"StringEquals": {"sqs:Queue": "members-dlq"}}),
        "no condition key sqs:Queue",
    ),
    "another service's condition key": (
        replace(GOOD, when={"StringEquals": {"kms:ViaService": "x"}}),
        "no condition key kms:ViaService",
    ),
    "a word that nothing stands for": (
        replace(GOOD, resources=("arn:aws:sqs:eu-west-1:${acount}:members-dlq",)),
        "nothing stands",
    ),
}


@pytest.mark.parametrize(("grant", "said"), PLANTED.values(), ids=PLANTED)
def test_a_planted_error_is_found(grant: Grant, said: str) -> None:
    assert not [*problems(GOOD)]
    assert [one for one in problems(grant) if said in one], [*problems(grant)]


def test_what_an_entity_is_not_read_from_is_not_granted() -> None:
    scanned = rendered(HERE, [replace(entity, read_from="scan") for entity in FROM_EXPORT])
    assert "dynamodb:ExportTableToPointInTime" in calls(ROLES["searchsync-airflow-task"])
    assert not {"dynamodb:ExportTableToPointInTime", "s3:PutObject"} & calls(scanned["searchsync-airflow-task"])
    assert "-exports-" not in str(scanned["searchsync-airflow-task"].policy)


def test_the_dags_may_write_the_partition_of_each_heartbeat_and_no_other() -> None:
    """A statement for each table: with one for all, each table would be open for the heartbeats of all others."""
    (members,) = FROM_EXPORT
    other = Heartbeat({"member_id": "orders-searchsync-heartbeat"})
    orders = replace(members, name="orders", table="orders", heartbeat=other)
    unmeasured = replace(members, name="others", table="others", heartbeat=None)
    role = rendered(HERE, [members, orders, unmeasured])["searchsync-airflow-task"]
    writes = [grant for grant in role.grants if "dynamodb:PutItem" in grant.calls]
    assert [(grant.calls, grant.resources, grant.when) for grant in writes] == [
        (
            ("dynamodb:DeleteItem", "dynamodb:PutItem"),
            (f"arn:aws:dynamodb:{HERE.region}:{HERE.account}:table/{table}",),
            {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [key]}},
        )
        for table, key in (("members", "searchsync-heartbeat"), ("orders", "orders-searchsync-heartbeat"))
    ]


def test_each_entity_has_its_own_role_and_no_other_entitys_queue() -> None:
    (members,) = FROM_EXPORT
    roles = rendered(HERE, [members, replace(members, name="orders", table="orders-v2")])
    assert {name for name in roles if "stream" in name} == {"searchsync-stream-members", "searchsync-stream-orders"}
    text = json.dumps(roles["searchsync-stream-orders"].policy)
    assert ":orders-dlq" in text
    assert "table/orders-v2/stream" in text
    assert "members" not in text
    assert json.dumps(roles["searchsync-airflow-task"].policy).count(":members-dlq") == 3


def test_only_workflows_of_this_repository_and_environment_may_deploy() -> None:
    (statement,) = ROLES["searchsync-deploy"].trust["Statement"]
    keys = statement["Condition"]["StringEquals"]
    assert keys["token.actions.githubusercontent.com:sub"] == "repo:owner/name:environment:production"
    assert keys["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    assert list(statement["Condition"]) == ["StringEquals"], "no pattern"


def test_no_role_but_that_of_the_deployment_may_give_rights() -> None:
    """Else whoever takes over a part could give itself all."""
    giving = (
        "iam:",
        "sts:",
        "kms:PutKeyPolicy",
        "kms:CreateGrant",
        "s3:PutBucketPolicy",
        "sqs:AddPermission",
        "lambda:",
    )
    looks = re.compile(r"(iam|lambda):(Get|List|Simulate)")
    for name, role in ROLES.items():
        if name not in ("searchsync-deploy", "searchsync-opensearch-admin"):
            assert not [call for call in calls(role) if call.startswith(giving) and not looks.match(call)], name


def calls(role: Role) -> set[str]:
    return {call for grant in role.grants if not grant.deny for call in grant.calls}
