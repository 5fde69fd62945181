"""The table of alarms as tests read it, and what CloudWatch makes of a series of datapoints."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from local.paths import ROOT
from searchsync import config
from searchsync.catalog import entity

TABLE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "include" / "policies" / "alarms.yaml").read_text())
ALARMS: Final[dict[str, dict[str, Any]]] = TABLE["alarms"]
ENVIRONMENTS: Final[dict[str, dict[str, Any]]] = yaml.safe_load((ROOT / "infra" / "environments.yaml").read_text())

WATCHED: Final[dict[str, dict[str, Any]]] = {
    name: row if {"metric", "expression"} & row.keys() else row | TABLE["checks"] for name, row in ALARMS.items()
}
"""The rows as CloudWatch has them: of one with a check alone, what the check reports."""

Series = Sequence[float | None]
"""A value for each period, the newest last; None for a period without data."""

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_RANGE: Final = 2
"""Periods beyond those of the alarm that CloudWatch looks at when some have no data. Its documentation shows two for an
alarm of three periods, and says that it differs."""

_MATH: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


@dataclass(frozen=True)
class Rule:
    """When an alarm is in alarm.

    :ivar breaching: datapoints of the last ``periods`` that have to breach
    :ivar missing: what a period without data counts as: ``breaching``, ``notBreaching`` or ``ignore``
    """

    comparison: str
    threshold: float
    periods: int
    breaching: int
    missing: str

    def state(self, points: Series, before: str) -> str:
        """Return the state after a series, for an alarm that was in another one before.

        CloudWatch's rule (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html):
        with enough datapoints in the evaluation range it looks at the latest of them, and a period without data does
        not matter; with fewer it fills up what is lacking.
        """
        breaches = COMPARISONS[self.comparison]
        real = [breaches(point, self.threshold) for point in points[-self.periods - _RANGE :] if point is not None]
        lacking = max(self.periods - len(real), 0)
        found = real[-self.periods :] + [self.missing == "breaching"] * lacking
        if sum(found) >= self.breaching:
            return "ALARM"
        if self.missing == "ignore" and lacking and all(real):
            return before
        return "OK"

    def states(self, points: Series, before: str = "OK") -> list[str]:
        """Return the state after each datapoint."""
        states: list[str] = []
        for end in range(1, len(points) + 1):
            states.append(self.state(points[:end], states[-1] if states else before))
        return states


def rule_of(row: Mapping[str, Any], *, environment: str = "production", of: str = "members") -> Rule:
    """Return when an alarm of a row is in alarm, for an entity."""
    threshold = threshold_of(row["threshold"], environment, of)
    return Rule(row["is"], threshold, row["periods"], row["breaching"], row["missing"])


def threshold_of(given: Any, environment: str, of: str) -> float:
    """Return the number that a row's threshold means."""
    match given:
        case {"freshness": name}:
            return float(getattr(config.freshness(entity(of)), name) * given.get("times", 1))
        case {"burn_rate": rate}:
            return float(rate * (100 - TABLE["objective"]["availability"]))
        case {"size": "search_gigabytes", "times": times}:
            return float(ENVIRONMENTS["search_nodes"][environment]["gigabytes"] * times)
        case {"size": "database_gigabytes", "times": times}:
            return float(ENVIRONMENTS["database_gb"][environment] * times)
    return float(given)


def measured(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a row measures, by name in its expression; the one metric of a row without is ``value``."""
    return row["of"] if "of" in row else {"value": row["metric"]}


def values_of(row: Mapping[str, Any], series: Series | Mapping[str, Series]) -> list[float | None]:
    """Return what an alarm of a row looks at, from the series of its metrics."""
    if not isinstance(series, Mapping):
        return list(series)
    assert series.keys() == row["of"].keys()
    moments = zip(*series.values(), strict=True)
    return [evaluate(row["expression"], dict(zip(series, moment, strict=True))) for moment in moments]


def evaluate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Return the value of metric math at one moment; None when a metric has no datapoint, or for a division by zero."""
    if None in values.values():
        return None
    try:
        return float(_value(ast.parse(expression, mode="eval").body, values))
    except ZeroDivisionError:
        return None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _MATH[type(op)](_value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARE[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            return _value(then if _value(condition, values) else otherwise, values)
    raise AssertionError(f"not of the metric math that is used here: {ast.unparse(node)}")
