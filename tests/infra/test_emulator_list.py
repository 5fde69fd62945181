"""`infra/emulator.yaml` is the whole truth about what the emulator is spared, and about what it forgets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import infra_drift
from local.errors import LocalError
from local.infra import environments, refuse_changes
from local.terraform import Terraform
from tests.infra import plans
from tests.infra.plans import Planned

LISTED = yaml.safe_load(infra_drift.LIST.read_text(encoding="utf-8"))


def test_each_line_has_a_reason() -> None:
    assert [one for one in (*LISTED["left_out"], *LISTED["drifts"]) if len(one["why"]) < 20] == []


def test_what_is_left_out_is_what_is_listed(
    offline: Terraform, planned: Callable[[str], Planned], tmp_path: Path
) -> None:
    """Something that is left out in silence is neither applied here nor missed before it is on AWS."""
    missing, listed = set(), [one["address"] for one in LISTED["left_out"]]
    for environment in ("dev", "staging"):
        variables = {**plans.variables(environment, tmp_path), "emulated": True}
        offline.plan(variables, tmp_path / "plan", "-refresh=false")
        emulated, whole = _made(offline.show(tmp_path / "plan")), _made(planned(environment).json)
        assert sorted(emulated - whole) == [], "the emulator alone has these"
        missing |= whole - emulated
    assert sorted(address for address in missing if not any(_below(address, one) for one in listed)) == []
    assert [one for one in listed if not any(_below(address, one) for address in missing)] == [], (
        "not left out any more"
    )


def _made(plan: Mapping[str, Any]) -> set[str]:
    return {one["address"] for one in plan["resource_changes"] if one["mode"] == "managed"}


def _below(address: str, listed: str) -> bool:
    return address == listed or address.startswith((f"{listed}.", f"{listed}["))


def _plan(actions: list[str], before: dict[str, object], after: dict[str, object]) -> dict[str, Any]:
    change = {"actions": actions, "before": before, "after": after, "after_unknown": {}}
    return {
        "resource_changes": [
            {"address": 'module.keys.aws_kms_key.this["logs"]', "type": "aws_kms_key", "change": change}
        ]
    }


def test_a_drift_that_is_listed_has_its_reason() -> None:
    plan = _plan(["update"], {"rotation_period_in_days": None}, {"rotation_period_in_days": 365})
    (change,) = infra_drift.changes(plan, infra_drift.known())
    assert change.what == "module.keys.aws_kms_key.this: update rotation_period_in_days"
    assert "moto" in change.why
    refuse_changes([change])


@pytest.mark.parametrize(
    ("actions", "before", "after"),
    [
        (["update"], {"policy": "a"}, {"policy": "b"}),
        (["update"], {"rotation_period_in_days": None, "policy": "a"}, {"rotation_period_in_days": 365, "policy": "b"}),
        (["delete", "create"], {"rotation_period_in_days": None}, {"rotation_period_in_days": 365}),
        (["delete"], {"rotation_period_in_days": None}, None),
    ],
)
def test_any_other_change_has_none_and_is_refused(
    actions: list[str], before: dict[str, object], after: dict[str, object]
) -> None:
    (change,) = infra_drift.changes(_plan(actions, before, after), infra_drift.known())
    assert not change.why
    with pytest.raises(LocalError, match=r"does not explain: module\.keys\.aws_kms_key\.this: "):
        refuse_changes([change])


def test_a_change_of_which_nothing_is_known_yet_has_no_reason() -> None:
    """The empty set is a part of any list: it would be explained by each drift of that type."""
    plan = _plan(["update"], {"policy": "a"}, {})
    plan["resource_changes"][0]["change"]["after_unknown"] = {"policy": True}
    (change,) = infra_drift.changes(plan, infra_drift.known())
    assert (change.attributes, change.why) == ((), "")


def test_environments_are_the_columns_of_the_table() -> None:
    assert environments() == ["dev", "staging", "production"]
