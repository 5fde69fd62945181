"""Programs that look at files, from the environment that is made for them when it is needed first."""

import subprocess
from pathlib import Path

from local.environment import TOOLS, ensure
from local.paths import ROOT


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the checkout, and return what it says."""
    command = [str(ensure(TOOLS) / program), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
