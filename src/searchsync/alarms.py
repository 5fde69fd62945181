"""The signals that somebody is told about (``include/policies/alarms.yaml``), with their numbers."""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from searchsync import config
from searchsync.catalog import Entity, include_dir
from searchsync.checked_yaml import CheckedYaml
from searchsync.telemetry import metrics

SCHEMA: Final = "alarms.schema.json"
"""Name of the JSON schema beside the table; editors use it, too."""

PREFIX: Final = "searchsync"
"""Beginning of the name of each alarm in CloudWatch, and of all that is not an entity's; ``infra/`` says the same."""

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Alarm:
    """A row of the table.

    :ivar name: what the row is called
    :ivar signal: what is wrong, for the person who is told
    :ivar comparison: how a breaching value compares with the threshold: ``>``, ``>=``, ``<`` or ``<=``
    :ivar threshold: in ``unit``
    :ivar unit: what is counted or measured
    :ivar window: seconds of breaching after which somebody is told
    :ivar each: what CloudWatch has one alarm each for, such as ``entity``; empty for one alarm
    :ivar missing: what a value that could not be read counts as: ``breaching``, ``notBreaching``, or ``ignore``, which
        leaves things as they were
    :ivar severity: ``P0`` to ``P3``; empty for a part of several alarms that tell together
    :ivar answer: how fast somebody has to answer
    :ivar channels: how they are told: ``pagerduty``, ``slack``, ``mail``
    :ivar runbook: path in the repository of what helps, with its anchor
    :ivar environments: where CloudWatch has an alarm of it
    :ivar check: the DAG that looks at it, wherever Airflow runs; empty when only CloudWatch does
    :ivar has_metric: whether CloudWatch has a metric of it; of others, the check has to ``report`` what it finds
    """

    name: str
    signal: str
    comparison: str
    threshold: float
    unit: str
    window: int
    each: str
    missing: str
    severity: str
    answer: str
    channels: tuple[str, ...]
    runbook: str
    environments: tuple[str, ...]
    check: str
    has_metric: bool

    def breaches(self, value: float) -> bool:
        """Whether a value, in ``unit``, is one that must not last."""
        return COMPARISONS[self.comparison](value, self.threshold)

    def looks(self, every: float) -> int:
        """Return how many looks in a row have to breach before somebody is told, of a check that looks so often.

        :param every: seconds between two looks
        """
        return max(1, math.ceil(self.window / every))


@dataclass(frozen=True)
class BurnRate:
    """Errors that somebody is told of because of how fast they use up a month's budget.

    :ivar name: of the alarm that tells when both of its parts are in alarm
    :ivar rate: how many times as fast as the objective allows
    :ivar long: seconds of the window that says how much was used
    :ivar short: seconds of the window that says that it is going on
    """

    name: str
    rate: float
    long: int
    short: int
    severity: str


def table(entity: Entity | None = None, sizes: Mapping[str, float] | None = None) -> Mapping[str, Alarm]:
    """Return the alarms by name.

    :param entity: whose numbers of ``freshness.yaml``, or of its file, hold; without one the alarms whose threshold is
        one of them are left out
    :param sizes: gigabytes of disks (``search_gigabytes``, ``database_gigabytes``) in one environment; without them
        the alarms whose threshold follows from one are left out
    :raises BadParams: when a file is not what its schema says; the message names file, line, row and key
    """
    content = _content()
    return _alarms(content["alarms"], content, entity, sizes or {})


def watched(entity: Entity | None = None, sizes: Mapping[str, float] | None = None) -> Mapping[str, Alarm]:
    """Return the alarms by name, as CloudWatch has them: of a row with a check alone, the alarm on what it reports.

    The parameters are those of ``table``.

    :raises BadParams: as ``table``
    """
    content = _content()
    rows = {name: row if _has_metric(row) else row | content["checks"] for name, row in content["alarms"].items()}
    return _alarms(rows, content, entity, sizes or {})


def together() -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """Return severity and parts of each alarm that tells when all of its parts are in alarm, by name.

    :raises BadParams: as ``table``
    """
    return {name: (row["severity"], tuple(row["parts"])) for name, row in _content()["together"].items()}


