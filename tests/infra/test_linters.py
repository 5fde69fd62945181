"""Scripts, images and workflows run elsewhere first: what a linter knows to be wrong is not to be found out there.

Each linter is shown an error, too: one that finds nothing may be one that looks at nothing.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local.paths import ROOT
from tests.infra.tools import run

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SCRIPTS = [ROOT / "dev", ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]
PINNED = re.compile(r"uses: (?:\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)")


def test_the_dockerfile_is_clean() -> None:
    result = run("hadolint", "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_a_bad_dockerfile_is_found(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python\nRUN sudo apt-get install gcc\nADD . /app\nUSER root\n")
    result = run("hadolint", file)
    assert result.returncode == 1
    assert {"DL3006", "DL3004", "DL3002", "DL3020"} <= set(re.findall(r"DL\d+", result.stdout))


def test_scripts_are_clean() -> None:
    result = run("shellcheck", *SCRIPTS)
    assert (result.returncode, result.stdout) == (0, "")


def test_a_bad_script_is_found(tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text('#!/bin/bash\ncd $1\nrm -rf "$UNSET/"*\n')
    result = run("shellcheck", file)
    assert {"SC2086", "SC2164", "SC2115"} <= set(re.findall(r"SC\d+", result.stdout))


def test_scripts_stop_at_the_first_error_and_can_be_run() -> None:
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert re.search(r"^set -eu", text, re.MULTILINE), script
        assert script.stat().st_mode & 0o111, script


def jsonschema(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_workflows_are_clean() -> None:
    assert len(WORKFLOWS) == 3
    result = jsonschema(*WORKFLOWS)
    assert result.returncode == 0, result.stdout
    result = run("zizmor", "--offline", "--no-progress", "--quiet", ".github")
    assert result.returncode == 0, result.stdout


BAD_WORKFLOW = """
name: bad
on: {pull_request_target: {}}
jobs:
  one:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }}
"""


def test_bad_workflows_are_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD_WORKFLOW)
    result = run("zizmor", "--offline", "--no-progress", "--quiet", "--format=plain", file)
    assert result.returncode != 0
    rules = ("template-injection", "artipacked", "dangerous-triggers", "excessive-permissions")
    assert [rule for rule in rules if f"[{rule}]" not in result.stdout] == []
    file.write_text(BAD_WORKFLOW.replace("runs-on", "run-on"))
    assert jsonschema(file).returncode != 0


def test_actions_are_named_by_their_commit() -> None:
    """A tag can be moved to another commit tomorrow, by whoever takes the account over."""
    used = [line for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line]
    assert len(used) > 8
    for line in used:
        assert PINNED.fullmatch(line.strip().removeprefix("- ")), line
    versions = {tuple(re.findall(r"uses: (\S+)@(\S+)", line)) for line in used}
    assert len({name for found in versions for name, _ in found}) == len([v for v in versions if v]), "one version each"


def test_workflows_have_no_keys_and_the_rights_that_they_need() -> None:
    for file in WORKFLOWS:
        text = file.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}, "each job says what it may"
        assert workflow["defaults"]["run"]["shell"] == "bash", "else a failure before a pipe is not seen"
        assert "secrets." not in text
        assert "AWS_SECRET" not in text
        for name, job in workflow["jobs"].items():
            assert job["permissions"]["contents"] == "read", name
            writes = {right for right, kind in job["permissions"].items() if kind == "write"}
            assert writes <= ({"id-token", "packages"} if name == "build" else {"id-token"}), name
            for step in job.get("steps", []):
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def test_what_is_deployed_where() -> None:
    """Main goes to dev; a release goes to staging, and what ran there to production, with the same images."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yaml").read_text())["jobs"]
    assert jobs["build"]["needs"] == "test"
    assert jobs["dev"]["if"] == "github.ref == 'refs/heads/main'"
    assert jobs["staging"]["if"] == "startsWith(github.ref, 'refs/heads/release/')"
    assert jobs["production"]["needs"] == ["build", "staging"]
    for environment in ("dev", "staging", "production"):
        given = jobs[environment]["with"]
        images = {name: f"${{{{ needs.build.outputs.{name} }}}}" for name in ("airflow", "search-api")}
        assert given == {"environment": environment, **images}


@pytest.mark.parametrize("name", ["plan", "apply"])
def test_nothing_is_applied_but_the_plan_that_was_shown(name: str) -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "environment.yaml").read_text())["jobs"]
    assert jobs[name]["environment"] == "${{ inputs.environment }}", "its role trusts this environment alone"
    commands = "\n".join(step.get("run", "") for step in jobs[name]["steps"])
    option = {"plan": "--plan-only | tee", "apply": '--approved "$DIGEST"'}[name]
    assert f'scripts/deploy.sh --environment "$ENVIRONMENT" {option}' in commands
    assert "auto-approve" not in commands


def test_what_is_approved_is_what_was_planned_and_what_is_copied_is_signed() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "environment.yaml").read_text())["jobs"]
    assert jobs["plan"]["outputs"] == {"digest": "${{ steps.plan.outputs.digest }}"}
    assert jobs["apply"]["needs"] == "plan"
    given = [step["env"] for step in jobs["apply"]["steps"] if "--approved" in step.get("run", "")]
    assert given == [{"DIGEST": "${{ needs.plan.outputs.digest }}"}]
    (copying,) = (step["run"] for step in jobs["plan"]["steps"] if "skopeo copy" in step.get("run", ""))
    loop = 'for image in "$AIRFLOW" "$SEARCH_API"; do\n  cosign verify '
    assert loop in copying, "each of them"
    assert copying.index(loop) < copying.index("skopeo")
    assert '--certificate-identity "$SIGNER" "$image"' in copying
