"""Numbers that people tune, each stated once in a file of ``include/policies``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import yaml

from searchsync.catalog import Entity, include_dir
from searchsync.checked_yaml import CheckedYaml
from searchsync.errors import BadParams


@dataclass(frozen=True)
class Thresholds:
    """What decides whether a new index may be live (``thresholds.yaml``).

    :ivar rejected: documents that OpenSearch may refuse before the gate fails
    :ivar reconciled: keys that the gate may reconcile
    :ivar shrink: smallest ratio of new to live documents without ``allow_shrink``
    :ivar approval_share: share of the live documents above which a person has to approve
    :ivar smoke_samples: documents that each smoke query is tried with
    :ivar overlap_minutes: time that a sync reads before its interval
    :ivar repair_share: share of the documents that a repair may write
    :ivar read_units: read capacity units a second that all reads of a run may use of a table together; 0 for no limit
    """

    rejected: int
    reconciled: int
    shrink: float
    approval_share: float
    smoke_samples: int
    overlap_minutes: float
    repair_share: float
    read_units: float


@dataclass(frozen=True)
class Freshness:
    """What an index may lack before a check fails (``freshness.yaml``).

    :ivar hours: hours since the last reindex or sync that succeeded
    :ivar comparison: hours since the last full comparison
    :ivar stream_lag: seconds behind the stream
    :ivar dead_letters: messages that may wait for the replay
    :ivar parked: messages that may wait for a person
    :ivar oldest_message: seconds that one of them may wait
    """

    hours: float
    comparison: float
    stream_lag: float
    dead_letters: float
    parked: float
    oldest_message: float


@dataclass(frozen=True)
class Retention:
    """How long an index is kept after it was live, and a deleted document is remembered (``retention.yaml``).

    :ivar rollback_hours: hours that an index is kept in sync after it was live
    :ivar keep_previous: indexes that were live and are kept however old they are
    :ivar tombstone_days: days after which a tombstone is purged
    :ivar evidence_days: days after which the folder of a run is deleted
    :ivar save_before_deletion: whether an index is saved before it is deleted, in the repository of ``snapshots``
    """

    rollback_hours: float
    keep_previous: int
    tombstone_days: float
    evidence_days: float
    save_before_deletion: bool


@dataclass(frozen=True)
class Snapshots:
    """Where indexes are saved, when, and for how long (``snapshots.yaml``).

    :ivar repository: its name in OpenSearch
    :ivar schedule: of the daily snapshot, as cron
    :ivar daily: number of days of which the newest good snapshot is kept, this one included; so ``weekly``, ``monthly``
    :ivar bucket: of the repository on AWS; ``${account}`` stands for the account
    :ivar role: which OpenSearch takes to reach the bucket
    :ivar drill_schedule: of the recovery drill, as cron
    :ivar drill_free: share of the disks that must stay free while a drill has a copy of an index on them
    """

    repository: str
    schedule: str
    daily: int
    weekly: int
    monthly: int
    bucket: str
    role: str
    drill_schedule: str
    drill_free: float


@dataclass(frozen=True)
class Capacity:
    """What the capacity of the cluster is judged with (``capacity.yaml``).

    :ivar shard_gib_least: GiB that a shard of a new index has at least
    :ivar shard_gib_most: GiB that it may have when the horizon is reached
    :ivar horizon_days: days for which a new index is made large enough, and beyond which nothing is forecast
    :ivar history_days: days back that a forecast looks
    """

    shard_gib_least: float
    shard_gib_most: float
    horizon_days: int
    history_days: int


def thresholds(entity: Entity) -> Thresholds:
    """Return the numbers of ``thresholds.yaml``, and of the entity's file where it has others.

    :raises BadParams: when the file or one of its numbers is missing
    """
    return _numbers(Thresholds, _File("thresholds", entity.thresholds))


def freshness(entity: Entity) -> Freshness:
    """Return the numbers of ``freshness.yaml``, and of the entity's file where it has others.

    :raises BadParams: when the file or one of its numbers is missing
    """
    return _numbers(Freshness, _File("freshness", entity.freshness))


def retention() -> Retention:
    """Read ``retention.yaml``. Raise ``BadParams`` when one of its values is missing or of another kind."""
    file = _File("retention")
    saves = file.loaded.get("save_before_deletion")
    if not isinstance(saves, bool):
        raise BadParams(f"{file.path}: save_before_deletion must be true or false, not {saves!r}. Nothing was changed")
    return _numbers(Retention, file, save_before_deletion=saves)


def snapshots() -> Snapshots:
    """Read ``snapshots.yaml``. Raise ``BadParams``, naming line and key, when it is not what its schema says."""
    found = CheckedYaml(include_dir() / "policies" / "snapshots.yaml", "snapshots.schema.json").content
    drill = {f"drill_{name}": value for name, value in found["drill"].items()}
    return Snapshots(found["repository"], found["schedule"], **found["keep"], **found["s3"], **drill)


def capacity() -> Capacity:
    """Return the numbers of ``capacity.yaml``. Raise ``BadParams`` when the file or one of its numbers is missing."""
    return _numbers(Capacity, _File("capacity"))


def read_units(entity: Entity, asked: float | None) -> float | None:
    """Return how many read capacity units a second all reads of a run may use of a table together.

    :param asked: the number that was asked for; None for the one of ``thresholds``
    :returns: None when there is no limit
    """
    return asked if asked is not None else thresholds(entity).read_units or None


class _File:
    """A mapping of names to numbers, in ``include/policies``; an entity may have other numbers."""

    def __init__(self, name: str, others: Mapping[str, float] | None = None) -> None:
        self.path = include_dir() / "policies" / f"{name}.yaml"
        try:
            self.loaded: Any = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise BadParams(f"cannot read the policy {self.path}: {error}") from error
        if not isinstance(self.loaded, dict):
            raise BadParams(f"{self.path} must hold a mapping of names to numbers")
        self.loaded |= others or {}

    def number(self, name: str, kind: Any = float) -> Any:
        found = self.loaded.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < float("inf"):
            raise BadParams(f"{self.path}: {name} must be a number that is not negative, not {found!r}")
        if kind is int and found != int(found):
            raise BadParams(f"{self.path}: {name} must be a whole number, not {found!r}")
        return kind(found)


_Numbers = TypeVar("_Numbers", Thresholds, Freshness, Retention, Capacity)


def _numbers(kind: type[_Numbers], file: _File, **others: Any) -> _Numbers:
    numbers = {field.name: file.number(field.name, field.type) for field in fields(kind) if field.name not in others}
    return kind(**numbers, **others)
