"""The runner: what it finds, what it says, and that nothing it is told in the wrong moment costs the state."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import terraform
from local.terraform import Terraform, TerraformFailed, TerraformMissing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that needs no provider."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "main.tf").write_text(
        'variable "word" {\n  type = string\n\n  validation {\n    condition     = var.word != "bad"\n'
        '    error_message = "The word must be a good one."\n  }\n}\n\n'
        'resource "terraform_data" "kept" {\n  input = var.word\n}\n\noutput "word" {\n'
        "  value = terraform_data.kept.output\n}\n"
    )
    return folder


@pytest.fixture
def runs(root: Path, tmp_path: Path) -> Terraform:
    try:
        return Terraform(root, tmp_path / "work")
    except TerraformMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def deaf() -> Iterator[None]:
    """A signal that comes when Terraform has ended already does not end the tests."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_saved_plan_is_applied_and_the_second_one_is_empty(runs: Terraform, tmp_path: Path) -> None:
    assert runs.unformatted() == []
    runs.init({})
    runs.validate()
    plan = tmp_path / "plan"
    assert runs.plan({"word": "hello"}, plan)
    assert runs.show(plan)["resource_changes"][0]["address"] == "terraform_data.kept"
    told: list[str] = []
    runs.apply(plan, event=lambda one: told.append(one["type"]))
    assert "apply_complete" in told
    assert runs.output() == {"word": "hello"}
    assert not runs.plan({"word": "hello"}, plan)
    assert runs.addresses() == ["terraform_data.kept"]
    assert runs.plan({"word": "hello"}, plan, "-destroy")
    runs.apply(plan)
    assert runs.addresses() == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [({}, 'variable "word" is not set'), ({"word": "bad"}, "The word must be a good one.")],
)
def test_a_bad_variable_is_one_plain_text_and_no_plan(
    runs: Terraform, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    runs.init({})
    with pytest.raises(TerraformFailed) as failed:
        runs.plan(variables, tmp_path / "plan")
    assert said in str(failed.value)
    assert len(failed.value.errors) == 1
    assert not (tmp_path / "plan").exists()


def test_a_mistake_in_a_file_is_named_with_its_line(runs: Terraform, root: Path) -> None:
    (root / "main.tf").write_text('output "nothing" {\n  value = local.missing\n}\n')
    runs.init()
    with pytest.raises(TerraformFailed, match=r"main\.tf:2: Reference to undeclared local value"):
        runs.validate()


def test_variables_of_the_shell_do_not_get_into_a_plan(
    runs: Terraform, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_VAR_word", "of the shell")
    own = Terraform(root, tmp_path / "own")
    own.init({})
    with pytest.raises(TerraformFailed, match='"word" is not set'):
        own.plan({}, tmp_path / "plan")


def test_only_the_given_credentials_and_none_of_the_shells_settings_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is out of reach of the terminal, too, whose Ctrl-C would be its second signal."""
    program = tmp_path / "terraform"
    program.write_text(f"#!{sys.executable}\nimport os\nprint(os.getsid(0), *sorted(os.environ))\n")
    program.chmod(0o755)
    monkeypatch.setattr(terraform, "find", lambda: terraform.Tools(program, None))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "TF_CLI_ARGS", "TF_CLI_ARGS_apply", "TF_VAR_region"):
        monkeypatch.setenv(name, "of-the-shell")
    (said,) = Terraform(tmp_path, tmp_path / "work", {"AWS_ACCESS_KEY_ID": "given"}).addresses()
    session, *names = said.split()
    assert int(session) != os.getsid(0)
    assert [name for name in names if name.startswith(("AWS_", "TF_CLI_ARGS", "TF_VAR_"))] == ["AWS_ACCESS_KEY_ID"]


def test_interrupted_twice_it_gets_one_signal_and_its_state_is_whole(
    runs: Terraform, root: Path, tmp_path: Path, deaf: None
) -> None:
    """Two signals make Terraform leave at once, without what it made in the state: nobody could destroy that again."""
    (root / "main.tf").write_text(
        'resource "terraform_data" "first" {}\n\nresource "terraform_data" "second" {\n'
        '  depends_on = [terraform_data.first]\n\n  provisioner "local-exec" {\n    command = "sleep 3"\n  }\n}\n\n'
        'resource "terraform_data" "third" {\n  depends_on = [terraform_data.second]\n}\n'
    )
    runs.init({})
    runs.plan({}, tmp_path / "plan")

    def interrupt() -> None:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            time.sleep(0.1)

    impatient = threading.Thread(target=interrupt)

    def hear(event: dict[str, object]) -> None:
        if event["type"] == "provision_start":
            impatient.start()

    with pytest.raises(KeyboardInterrupt):
        runs.apply(tmp_path / "plan", event=hear)
    impatient.join()
    assert "terraform_data.first" in runs.addresses()
    assert "terraform_data.third" not in runs.addresses()


def test_without_the_program_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformMissing, match="terraform is not on the PATH: get version"):
        terraform.find()


def test_without_the_provider_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "terraform").write_text("#!/bin/sh\n")
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(terraform, "_mirrors", lambda: iter([tmp_path]))
    monkeypatch.setattr(terraform, "_registry_answers", lambda: False)
    with pytest.raises(TerraformMissing, match=r"does not answer: fill a folder .* TF_PLUGIN_MIRROR"):
        terraform.find()


def test_a_named_mirror_counts_before_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "terraform").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "terraform").chmod(0o755)
    (tmp_path / "mirror/registry.terraform.io/hashicorp/aws").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv(terraform.MIRROR_VARIABLE, str(tmp_path / "mirror"))
    assert terraform.find().mirror == tmp_path / "mirror"


def test_the_infrastructure_is_formatted(runs: Terraform, tmp_path: Path) -> None:
    assert Terraform(terraform.INFRA, tmp_path / "fmt").unformatted() == []
