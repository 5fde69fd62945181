"""The steps of a deployment and of a rollback: what comes before what, and what a failure leaves."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.deployment import __main__ as command_line
from local.deployment import checkout, deploy, functions, mappings, release, rollback, search_api, secrets, services
from local.deployment.approval import Approval
from local.deployment.judge import Judge, Shared
from local.deployment.release import Release
from local.deployment.target import Target
from local.errors import LocalError
from local.paths import ROOT
from tests.unit.local.deployment.conftest import IMAGES, REGION, alarm, define
from tests.unit.local.deployment.test_plan import TABLE, change

ACCOUNT = "123456789012"  # of moto
OLD = Release("a" * 40, "airflow@sha256:" + "0" * 64, IMAGES["old"], {"members-stream": "1"}, complete=True)
NEW_COMMIT = "b" * 40
DEV = Target("dev", ACCOUNT, REGION, "search.example.org")
AUTOMATIC = Approval("dev", automatic=True)
REAL = Target.terraform
PROGRAM = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
echo "$AWS_ACCESS_KEY_ID" >>"$(dirname "$0")/keys"
case "$*" in
*" show "*) echo '{"resource_changes": []}' ;;
*" plan "*) exit 2 ;;
esac
"""


@dataclass
class Stage:
    """AWS with the old release, and a Terraform that does what it is told; `steps` is what happened."""

    aws: dict[str, Any]
    steps: list[str] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    sound: list[bool] = field(default_factory=lambda: [True])
    applies: Callable[[], None] = lambda: None

    # What Terraform is asked for.
    def plan(self, variables: dict[str, Any], out: Path) -> bool:
        self.steps.append("plan")
        self.variables = variables
        self.planned = out
        return True

    def show(self, plan: Path) -> dict[str, Any]:
        assert plan == self.planned
        return {"resource_changes": self.changes}

    def apply(self, plan: Path, event: Any) -> None:
        assert plan == self.planned, "a saved plan is applied"
        self.steps.append("apply")
        event({"type": "apply_complete", "@message": "made"})
        self.applies()

    def preflight(self, *_: Any) -> bool:
        self.steps.append("preflight")
        return self.sound.pop(0) if len(self.sound) > 1 else self.sound[0]

    def routed(self) -> str:
        alias = self.aws["lambda"].get_alias(FunctionName="members-stream", Name=functions.ALIAS)
        assert not (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights")
        version: str = alias["FunctionVersion"]
        return version


@pytest.fixture
def stage(
    session: boto3.Session, cluster: dict[str, Any], function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    alarm(cluster, "searchsync-members-errors")
    stage = Stage(cluster)
    release.record(cluster["ssm"], OLD)

    def noted(name: str, answer: Any = None) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            stage.steps.append(name)
            return answer

        return call

    @contextmanager
    def lent(commit: str) -> Iterator[Path]:
        stage.steps.append(f"checkout of {commit[0]}")
        yield tmp_path / commit

    def terraform(_: Target, root: Path, work: Path) -> Stage:
        stage.steps.append("terraform here" if root == ROOT else f"terraform of {root.name[0]}")
        return stage

    monkeypatch.setattr(checkout, "commit", lambda: NEW_COMMIT)
    monkeypatch.setattr(checkout, "at", lent)
    monkeypatch.setattr(checkout, "packages", lambda folder: {"members": str(folder)})
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    for script in (deploy, rollback):
        monkeypatch.setattr(script, "clients", lambda _: cluster)
    monkeypatch.setattr(Target, "terraform", terraform)
    monkeypatch.setattr(Target, "bake_seconds", 0.0)
    monkeypatch.setattr(mappings, "check", noted("mappings"))
    monkeypatch.setattr(secrets, "fill", noted("secrets"))
    monkeypatch.setattr(services, "migrate", noted("migrate"))
    monkeypatch.setattr(services, "grant_access", noted("access"))
    monkeypatch.setattr(services, "renew", noted("renew"))
    monkeypatch.setattr(services, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(deploy, "preflight", stage.preflight)
    monkeypatch.setattr(deploy, "_unhealthy", noted("health", ""))
    for name, image in {"airflow_image": OLD.airflow_image, "search_api_image": IMAGES["old"]}.items():
        monkeypatch.setenv(f"TF_VAR_{name}", image)
    return stage


def test_checks_then_plan_then_everything_else(stage: Stage) -> None:
    deploy.deploy(DEV, AUTOMATIC)
    order = ["mappings", "preflight", "terraform here", "plan", "apply", "secrets", "migrate", "access"]
    assert stage.steps == [*order, "health", "preflight"]
    assert stage.variables == {
        "environment": "dev",
        "account_id": ACCOUNT,
        "region": REGION,
        "domain_name": "search.example.org",
        "airflow_image": OLD.airflow_image,
        "search_api_image": IMAGES["old"],
        "function_packages": {"members": str(ROOT)},
    }
    assert stage.routed() == "2"
    found = release.deployed(stage.aws["ssm"])
    assert found is not None
    assert (found.commit, found.functions) == (NEW_COMMIT, {"members-stream": "2"})
    assert set(found.task_definitions) == {services.SCHEDULER, services.SEARCH_API}


def test_the_program_applies_the_file_that_it_planned(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / "aws").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TF_PLUGIN_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(Target, "terraform", REAL)
    monkeypatch.setattr(deploy, "LOCAL", tmp_path)
    deploy.deploy(DEV, AUTOMATIC)
    calls = [line.split() for line in (program.parent / "calls").read_text().splitlines()]
    assert [call[1] for call in calls] == ["init", "plan", "show", "show", "apply"]
    assert {call[0] for call in calls} == {f"-chdir={ROOT / 'infra'}"}
    assert f"-backend-config=bucket=searchsync-state-{ACCOUNT}" in calls[0]
    file = tmp_path / "deployment" / "dev" / "plan"
    assert f"-out={file}" in calls[1]
    assert "-var=environment=dev" in calls[1]
    assert set((program.parent / "keys").read_text().split()) == {os.environ["AWS_ACCESS_KEY_ID"]}
    assert calls[-1] == [calls[0][0], "apply", "-json", str(file)], "the saved plan, and no variable or target"


def test_a_plan_alone_changes_nothing(stage: Stage) -> None:
    deploy.deploy(DEV, Approval("dev", plan_only=True))
    assert stage.steps[-1] == "plan"
    assert release.history(stage.aws["ssm"]) == [OLD]
    assert stage.routed() == "1"


def test_a_narrower_mapping_is_refused_before_anything(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(commit: str) -> None:
        raise LocalError(f"mappings may only gain fields, and since {commit} ...")

    monkeypatch.setattr(mappings, "check", refuse)
    with pytest.raises(LocalError, match=f"since {OLD.commit}"):
        deploy.deploy(DEV, AUTOMATIC)
    assert stage.steps == []


def test_what_holds_data_is_never_destroyed(stage: Stage) -> None:
    stage.changes = [change(TABLE, "delete", "create")]
    for script in (deploy.deploy, rollback.roll_back):
        for approval in (AUTOMATIC, Approval("dev", plan_only=True), Approval("dev", digest="sha256:any")):
            with pytest.raises(LocalError, match="destroys what holds data"):
                script(DEV, approval)
        release.record(stage.aws["ssm"], Release(NEW_COMMIT, "x", "y"))
    assert "apply" not in stage.steps


def test_a_broken_environment_needs_a_person(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment may be what mends it, so a person may go on; nobody is not asked."""
    stage.sound = [False, False, True]
    with pytest.raises(LocalError, match=r"preflight of dev failed .* Nothing was changed"):
        deploy.deploy(DEV, AUTOMATIC)
    assert "plan" not in stage.steps
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "dev")
    monkeypatch.setattr(Approval.given, "__defaults__", (lambda _: "dev",))
    deploy.deploy(DEV, Approval("dev"))
    assert stage.routed() == "2"


def test_after_a_failure_the_way_back_is_told(stage: Stage) -> None:
    stage.applies = lambda: alarm(stage.aws, "searchsync-late", function="other")
    stage.sound = [True, False]
    with pytest.raises(LocalError, match=r"preflight failed after .* scripts/rollback\.sh --environment dev"):
        deploy.deploy(DEV, AUTOMATIC)
    newest, before = release.history(stage.aws["ssm"])
    assert (newest.commit, newest.complete) == (NEW_COMMIT, False)
    assert before == OLD
    stage.steps.clear()
    stage.sound = [True]
    rollback.roll_back(DEV, AUTOMATIC)
    assert stage.routed() == "1"
    assert release.deployed(stage.aws["ssm"]) == release.history(stage.aws["ssm"])[0]


def test_after_an_error_of_aws_the_way_back_is_told_too(stage: Stage) -> None:
    stage.applies = lambda: stage.aws["lambda"].delete_function(FunctionName="members-stream")
    with pytest.raises(LocalError, match=r"ResourceNotFound.*not complete: go back with scripts/rollback\.sh"):
        deploy.deploy(DEV, AUTOMATIC)


def test_a_first_deployment_that_fails_has_no_way_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LocalError("these secrets have no value")

    stage.aws["ssm"].delete_parameter(Name=release.PARAMETER)
    monkeypatch.setattr(secrets, "fill", refuse)
    with pytest.raises(LocalError, match=r"no value\. The release is not complete: mend it and deploy again$"):
        deploy.deploy(DEV, AUTOMATIC)


def test_an_alarm_during_the_deployment_leaves_the_old_version(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    put = functions.put

    def alarming(*arguments: Any) -> None:
        put(*arguments)
        alarm(stage.aws, "searchsync-members-errors", state="ALARM")

    monkeypatch.setattr(functions, "put", alarming)
    with pytest.raises(LocalError, match=r"members-stream: the newest version got 10% .* scripts/rollback\.sh"):
        deploy.deploy(DEV, AUTOMATIC)
    assert stage.routed() == "1"
    assert "health" not in stage.steps


def test_a_version_without_a_verdict_is_judged_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the second try would find it with all events, take it for the version of before, and call it complete."""
    says, shares = ["pass", "pass", "inconclusive", "pass", "pass", "pass"], []

    def verdict(_: Judge, shared: Shared) -> tuple[str, str]:
        shares.append((shared.versions.before, shared.versions.newest, shared.share))
        return says[len(shares) - 1], "because"

    monkeypatch.setattr(Target, "judged", True)
    monkeypatch.setattr(Judge, "verdict", verdict)
    with pytest.raises(LocalError, match=r"cannot be said whether .*The release is not complete"):
        deploy.deploy(DEV, AUTOMATIC)
    assert stage.routed() == "2"
    assert release.deployed(stage.aws["ssm"]) == OLD
    deploy.deploy(DEV, AUTOMATIC)
    assert shares == [("1", "2", share) for share in (0.1, 0.5, 1.0)] * 2
    found = release.deployed(stage.aws["ssm"])
    assert found is not None
    assert found.functions == {"members-stream": "2"}


def test_the_search_api_comes_before_the_functions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field is read before it is written; and what the search API fails at, no function has begun."""
    asked: list[tuple[str, float]] = []

    def verdict(_: Judge, shared: Shared) -> tuple[str, str]:
        asked.append((shared.versions.name, shared.share))
        return ("inconclusive" if len(asked) == 2 else "pass"), "because"

    monkeypatch.setattr(Target, "judged", True)
    monkeypatch.setattr(Judge, "verdict", verdict)
    new = define(stage.aws, services.SEARCH_API, IMAGES["old"])
    with pytest.raises(LocalError, match=r"at 50% of the searches it cannot be said .*go back with scripts/rollback"):
        deploy.deploy(DEV, AUTOMATIC)
    assert stage.routed() == "1"
    assert services.desired(stage.aws["ecs"], services.CANARY) == 2
    deploy.deploy(DEV, AUTOMATIC)
    names = [services.SEARCH_API, "members-stream"]
    assert asked[2:] == [(name, share) for name in names for share in (0.1, 0.5, 1.0)]
    found = release.deployed(stage.aws["ssm"])
    assert found is not None
    assert found.task_definitions[services.SEARCH_API] == new
    assert services.desired(stage.aws["ecs"], services.CANARY) == 0


def test_a_rollback_takes_the_share_of_the_search_api_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    release.record(stage.aws["ssm"], replace(OLD, task_definitions=services.definitions(stage.aws["ecs"])))
    monkeypatch.setattr(Target, "judged", True)
    monkeypatch.setattr(Judge, "verdict", lambda *_: ("inconclusive", "few"))
    define(stage.aws, services.SEARCH_API, IMAGES["new"])
    with pytest.raises(LocalError, match="at 10% of the searches"):
        deploy.deploy(DEV, AUTOMATIC)
    rule = search_api._rule(stage.aws["elbv2"])
    assert rule is not None
    assert rule.healthy(services.CANARY) == 1
    weights: list[int] = []
    monkeypatch.setattr(search_api.Rule, "put", lambda _, percent: weights.append(percent))
    stage.applies = lambda: stage.steps.append(
        f"{weights}, {services.desired(stage.aws['ecs'], services.CANARY)} tasks"
    )
    rollback.roll_back(DEV, AUTOMATIC)
    assert "[0], 0 tasks" in stage.steps, "before Terraform begins"
    assert services.definitions(stage.aws["ecs"])[services.SEARCH_API].endswith(":1")


def test_functions_stay_where_services_do_not_run_the_new_image(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS has put the old tasks back after Terraform was done: the release must not be told as complete."""
    monkeypatch.setenv("TF_VAR_search_api_image", IMAGES["new"])
    with pytest.raises(LocalError, match=r"brought services back.*not complete: go back with scripts/rollback\.sh"):
        deploy.deploy(DEV, AUTOMATIC)
    assert stage.routed() == "1"
    assert release.deployed(stage.aws["ssm"]) == OLD


def test_a_rollback_is_complete_when_services_run_its_image(stage: Stage) -> None:
    release.record(stage.aws["ssm"], replace(OLD, search_api_image=IMAGES["new"]))
    release.record(stage.aws["ssm"], Release(NEW_COMMIT, "x", "y"))
    with pytest.raises(LocalError, match="brought services back"):
        rollback.roll_back(DEV, AUTOMATIC)
    assert "health" not in stage.steps
    assert release.history(stage.aws["ssm"])[0].commit == NEW_COMMIT


def test_the_first_deployment_has_nothing_to_hold_against(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.aws["ssm"].delete_parameter(Name=release.PARAMETER)
    deploy.deploy(DEV, AUTOMATIC)
    assert stage.steps == ["terraform here", "plan", "apply", "secrets", "migrate", "access", "renew"]
    assert "it is empty" in capsys.readouterr().out
    assert release.deployed(stage.aws["ssm"]) is not None


def test_credentials_of_another_account_are_refused(stage: Stage) -> None:
    other = Target("dev", "999999999999", REGION, "search.example.org")
    with pytest.raises(LocalError, match=rf"of account {ACCOUNT}, and dev is in account 999999999999 .* Nothing"):
        deploy.deploy(other, AUTOMATIC)
    assert stage.steps == []


def test_a_rollback_brings_traffic_back_first(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    before = services.definitions(stage.aws["ecs"])
    deploy.deploy(DEV, AUTOMATIC)
    good = release.deployed(stage.aws["ssm"])
    assert good is not None
    new = define(stage.aws, services.SEARCH_API, IMAGES["new"])
    stage.aws["ecs"].update_service(cluster=services.CLUSTER, service=services.SEARCH_API, taskDefinition=new)
    release.record(stage.aws["ssm"], Release("c" * 40, good.airflow_image, IMAGES["new"]))
    functions.put(stage.aws["lambda"], "members-stream", "1")
    stage.steps.clear()
    stage.applies = lambda: stage.steps.append(f"version {stage.routed()}")
    rollback.roll_back(DEV, AUTOMATIC)
    back = ["checkout of b", "terraform of b", "plan", "apply", "version 2", "health", "preflight"]
    assert stage.steps == back
    assert services.definitions(stage.aws["ecs"]) == before
    assert stage.variables["search_api_image"] == IMAGES["old"]
    assert stage.variables["function_packages"]["members"].endswith(NEW_COMMIT)
    assert release.history(stage.aws["ssm"])[0] == good
    assert "searchsync-search-api: goes back to searchsync-search-api:1" in capsys.readouterr().out


def test_the_plan_of_a_rollback_alone_leaves_traffic_where_it_is(stage: Stage) -> None:
    """Whoever only looks must not take the running version away."""
    old = services.definitions(stage.aws["ecs"])
    release.record(stage.aws["ssm"], replace(OLD, task_definitions=old))
    release.record(stage.aws["ssm"], Release(NEW_COMMIT, "x", "y"))
    functions.put(stage.aws["lambda"], "members-stream", "2")
    new = define(stage.aws, services.SEARCH_API, IMAGES["new"])
    stage.aws["ecs"].update_service(cluster=services.CLUSTER, service=services.SEARCH_API, taskDefinition=new)
    rollback.roll_back(DEV, Approval("dev", plan_only=True))
    assert stage.steps[-1] == "plan"
    assert stage.routed() == "2"
    assert services.definitions(stage.aws["ecs"]) == {**old, services.SEARCH_API: new}
    assert release.history(stage.aws["ssm"])[0].commit == NEW_COMMIT


def test_a_rollback_says_how_far_it_came(stage: Stage) -> None:
    release.record(stage.aws["ssm"], Release(NEW_COMMIT, "x", "y"))
    stage.changes = [change("module.data.aws_sqs_queue.new", "delete")]
    functions.put(stage.aws["lambda"], "members-stream", "2")
    with pytest.raises(
        LocalError, match=r"functions and services are back at a{12}; the rest .* is not: the plan dest"
    ) as failed:
        rollback.roll_back(DEV, AUTOMATIC)
    assert "It was not applied" in str(failed.value)
    assert "Nothing was changed" not in str(failed.value), "traffic was"
    assert stage.routed() == "1"


def test_the_command_line_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("account_id", "region", "domain_name"):
        monkeypatch.delenv(f"TF_VAR_{name}", raising=False)
    assert command_line.main(["deploy", "--environment", "dev"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("deploy: not set: TF_VAR_account_id, TF_VAR_region, TF_VAR_domain_name. Nothing was changed")
    assert command_line.main(["rollback", "--environment", "production", "--auto-approve"]) == 1
    assert "production takes no --auto-approve" in capsys.readouterr().err
    for wrong in (["--environment", "prod"], [], ["--environment", "dev", "--auto-approve", "--approved", "x"]):
        with pytest.raises(SystemExit) as ended:
            command_line.main(["deploy", *wrong])
        assert ended.value.code == 2
    capsys.readouterr()


def test_the_search_api_is_asked_until_it_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [OSError("no such host"), OSError("refused"), None]
    asked = []

    @contextmanager
    def open_url(url: str, timeout: float) -> Iterator[None]:
        asked.append(url)
        if (answer := answers.pop(0)) is not None:
            raise answer
        yield

    monkeypatch.setattr("urllib.request.urlopen", open_url)
    monkeypatch.setattr(deploy, "_POLL_SECONDS", 0.0)
    assert deploy._unhealthy("https://search.example.org/health") == ""
    assert len(asked) == 3
    monkeypatch.setattr(deploy, "_HEALTHY_SECONDS", 0.0)
    answers.append(OSError("refused"))
    assert deploy._unhealthy("https://search.example.org/health") == "refused"


def test_the_preflight_is_told_where_everything_is(aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"SEARCHSYNC_OPENSEARCH_URL": "https://vpc-searchsync", "release": "{}"}
    for name, value in kept.items():
        aws["ssm"].put_parameter(Name=f"/searchsync/{name}", Value=value, Type="String")
    seen: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        seen.append((command[1:], options["env"]))
        return subprocess.CompletedProcess(command, len(seen) - 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert deploy.preflight(DEV, aws["ssm"])
    assert not deploy.preflight(DEV, aws["ssm"])
    command, variables = seen[0]
    assert command == ["-m", "searchsync.cli.main", "preflight", "--environment", "dev"]
    assert variables["SEARCHSYNC_OPENSEARCH_URL"] == "https://vpc-searchsync"
    assert variables["AWS_DEFAULT_REGION"] == REGION
    assert "release" not in variables
