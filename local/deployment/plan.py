"""What a saved plan would do: what it would destroy, what a person approves, and whether it is still the same."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from local.errors import LocalError

STATEFUL: Final = frozenset(
    {
        "aws_cognito_user_pool",  # its users
        "aws_db_instance",
        "aws_dynamodb_table",
        "aws_efs_file_system",  # reports of runs
        "aws_kms_key",  # without it, what it encrypted is lost
        "aws_kms_replica_key",
        "aws_opensearch_domain",
        "aws_rds_cluster",
        "aws_route53_zone",  # its name servers
        "aws_s3_bucket",
        "aws_secretsmanager_secret",
        "aws_sqs_queue",  # records that wait for a replay
    }
)
"""Types of resources that hold what no second `terraform apply` brings back."""

_IDLE = (["no-op"], ["read"])


def refuse_loss(plan: Mapping[str, Any]) -> None:
    """Refuse a plan that deletes or replaces what holds data.

    :raises LocalError: with the list of them
    """
    lost = [
        f"{change['address']} ({'replaced' if 'create' in change['change']['actions'] else 'deleted'}"
        f"{_cause(change['change'])})"
        for change in _changes(plan)
        if change["type"] in STATEFUL and "delete" in change["change"]["actions"]
    ]
    if lost:
        raise LocalError(
            f"the plan destroys what holds data: {'; '.join(lost)}. It was not applied, and no option allows it here. "
            "Put back what makes Terraform replace them; to rename, add a `moved` block; to let one go, take it out of "
            "the state with a `removed` block that keeps it"
        )


def digest(plan: Mapping[str, Any]) -> str:
    """Return what identifies the changes of a plan: two plans with the same changes have the same digest.

    Attributes that do not change are left out: a service that scales meanwhile makes no other plan.
    """
    changes = {
        change["address"]: [change["change"]["actions"], _changed(change["change"])] for change in _changes(plan)
    }
    text = json.dumps(changes, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def summary(plan: Mapping[str, Any]) -> str:
    """Return the changes of a plan, one a line, and how many there are of each kind.

    Values are not shown: some are secret.
    """
    lines = [
        f"  {'/'.join(change['change']['actions']):<14} {change['address']}{_attributes(change['change'])}"
        for change in _changes(plan)
    ]
    counts = Counter("/".join(change["change"]["actions"]) for change in _changes(plan))
    total = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "nothing changes"
    return "\n".join([*lines, total])


def _changes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in plan.get("resource_changes", []) if one["change"]["actions"] not in _IDLE)


def _changed(change: Mapping[str, Any]) -> dict[str, Any]:
    before, after, unknown = change["before"] or {}, change["after"] or {}, change.get("after_unknown") or {}
    known = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return {**{name: None for name in before if name not in after}, **known, **dict.fromkeys(unknown, True)}


def _attributes(change: Mapping[str, Any]) -> str:
    return f": {', '.join(sorted(_changed(change)))}" if change["actions"] == ["update"] else ""


def _cause(change: Mapping[str, Any]) -> str:
    paths = [".".join(map(str, path)) for path in change.get("replace_paths", [])]
    return f" because of {', '.join(paths)}" if paths else ""
