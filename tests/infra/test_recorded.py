"""What is granted is what is called: the roles are held to the calls that were recorded while each part did its job.

tests/integration/access/test_jobs.py records them, and fails when they are others than those of the file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from searchsync.access import cluster_roles
from searchsync.access.roles import Grant, Role, rendered
from searchsync.catalog import CATALOG
from tests.calls import RECORDED, requests_of
from tests.integration.access.emulator import PLACE

ENTITIES = [
    replace(entity, read_from="export") if entity.source == "dynamodb" else entity for entity in CATALOG.values()
]
ROLES = rendered(PLACE, ENTITIES)
CLUSTER_ROLES = cluster_roles.rendered(ENTITIES)
CALLS: Mapping[str, Mapping[str, Any]] = yaml.safe_load(RECORDED.read_text(encoding="utf-8"))


def called(name: str) -> set[tuple[str, str]]:
    """The calls of a role that were recorded: action, and ARN."""
    found = CALLS.get(name, {})
    pairs = {(call, arn) for call, arns in found.get("aws", {}).items() for arn in arns}
    verbs = {f"es:ESHttp{request.split()[0].title()}" for request in found.get("opensearch", ())}
    return pairs | {(verb, "") for verb in verbs}


def _is_about(grant: Grant, call: str, arn: str) -> bool:
    named = any(fnmatchcase(call, one) for one in grant.calls)
    return named and (call.startswith("es:") or any(fnmatchcase(arn, one) for one in grant.resources))


def missing(role: Role) -> Iterator[str]:
    """Yield what a role calls and is not granted."""
    for call, arn in sorted(called(role.name)):
        if not any(_is_about(grant, call, arn) for grant in role.grants if not grant.deny):
            yield f"{role.name} calls {call} on {arn}: grant it in include/policies/roles.yaml, or do not call it"


def unused(role: Role) -> Iterator[str]:
    """Yield what a role is granted and never calls, unless the file says who does."""
    for grant in role.grants:
        for call in grant.calls if grant.where else ():
            for one in [""] if call.startswith("es:") else grant.resources:
                if not any(call == made and fnmatchcase(arn, one) for made, arn in called(role.name)):
                    yield f"{role.name} is granted {call} on {one}, and never calls it: revoke it, or say by whom"


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_each_call_is_granted_and_each_grant_is_called(role: Role) -> None:
    assert not [*missing(role), *unused(role)]


def test_each_role_that_calls_is_there() -> None:
    assert CALLS.keys() <= ROLES.keys()


@pytest.mark.parametrize("name", CLUSTER_ROLES)
def test_each_request_to_opensearch_is_granted_and_each_grant_is_sent(name: str) -> None:
    assert requests_of(CLUSTER_ROLES[name]) == set(CALLS[name]["opensearch"])


def test_a_call_that_is_not_granted_and_a_grant_that_is_not_called_are_found() -> None:
    role = ROLES["searchsync-stream-members"]
    number = next(number for number, grant in enumerate(role.grants) if "sqs:SendMessage" in grant.calls)
    others = role.grants[:number] + role.grants[number + 1 :]
    assert any("sqs:SendMessage" in one for one in missing(replace(role, grants=others)))
    parked = replace(role.grants[number], resources=("arn:aws:sqs:eu-west-1:123456789012:members-parked",))
    assert any("members-parked" in one for one in unused(replace(role, grants=(*role.grants, parked))))
    more = replace(role.grants[number], calls=("sqs:DeleteMessage",))
    assert any("sqs:DeleteMessage" in one for one in unused(replace(role, grants=(*role.grants, more))))
