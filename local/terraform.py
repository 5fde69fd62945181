"""Terraform: where the program and its provider are, and one run of it after the other on a root, with plain errors.

Neither comes from a Python package. The program is looked for on the PATH. The provider is looked for in a folder that
is laid out as Terraform's filesystem mirrors are (`REGISTRY/hashicorp/aws/...`); without one, Terraform gets it from
its registry.
"""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from local.errors import LocalError
from local.files import write_atomically
from local.paths import ROOT

INFRA: Final = ROOT / "infra"
MIRROR_VARIABLE: Final = "TF_PLUGIN_MIRROR"
_REGISTRY: Final = "registry.terraform.io"
_PROVIDER: Final = f"{_REGISTRY}/hashicorp/aws"
_REGISTRY_SECONDS = 3.0
_READ_BY_ROOT: Final = ("include", "lambdas", "services", "src")
"""Folders beside `infra/` whose files the root reads."""

_NOTHING_IS_ASKED: Final = """provider "aws" {
  allowed_account_ids         = []
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

provider "aws" {
  alias                       = "replica"
  allowed_account_ids         = []
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
"""

_OF_THE_SHELL: Final = ("AWS_", "TF_VAR_", "TF_CLI_ARGS")
"""Variables that would make a run mean something else than it was asked for."""

Variables = Mapping[str, str | bool | int | Mapping[str, str]]
Event = Callable[[dict[str, Any]], None]


class TerraformMissing(LocalError):
    """The program or its provider is not on this machine; the text says how to get it."""


