"""What comes out of a check, whatever it meets: a check that cannot look must not seem green."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from opensearchpy.exceptions import AuthorizationException

from search_api.caller import Role as ApiRole
from searchsync.access.roles import Grant, Role
from searchsync.catalog import entity
from searchsync.cluster.client import _typed_errors
from searchsync.errors import IndexUnavailable
from searchsync.preflight import roles, table, tables, users
from searchsync.preflight.checks import Check, Finding, NotApplicable, NotAsItShould, Outcome, Result


def _run(look: Any) -> Result:
    return Check("queue", "members-dlq", "messages would be lost", "apply it", look).run()


def _raising(error: Exception) -> Result:
    def look() -> Finding:
        raise error

    return _run(look)


def _refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetQueueUrl")


def test_what_is_as_it_should_be_needs_no_fix() -> None:
    assert _run(lambda: Finding("14 days")) == Result(
        "queue", "members-dlq", Outcome.PASSED, "14 days", "messages would be lost", ""
    )


@pytest.mark.parametrize(
    ("error", "outcome", "seen", "fix"),
    [
        (NotApplicable("no field ends documents"), Outcome.NOT_APPLICABLE, "no field ends documents", ""),
        (NotAsItShould("there are two"), Outcome.FAILED, "there are two", "apply it"),
        (_refusal("QueueDoesNotExist"), Outcome.FAILED, "QueueDoesNotExist: no", "apply it"),
        (
            _refusal("AccessDenied"),
            Outcome.NOT_ALLOWED,
            "GetQueueUrl: AccessDenied",
            "Let this caller do GetQueueUrl, and look again",
        ),
        (
            EndpointConnectionError(endpoint_url="http://there"),
            Outcome.FAILED,
            'AWS does not answer: Could not connect to the endpoint URL: "http://there"',
            "Look again when it does",
        ),
        (IndexUnavailable("no answer"), Outcome.FAILED, "no answer", "apply it"),
    ],
)
def test_what_stands_in_the_way_is_told(error: Exception, outcome: Outcome, seen: str, fix: str) -> None:
    result = _raising(error)
    assert (result.outcome, result.seen, result.fix) == (outcome, seen, fix)


def test_what_opensearch_does_not_let_the_caller_see_is_not_allowed() -> None:
    """It is not the index that is wrong, so the index is not made anew. A block is no refusal of the caller."""

    def look(kind: str) -> Finding:
        with _typed_errors():
            raise AuthorizationException(403, kind, {"error": {"type": kind, "reason": "indices:admin/get"}})

    result = _run(lambda: look("security_exception"))
    assert result.outcome is Outcome.NOT_ALLOWED
    assert "indices:admin/get" in result.seen
    assert result.fix == "Let this caller do it, and look again"
    assert _run(lambda: look("cluster_block_exception")).outcome is Outcome.FAILED


def test_the_table_says_why_and_what_to_do_only_where_something_is_wrong() -> None:
    results = [
        _run(lambda: Finding("14 days")),
        _run(lambda: Finding("", ["RedrivePolicy is set"])),
        _raising(_refusal("AccessDenied")),
    ]
    assert list(table.lines(results)) == [
        "queue  members-dlq  pass: 14 days",
        "queue  members-dlq  FAIL: RedrivePolicy is set",
        "       why: messages would be lost",
        "       fix: apply it",
        "queue  members-dlq  NOT ALLOWED TO LOOK: GetQueueUrl: AccessDenied",
        "       why: messages would be lost",
        "       fix: Let this caller do GetQueueUrl, and look again",
        "1 pass, 1 FAIL, 1 NOT ALLOWED TO LOOK",
    ]


ROLE = Role(
    name="searchsync-snapshot",
    part="snapshot",
    does="Saves indexes.",
    trust={"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "es.amazonaws.com"}}]},
    grants=(
        Grant(
            calls=("s3:GetObject", "s3:PutObject"),
            resources=("arn:aws:s3:::searchsync-snapshots/*",),
            when={"StringEquals": {"s3:x-amz-acl": "private"}},
            where="",
            by="OpenSearch",
            why="",
            unlimited="",
            deny=False,
        ),
    ),
)
ARN = "arn:aws:iam::123456789012:role/searchsync-snapshot"


def _iam() -> Any:
    return boto3.client("iam", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")


@pytest.mark.parametrize(("decision", "problems"), [("allowed", 0), ("explicitDeny", 1)])
def test_aws_itself_says_whether_a_role_may_do_its_work(decision: str, problems: int) -> None:
    """A boundary, or a rule of the organisation, is not in the role's own documents."""
    client = _iam()
    asked = {
        "PolicySourceArn": ARN,
        "ActionNames": ["s3:GetObject", "s3:PutObject"],
        "ResourceArns": ["arn:aws:s3:::searchsync-snapshots/sample"],
        "ContextEntries": [
            {"ContextKeyName": "s3:x-amz-acl", "ContextKeyValues": ["private"], "ContextKeyType": "string"}
        ],
    }
    results = [
        {"EvalActionName": "s3:GetObject", "EvalDecision": "allowed"},
        {"EvalActionName": "s3:PutObject", "EvalDecision": decision},
    ]
    with Stubber(client) as stub:
        stub.add_response("simulate_principal_policy", {"EvaluationResults": results}, asked)
        found = roles._simulated(client, ROLE, ARN)
    assert found.seen == "2 calls are allowed"
    assert len(found.problems) == problems


