"""Connections of a person's own: the file `connections.env`, for the local stack and for docker-compose.yaml.

Each line is `NAME=value`, as an `env_file` of Compose has it: `AIRFLOW_CONN_<ID>` for Airflow, and for shells what
docs/entities.md lists, such as `<ID>_DSN`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from local.errors import LocalError
from local.paths import ROOT

FILE = ROOT / "connections.env"
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_QUOTED = re.compile(r"(['\"])(.*)\1")


def read(path: Path = FILE) -> dict[str, str]:
    """The variables of the file; none when it is not there.

    :raises LocalError: for a line that is none.
    """
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise LocalError(f"{path}:{number}: a line is NAME=value, with capitals, digits and _ in the name")
        quoted = _QUOTED.fullmatch(match[2])
        found[match[1]] = quoted[2] if quoted else match[2]
    return found


def beside(own: Mapping[str, str], path: Path = FILE) -> dict[str, str]:
    """The variables of the file together with the stack's own.

    :raises LocalError: when the file has one of the stack's own.
    """
    found = read(path)
    if taken := sorted(found.keys() & own.keys()):
        raise LocalError(f"{path}: {', '.join(taken)} is set by ./dev itself: take the line out, or name another id")
    return {**found, **own}
