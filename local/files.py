"""Small files that must never be seen half-written, and secrets that only their owner may read."""

import json
import os
import secrets
import tempfile
import threading
from pathlib import Path
from typing import Any

_SECRETS = threading.Lock()


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace `path` in one step: a reader, or the next start after a power cut, finds the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty when the file is missing or damaged, because every such file can be made again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object for `read_json`, readable by its owner only."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def secret(path: Path, name: str, *, length: int = 24) -> str:
    """A random secret, made once and kept in `path`: logins survive a restart and are never in the repository.

    :param length: random bytes; the text is URL-safe, so it can stand in a connection address unquoted.
    """
    with _SECRETS:  # parts start in threads: the one that wrote last would forget the secret of the other
        known = read_json(path)
        if name not in known:
            known[name] = secrets.token_urlsafe(length)
            write_json(path, known)
        return str(known[name])


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
