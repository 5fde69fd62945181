"""The versions of a function: the alias `live` goes to the new one by weights, and back when it is not as good."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from local import stream_function
from local.deployment.judge import FAIL, INCONCLUSIVE, Judge, Shared
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


class JudgedBad(LocalError):
    """The new version was taken back, because it is worse than the one before; the text says in what."""


class Undecided(LocalError):
    """Nobody can say whether the new version is as good: it keeps the share that it has; the text says why."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How the aliases of functions go to the newest versions: all at once, so that no commit writes beside another.

    :param bake_seconds: for which each share is watched; longer than an alarm takes to fire, and long enough for the
        minutes that a verdict needs.
    :param judge: whose verdict each share waits for; None in an environment with too little traffic for one. Alarms are
        the second net in either.
    """

    functions: Any
    alarms: Any
    bake_seconds: float
    say: Say
    judge: Judge | None = None

    def to_newest(self, before: Mapping[str, str]) -> dict[str, str]:
        """Bring all events of functions to their newest versions, and return those.

        :param before: the version that gets the events of each function, by its name
        :raises AlarmFired: when an alarm fired that was silent before; the aliases are as they were
        :raises JudgedBad: when a new version is worse; the aliases are as they were
        :raises Undecided: when there is no verdict; each version keeps the share that it has
        :raises LocalError: when no alarm watches a function
        """
        newest = {name: _newest(self.functions, name) for name in before}
        changed = [name for name in before if newest[name] != before[name]]
        for name in set(before) - set(changed):
            put(self.functions, name, before[name])  # a shift that was killed may have left a share
        if alone := [name for name in changed if not _watched(self.alarms, name)]:
            raise LocalError(
                f"no alarm watches {', '.join(alone)}, so nothing would bring a bad version back. The versions of "
                "before still get all events. Add alarms to include/policies/alarms.yaml, and deploy again"
            )
        firing, began = _firing(self.alarms), datetime.now(UTC)
        try:
            for share in (*WEIGHTS, 1.0) if changed else ():
                for name in changed:
                    _give(self.functions, name, before[name], newest[name], share)
                since = datetime.now(UTC)
                self._watch(f"{', '.join(changed)}: the newest version", share, firing)
                self._judge([Shared(name, before[name], newest[name], share, since, began) for name in changed], firing)
        except Undecided:
            raise
        except BaseException:
            for name in changed:
                put(self.functions, name, before[name])
            self.say(f"{', '.join(changed)}: the version of before gets all events again")
            raise
        return newest

    def _judge(self, shared: Sequence[Shared], firing: Mapping[str, str]) -> None:
        """Ask for the verdict on each function; return when all pass, and no alarm fired while they were waited for."""
        if self.judge is None:
            return
        verdicts = {one.function: self.judge.verdict(one) for one in shared}
        for name, (verdict, why) in verdicts.items():
            self.say(f"{name}: {verdict}: {why}")
        self._refuse_alarms(f"{', '.join(verdicts)}: the newest version", shared[0].share, firing)
        share = f"{shared[0].share:.0%}"
        told = "; ".join(f"{name} ({why})" for name, (verdict, why) in verdicts.items() if verdict == FAIL)
        if told:
            raise JudgedBad(
                f"at {share} of the events the newest version is worse than the one before: {told}. It gets none any "
                "more. Look at the run of canary, mend it and deploy again"
            )
        told = "; ".join(f"{name} ({why})" for name, (verdict, why) in verdicts.items() if verdict == INCONCLUSIVE)
        if told:
            raise Undecided(
                f"at {share} of the events it cannot be said whether the newest version is as good: {told}. It keeps "
                "that share, and gets no more. Look at the run of canary"
            )

    def _watch(self, what: str, share: float, before: Mapping[str, str]) -> None:
        self.say(f"{what} gets {share:.0%} of the events, for {self.bake_seconds:.0f} s at least")
        end = time.monotonic() + self.bake_seconds
        while True:
            self._refuse_alarms(what, share, before)
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(_POLL_SECONDS, left))

    def _refuse_alarms(self, what: str, share: float, before: Mapping[str, str]) -> None:
        new = {alarm: why for alarm, why in _firing(self.alarms).items() if alarm not in before}
        if new:
            fired = "; ".join(f"{alarm} ({why})" for alarm, why in sorted(new.items()))
            raise AlarmFired(
                f"{what} got {share:.0%} of the events when this fired: {fired}. It gets none any more. Look at "
                "the function's log, mend it and deploy again"
            )


def current(functions: Any, name: str) -> str:
    """Return the version that gets all events, or most of them during a shift."""
    version: str = functions.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"]
    return version


def put(functions: Any, name: str, version: str, shares: Mapping[str, float] | None = None) -> None:
    """Point the alias to a version; `shares` of the events go to others."""
    routing = {"AdditionalVersionWeights": dict(shares or {})}
    functions.update_alias(FunctionName=name, Name=ALIAS, FunctionVersion=version, RoutingConfig=routing)


def _give(functions: Any, name: str, before: str, newest: str, share: float) -> None:
    if share < 1.0:
        put(functions, name, before, {newest: share})
    else:
        put(functions, name, newest)


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
