"""Make the environments below `.local` from their lock files.

`dev` runs this with the system's Python before anything is installed, so it uses the standard library only. That makes
`.local/venv`, which everything runs in. `.local/tools` has what looks at files and is imported by nothing: it is made
when it is needed first, and is apart because checkov wants older packages than the project.

An environment is made again when its lock, the project's own metadata or the Python change, and after an interrupted
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
LOG = LOCAL / "logs" / "install.log"


@dataclass(frozen=True)
class Environment:
    """One environment.

    :param folder: where it is.
    :param lock: names all its packages with their hashes; uv is one of them.
    :param has_project: whether the project itself is installed, too.
    :param needed_bytes: that must be free on the disk before it is made.
    """

    folder: Path
    lock: Path
    has_project: bool
    needed_bytes: int

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / ".complete"

    @property
    def shown(self) -> str:
        """Its folder, as messages name it."""
        return f"{LOCAL.name}/{self.folder.name}"


VENV = Environment(LOCAL / "venv", ROOT / "requirements-dev.txt", has_project=True, needed_bytes=3 * 1024**3)
TOOLS = Environment(LOCAL / "tools", ROOT / "requirements-tools.txt", has_project=False, needed_bytes=1024**3)


class Failure(Exception):
    """The environment can not be made; the message says what to do."""


def main() -> int:
    try:
        ensure(VENV)
    except Failure as failure:
        print(f"dev: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndev: interrupted; the next run makes the environment anew", file=sys.stderr)
        return 130
    return 0


def ensure(environment: Environment) -> Path:
    """Make an environment unless it is there. Return the folder of its programs.

    Raise Failure if it cannot be made.
    """
    if not _is_current(environment):
        try:
            LOG.parent.mkdir(parents=True, exist_ok=True)
            with (LOCAL / ".environment.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a second ./dev waits for the first, and finds what that has made
                if not _is_current(environment):
                    _make(environment)
        except OSError as error:
            raise Failure(f"could not make the environment in {environment.folder}: {error}") from None
    return environment.python.parent


def _is_current(environment: Environment) -> bool:
    try:
        return environment.stamp.read_text(encoding="utf-8") == _key(environment) and environment.python.exists()
    except OSError:
        return False


def _key(environment: Environment) -> str:
    """What an environment depends on.

    Tool settings in pyproject.toml do not count: they change often and install nothing.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    metadata = {name: project.get(name) for name in ("build-system", "project")}
    parts = [
        environment.lock.read_text(encoding="utf-8"),
        json.dumps(metadata, sort_keys=True) if environment.has_project else "",
        sys.version,
        sys.base_prefix,
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _make(environment: Environment) -> None:
    free = shutil.disk_usage(LOCAL).free
    if free < environment.needed_bytes:
        gib = 1024**3
        needed = environment.needed_bytes / gib
        raise Failure(f"{free / gib:.1f} GiB are free for {LOCAL}, packages and data need {needed:.0f}: make room")
    print(
        f"dev: making the environment in {environment.shown} (a minute or two the first time) ...",
        file=sys.stderr,
        flush=True,
    )
    LOG.unlink(missing_ok=True)
    shutil.rmtree(environment.folder, ignore_errors=True)
    if not _run(sys.executable, "-m", "venv", str(environment.folder)):
        raise Failure(
            f"`{sys.executable} -m venv` failed (Debian, Ubuntu: install the package python3-venv); see {LOG}"
        )
    _install(environment)
    environment.stamp.write_text(_key(environment), encoding="utf-8")


def _install(environment: Environment) -> None:
    python = str(environment.python)
    installer = _installer(environment)
    locked = ["--require-hashes", "-r", str(environment.lock)]
    if not _run(*installer, *locked):
        pip = [python, "-m", "pip", "install"]
        if installer[0] == python or not _run(*pip, *locked):
            reason = f"could not install the packages of {environment.lock.name} ({_last_line()})"
            raise Failure(f"{reason}: check the network and the package index; see {LOG}")
        installer = pip
    project = ["--no-build-isolation", "--no-deps", "-e", str(ROOT)]
    if environment.has_project and not _run(*installer, *project):
        raise Failure(f"could not install the project itself ({_last_line()}); see {LOG}")


def _installer(environment: Environment) -> list[str]:
    """uv, from its wheel at the version and hash of the lock: it takes seconds where pip takes a minute. Else pip."""
    python = str(environment.python)
    found = re.search(r"^uv==.*\n(?:    .*\n?)*", environment.lock.read_text(encoding="utf-8"), re.MULTILINE)
    if found is not None:
        with tempfile.NamedTemporaryFile("w", dir=LOCAL, suffix=".txt") as pinned:
            pinned.write(found.group())
            pinned.flush()
            options = ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={pinned.name}"]
            if _run(python, "-m", "pip", "install", *options):
                return [str(environment.python.parent / "uv"), "pip", "install", "--python", python]
    return [python, "-m", "pip", "install"]


def _run(*command: str) -> bool:
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", UV_NO_PROGRESS="1")
    index = environment.get("PIP_INDEX_URL")
    if index:  # uv does not read pip's variables
        environment.setdefault("UV_DEFAULT_INDEX", index)
    with LOG.open("a", encoding="utf-8") as log:
        print("$", *command, file=log, flush=True)
        result = subprocess.run(
            command,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            umask=0o022,  # PostgreSQL's programs must be readable for the account it runs as when all else is root's
        )
    return result.returncode == 0


def _last_line() -> str:
    lines = [line.strip() for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


if __name__ == "__main__":
    sys.exit(main())
