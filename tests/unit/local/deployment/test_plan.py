"""What a plan would destroy is found before it is applied, and what a person approved is what is applied."""

import copy
from typing import Any

import pytest

from local.deployment import plan as plans
from local.deployment.approval import Approval
from local.errors import LocalError


def change(address: str, *actions: str, before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    change = {"actions": list(actions), "before": before, "after": after, "after_unknown": {}, **more}
    return {"address": address, "type": address.split(".")[-2], "change": change}


TABLE = "module.data.aws_dynamodb_table.members"
SERVICE = "module.api.aws_ecs_service.search_api"
HARMLESS = [
    change(TABLE, "update", before={"tags": {}, "name": "members"}, after={"tags": {"a": "b"}, "name": "members"}),
    change(SERVICE, "update", before={"image": "a", "secret": "s3cret"}, after={"image": "b", "secret": "s3cret"}),
    change("module.api.aws_ecs_task_definition.search_api", "delete", "create", before={"a": 1}, after={"a": 2}),
    change("module.edge.aws_wafv2_web_acl.this", "no-op", before={"a": 1}, after={"a": 1}),
]


def test_a_plan_that_destroys_nothing_that_holds_data_is_let_through() -> None:
    plans.refuse_loss({"resource_changes": HARMLESS})
    plans.refuse_loss({})


@pytest.mark.parametrize("kind", sorted(plans.STATEFUL))
@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
def test_what_holds_data_is_never_destroyed(kind: str, actions: tuple[str, ...]) -> None:
    address = f"module.data.{kind}.one"
    lost = change(address, *actions, before={"name": "a"}, replace_paths=[["hash_key"], ["server", 0, "key"]])
    with pytest.raises(LocalError) as refused:
        plans.refuse_loss({"resource_changes": [*HARMLESS, lost, change(TABLE, "delete")]})
    how = "deleted" if actions == ("delete",) else "replaced"
    text = str(refused.value)
    assert f"{address} ({how} because of hash_key, server.0.key); {TABLE} (deleted)" in text
    assert "It was not applied" in text
    assert SERVICE not in text


def test_a_plan_has_one_digest_however_it_is_written() -> None:
    first = {"resource_changes": HARMLESS}
    assert plans.digest({"resource_changes": HARMLESS[::-1]}) == plans.digest(first)
    scaled = copy.deepcopy(first)
    for side in ("before", "after"):
        scaled["resource_changes"][1]["change"][side]["desired_count"] = 7
    assert plans.digest(scaled) == plans.digest(first), "nothing else would be applied"
    other = copy.deepcopy(first)
    other["resource_changes"][1]["change"]["after"]["image"] = "c"
    assert plans.digest(other) != plans.digest(first)
    others = {"actions": ["delete", "create"], "after_unknown": {"address": True}, "after": {"image": "b"}}
    for key, value in others.items():
        other = copy.deepcopy(first)
        other["resource_changes"][1]["change"][key] = value
        assert plans.digest(other) != plans.digest(first), key
    added = {"resource_changes": [*HARMLESS, change("module.api.aws_sns_topic.more", "create", after={"a": 1})]}
    assert plans.digest(added) != plans.digest(first)


def test_a_summary_names_what_changes_and_no_value() -> None:
    text = plans.summary({"resource_changes": HARMLESS})
    assert f"update         {SERVICE}: image" in text
    assert text.endswith("1 delete/create, 2 update")
    assert "s3cret" not in text
    assert "web_acl" not in text
    assert plans.summary({}).endswith("nothing changes")


PLAN = {"resource_changes": HARMLESS}


def never(_: str) -> str:
    raise AssertionError("nobody is to be asked")


def test_production_takes_no_plan_that_nobody_saw() -> None:
    with pytest.raises(LocalError, match="production takes no --auto-approve"):
        Approval("production", automatic=True)


def test_only_the_plan_that_was_approved_is_applied(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Approval("production", plan_only=True).given(PLAN, "scripts/deploy.sh", never)
    command = capsys.readouterr().out.splitlines()[-1].rpartition(": ")[2]
    digest = command.split()[-1]
    assert command == f"scripts/deploy.sh --environment production --approved {plans.digest(PLAN)}"
    assert Approval("production", digest=digest).given(PLAN, "scripts/deploy.sh", never)
    changed = {"resource_changes": HARMLESS[:1]}
    with pytest.raises(LocalError, match=r"not the one that was approved .* No plan was applied"):
        Approval("production", digest=digest).given(changed, "scripts/deploy.sh", never)


def test_a_plan_without_anybody_is_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(LocalError, match=r"nobody is here to approve .* No plan was applied.* --approved sha256:"):
        Approval("staging").given(PLAN, "scripts/deploy.sh", never)
    assert Approval("staging", automatic=True).given(PLAN, "scripts/deploy.sh", never)


@pytest.mark.parametrize(("typed", "applied"), [("production", True), ("yes", False), ("", False)])
def test_a_person_types_the_environment(typed: str, applied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    approval = Approval("production")
    if applied:
        assert approval.given(PLAN, "scripts/deploy.sh", lambda _: typed)
    else:
        with pytest.raises(LocalError, match=r"not approved\. No plan was applied$"):
            approval.given(PLAN, "scripts/deploy.sh", lambda _: typed)
