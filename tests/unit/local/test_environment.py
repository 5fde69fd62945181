"""The environment is made again when it has to be, and only then; a half-made one is never used."""

from dataclasses import replace
from pathlib import Path

import pytest

from local import environment

PROJECT = '[project]\nname = "x"\ndependencies = ["a"]\n[build-system]\nrequires = ["hatchling"]\n'
LOCK = (
    "a==1 \\\n    --hash=sha256:00\nuv==9.9 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n    # via -r x\nz==2\n"
)


class Installation:
    """Stands in for the commands that install; `broken` words make one fail."""

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.commands: list[tuple[str, ...]] = []
        self.broken: set[str] = set()

    def run(self, *command: str) -> bool:
        self.commands.append(command)
        if "venv" in command:
            (self.venv / "bin").mkdir(parents=True)
            (self.venv / "bin" / "python").touch()
        environment.LOG.write_text("the reason\n")
        return self.broken.isdisjoint(command)


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    for name, path in {"ROOT": "", "LOCAL": ".local", "LOG": ".local/logs/install.log"}.items():
        monkeypatch.setattr(environment, name, tmp_path / path)
    venv = replace(environment.VENV, folder=tmp_path / ".local/venv", lock=tmp_path / "lock.txt", needed_bytes=0)
    monkeypatch.setattr(environment, "VENV", venv)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "lock.txt").write_text(LOCK)
    installation = Installation(tmp_path / ".local/venv")
    monkeypatch.setattr(environment, "_run", installation.run)
    return installation


def test_it_is_made_once(installation: Installation) -> None:
    assert environment.main() == 0
    assert [Path(command[0]).name for command in installation.commands[2:]] == ["uv", "uv"]
    assert "--require-hashes" in installation.commands[2]
    del installation.commands[:]
    assert environment.main() == 0
    assert installation.commands == []


@pytest.mark.parametrize(
    ("file", "text", "again"),
    [
        ("lock.txt", LOCK + "new==1\n", True),
        ("pyproject.toml", PROJECT.replace('"a"', '"b"'), True),
        ("pyproject.toml", PROJECT + "[tool.ruff]\nline-length = 99\n", False),
    ],
)
def test_it_is_made_again_when_what_it_depends_on_changes(
    installation: Installation, tmp_path: Path, file: str, text: str, again: bool
) -> None:
    environment.main()
    del installation.commands[:]
    (tmp_path / file).write_text(text)
    assert environment.main() == 0
    assert bool(installation.commands) == again


def test_an_interrupted_installation_is_thrown_away(installation: Installation, tmp_path: Path) -> None:
    environment.main()
    environment.VENV.stamp.unlink()
    (tmp_path / ".local/venv/half").touch()
    del installation.commands[:]
    assert environment.main() == 0
    assert installation.commands
    assert not (tmp_path / ".local/venv/half").exists()


def test_pip_takes_over_where_uv_does_not_work(installation: Installation, tmp_path: Path) -> None:
    installation.broken.add(str(tmp_path / ".local/venv/bin/uv"))
    assert environment.main() == 0
    assert installation.commands[-1][1:4] == ("-m", "pip", "install")
    assert environment.VENV.stamp.exists()


def test_without_a_network_there_is_one_message_and_no_environment(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.broken.add("--require-hashes")
    assert environment.main() == 1
    assert len(installation.commands) == 3, "venv, then uv's wheel and the packages by pip"
    (_, message) = capsys.readouterr().err.splitlines()
    assert "could not install the packages of lock.txt (the reason): check the network" in message
    assert not environment.VENV.stamp.exists()


def test_uv_comes_at_the_version_and_hashes_of_the_lock(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(*command: str) -> bool:
        seen.append(Path(command[-1].partition("=")[2]).read_text())
        return True

    environment.LOCAL.mkdir()
    monkeypatch.setattr(environment, "_run", run)
    environment._installer(environment.VENV)
    assert seen == ["uv==9.9 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n    # via -r x\n"]
    assert installation.commands == []


def test_tools_have_an_environment_of_their_own(installation: Installation, tmp_path: Path) -> None:
    """Checkov takes an older boto3 than the code is tested with."""
    tools = replace(environment.TOOLS, folder=tmp_path / ".local/tools", lock=tmp_path / "lock.txt", needed_bytes=0)
    installation.venv = tools.folder
    assert environment.ensure(tools) == tools.folder / "bin"
    assert not [command for command in installation.commands if "-e" in command], "nothing there imports the project"
    del installation.commands[:]
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace('"a"', '"b"'))
    environment.ensure(tools)
    assert installation.commands == []


@pytest.mark.parametrize("made", [environment.VENV, environment.TOOLS])
def test_every_lock_brings_uv(made: environment.Environment) -> None:
    """Without it, pip would take minutes where uv takes seconds."""
    assert "\nuv==" in made.lock.read_text()
