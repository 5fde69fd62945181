"""The roles of AWS: their documents are those of ``roles.yaml``, and AWS itself says that they allow what they have to.

An emulator has no simulation of policies: there, only the documents are compared.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from searchsync.access.roles import Grant, Place, Role, rendered
from searchsync.preflight.checks import Check, Finding, NotApplicable
from searchsync.preflight.tables import APPLY
from searchsync.preflight.target import Target

_AT_ONCE = 20
"""Number of calls that one simulation takes without becoming slow."""

_SAMPLE = {"*": "sample", "?": "x"}


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of each role."""
    client = target.aws("iam")
    place = Place(
        account=target.account,
        region=target.region,
        replica_region=target.values["replica_region"] or target.region,
        repository=target.values["github_repository"],
        environment=target.environment,
    )
    for name, role in rendered(place, target.entities.values()).items():
        yield Check(
            "role's documents",
            name,
            "a call too few fails at night, a call too many is there for whoever gets in",
            APPLY,
            partial(_documents, client, role),
        )
        yield Check(
            "role's calls, simulated",
            name,
            "a boundary or a rule of the organisation may forbid what the role's own policy allows",
            "Look at the boundaries and service control policies of the account",
            partial(_simulated, client, role, f"arn:{place.partition}:iam::{place.account}:role/{name}"),
        )


def _documents(client: Any, role: Role) -> Finding:
    found = client.get_role(RoleName=role.name)["Role"]
    inline = client.list_role_policies(RoleName=role.name)["PolicyNames"]
    attached = client.list_attached_role_policies(RoleName=role.name)["AttachedPolicies"]
    problems = [f"it also has the policy {one['PolicyName']}" for one in attached]
    problems += [f"it also has the policy {name}" for name in inline if name != role.name]
    if _canonical(found["AssumeRolePolicyDocument"]) != _canonical(role.trust):
        problems.append("others may take it than include/policies/roles.yaml says")
    if role.name in inline:
        document = client.get_role_policy(RoleName=role.name, PolicyName=role.name)["PolicyDocument"]
        problems += _compared(document, role.policy)
    else:
        problems.append("it has no policy of its own")
    return Finding(f"{len(role.grants)} statements, as include/policies/roles.yaml", problems)


def _compared(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    there, asked = ([_canonical(one) for one in document["Statement"]] for document in (found, wanted))
    more = [one for one in there if one not in asked]
    less = [one for one in asked if one not in there]
    return [f"there is {_named(one)}, which the file has not" for one in more] + [
        f"there is no {_named(one)}, which the file has" for one in less
    ]


def _named(statement: Mapping[str, Any]) -> str:
    return f"{statement['Effect']} {', '.join(statement['Action'])} on {', '.join(statement['Resource'])}"


def _canonical(value: Any, name: str = "") -> Any:
    """Return a document in one form: AWS returns a list of one as its element, and lists in any order."""
    if isinstance(value, Mapping):
        return {key: _canonical(one, key) for key, one in value.items()}
    if name in ("Version", "Effect", "Sid", "Statement"):
        return [_canonical(one) for one in value] if isinstance(value, list) else value
    return sorted(str(one) for one in value) if isinstance(value, list) else [str(value)]


def _simulated(client: Any, role: Role, arn: str) -> Finding:
    if ".amazonaws.com" not in client.meta.endpoint_url:
        raise NotApplicable("an emulator simulates no policies: their documents are compared instead")
    named = [(grant, _named_calls(grant)) for grant in role.grants if not grant.deny]
    refused = [
        f"{one['EvalActionName']} on {one.get('EvalResourceName', '*')} is {one['EvalDecision']}"
        for grant, calls in named
        for one in _decisions(client, arn, grant, calls)
        if one["EvalDecision"] != "allowed"
    ]
    return Finding(f"{sum(len(calls) for _, calls in named)} calls are allowed", refused)


def _named_calls(grant: Grant) -> list[str]:
    """Return the calls that AWS can simulate: it takes no pattern such as ``sqs:*``."""
    return [call for call in grant.calls if "*" not in call]


def _decisions(client: Any, arn: str, grant: Grant, calls: Sequence[str]) -> Iterator[dict[str, Any]]:
    resources = [
        re.sub(r"[*?]", lambda found: _SAMPLE[found[0]], one) if one != "*" else one for one in grant.resources
    ]
    asked = {"PolicySourceArn": arn, "ResourceArns": resources, "ContextEntries": _context(grant.when)}
    for first in range(0, len(calls), _AT_ONCE):
        pages = client.get_paginator("simulate_principal_policy").paginate(
            ActionNames=calls[first : first + _AT_ONCE], **asked
        )
        yield from (one for page in pages for one in page["EvaluationResults"])


def _context(when: Mapping[str, Mapping[str, str | Sequence[str]]]) -> list[dict[str, Any]]:
    """Return what a call brings with it that fulfils a condition."""
    entries: dict[str, list[str]] = {}
    for keys in when.values():
        for key, values in keys.items():
            several = [values] if isinstance(values, str) else [*values]
            entries[key] = [re.sub(r"[*?]", lambda found: _SAMPLE[found[0]], one) for one in several]
    return [
        {
            "ContextKeyName": key,
            "ContextKeyValues": values,
            "ContextKeyType": "stringList" if len(values) > 1 else "string",
        }
        for key, values in entries.items()
    ]
