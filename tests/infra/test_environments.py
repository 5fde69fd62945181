"""The table of values, and what the variables of the root refuse."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from local.terraform import INFRA, Terraform, TerraformFailed
from tests.infra import plans
from tests.infra.plans import Planned

ENVIRONMENTS = {"dev", "staging", "production"}
LOCAL_CODE = INFRA.parent / "local"
TABLE = yaml.safe_load((INFRA / "environments.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TABLE)
def test_each_row_has_a_value_of_one_kind_for_each_environment(name: str) -> None:
    row = TABLE[name]
    assert row.keys() == ENVIRONMENTS
    assert len({type(value) for value in row.values() if value is not None}) == 1
    if all(isinstance(value, dict) for value in row.values()):
        assert len({frozenset(value) for value in row.values() if value}) == 1, "a column lacks a part"


def test_each_row_is_used() -> None:
    """A row that nothing reads is a promise that nothing keeps."""
    terraform = "\n".join(path.read_text(encoding="utf-8") for path in INFRA.glob("*.tf"))
    deployment = "\n".join(path.read_text(encoding="utf-8") for path in (LOCAL_CODE / "deployment").glob("*.py"))
    unused = [name for name in TABLE if f"local.environment.{name}" not in terraform and f'"{name}"' not in deployment]
    assert unused == []


def test_each_output_of_a_module_is_read() -> None:
    """Nobody sees it otherwise: `terraform output` shows those of the root alone."""
    terraform = "\n".join(path.read_text(encoding="utf-8") for path in INFRA.rglob("*.tf"))
    unread = [
        f"{path.parent.name}: {name}"
        for path in sorted(INFRA.glob("modules/*/outputs.tf"))
        for name in re.findall(r'^output "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        if not re.search(rf"\bmodule\.\w+(\[[^\]]+\])?\.{name}\b", terraform)
    ]
    assert unread == []


def test_environments_share_no_network() -> None:
    assert len(set(TABLE["vpc_cidr"].values())) == len(ENVIRONMENTS)


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_each_environment_can_be_planned(planned: Callable[[str], Planned], environment: str) -> None:
    assert planned(environment).json["complete"]


def test_the_root_refuses_what_is_wrong(offline: Terraform) -> None:
    """The cases are in infra/tests."""
    offline.test()


def test_a_wrong_value_is_told_in_one_text(offline: Terraform, tmp_path: Path) -> None:
    given = plans.variables("production", tmp_path)
    with pytest.raises(TerraformFailed, match="Production is not for the emulator") as failed:
        offline.plan({**given, "emulated": True}, tmp_path / "plan", "-refresh=false")
    assert len(failed.value.errors) == 1