class TerraformFailed(LocalError):
    """A run of Terraform failed.

    :ivar errors: what it said, one text for each error
    """

    def __init__(self, step: str, errors: Sequence[str]) -> None:
        super().__init__(f"terraform {step}: " + "\n".join(errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Tools:
    """The program, and the folder of its provider; None when its registry has to be asked."""

    program: Path
    mirror: Path | None


def find() -> Tools:
    """Return where program and provider are.

    :raises TerraformMissing: when one of them cannot be had
    """
    program = shutil.which("terraform")
    if program is None:
        raise TerraformMissing(
            "terraform is not on the PATH: get version 1.11 or later from https://developer.hashicorp.com/terraform/install"
        )
    mirror = next((folder for folder in _mirrors() if (folder / _PROVIDER).is_dir()), None)
    if mirror is None and not _registry_answers():
        raise TerraformMissing(
            f"Terraform's provider {_PROVIDER} is in none of its mirror folders, and {_REGISTRY} does not answer: fill "
            f"a folder with `terraform providers mirror FOLDER` where it does, and name it in {MIRROR_VARIABLE}"
        )
    return Tools(Path(program), mirror)


def _mirrors() -> Iterator[Path]:
    """Folders that may hold the provider, in the order in which they count."""
    if named := os.environ.get(MIRROR_VARIABLE):
        yield Path(named).resolve()
    home, data = Path.home(), Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    mac = home / "Library/Application Support/io.terraform/plugins"
    yield from (mac,) if platform.system() == "Darwin" else ()
    yield from (home / ".terraform.d/plugins", data / "terraform/plugins")
    yield from (Path(system) / "terraform/plugins" for system in ("/usr/local/share", "/usr/share"))
    yield from (registry.parent for registry in sorted(Path("/opt").glob(f"*/{_REGISTRY}")))


def _registry_answers() -> bool:
    try:
        with socket.create_connection((_REGISTRY, 443), timeout=_REGISTRY_SECONDS):
            return True
    except OSError:
        return False


class Terraform:
    """Runs of Terraform on one root.

    :param root: folder of the root's files
    :param work: folder for what Terraform keeps between runs, and its settings; made when it is missing
    :param environment: credentials and addresses, in place of those that the shell has for AWS
    """

    def __init__(self, root: Path, work: Path, environment: Mapping[str, str] | None = None) -> None:
        self._tools, self.root, self._work = find(), root, work
        settings = work / "terraform.rc"
        write_atomically(settings, _settings(self._tools.mirror))
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_SHELL)},
            **(environment or {}),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_DATA_DIR": str(work / "data"),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
        }

    def unformatted(self) -> list[str]:
        """Return the files that `terraform fmt` would change."""
        code, lines = self._run("fmt", "-check", "-recursive", "-list=true")
        if code not in (0, 3):
            raise TerraformFailed("fmt", _said(lines))
        return lines

    def init(self, backend: Mapping[str, str | bool] | None = None) -> None:
        """Prepare the root.

        :param backend: settings of the backend that the root leaves open; None for no backend, which is enough to
            validate and to test
        :raises TerraformFailed: when the root, the backend or the lock file stands in the way
        """
        settings = [f"-backend-config={name}={_text(value)}" for name, value in (backend or {}).items()]
        given = ["-backend=false"] if backend is None else ["-reconfigure", *settings]
        code, lines = self._run("init", "-no-color", *given)
        if code:
            raise TerraformFailed("init", _said(lines))

    def validate(self) -> None:
        """Check the root without looking at anything outside of it."""
        _, lines = self._run("validate", "-json")
        found = json.loads("\n".join(lines))
        if not found["valid"]:
            raise TerraformFailed("validate", [_explain(one) for one in found["diagnostics"]])

    def plan(self, variables: Variables, out: Path, *options: str) -> bool:
        """Write a plan to the file `out`. Return whether it would change anything.

        :param options: of `terraform plan`, such as `-destroy` or `-refresh=false`
        :raises TerraformFailed: when no plan can be made; nothing was changed
        """
        given = [f"-var={name}={_text(value)}" for name, value in variables.items()]
        try:
            code = self._events("plan", f"-out={out}", "-detailed-exitcode", *given, *options)
        except TerraformFailed:
            out.unlink(missing_ok=True)  # of a part, which nobody should take for a plan
            raise
        return code == 2

    def show(self, plan: Path) -> dict[str, Any]:
        """Return a saved plan as Terraform's JSON describes it."""
        code, lines = self._run("show", "-json", str(plan))
        if code:
            raise TerraformFailed("show", _said(lines))
        shown: dict[str, Any] = json.loads(lines[-1])
        return shown

    def apply(self, plan: Path, *options: str, event: Event | None = None) -> None:
        """Apply a saved plan, and nothing else.

        :param event: is called with each line of Terraform's JSON, to show how far it is
        :raises TerraformFailed: when something could not be made; what was made is in the state
        """
        self._events("apply", *options, str(plan), event=event)

    def output(self) -> dict[str, Any]:
        """Return the outputs of the state, secret ones included."""
        code, lines = self._run("output", "-json")
        if code:
            raise TerraformFailed("output", _said(lines))
        return {name: one["value"] for name, one in json.loads("\n".join(lines)).items()}

    def addresses(self) -> list[str]:
        """Return the address of everything in the state; empty when there is none."""
        code, lines = self._run("state", "list")
        return [] if code else lines

    def test(self) -> None:
        """Run the root's own tests."""
        code, lines = self._run("test", "-no-color")
        if code:
            raise TerraformFailed("test", _said(lines))

    def _events(self, *command: str, event: Event | None = None) -> int:
        """Run a command that tells its progress as lines of JSON. Return its exit code."""
        errors: list[str] = []
        plain: list[str] = []

        def hear(line: str) -> None:
            try:
                one = json.loads(line)
            except ValueError:
                plain.append(line)  # what a provider says when it crashes
                return
            if one.get("type") == "diagnostic" and one["diagnostic"]["severity"] == "error":
                errors.append(_explain(one["diagnostic"]))
            elif event is not None:
                event(one)

        code = self._stream([command[0], "-json", *command[1:]], hear)
        if code == 1 or errors:
            raise TerraformFailed(command[0], errors or _said(plain) or ["it ended without saying why"])
        return code

    def _run(self, *command: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        return self._stream(command, lines.append), [line for line in lines if line]

    def _stream(self, command: Sequence[str], hear: Callable[[str], None]) -> int:
        """Run a command, and pass each line on.

        It gets one signal at most, SIGINT, on which it stops in order and writes its state; a second one would make it
        leave without. So it is out of reach of the terminal's Ctrl-C, and is always waited for.
        """
        child = subprocess.Popen(
            [str(self._tools.program), f"-chdir={self.root}", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        asked: list[int] = []

        def ask_once(number: int, _: FrameType | None) -> None:
            if not asked:
                child.send_signal(signal.SIGINT)
            asked.append(number)

        before = {number: signal.signal(number, ask_once) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            assert child.stdout is not None
            for line in child.stdout:
                hear(line.rstrip("\n"))
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if asked:
            raise KeyboardInterrupt
        return code


def offline(work: Path) -> tuple[Path, dict[str, str]]:
    """Return a root that needs no network to be planned, and the variables of the environment for it.

    Its files are those of `infra/`, without the backend: the state is a file beside them, `init({})` prepares it. The
    credentials are invented, and the provider asks for nothing.
    """
    root = work / "infra"
    root.mkdir(parents=True, exist_ok=True)
    for name in _READ_BY_ROOT:
        _link(work / name, ROOT / name)
    for path in INFRA.iterdir():
        if path.name not in (".terraform", "backend.tf") and not path.name.startswith("terraform.tfstate"):
            _link(root / path.name, path)
    write_atomically(root / "offline_override.tf", _NOTHING_IS_ASKED)
    keys = {"AWS_ACCESS_KEY_ID": "offline", "AWS_SECRET_ACCESS_KEY": "offline", "AWS_EC2_METADATA_DISABLED": "true"}
    return root, keys


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)


def _settings(mirror: Path | None) -> str:
    lines = ["disable_checkpoint = true"]
    if mirror is not None:
        lines.append(f"provider_installation {{ filesystem_mirror {{ path = {json.dumps(str(mirror))} }} }}")
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _said(lines: Sequence[str]) -> list[str]:
    """The errors in what a command printed for people, without the frame around them."""
    plain = [line.lstrip("╷│╵ ").rstrip() for line in lines]
    first = next((at for at, line in enumerate(plain) if line.startswith("Error:")), max(0, len(plain) - 10))
    return [" ".join(line for line in plain[first:] if line)]


def _explain(diagnostic: Mapping[str, Any]) -> str:
    where = diagnostic.get("address") or ""
    if not where and (place := diagnostic.get("range")):
        where = f"{place['filename']}:{place['start']['line']}"
    text = " ".join([diagnostic["summary"].rstrip(".:") + ":", *diagnostic.get("detail", "").split()]).rstrip(":")
    return f"{where}: {text}" if where else text
