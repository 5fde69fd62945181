"""Numbers that people tune, each stated once in a file of ``include/policies``."""

from typing import Any

import yaml

from searchsync.catalog import CATALOG, include_dir
from searchsync.errors import BadParams

_NUMBERS = {
    "thresholds": (
        "rejected",
        "reconciled",
        "shrink",
        "approval_share",
        "smoke_samples",
        "overlap_minutes",
        "repair_share",
        "read_units",
    ),
    "freshness": (*CATALOG, "comparison", "stream_lag", "dead_letters", "oldest_message", "parked"),
    "retention": ("rollback_hours", "keep_previous", "tombstone_days"),
}


def policy(name: str) -> dict[str, Any]:
    """One file of ``include/policies``: numbers that people tune, each stated once.

    :raises BadParams: when the file or one of its numbers is missing
    """
    path = include_dir() / "policies" / f"{name}.yaml"
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadParams(f"cannot read the policy {path}: {error}") from error
    if not isinstance(loaded, dict):
        raise BadParams(f"{path} must hold a mapping of names to numbers")
    for number in _NUMBERS.get(name, ()):
        if not isinstance(loaded.get(number), int | float) or loaded[number] < 0:
            raise BadParams(f"{path}: {number} must be a number, not {loaded.get(number)!r}")
    return loaded


def read_units(asked: float | None) -> float | None:
    """Read capacity units a second that all reads of a run may use of a table: as asked, else the policy's.

    :returns: None for no limit
    """
    return asked if asked is not None else float(policy("thresholds")["read_units"]) or None
