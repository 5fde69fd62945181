"""The roles that Terraform makes are those of the file, and what they may use is there."""

import json
import re
from collections.abc import Callable

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
