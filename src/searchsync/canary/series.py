"""The two series of each signal, and what makes them comparable.

As JSON: ``{"errors": {"baseline": [["2026-11-30T10:00:00+00:00", 3], ...], "canary": [...]}, ...}``. A value may be
null: it is not known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from searchsync.canary.policy import BESIDE, Stage, Subject
from searchsync.errors import BadParams

SIDES = ("baseline", "canary")

Points = dict[float, float | None]
"""Value of each time, in seconds of Unix, in the order of time; None when it is not known."""


class NotComparable(Exception):
    """Two series cannot be compared; the text says why."""


@dataclass(frozen=True)
class Pair:
    """The series of a signal: of the version of before, and of the new one."""

    baseline: Points
    canary: Points


Series = dict[str, Pair]
"""By the signal's name."""


def parse(given: Any, subject: Subject) -> Series:
    """Return series that are given as JSON. What is missing altogether is missing in the result.

    :raises BadParams: when they are not of the form, or of a signal that the subject does not have
    """
    if not isinstance(given, Mapping):
        raise BadParams(f"series must be a mapping of signals, not {given!r:.80}. Nothing was judged")
    if unknown := sorted(map(str, given.keys() - subject.signals.keys())):
        known = ", ".join(subject.signals)
        raise BadParams(
            f"{', '.join(unknown)}: no signal of {subject.name}, which has {known} (canary.yaml). Nothing was judged"
        )
    return {name: _pair(name, pair) for name, pair in given.items()}


def _pair(name: str, pair: Any) -> Pair:
    if not isinstance(pair, Mapping) or pair.keys() != {*SIDES}:
        raise BadParams(f"the series of {name} must have baseline and canary, and nothing else. Nothing was judged")
    return Pair(*(_points(f"{name}, {side}", pair[side]) for side in SIDES))


def _points(where: str, given: Any) -> Points:
    if not isinstance(given, list):
        raise BadParams(f"{where}: it must be a list of pairs of time and value. Nothing was judged")
    found: Points = {}
    for number, point in enumerate(given, 1):
        try:
            time, value = point
            moment = datetime.fromisoformat(time)
            if moment.tzinfo is None:
                raise ValueError("a time without a zone")
            known = None if value is None else float(value)
            if isinstance(value, bool | str) or (known is not None and not (math.isfinite(known) and known >= 0)):
                raise ValueError("no number that is 0 or more")
        except (TypeError, ValueError) as error:
            raise BadParams(
                f"{where}: point {number} is {point!r:.80} ({error}), and must be a time in ISO 8601 with its zone, "
                "and a number or null. Nothing was judged"
            ) from None
        if moment.timestamp() in found:
            raise BadParams(f"{where}: {time} is there twice. Nothing was judged")
        found[moment.timestamp()] = known
    return dict(sorted(found.items()))


def rows(series: Series, names: tuple[str, ...], stage: Stage) -> list[tuple[list[float | None], list[float | None]]]:
    """Return the values of some signals, minute by minute: those of the baseline, and those of the canary.

    :raises NotComparable: when a series is missing or empty, or the times are not the same. Of a baseline from before
        they are the same when all are earlier by one constant
    """
    for name in names:
        pair = series.get(name)
        if pair is None or not pair.baseline or not pair.canary:
            raise NotComparable(f"there is no series of {name}")
    first = series[names[0]]
    later = next(iter(first.canary)) - next(iter(first.baseline))
    if stage.baseline == BESIDE:
        later = 0.0
    elif next(iter(first.canary)) <= [*first.baseline][-1]:
        raise NotComparable(f"the series of {names[0]} of before does not end before the new one begins")
    for name in names:
        pair = series[name]
        if [time + later for time in pair.baseline] != [*pair.canary] or [*pair.canary] != [*first.canary]:
            raise NotComparable(
                f"the series of {name} are of unequal times: {len(pair.baseline)} and {len(pair.canary)} points"
            )
    return [
        ([series[name].baseline[time - later] for name in names], [series[name].canary[time] for name in names])
        for time in first.canary
    ]
