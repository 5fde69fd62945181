"""The series of a version, as CloudWatch has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from searchsync import aws
from searchsync.canary.policy import BEFORE, BESIDE, Policy, Signal, Stage, Subject
from searchsync.canary.series import Pair, Points, Series
from searchsync.errors import BadParams, SearchSyncError

_MOST_POINTS = 1_440
"""CloudWatch returns no more for one question."""


Names = Mapping[str, str]
"""What stands in place of each name in braces in the dimensions of a signal."""


@dataclass(frozen=True)
class Window:
    """What is compared with what.

    :ivar since: begin of the new version's series; ``until``: its end. Both with a time zone
    :ivar before: end of the old version's series, where it is of earlier minutes; None where it is of the same
    :ivar names: of the old version and of the new one: what dimensions are filled in with
    """

    since: datetime
    until: datetime
    before: datetime | None
    names: tuple[Names, Names]

    def sides(self, stage: Stage, period: int) -> tuple[tuple[datetime, datetime], timedelta]:
        """Return the begin of each side, and the length of both, in whole periods.

        :raises BadParams: when there is no whole period between the times, too many, or ``before`` is missing or late
        """
        since = _whole(self.since + timedelta(seconds=period - 1e-6), period)  # the first one that is whole
        length = _whole(self.until, period) - since
        if not timedelta() < length <= timedelta(seconds=period * _MOST_POINTS):
            raise BadParams(f"from {self.since} to {self.until} are no 1 to {_MOST_POINTS} periods. Nothing was judged")
        if stage.baseline == BESIDE:
            return (since, since), length
        if self.before is None or self.before > self.since:
            raise BadParams(
                f"at {stage.share} percent the old version is that of before: name the moment at which the deployment "
                "began, which is before the new series begins. Nothing was judged"
            )
        return (_whole(self.before, period) - length, since), length


def _whole(moment: datetime, period: int) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // period * period, moment.tzinfo)


def read(cloudwatch: Any, policy: Policy, subject: Subject, stage: Stage, window: Window) -> Series:
    """Return the series of all signals of a subject. A minute without a figure is None, or 0 by ``zero_with``.

    :param cloudwatch: boto3's client
    :raises BadParams: when a signal of the subject is not one of CloudWatch, or the window is none
    :raises SearchSyncError: when CloudWatch does not answer
    """
    begins, length = window.sides(stage, policy.period_seconds)
    found: Series = {}
    for name, signal in subject.signals.items():
        if signal is None:
            raise BadParams(f"{name} of {subject.name} is not in CloudWatch: give its series. Nothing was judged")
        sides = []
        for names, begin in zip(window.names, begins, strict=True):
            dimensions = _dimensions(signal, stage, names)
            sides.append(_points(cloudwatch, signal, dimensions, (begin, begin + length), policy.period_seconds))
        found[name] = Pair(*sides)
    return {name: _with_zeros(pair, subject.signals[name], found) for name, pair in found.items()}


def _dimensions(signal: Signal, stage: Stage, names: Names) -> list[dict[str, str]]:
    wanted = {**signal.dimensions, **({} if stage.baseline == BEFORE else signal.beside)}
    return [{"Name": name, "Value": value.format(**names)} for name, value in wanted.items()]


def _with_zeros(pair: Pair, signal: Signal | None, found: Series) -> Pair:
    """Return a pair with 0 where its count has no figure, and the signal that it goes with has one."""
    if signal is None or signal.zero_with is None:
        return pair
    shown = found[signal.zero_with]
    return Pair(_zeros(pair.baseline, shown.baseline), _zeros(pair.canary, shown.canary))


def _zeros(points: Points, shown: Points) -> Points:
    return {time: 0.0 if value is None and shown[time] is not None else value for time, value in points.items()}


def _points(
    cloudwatch: Any, signal: Signal, dimensions: list[dict[str, str]], times: tuple[datetime, datetime], period: int
) -> Points:
    percentile = signal.statistic.startswith("p")  # which CloudWatch asks for, and gives, at another place
    with aws.errors(f"CloudWatch's metric {signal.name}", SearchSyncError):
        answer = cloudwatch.get_metric_statistics(
            Namespace=signal.namespace,
            MetricName=signal.name,
            Dimensions=dimensions,
            StartTime=times[0],
            EndTime=times[1],
            Period=period,
            **{"ExtendedStatistics" if percentile else "Statistics": [signal.statistic]},
        )
    there = {
        point["Timestamp"].timestamp(): float((point["ExtendedStatistics"] if percentile else point)[signal.statistic])
        for point in answer["Datapoints"]
    }
    first, last = (moment.timestamp() for moment in times)
    every = (first + number * period for number in range(int((last - first) // period)))
    return {time: there.get(time) for time in every}
