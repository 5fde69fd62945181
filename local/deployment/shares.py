"""How new versions get all of the traffic: by shares, each watched by alarms and judged; a bad one gets none any more.

It is the same for the functions on streams and for the search API; what a share is made of, they know themselves.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from local.deployment.judge import FAIL, INCONCLUSIVE, Judge, Shared, Versions
from local.errors import LocalError

WEIGHTS: Final = (0.1, 0.5)
"""Shares of the traffic that new versions get, one after the other, before they get all of it."""

PREFIX: Final = "searchsync-"
"""Of the names of all alarms of this product."""

_POLL_SECONDS = 10.0

Say = Callable[[str], None]


class AlarmFired(LocalError):
    """The new version was taken back; the text says why."""


class JudgedBad(LocalError):
    """The new version was taken back, because it is worse than the one before; the text says in what."""


class Undecided(LocalError):
    """Nobody can say whether the new version is as good: it keeps the share that it has; the text says why."""


class Newer(Protocol):
    """New versions that take the place of those of before. Both changes may be made twice."""

    @property
    def what(self) -> str:
        """Say which versions they are."""

    @property
    def traffic(self) -> str:
        """Say of what they get a share: events, searches."""

    def give(self, share: float) -> None:
        """Give the new versions a share of the traffic, from 0 to 1. Return when they have it."""

    def take_back(self) -> None:
        """Give the versions of before all of the traffic."""

    def versions(self, share: float, /) -> Sequence[Versions]:
        """Return what is compared with what at a share."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a share is watched.

    :param alarms: the client of CloudWatch.
    :param bake_seconds: for which each share is watched; longer than an alarm takes to fire, and long enough for the
        minutes that a verdict needs.
    :param judge: whose verdict each share waits for; None in an environment with too little traffic for one. Alarms are
        the second net in either.
    """

    alarms: Any
    bake_seconds: float
    say: Say
    judge: Judge | None = None

    def give_all(self, newer: Newer) -> None:
        """Bring all of the traffic to new versions.

        :raises AlarmFired: when an alarm fired that was silent before; the versions of before have all of the traffic
        :raises JudgedBad: when a new version is worse; the versions of before have all of the traffic
        :raises Undecided: when there is no verdict; each version keeps the share that it has
        """
        firing, began = _firing(self.alarms), datetime.now(UTC)
        try:
            for share in (*WEIGHTS, 1.0):
                newer.give(share)
                since = datetime.now(UTC)
                self._watch(newer, share, firing)
                if self.judge is not None:
                    shared = [Shared(one, share, since, began) for one in newer.versions(share)]
                    verdicts = {one.versions.name: self.judge.verdict(one) for one in shared}
                    for name, (verdict, why) in verdicts.items():
                        self.say(f"{name}: {verdict}: {why}")
                    self._refuse_alarms(newer, share, firing)  # verdicts take their time
                    _refuse(verdicts, f"at {share:.0%} of the {newer.traffic}")
        except Undecided:
            raise
        except BaseException:
            newer.take_back()
            self.say(f"{newer.what} was taken back: the version of before gets all {newer.traffic} again")
            raise

    def _watch(self, newer: Newer, share: float, before: Mapping[str, str]) -> None:
        self.say(f"{newer.what} gets {share:.0%} of the {newer.traffic}, for {self.bake_seconds:.0f} s at least")
        end = time.monotonic() + self.bake_seconds
        while True:
            self._refuse_alarms(newer, share, before)
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(_POLL_SECONDS, left))

    def _refuse_alarms(self, newer: Newer, share: float, before: Mapping[str, str]) -> None:
        new = {alarm: why for alarm, why in _firing(self.alarms).items() if alarm not in before}
        if new:
            fired = "; ".join(f"{alarm} ({why})" for alarm, why in sorted(new.items()))
            raise AlarmFired(
                f"{newer.what} got {share:.0%} of the {newer.traffic} when this fired: {fired}. It gets none any more. "
                "Look at its log, mend it and deploy again"
            )


def _refuse(verdicts: Mapping[str, tuple[str, str]], at: str) -> None:
    """Return when all verdicts are passes.

    :param at: which share of what the versions had
    """
    told = "; ".join(f"{name} ({why})" for name, (verdict, why) in verdicts.items() if verdict == FAIL)
    if told:
        raise JudgedBad(
            f"{at} the newest version is worse than the one before: {told}. It gets none any more. Look at the run "
            "of canary, mend it and deploy again"
        )
    told = "; ".join(f"{name} ({why})" for name, (verdict, why) in verdicts.items() if verdict == INCONCLUSIVE)
    if told:
        raise Undecided(
            f"{at} it cannot be said whether the newest version is as good: {told}. It keeps that share, and gets "
            "no more. Look at the run of canary"
        )


def alarms(cloudwatch: Any) -> list[dict[str, Any]]:
    """Return all alarms of this product."""
    kinds = ["MetricAlarm", "CompositeAlarm"]
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=PREFIX, AlarmTypes=kinds)
    return [one for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for one in page.get(kind, [])]


def _firing(cloudwatch: Any) -> dict[str, str]:
    """Alarms that fire, and why."""
    return {one["AlarmName"]: one.get("StateReason", "") for one in alarms(cloudwatch) if one["StateValue"] == "ALARM"}
