"""Bad input to `./dev infra`, and to the root: one clear message, and nothing is applied."""

from pathlib import Path

import pytest

from local import cli, infra_server
from local.errors import LocalError
from local.infra import check_owner
from local.paths import Home
from local.terraform import Terraform, TerraformFailed
from tests.infra import plans


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in which nothing was ever started."""
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(tmp_path))
    return Home.from_environment()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--environment", "qa"], "there is no environment 'qa'. Nothing was changed. Say one of: dev, staging"),
        (["up", "--environment", "production"], "production is not for the emulator"),
        (["plan", "--environment", "qa"], "there is no environment 'qa'"),
        (["plan"], "nothing is applied: `./dev infra up` starts an emulator"),
        (["check"], "nothing is applied"),
    ],
)
def test_what_cannot_be_applied_is_one_message(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(["infra", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert infra_server.address(home.part("infra")) is None


def test_down_where_nothing_is_says_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infra", "down"]) == 0
    assert capsys.readouterr().out == "nothing was applied\n"


def test_without_terraform_nothing_is_started(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["infra", "up"]) == 1
    assert "terraform is not on the PATH: get version" in capsys.readouterr().err
    assert infra_server.address(home.part("infra")) is None


@pytest.mark.parametrize(
    "outputs",
    [
        {"environment": "production", "account_id": "123456789012"},
        {"environment": "dev", "account_id": "999999999999"},
        {"something": "of another project"},
    ],
)
def test_a_state_of_somebody_else_is_refused(outputs: dict[str, str]) -> None:
    """A plan from it would change or destroy what is theirs."""
    with pytest.raises(LocalError, match=r"the state belongs to .* Nothing was changed\. Name the bucket and key"):
        check_owner(outputs, "dev", "123456789012")


@pytest.mark.parametrize("outputs", [{}, {"environment": "dev", "account_id": "123456789012", "more": 1}])
def test_the_own_state_and_an_empty_one_are_not(outputs: dict[str, str]) -> None:
    check_owner(outputs, "dev", "123456789012")


def test_a_missing_variable_is_named_and_no_plan_is_left(offline: Terraform, tmp_path: Path) -> None:
    variables = plans.variables("dev", tmp_path)
    del variables["domain_name"]
    with pytest.raises(TerraformFailed, match='variable "domain_name" is not set'):
        offline.plan(variables, tmp_path / "plan")
    assert not (tmp_path / "plan").exists()
