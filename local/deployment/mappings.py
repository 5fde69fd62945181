"""Mappings may gain fields, and nothing else: a record that waits in a queue must still fit when it is replayed."""

import json
from collections.abc import Mapping
from typing import Any

from local.deployment.checkout import files_at
from local.errors import LocalError
from searchsync.catalog import include_dir

_FOLDER = "include/mappings"
_GROWING = ("properties", "fields")
"""What may gain names; all else of a mapping stays as it was."""


def check(commit: str) -> None:
    """Compare the mapping files with those of the deployed commit.

    :raises LocalError: when a file, a field or a setting of a field is gone or differs
    """
    found = []
    for name, text in files_at(commit, _FOLDER).items():
        if not name.endswith(".json") or name.endswith(".smoke.json"):
            continue
        path = include_dir() / "mappings" / name
        if not path.exists():
            found.append(f"{name} is gone")
            continue
        wanted = json.loads(path.read_text(encoding="utf-8"))["mappings"]
        found += [f"{name}: {one}" for one in incompatible(json.loads(text)["mappings"], wanted)]
    if found:
        raise LocalError(
            f"mappings may only gain fields, and since the deployed commit {commit[:12]} these changed: "
            f"{'; '.join(found)}. Records that wait in a queue would not fit any more. Nothing was changed. Put back "
            "what was there, and add a new field beside it"
        )


def incompatible(deployed: Mapping[str, Any], wanted: Mapping[str, Any], path: str = "") -> list[str]:
    """Return what differs between two mappings of an index, or of a field, but for fields that came in addition."""
    found = [f"{path}{name} is new" for name in wanted if name not in deployed and name not in _GROWING]
    for name, value in deployed.items():
        if name not in wanted:
            found.append(f"{path}{name} is gone")
        elif name not in _GROWING:
            if wanted[name] != value:
                found.append(f"{path}{name} is {json.dumps(wanted[name])} and was {json.dumps(value)}")
        else:
            found += _narrowed(value, wanted[name], path)
    return found


def _narrowed(deployed: Mapping[str, Any], wanted: Mapping[str, Any], path: str) -> list[str]:
    found = []
    for field, definition in deployed.items():
        if field in wanted:
            found += incompatible(definition, wanted[field], f"{path}{field}.")
        else:
            found.append(f"field {path}{field} is gone")
    return found
