"""Metrics of tasks: a line of log in CloudWatch's embedded metric format, from which CloudWatch makes the metric.

Nothing here talks to CloudWatch. A line is written like any other line of the log, and goes the way that logs go. So a
metric can be lost, as a line can, and it can hold up nothing.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from searchsync.catalog import include_dir
from searchsync.errors import BadParams
from searchsync.telemetry.embedded import embedded

log = logging.getLogger(__name__)

UNITS = frozenset(("Bytes", "Count", "Milliseconds", "None", "Percent", "Seconds"))
"""Those of CloudWatch's units that are used here."""


@dataclass(frozen=True)
class Metric:
    """One row of ``metrics.yaml``.

    :ivar dimensions: what CloudWatch keeps the metric for, each value of it alone
    :ivar by: who makes it: ``function``, ``worker``, ``task``, ``search-api`` or ``scrape``
    """

    name: str
    unit: str
    dimensions: tuple[str, ...]
    by: str
    means: str


Write = Callable[[dict[str, Any]], None]
"""Writes a document as a line of the log, with its fields at the top."""


def _as_text(document: dict[str, Any]) -> None:
    """Show a metric where no log goes to CloudWatch: in a shell, only when it is asked for."""
    log.debug("%s", json.dumps(document))


_write: Write = _as_text


def write_with(write: Write) -> None:
    """Let metrics be written by something else from now on, in this process."""
    global _write  # noqa: PLW0603 - a process has one log
    _write = write


@cache
def table() -> Mapping[str, Metric]:
    """Return the rows of ``metrics.yaml``, by name.

    :raises BadParams: when the file cannot be read, or a row is wrong; the message names it
    """
    path = include_dir() / "policies" / "metrics.yaml"
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["metrics"]
        return {name: _row(name, row) for name, row in rows.items()}
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadParams(f"cannot use the table of metrics {path}: {error}. Nothing was changed") from error


def _row(name: str, row: Mapping[str, Any]) -> Metric:
    if row.keys() != {"unit", "dimensions", "by", "means"}:
        raise ValueError(f"{name} must have unit, dimensions, by and means, and no other key")
    if row["unit"] not in UNITS:
        raise ValueError(f"{name}: {row['unit']!r} is not one of {sorted(UNITS)}")
    return Metric(name, row["unit"], tuple(row["dimensions"]), row["by"], row["means"])


def emit(name: str, value: float, **fields: str) -> None:
    """Write one value of a metric.

    :param fields: each dimension of the metric in lower case, such as ``entity="members"``; and what else the line
        shall say, such as ``index``
    :raises BadParams: when the table has no such metric for tasks, or a dimension is missing: a mistake in the code
    """
    metric = table().get(name)
    if metric is None or metric.by != "task":
        raise BadParams(f"{name} is no metric of tasks in include/policies/metrics.yaml")
    if missing := [dimension for dimension in metric.dimensions if not fields.get(dimension.lower())]:
        raise BadParams(f"the metric {name} needs {' and '.join(missing).lower()}")
    others = {key: text for key, text in fields.items() if key.capitalize() not in metric.dimensions}
    dimensions = {dimension: fields[dimension.lower()] for dimension in metric.dimensions}
    _write(embedded({name: value}, {name: metric.unit}, dimensions) | others)
