"""Server processes that outlive the command that started them, and the certainty that only they are ever stopped.

A process id alone says nothing: the system gives it to another program after the first one ends. So each process is
remembered with its start time, and carries the name of its folder in an environment variable that its children
inherit. The variable also finds what no record names: a server whose starter was killed before it could write the
record, or the orphans of a killed parent.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MARK = "SEARCHSYNC_LOCAL_PROCESS"
_MARK_SECONDS = 5.0
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """One process, named so that a later program with the same id is not taken for it.

    :param started: seconds since the epoch, as the system reports it.
    :param mark: the folder it belongs to, found in its environment.
    """

    pid: int
    started: float
    mark: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "mark": self.mark}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Process | None":
        try:
            return cls(int(value["pid"]), float(value["started"]), str(value.get("mark", "")))
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def current(cls) -> "Process":
        return cls(os.getpid(), psutil.Process().create_time())


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> Process:
    """Start `command` in a session of its own, out of reach of the terminal's Ctrl-C; its output goes to `log`.

    :param folder: marks the process; `leftovers(folder)` finds it.
    :param env: its whole environment; this process's when not given.
    :param identity: whom to run as, from `system_user.identity`, for a server that refuses to run as root.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**(os.environ if env is None else env), MARK: str(folder)}
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            **(identity or {}),
        )
    _children[child.pid] = child
    try:
        candidate = psutil.Process(child.pid)
        _await_mark(child, candidate)
        started = candidate.create_time()
    except psutil.NoSuchProcess:
        started = time.time()
    return Process(child.pid, started, str(folder))


def _await_mark(child: "subprocess.Popen[bytes]", candidate: psutil.Process) -> None:
    """Wait until others can read the mark.

    Linux closes the pipe by which Popen learns of the new program before the program has its environment: for
    milliseconds, or longer on a busy machine, `/proc/PID/environ` is empty.
    """
    deadline = time.monotonic() + _MARK_SECONDS
    while not _mark(candidate) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def is_alive(process: Process | None) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    return process is not None and _find(process) is not None


def stop(process: Process, *, first: signal.Signals = signal.SIGTERM, patience: float = 15.0) -> None:
    """Ask the process group to end, and end it after `patience` seconds. Returns when the process is gone."""
    if not _signal(process, first, group=True):
        return
    if not _wait(process, patience):
        _signal(process, signal.SIGKILL, group=True)
        _wait(process, 10.0)


def kill(process: Process) -> None:
    """SIGKILL to this process alone: the fault that tests inject. Its children have to notice by themselves."""
    if _signal(process, signal.SIGKILL, group=False):
        _wait(process, 10.0)


def leftovers(folder: Path) -> Iterator[Process]:
    """Every process of this user that carries `folder`, or a folder below it, in its environment."""
    for candidate in psutil.process_iter():
        if candidate.pid == os.getpid():
            continue
        mark = _mark(candidate)
        if mark and Path(mark).is_relative_to(folder):
            try:
                yield Process(candidate.pid, candidate.create_time(), mark)
            except psutil.Error:
                continue


def stop_leftovers(folder: Path, *, patience: float = 5.0) -> int:
    """Stop everything that still carries the mark of `folder`. Returns how many there were."""
    found = list(leftovers(folder))
    for process in found:
        _signal(process, signal.SIGTERM, group=False)
    deadline = time.monotonic() + patience
    for process in found:
        if not _wait(process, max(0.1, deadline - time.monotonic())):
            _signal(process, signal.SIGKILL, group=False)
            _wait(process, 5.0)
    return len(found)


def _find(process: Process) -> psutil.Process | None:
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:  # reaps our own ended child, which would stay a zombie otherwise
        del _children[process.pid]
        return None
    try:
        candidate = psutil.Process(process.pid)
        # A zombie whose other threads still end (a JVM's) holds its ports and files until the last of them is gone.
        if candidate.status() == psutil.STATUS_ZOMBIE and candidate.num_threads() <= 1:
            return None
        same_start = abs(candidate.create_time() - process.started) < 2.0
    except psutil.Error:
        return None
    # The reported start time moves when the clock is set; the mark does not.
    return candidate if same_start or (process.mark and _mark(candidate) == process.mark) else None


def _mark(candidate: psutil.Process) -> str:
    try:
        return candidate.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""


def _signal(process: Process, number: signal.Signals, *, group: bool) -> bool:
    if _find(process) is None:
        return False
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _wait(process: Process, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _find(process) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
