"""Whether the alarms of CloudWatch are those of ``include/policies/alarms.yaml``, with its numbers."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from searchsync import alarms
from searchsync.alarms import PREFIX, Alarm
from searchsync.preflight.checks import Check, Finding, differences
from searchsync.preflight.tables import APPLY
from searchsync.preflight.target import Target

OPERATORS: Final = {
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
}


def checks(target: Target) -> Iterator[Check]:
    """Yield the check of all alarms."""
    yield Check(
        "alarms",
        PREFIX,
        "somebody would be told too late, or of nothing",
        APPLY,
        lambda: _look(target),
    )


def _look(target: Target) -> Finding:
    pages = target.aws("cloudwatch").get_paginator("describe_alarms")
    kinds = ["MetricAlarm", "CompositeAlarm"]
    found: dict[str, dict[str, Any]] = {
        alarm["AlarmName"]: alarm
        for page in pages.paginate(AlarmNamePrefix=f"{PREFIX}-", AlarmTypes=kinds)
        for alarm in [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]
    }
    wanted = dict(_wanted(target, found))
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{name} is not in the table" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        problems += [f"{name}: {problem}" for problem in _problems(wanted[name], found[name])]
    return Finding(f"{len(found)} alarms", problems)


def _wanted(target: Target, found: Mapping[str, Any]) -> Iterator[tuple[str, Alarm | str]]:
    """Yield the name of each alarm that has to be there, with its row; of several that tell together, the severity.

    Of those that there is one each for a node, a database or a service, the names are taken from what is there: at
    least one.
    """
    sizes = {
        "search_gigabytes": target.values["search_nodes"]["gigabytes"],
        "database_gigabytes": target.values["database_gb"],
    }
    of = {"": alarms.watched(sizes=sizes)} | {
        name: alarms.watched(entity, sizes) for name, entity in target.entities.items()
    }
    entities = {
        "entity": [*target.entities],
        "table": [entity.name for entity in target.of("dynamodb")],
        "synced": [entity.name for entity in target.of("postgres")],
    }
    here = {name: row for rows in of.values() for name, row in rows.items() if target.environment in row.environments}
    for name, row in here.items():
        if row.each in entities:
            yield from ((f"{PREFIX}-{name}-{one}", of[one][name]) for one in entities[row.each])
        elif row.each:
            own = [other for other in found if alarms.row_of(other) == name] or [f"{PREFIX}-{name}-..."]
            yield from ((other, row) for other in own)
        else:
            yield f"{PREFIX}-{name}", row
    for name, (severity, parts) in alarms.together().items():
        if here.keys() >= {*parts}:
            yield f"{PREFIX}-{name}", severity


def _problems(wanted: Alarm | str, found: Mapping[str, Any]) -> list[str]:
    severity = wanted if isinstance(wanted, str) else wanted.severity
    topics = [f"{PREFIX}-{severity.lower()}"] if severity else []
    told = {
        "switched on": found["ActionsEnabled"],
        "topics told": [arn.rpartition(":")[2] for arn in found["AlarmActions"]],
        "topics told when it is over": [arn.rpartition(":")[2] for arn in found["OKActions"]],
    }
    problems = differences(dict(zip(told, (True, topics, topics), strict=True)), told)
    if isinstance(wanted, str):
        return problems
    return problems + differences(
        {
            "threshold": wanted.threshold,
            "comparison": OPERATORS[wanted.comparison],
            "seconds": wanted.window,
            "missing data": wanted.missing,
        },
        {
            "threshold": found["Threshold"],
            "comparison": found["ComparisonOperator"],
            "seconds": found["DatapointsToAlarm"] * _period(found),
            "missing data": found["TreatMissingData"],
        },
    )


def _period(alarm: Mapping[str, Any]) -> int:
    """Return the seconds of a period, which stands in the parts of a calculation, and of them in each the same."""
    parts = [query["MetricStat"]["Period"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return int(alarm.get("Period") or parts[0])