def test_a_pattern_of_calls_is_not_simulated() -> None:
    """AWS refuses it ("does not support using wildcards"), and the row of the deployment's role would be red."""
    client = _iam()
    grants = (
        replace(ROLE.grants[0], calls=("s3:*",), when={}),
        replace(ROLE.grants[0], calls=("s3:GetObject",), when={}),
    )
    asked = {
        "PolicySourceArn": ARN,
        "ActionNames": ["s3:GetObject"],
        "ResourceArns": ["arn:aws:s3:::searchsync-snapshots/sample"],
        "ContextEntries": [],
    }
    allowed = {"EvaluationResults": [{"EvalActionName": "s3:GetObject", "EvalDecision": "allowed"}]}
    with Stubber(client) as stub:
        stub.add_response("simulate_principal_policy", allowed, asked)
        assert roles._simulated(client, replace(ROLE, grants=grants), ARN) == Finding("1 calls are allowed", [])


def _documents(policy: dict[str, Any], *, attached: list[dict[str, str]] | None = None) -> Finding:
    client = _iam()
    described = {
        "Path": "/",
        "RoleName": ROLE.name,
        "RoleId": "A" * 16,
        "Arn": ARN,
        "CreateDate": "2026-01-01",
        "AssumeRolePolicyDocument": json.dumps(dict(ROLE.trust)),
    }
    with Stubber(client) as stub:
        stub.add_response("get_role", {"Role": described})
        stub.add_response("list_role_policies", {"PolicyNames": [ROLE.name]})
        stub.add_response("list_attached_role_policies", {"AttachedPolicies": attached or []})
        document = {"RoleName": ROLE.name, "PolicyName": ROLE.name, "PolicyDocument": json.dumps(policy)}
        stub.add_response("get_role_policy", document)
        return roles._documents(client, ROLE)


def test_a_policy_that_aws_returns_in_another_form_is_the_same() -> None:
    (statement,) = ROLE.policy["Statement"]
    other = {**statement, "Resource": statement["Resource"][0], "Action": statement["Action"][::-1]}
    assert not _documents({**ROLE.policy, "Statement": [other]}).problems


def test_each_difference_of_a_policy_is_named() -> None:
    (statement,) = ROLE.policy["Statement"]
    wider = {**statement, "Resource": ["*"]}
    found = _documents(
        {**ROLE.policy, "Statement": [wider]},
        attached=[{"PolicyName": "Admin", "PolicyArn": "arn:aws:iam::aws:policy/A"}],
    )
    assert found.problems == [
        "it also has the policy Admin",
        "there is Allow s3:GetObject, s3:PutObject on *, which the file has not",
        "there is no Allow s3:GetObject, s3:PutObject on arn:aws:s3:::searchsync-snapshots/*, which the file has",
    ]


def test_groups_are_the_roles_of_the_search_api() -> None:
    assert set(users.ROLES) == {role.value for role in ApiRole}


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ({"Status": "ENABLED", "SSEType": "KMS"}, None),
        ({"Status": "UPDATING", "SSEType": "KMS"}, None),
        ({"Status": "DISABLING", "SSEType": "KMS"}, "encryption is None instead of 'KMS'"),
        ({"Status": "DISABLED", "SSEType": "KMS"}, "encryption is None instead of 'KMS'"),
        ({}, "encryption is None instead of 'KMS'"),
    ],
)
def test_a_table_that_gave_up_its_keys_is_not_encrypted(description: dict[str, str], found: str | None) -> None:
    """The emulator takes no such update, so this is shown by answers."""
    client = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    described = {
        "KeySchema": [{"AttributeName": "member_id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "member_id", "AttributeType": "S"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "SSEDescription": description,
    }
    with Stubber(client) as stub:
        stub.add_response("describe_table", {"Table": described}, {"TableName": "members"})
        assert tables._key(client, entity("members")).problems == ([found] if found else [])