def row_of(alarm: str) -> str:
    """Return the row that an alarm of CloudWatch is of: the longest that its name begins with; empty for none.

    :raises BadParams: as ``table``
    """
    own = (name for name in _content()["alarms"] if f"{alarm}-".startswith(f"{PREFIX}-{name}-"))
    return max(own, key=len, default="")


def objective() -> Mapping[str, float]:
    """Return what percent of requests to the search API are to be answered, by ``availability`` and ``promised``.

    :raises BadParams: as ``table``
    """
    return {name: float(percent) for name, percent in _content()["objective"].items()}


def burn_rates() -> tuple[BurnRate, ...]:
    """Return the rates at which alarms tell that a budget is used up, the fastest first.

    :raises BadParams: as ``table``
    """
    content = _content()
    found = []
    for name, row in content["together"].items():
        parts = [content["alarms"][part] for part in row["parts"]]
        if all("burn_rate" in _as_mapping(part["threshold"]) for part in parts):
            windows = sorted((part["breaching"] * part["period"] for part in parts), reverse=True)
            rate = max(part["threshold"]["burn_rate"] for part in parts)
            found.append(BurnRate(name, float(rate), windows[0], windows[-1], row["severity"]))
    return tuple(sorted(found, key=lambda one: -one.rate))


def _as_mapping(threshold: Any) -> Mapping[str, Any]:
    return threshold if isinstance(threshold, dict) else {}


def report(breaching: Mapping[str, int]) -> None:
    """Tell CloudWatch what checks found, of the rows that have no metric of their own.

    :param breaching: by row, how many subjects (entities, nodes, DAGs) somebody has to be told of; 0 when all is well,
        which has to be said, too: silence changes no alarm
    """
    for name, count in breaching.items():
        metrics.emit("Breaching", count, alarm=name)


def _content() -> dict[str, Any]:
    path = include_dir() / "policies" / "alarms.yaml"
    return _unchanged(path, path.stat().st_mtime_ns if path.is_file() else 0)


def _has_metric(row: Mapping[str, Any]) -> bool:
    return "metric" in row or "expression" in row


def _alarms(
    rows: Mapping[str, Any], content: Mapping[str, Any], entity: Entity | None, sizes: Mapping[str, float]
) -> dict[str, Alarm]:
    found = {}
    for name, row in rows.items():
        threshold = _threshold(row["threshold"], content, entity, sizes)
        if threshold is not None:
            found[name] = _alarm(name, row, threshold, content["severities"])
    return found


@cache
def _unchanged(path: Path, changed_ns: int) -> dict[str, Any]:  # noqa: ARG001 - a file that was changed is read again
    return CheckedYaml(path, SCHEMA).content


def _alarm(name: str, row: Mapping[str, Any], threshold: float, severities: Mapping[str, Any]) -> Alarm:
    severity = row.get("severity", "")
    told = severities.get(severity, {"answer": "", "channels": []})
    return Alarm(
        name=name,
        signal=row["signal"],
        comparison=row["is"],
        threshold=threshold,
        unit=row["unit"],
        window=row["breaching"] * row["period"],
        each=row.get("each", ""),
        missing=row["missing"],
        severity=severity,
        answer=told["answer"],
        channels=tuple(told["channels"]),
        runbook=row["runbook"],
        environments=tuple(row["environments"]),
        check=row.get("check", ""),
        has_metric=_has_metric(row),
    )


def _threshold(
    given: Any, content: Mapping[str, Any], entity: Entity | None, sizes: Mapping[str, float]
) -> float | None:
    """Return the number that a row's threshold means; None when it needs an entity or a size that nobody gave."""
    match given:
        case {"freshness": name}:
            return getattr(config.freshness(entity), name) * float(given.get("times", 1)) if entity else None
        case {"burn_rate": rate}:
            allowed = 100 - content["objective"]["availability"]
            return float(round(rate * allowed, 9))  # as in Terraform, whose numbers are decimal
        case {"size": size, "times": times}:
            return float(sizes[size] * times) if size in sizes else None
    return float(given)
