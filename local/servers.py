"""What PostgreSQL and OpenSearch share: a record in the server's folder, by which a second start finds the first."""

from dataclasses import dataclass
from pathlib import Path

from local.files import read_json, write_json
from local.processes import Process, is_alive

RECORD = "server.json"
OWNER = "owner.json"


@dataclass(frozen=True, slots=True)
class Record:
    """A server that was started in a folder, and who started it: a test folder whose starter is dead may be swept."""

    process: Process
    port: int
    owner: Process


def read(folder: Path) -> Record | None:
    """The record in `folder`, whether its process still lives or not."""
    value = read_json(folder / RECORD)
    process = Process.from_dict(value.get("process") or {})
    owner = Process.from_dict(value.get("owner") or {})
    if process is None or owner is None or not isinstance(value.get("port"), int):
        return None
    return Record(process, value["port"], owner)


def running(folder: Path) -> Record | None:
    """The record in `folder` if its process lives."""
    record = read(folder)
    return record if record is not None and is_alive(record.process) else None


def write(folder: Path, process: Process, port: int) -> None:
    """Remember a process that was just started, by this process."""
    value = {"process": process.as_dict(), "port": port, "owner": Process.current().as_dict()}
    write_json(folder / RECORD, value)


def claim(folder: Path) -> None:
    """Say that a folder of servers belongs to this process, before the first of them starts."""
    write_json(folder / OWNER, Process.current().as_dict())


def below(folder: Path) -> list[Record]:
    """Every server ever started in `folder` and the folders in it."""
    return [record for path in sorted(folder.rglob(RECORD)) if (record := read(path.parent)) is not None]


def owners(folder: Path) -> list[Process]:
    """Who claimed `folder` and who started the servers in it."""
    claimed = Process.from_dict(read_json(folder / OWNER))
    return [*([claimed] if claimed else []), *(record.owner for record in below(folder))]
