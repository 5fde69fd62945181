"""A Lambda handler in a process of its own: it can be killed, it can take too long, and the runner lives on.

`python -m local.function PATH NAME ANSWERS` is that process. A request is a line of JSON on its stdin, an answer a
line on the pipe ANSWERS, so that whatever the handler prints goes to the log and nowhere else.
"""

import importlib.util
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from local.paths import ROOT

_START_SECONDS = 60.0
_EXIT_SECONDS = 5.0
_CHUNK = 1 << 16


class FunctionError(Exception):
    """The invocation failed: the handler raised, its process ended, or the time was up. The text says which."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler is told beside the event.

    :param deadline: seconds of `time.monotonic`.
    """

    aws_request_id: str
    function_name: str
    deadline: float
    function_version: str = "$LATEST"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class Function:
    """One handler, invoked one event at a time. Not for two threads.

    :param handler_path: the module's file; its folder comes first on the handler's import path.
    :param name: of the callable in it.
    :param environment: in addition to this process's.
    :param timeout_seconds: of one invocation. Loading the module does not count, as in Lambda.
    :param log: what the handler prints is added to it. None: it goes where this process's output goes.
    """

    def __init__(
        self,
        handler_path: Path,
        name: str,
        environment: Mapping[str, str],
        timeout_seconds: float,
        log: IO[bytes] | None = None,
    ) -> None:
        self._path, self._name = handler_path, name
        self._environment = {**os.environ, **environment}
        self._timeout, self._log = timeout_seconds, log
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1

    @property
    def pid(self) -> int | None:
        """The process that would take the next event; None before the first one and after a death."""
        return None if self._process is None else self._process.pid

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the handler returns for `event`. After a death or a time-out the next call starts a new process.

        :raises FunctionError: when there is no return value.
        """
        self.start()
        request = {"id": str(uuid4()), "seconds": self._timeout, "event": event}
        answer = json.loads(self._exchange(json.dumps(request).encode() + b"\n", self._timeout))
        if "error" in answer:
            raise FunctionError(answer["error"])
        return answer["result"]

    def start(self) -> None:
        """Load the handler in a new process, unless one waits for an event.

        :raises FunctionError: when the handler cannot be loaded.
        """
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            os.close(self._answers)
            self._process = None

    def _start(self) -> None:
        self._answers, writing = os.pipe()
        command = [sys.executable, "-m", "local.function", str(self._path), self._name, str(writing)]
        try:
            # In a session of its own it is not hit by the signal that stops the runner, which would look like a death.
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._exchange(b"", _START_SECONDS)

    def _exchange(self, request: bytes, seconds: float) -> bytes:
        process = self._process
        assert process is not None
        try:
            return self._talk(process, request, time.monotonic() + seconds)
        except TimeoutError:
            self.close()
            raise FunctionError(f"Task timed out after {seconds:.2f} seconds") from None
        except (BrokenPipeError, EOFError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_EXIT_SECONDS)  # its own exit code says more than that of `close`
            self.close()
            raise FunctionError(f"the function's process ended: exit code {process.returncode}") from None

    def _talk(self, process: "subprocess.Popen[bytes]", request: bytes, deadline: float) -> bytes:
        """Send a line and await one, never blocked by the other side.

        :raises TimeoutError: at `deadline`, in seconds of `time.monotonic`.
        :raises EOFError, BrokenPipeError: when the process is gone.
        """
        stdin, answer = process.stdin, b""
        assert stdin is not None
        while not answer.endswith(b"\n"):
            remaining = max(0.0, deadline - time.monotonic())
            can_read, can_write, _ = select.select([self._answers], [stdin] if request else [], [], remaining)
            if can_read:
                chunk = os.read(self._answers, _CHUNK)
                if not chunk:
                    raise EOFError
                answer += chunk
            elif can_write:
                request = request[os.write(stdin.fileno(), request) :]
            else:
                raise TimeoutError
        return answer


def _load(path: Path, name: str) -> Callable[[Any, Context], Any]:
    sys.path[0] = str(path.parent)  # instead of the folder that `-m` put there
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    handler: Callable[[Any, Context], Any] = getattr(module, name)
    return handler


def _answer(handler: Callable[[Any, Context], Any], request: Mapping[str, Any], function_name: str) -> bytes:
    context = Context(request["id"], function_name, time.monotonic() + request["seconds"])
    try:
        line = json.dumps({"result": handler(request["event"], context)})
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is its answer
        traceback.print_exc()
        line = json.dumps({"error": f"{type(error).__name__}: {error}"})
    return line.encode() + b"\n"


def _read_requests(requests: "queue.SimpleQueue[bytes]") -> None:
    with open(
        0, "rb", closefd=False
    ) as stdin:  # not `sys.stdin`: its lock, held here, would turn an exit into an abort
        for line in stdin:
            requests.put(line)
    os._exit(0)  # the runner is gone: nobody awaits the answer, even in the middle of an event


def main() -> None:
    """Load the handler, then answer until stdin ends."""
    path, name, answers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    os.set_inheritable(answers, False)  # a program that the handler starts would keep it open after a death
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    handler = _load(path, name)
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(b"\n")
        while True:
            pipe.flush()
            pipe.write(_answer(handler, json.loads(requests.get()), path.parent.name))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
