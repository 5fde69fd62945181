"""The scripts begin, and say what they take, from any folder."""

import subprocess
from pathlib import Path

import pytest

from local.paths import ROOT


@pytest.mark.parametrize("name", ["bootstrap", "deploy", "rollback"])
def test_a_script_says_what_it_takes(name: str, tmp_path: Path) -> None:
    script = ROOT / "scripts" / f"{name}.sh"
    done = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: scripts/{name}.sh")
    assert "--environment {dev,staging,production}" in done.stdout
    for option in ("--auto-approve", "--approved"):
        assert (option in done.stdout) == (name != "bootstrap")
