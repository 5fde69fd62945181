"""The versions of a function: the alias `live` goes to the new one by weights, and back when an alarm fires."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from local import stream_function
from local.errors import LocalError

ALIAS: Final = "live"
WEIGHTS: Final = (0.1, 0.5)
"""Shares of the events that the new version gets, one after the other, before it gets all of them."""

PREFIX: Final = "searchsync-"
_POLL_SECONDS = 10.0

Say = Callable[[str], None]


def names() -> list[str]:
    """Return the names of the functions on streams, as infra/locals.tf has them."""
    return [f"{entity.name}-stream" for entity in stream_function.served()]


class AlarmFired(LocalError):
    """The new version was taken back; the text says why."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How the alias of each function goes to its newest version.

    :param bake_seconds: for which each share is watched; longer than an alarm takes to fire.
    """

    functions: Any
    alarms: Any
    bake_seconds: float
    say: Say

    def to_newest(self, name: str) -> str:
        """Bring all events of a function to its newest version, and return that.

        :raises AlarmFired: when an alarm fired that was silent before; the alias is as it was
        :raises LocalError: when no alarm watches the function
        """
        before = current(self.functions, name)
        newest = _newest(self.functions, name)
        if newest == before:
            put(self.functions, name, before)  # a shift that was interrupted may have left a share
            self.say(f"{name}: version {before} gets all events already")
            return before
        if not _watched(self.alarms, name):
            raise LocalError(
                f"no alarm watches {name}, so nothing would bring a bad version back. Version {before} still gets all "
                "events. Add alarms of the function to include/policies/alarms.yaml, and deploy again"
            )
        firing = _firing(self.alarms)
        try:
            for share in WEIGHTS:
                put(self.functions, name, before, {newest: share})
                self._watch(name, newest, share, firing)
            put(self.functions, name, newest)
            self._watch(name, newest, 1.0, firing)
        except BaseException:
            put(self.functions, name, before)
            self.say(f"{name}: version {before} gets all events again")
            raise
        return newest

    def _watch(self, name: str, version: str, share: float, before: Mapping[str, str]) -> None:
        self.say(f"{name}: version {version} gets {share:.0%} of the events, for {self.bake_seconds:.0f} s at least")
        end = time.monotonic() + self.bake_seconds
        while True:
            new = {alarm: why for alarm, why in _firing(self.alarms).items() if alarm not in before}
            if new:
                fired = "; ".join(f"{alarm} ({why})" for alarm, why in sorted(new.items()))
                raise AlarmFired(
                    f"version {version} of {name} got {share:.0%} of the events when this fired: {fired}. It gets none "
                    "any more. Look at the function's log, mend it and deploy again"
                )
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(_POLL_SECONDS, left))


def current(functions: Any, name: str) -> str:
    """Return the version that gets all events, or most of them during a shift."""
    version: str = functions.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"]
    return version


def put(functions: Any, name: str, version: str, shares: Mapping[str, float] | None = None) -> None:
    """Point the alias to a version; `shares` of the events go to others."""
    routing = {"AdditionalVersionWeights": dict(shares or {})}
    functions.update_alias(FunctionName=name, Name=ALIAS, FunctionVersion=version, RoutingConfig=routing)


def _newest(functions: Any, name: str) -> str:
    pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    return str(max(int(one["Version"]) for page in pages for one in page["Versions"] if one["Version"].isdigit()))


def _alarms(cloudwatch: Any) -> list[dict[str, Any]]:
    kinds = ["MetricAlarm", "CompositeAlarm"]
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=PREFIX, AlarmTypes=kinds)
    return [one for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for one in page.get(kind, [])]


def _firing(cloudwatch: Any) -> dict[str, str]:
    """Alarms that fire, and why."""
    return {one["AlarmName"]: one.get("StateReason", "") for one in _alarms(cloudwatch) if one["StateValue"] == "ALARM"}


def _watched(cloudwatch: Any, name: str) -> bool:
    for one in _alarms(cloudwatch):
        metrics = [one, *(query.get("MetricStat", {}).get("Metric", {}) for query in one.get("Metrics", []))]
        for metric in metrics:
            if any(dimension["Value"] == name for dimension in metric.get("Dimensions", [])):
                return True
    return False
