"""Objectives, promises and credits (``include/policies/slo.yaml``), as exact numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from searchsync import alarms
from searchsync.catalog import include_dir
from searchsync.checked_yaml import CheckedYaml

SCHEMA: Final = "slo.schema.json"

AVAILABILITY, ERRORS, LATENCY, FRESHNESS, EXACTNESS = "availability", "errors", "latency", "freshness", "exactness"
OF_REQUESTS: Final = (AVAILABILITY, ERRORS, LATENCY)
"""Indicators of the search API, whose history CloudWatch has."""


@dataclass(frozen=True)
class Tier:
    """A credit.

    :ivar below: share of good events below which it is given
    :ivar credit: share of the month's fee
    """

    below: Fraction
    credit: Fraction


@dataclass(frozen=True)
class Objective:
    """What is aimed at, of one indicator.

    :ivar share: of a month's events that are to be good
    :ivar promised: the same, as it is promised to others; None where nothing is
    :ivar tiers: what is given back, the smallest credit first
    """

    indicator: str
    share: Fraction
    promised: Fraction | None
    tiers: tuple[Tier, ...]

    @property
    def allowed(self) -> Fraction:
        """Share of events that may be bad."""
        return 1 - self.share


@dataclass(frozen=True)
class Policy:
    """The whole file.

    :ivar zone: of whose calendar the months are
    :ivar enough: share of a month that has to be known before it is judged
    """

    zone: ZoneInfo
    enough: Fraction
    objectives: Mapping[str, Objective]


def read() -> Policy:
    """Read ``slo.yaml``.

    :raises BadParams: when it is not what its schema says, when it promises more than it aims at, or when credits do
        not begin at the promise or do not grow; the message names file, line and key
    """
    file = CheckedYaml(include_dir() / "policies" / "slo.yaml", SCHEMA)
    numbers = alarms.objective()
    objectives = {name: _objective(name, row, numbers) for name, row in file.content["indicators"].items()}
    problems = [problem for one in objectives.values() for problem in _problems(file, one)]
    try:
        zone = ZoneInfo(file.content["zone"])
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
        problems.append((file.line(["zone"]), f"zone: there is no time zone {file.content['zone']!r}"))
    file.refuse(problems)
    return Policy(zone, _share(file.content["enough"]), objectives)


def _objective(name: str, row: Mapping[str, Any], numbers: Mapping[str, float]) -> Objective:
    tiers = tuple(Tier(_share(one["below"]), _share(one["credit"])) for one in row.get("credits", ()))
    promised = _share(_number(row["promised"], numbers)) if "promised" in row else None
    return Objective(name, _share(_number(row["objective"], numbers)), promised, tiers)


def _problems(file: CheckedYaml, one: Objective) -> Iterator[tuple[int, str]]:
    where = f"indicators.{one.indicator}"
    if one.promised is None:
        return
    if one.promised >= one.share:
        line = file.line(["indicators", one.indicator, "promised"])
        yield line, f"{where}.promised must be less than its objective: what is aimed at leaves time to act"
    line = file.line(["indicators", one.indicator, "credits"])
    if one.tiers[0].below != one.promised:
        yield line, f"{where}.credits must begin below what is promised, {percent(one.promised)}"
    if any(a.below <= b.below or a.credit >= b.credit for a, b in zip(one.tiers, one.tiers[1:], strict=False)):
        yield line, f"{where}.credits must grow from row to row, while below becomes less"


def _number(given: Any, numbers: Mapping[str, float]) -> float:
    return numbers[given["alarms"]] if isinstance(given, dict) else float(given)


def _share(number: float) -> Fraction:
    """Return percent as a share, by the decimal digits of the file: 99.95 is 1999/2000, and not what is near it."""
    return Fraction(str(number)) / 100


def percent(share: Fraction, digits: int = 3) -> str:
    """Return a share in percent, for people. It is cut, not rounded: 99.9499 must not be told as 99.95."""
    whole, rest = divmod(int(share * 100 * 10**digits), 10**digits)
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".") + " %"
