"""What git knows of the checkout that is deployed: its commit, and the files of an older one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from local.errors import LocalError
from local.lambda_package import TOKEN_CUSTOMISATION
from local.paths import LOCAL, ROOT


def commit() -> str:
    """Return the commit of the checkout.

    :raises LocalError: when files differ from it: nobody could deploy the same again
    """
    if changed := _git("status", "--porcelain").splitlines():
        shown = ", ".join(line[3:] for line in changed[:5])
        raise LocalError(
            f"the checkout has changes that no commit has ({shown}), so nobody could deploy the same again. Nothing "
            "was changed. Commit them, or put them aside with `git stash --include-untracked`"
        )
    return _git("rev-parse", "HEAD").strip()


def files_at(revision: str, folder: str) -> dict[str, str]:
    """Return the text of each file in a folder at a commit, by name.

    :raises LocalError: when the checkout does not have the commit
    """
    names = _git("ls-tree", "--name-only", f"{revision}:{folder}").split()
    return {name: _git("show", f"{revision}:{folder}/{name}") for name in names}


@contextmanager
def at(revision: str) -> Iterator[Path]:
    """Lend a folder with the files of a commit, beside this checkout."""
    folder = LOCAL / "rollback" / revision
    _git("worktree", "prune")
    if not folder.exists():
        _git("worktree", "add", "--detach", str(folder), revision)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def packages(checkout: Path) -> dict[str, str]:
    """Make the package of each function from a checkout. Return their paths, by the names that Terraform takes.

    The checkout's own code makes them, so the same commit makes the same bytes, whoever deploys it.
    """
    names = [
        file.stem
        for file in sorted((checkout / "include" / "entities").glob("*.yaml"))
        if yaml.safe_load(file.read_text(encoding="utf-8"))["source"] == "dynamodb"
    ]
    return {name: _package(checkout, name) for name in [*names, TOKEN_CUSTOMISATION]}


def _package(checkout: Path, name: str) -> str:
    said = _run([sys.executable, "-m", "local", "package", name], checkout, {"PYTHONPATH": str(checkout / "src")})
    made: list[str] = re.findall(r"package +(\S.*\.zip)$", said, re.MULTILINE)
    return next((path for path in made if path.endswith("-arm64.zip")), made[-1])


def _git(*arguments: str) -> str:
    return _run(["git", *arguments], ROOT, {})


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-600:]
        raise LocalError(f"`{' '.join(command[-3:])}` failed in {folder.name}: {said}. No plan was applied")
    return done.stdout
