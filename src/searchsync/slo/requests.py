"""What CloudWatch knows of the requests to the search API: how many, how many failed, how many were slow.

Which metrics, of which API, is asked of the alarms on them: what is reported is what somebody is told of. CloudWatch
keeps figures of five minutes for 63 days, so an older month is not known any more.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from searchsync import alarms
from searchsync.alarms import PREFIX
from searchsync.aws import errors
from searchsync.errors import SearchSyncError
from searchsync.slo.month import Counts
from searchsync.slo.policy import AVAILABILITY, ERRORS, LATENCY

SECONDS: Final = 300
"""Length of a slot. CloudWatch keeps shorter ones for 15 days only."""

ASKED, FAILED, STALE, IN_TIME, MEASURED, READY = "asked", "failed", "stale", "in_time", "measured", "ready"


@dataclass(frozen=True)
class Figure:
    """A figure that CloudWatch is asked for.

    :ivar alarm: row of ``alarms.yaml`` whose metric it is of
    :ivar part: id of the metric in the alarm's expression; empty when it has no expression
    :ivar statistic: as CloudWatch calls it
    """

    alarm: str
    part: str
    statistic: str


def _figures() -> dict[str, Figure]:
    slow = f"{alarms.table()['api-slow'].threshold:g}"
    return {
        ASKED: Figure("api-errors-1h", "asked", "Sum"),
        FAILED: Figure("api-errors-1h", "failed", "Sum"),
        STALE: Figure("api-answers-stale", "", "Sum"),
        IN_TIME: Figure("api-slow", "", f"TC(:{slow})"),  # the number of values up to it, this one included
        MEASURED: Figure("api-slow", "", "SampleCount"),
        READY: Figure("api-no-task-ready", "", "Maximum"),
    }


def history(cloudwatch: Any, start: datetime, end: datetime) -> dict[str, Counts]:
    """Return the counts of the slots between two moments, by indicator. What CloudWatch has no figure for is missing.

    When nobody asks, API Gateway has no figures. That the balancer has one of the tasks tells this from a gap.

    :param cloudwatch: boto3's client
    :raises SearchSyncError: when CloudWatch does not answer, throttles, has no such alarm, or answers in part
    :raises BadConnection: when the caller may not ask
    """
    with errors("CloudWatch", SearchSyncError):
        of = _asked(cloudwatch, _metrics(cloudwatch), start, end)
    asked, measured = of[ASKED], of[MEASURED]
    quiet = of[READY].keys() - asked.keys()
    return {
        AVAILABILITY: _counts(asked, quiet, lambda time: of[FAILED].get(time, 0)),
        ERRORS: _counts(asked, quiet, lambda time: of[FAILED].get(time, 0) + of[STALE].get(time, 0)),
        LATENCY: _counts(measured, quiet - measured.keys(), lambda time: measured[time] - of[IN_TIME].get(time, 0)),
    }


def _counts(total: Mapping[datetime, int], quiet: set[datetime], bad: Callable[[datetime], int]) -> Counts:
    """Return the counts; a line of a log may count in a later slot than its request, so bad is the total at most."""
    found = {time: (number, min(bad(time), number)) for time, number in total.items()}
    return found | dict.fromkeys(quiet, (0, 0))


def _metrics(cloudwatch: Any) -> dict[str, dict[str, Any]]:
    """Return each figure's metric: namespace, name and dimensions, as its alarm has them."""
    figures = _figures()
    names = sorted({f"{PREFIX}-{figure.alarm}" for figure in figures.values()})
    found = {one["AlarmName"]: one for one in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]}
    if missing := [name for name in names if name not in found]:
        raise SearchSyncError(
            f"CloudWatch has no alarm {', '.join(missing)}, whose metric is counted. Nothing is known of requests. "
            "Apply infra/, or look at an environment that has a search API"
        )
    return {name: _metric(found[f"{PREFIX}-{one.alarm}"], one.part) for name, one in figures.items()}


def _metric(alarm: Mapping[str, Any], part: str) -> dict[str, Any]:
    if part:
        (alarm,) = [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if one["Id"] == part]
    return {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}


def _asked(
    cloudwatch: Any, metrics: Mapping[str, Mapping[str, Any]], start: datetime, end: datetime
) -> dict[str, dict[datetime, int]]:
    """Return the values of each figure by time."""
    queries = [
        {"Id": name, "MetricStat": {"Metric": metrics[name], "Period": SECONDS, "Stat": figure.statistic}}
        for name, figure in _figures().items()
    ]
    values: dict[str, dict[datetime, int]] = {name: {} for name in metrics}
    states: dict[str, str] = {}
    for one in _pages(cloudwatch, queries, start, end):
        times = zip(one["Timestamps"], one["Values"], strict=True)
        # In UTC: an hour that a local zone has twice equals no hour of another zone.
        values[one["Id"]] |= {time.astimezone(UTC): round(value) for time, value in times}
        states[one["Id"]] = one.get("StatusCode", "Complete")
    if bad := {name: state for name, state in states.items() if state != "Complete"}:
        raise SearchSyncError(f"CloudWatch answered in part: {bad}. Nothing is taken from it. Run it again later")
    return values


def _pages(cloudwatch: Any, queries: list[Any], start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    pages = cloudwatch.get_paginator("get_metric_data")
    for page in pages.paginate(MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"):
        yield from page["MetricDataResults"]
