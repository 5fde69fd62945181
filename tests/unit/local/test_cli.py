"""Each command hands on what it was given, and each expected failure is one message without a traceback."""

import errno
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import cli, workbench
from local.errors import LocalError
from local.stack import PARTS, Stack
from searchsync.catalog import BAD_ENTITIES
from searchsync.errors import BadEntity


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEARCHSYNC_LOCAL_HOME", str(tmp_path))
    return tmp_path


def test_pytest_and_benchmarks_get_their_arguments_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(*arguments: Any) -> int:
        seen.append(arguments)
        return 5

    monkeypatch.setattr(workbench, "test", run)
    monkeypatch.setattr(workbench, "bench", run)
    assert cli.main(["test", "-q", "-x", "tests/unit", "-k", "a or b", "--help"]) == 5
    assert cli.main(["bench", "reindex", "--rows", "10"]) == 5
    assert seen == [(["-q", "-x", "tests/unit", "-k", "a or b", "--help"],), ("reindex", ["--rows", "10"])]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalError("port 1 is taken"), "dev: port 1 is taken"),
        (psycopg.errors.DiskFull("could not extend file\nHINT: x"), "dev: PostgreSQL: could not extend file"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "dev: [Errno 28] No space left on device: '/a/b'"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "dev: [Errno 13] Permission denied: '/a/b'"),
    ],
)
def test_what_stands_in_the_way_is_said_in_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Stack) -> None:
        raise error

    monkeypatch.setattr(Stack, "up", fail)
    assert cli.main(["up", "--no-run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Stack) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(Stack, "up", fail)
    with pytest.raises(OSError, match="Bad file"):
        cli.main(["up", "--no-run"])


def test_a_stack_that_is_down_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().out.count("stopped") == len(PARTS)
    for command in (["env"], ["trigger", "locations_reindex"]):
        assert cli.main(command) == 1
        assert "`./dev up` starts it" in capsys.readouterr().err
    assert cli.main(["down"]) == 0
    assert "0 of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "dead"),
    [(["env"], "opensearch"), (["trigger", "locations_reindex"], "scheduler"), (["env"], "postgres")],
)
def test_a_part_that_died_is_named(
    command: list[str], dead: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest runs: whoever reads that nothing does looks in the wrong place."""
    monkeypatch.setattr(Stack, "running", lambda _: dict.fromkeys(set(PARTS) - {dead}))
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert f"not running: {dead}; see `./dev logs {dead}`" in said
    assert "the stack is not running" not in said


@pytest.mark.parametrize("conf", ["{", "[]", "1"])
def test_conf_has_to_be_a_json_object(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["trigger", "locations_reindex", "--conf", conf])
    assert ended.value.code == 2
    assert "argument --conf: not" in capsys.readouterr().err


def test_an_unknown_log_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["logs", "nope"]) == 1
    assert "scheduler" in capsys.readouterr().err


def test_a_wrong_entity_file_is_said_before_a_run_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Airflow still knows the DAG for a minute, and its run would stand until the file is mended."""
    monkeypatch.setattr(Stack, "require", lambda *_: None)
    monkeypatch.setattr(Stack, "api", lambda _: None)
    monkeypatch.setitem(BAD_ENTITIES, "tools", BadEntity("include/entities/tools.yaml:3: chagned is no key"))
    assert cli.main(["trigger", "tools_reindex"]) == 1
    assert capsys.readouterr().err == "dev: include/entities/tools.yaml:3: chagned is no key\n"
