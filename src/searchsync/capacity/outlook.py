"""When an index or the disks reach a limit, if documents go on as they came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from searchsync.capacity.forecast import LEAST_DAYS, Interval, Point, Trend, trend
from searchsync.capacity.sizes import Size


@dataclass(frozen=True)
class Reached:
    """When a limit is reached: days from now; None for not within the horizon.

    :ivar earliest: by the upper end of the interval
    :ivar expected: by the line
    :ivar latest: by the lower end of the interval
    """

    earliest: int | None
    expected: int | None
    latest: int | None


@dataclass(frozen=True)
class Outlook:
    """How an index goes on. A document takes as many bytes as those of today do on average.

    So a swap is no growth: the documents are the same, and their bytes are measured anew.

    :ivar points: numbers of documents, one for each day, the oldest first; today is the last
    :ivar trend: None when they are too few
    :ivar tenants: the same of each tenant that is listed
    """

    size: Size
    points: Sequence[Point]
    trend: Trend | None
    horizon: int
    tenants: Mapping[str, Trend | None]

    def bytes_after(self, days: int) -> Interval:
        """Return the bytes of all primary shards after so many days; those of today when nothing can be forecast."""
        now = float(self.size.bytes)
        if self.trend is None or not self.size.documents:
            return Interval(now, now, now)
        each, after = now / self.size.documents, self.trend.after(days)
        return Interval(each * after.low, each * after.expected, each * after.high)

    def shard_reaches(self, limit: float) -> Reached | None:
        """Return when the largest shard has so many bytes; None when nothing can be forecast."""
        if self.trend is None:
            return None
        share = self.size.largest_shard_bytes / max(1, self.size.bytes)
        return reached(lambda days: _times(self.bytes_after(days), share), limit, self.horizon)

    def tenant_reaches(self, tenant: str, limit: float) -> Reached | None:
        """Return when a tenant has so many documents; None when nothing can be forecast."""
        line = self.tenants.get(tenant)
        return reached(line.after, limit, self.horizon) if line else None

    def as_dict(self, limits: Sequence[float]) -> dict[str, Any]:
        """Return what is kept of it, as JSON values.

        :param limits: sizes of a shard, in bytes
        """
        if self.trend is None:
            return {"days": len(self.points), "days_needed": LEAST_DAYS}
        dates = {f"{limit:.0f}": self.shard_reaches(limit) for limit in limits}
        return {
            "days": self.trend.days,
            "days_needed": LEAST_DAYS,
            "documents_per_day": round(self.trend.per_day, 1),
            "horizon_days": self.horizon,
            "bytes_at_horizon": asdict(self.bytes_after(self.horizon)),
            "shard_reaches": {limit: asdict(found) for limit, found in dates.items() if found},
            "tenants_per_day": {name: round(line.per_day, 1) for name, line in self.tenants.items() if line},
        }


def look(size: Size, points: Sequence[Point], horizon: int, tenants: Mapping[str, Sequence[Point]]) -> Outlook:
    """Return how an index goes on.

    :param points: of today and the days before, the oldest first
    :param tenants: the same of each tenant that is listed
    """
    return Outlook(size, points, trend(points), horizon, {name: trend(of) for name, of in tenants.items()})


def daily(counts: Sequence[tuple[date, int]]) -> list[Point]:
    """Return a point for each day, the oldest first: the last count of the day.

    :param counts: numbers of documents with their day, the oldest first
    """
    return [Point(day, float(documents)) for day, documents in dict(counts).items()]


def reached(after: Callable[[int], Interval], limit: float, horizon: int) -> Reached:
    """Return the first day on which each end of an interval is at a limit or above it."""
    found: list[int | None] = [None, None, None]
    for days in range(horizon + 1):
        interval = after(days)
        for at, value in enumerate((interval.high, interval.expected, interval.low)):
            if found[at] is None and value >= limit:
                found[at] = days
    return Reached(*found)


def _times(interval: Interval, share: float) -> Interval:
    return Interval(interval.low * share, interval.expected * share, interval.high * share)
