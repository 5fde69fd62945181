"""An account for PostgreSQL where everything runs as root (containers, CI): the server refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.errors import LocalError

NAME = "searchsync-pg"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its group."""

    uid: int
    gid: int


def find() -> Account | None:
    """None when this process is not root and can run the server itself; else the account, made when missing."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _create()
        entry = pwd.getpwnam(NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def identity(account: Account | None) -> dict[str, Any]:
    """The arguments that make `subprocess` run a program as this account and with no group of root's."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def open_way(folder: Path) -> None:
    """Let other users pass through the parents of `folder`, without letting them list or read anything there."""
    for place in [folder, *folder.parents]:
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _create() -> None:
    program = shutil.which("useradd", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if program is None:
        raise LocalError(
            "PostgreSQL does not run as root and this system has no `useradd`: "
            f"make a user named {NAME}, or run as a normal user"
        )
    command = [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode not in (0, 9):  # 9: exists by now, made by another checkout
        raise LocalError(f"could not make the user {NAME}, as whom PostgreSQL runs here: {result.stderr.strip()}")
