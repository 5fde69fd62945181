"""What a stack remembers between commands: its ports, and the processes that `up` started.

One file, replaced in one step.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local import ports
from local.errors import LocalError
from local.files import read_json, write_json
from local.processes import Process, is_alive


@dataclass(slots=True)
class Part:
    """One started program.

    :param fingerprint: of the settings it was started with; when they change it has to be started again.
    """

    process: Process
    fingerprint: str = ""


@dataclass(slots=True)
class State:
    """Ports by name, programs by name.

    A damaged or missing file reads as a stack that never ran; `down` finds its processes anyway.
    """

    path: Path
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "State":
        value = read_json(path)
        known = {str(name): port for name, port in dict(value.get("ports") or {}).items() if isinstance(port, int)}
        parts = {}
        for name, entry in dict(value.get("parts") or {}).items():
            process = Process.from_dict(entry)
            if process is not None:
                parts[str(name)] = Part(process, str(entry.get("fingerprint", "")))
        return cls(path, known, parts)

    def save(self) -> None:
        parts = {name: {**part.process.as_dict(), "fingerprint": part.fingerprint} for name, part in self.parts.items()}
        write_json(self.path, {"ports": self.ports, "parts": parts})

    def running(self, name: str) -> Part | None:
        """The part if its process lives."""
        part = self.parts.get(name)
        return part if part is not None and is_alive(part.process) else None

    def claim_ports(self, wanted: Mapping[str, range], holders: Mapping[str, str]) -> list[str]:
        """Choose a port for each name, the last one if it is free or held by our own part.

        Returns the names whose port changed.

        :param holders: the part that listens on a port, where it is not called the same.
        """
        moved = []
        for name, within in wanted.items():
            last = self.ports.get(name)
            if last is not None and self.running(holders.get(name, name)) is not None:
                continue
            others = {port for other, port in self.ports.items() if other != name}
            self.ports[name] = ports.choose(last if last not in others else None, within=within)
            if last not in (None, self.ports[name]):
                moved.append(name)
        return moved


@contextmanager
def exclusively(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock in `path` while changing something; a second command says who holds it instead of interfering.

    The system releases it when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LocalError(
                f"`{lock.read().strip() or 'another ./dev'}` is at work here: wait for it, or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"./dev {doing} (process {os.getpid()})")
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)
