"""A function in its own process: whatever it does, each invocation has one outcome, and the next one works."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.function import Function, FunctionError

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0

HANDLER = """
import json, os, pathlib, sys, time

print("loaded")
folder = pathlib.Path(__file__).parent

def handler(event, context):
    print("not an answer", flush=True)
    order = event.get("order")
    if order == "raise":
        raise ValueError("no")
    if order == "exit":
        sys.exit(3)
    if order == "object":
        return object()
    hang = folder / "hang"
    if hang.exists():
        hang.unlink()
        time.sleep(600)
    return {
        "given": os.environ.get("GIVEN"), "id": context.aws_request_id, "name": context.function_name,
        "left": context.get_remaining_time_in_millis(), "pid": os.getpid(), "size": len(json.dumps(event)),
    }
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Function]:
    path = tmp_path / "some_function" / "handler.py"
    path.parent.mkdir()
    path.write_text(HANDLER, encoding="utf-8")
    function = Function(path, "handler", {"GIVEN": "value"}, 30.0)
    yield function
    function.close()


def test_handler_gets_its_event_environment_and_context(function: Function) -> None:
    """A handler that plans by its remaining time, or reads its settings, would work only on AWS."""
    assert function.pid is None
    event = {"text": "é" * 1_000_000}
    answers = [function.invoke(event) for _ in range(2)]
    assert {answer["pid"] for answer in answers} == {function.pid}, "one process takes them all"
    assert len({answer["id"] for answer in answers}) == 2
    for answer in answers:
        assert (answer["given"], answer["name"], answer["size"]) == ("value", "some_function", len(json.dumps(event)))
        assert 20_000 < answer["left"] <= 30_000


def test_every_kind_of_failure_is_one_error_and_the_next_event_works(function: Function) -> None:
    """A runner that dies with its function, or waits for it for ever, delivers nothing any more."""
    for order, text in (("raise", "ValueError: no"), ("object", "TypeError"), ("exit", "exit code 3")):
        with pytest.raises(FunctionError, match=text):
            function.invoke({"order": order})
        assert function.invoke({})["given"] == "value"


def test_a_function_that_cannot_be_loaded_fails_each_invocation(tmp_path: Path) -> None:
    """A missing module would end the runner instead of the invocation."""
    function = Function(tmp_path / "handler.py", "handler", {}, 30.0)
    for _ in range(2):
        with pytest.raises(FunctionError, match="exit code 1"):
            function.invoke({})


def test_time_out_ends_the_process(function: Function, tmp_path: Path) -> None:
    """A function that hangs would hold up its shard for ever."""
    function = Function(tmp_path / "some_function" / "handler.py", "handler", {}, 0.5)
    (tmp_path / "some_function" / "hang").touch()
    with pytest.raises(FunctionError, match=r"Task timed out after 0.50 seconds"):
        function.invoke({})
    assert function.pid is None
    assert function.invoke({})["pid"] == function.pid
    function.close()


def eventually(condition: Callable[[], Any]) -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_function_ends_with_its_runner(tmp_path: Path) -> None:
    """Killed runners would leave functions behind that still write, each of them for ever."""
    path = tmp_path / "handler.py"
    path.write_text(
        "import os, pathlib, time\ndef handler(event, context):\n"
        "    pathlib.Path(event['file']).write_text(str(os.getpid()))\n    time.sleep(600)\n",
        encoding="utf-8",
    )
    code = (
        "import sys; from pathlib import Path; from local.function import Function; "
        "Function(Path(sys.argv[1]), 'handler', {}, 600).invoke({'file': sys.argv[2]})"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path), str(tmp_path / "pid")], cwd=ROOT) as runner:
        pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(encoding="utf-8")))
        assert alive(pid)
        runner.kill()
    eventually(lambda: not alive(pid))
