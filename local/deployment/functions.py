"""The versions of functions on streams: the alias `live` goes to the new one by weights, and back when it is bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from local import stream_function
from local.deployment.judge import Versions
from local.deployment.shares import Shares, alarms
from local.errors import LocalError

ALIAS: Final = "live"


def served() -> dict[str, str]:
    """Return the entity of each function on a stream, by the function's name, as infra/locals.tf has them."""
    return {f"{entity.name}-stream": entity.name for entity in stream_function.served()}


@dataclass(frozen=True, slots=True)
class Aliases:
    """Aliases that go to newer versions all at once, so that no commit writes beside another (`shares.Newer`).

    :param before: the version that gets the events of each function, by its name; `newest`: the one that is to get all.
    """

    functions: Any
    before: Mapping[str, str]
    newest: Mapping[str, str]

    @property
    def what(self) -> str:
        """Say which versions they are."""
        return f"{', '.join(self.newest)}: the newest version"

    @property
    def traffic(self) -> str:
        """Say of what they get a share."""
        return "events"

    def give(self, share: float) -> None:
        """Give the newest versions a share of the events."""
        for name, newest in self.newest.items():
            if share < 1.0:
                put(self.functions, name, self.before[name], {newest: share})
            else:
                put(self.functions, name, newest)

    def take_back(self) -> None:
        """Give the versions of before all events."""
        for name in self.newest:
            put(self.functions, name, self.before[name])

    def versions(self, _: float, /) -> list[Versions]:
        """Return what is compared with what; it is the same at each share."""
        entities = served()
        return [
            Versions(name, "function", self.before[name], newest, entity=entities[name])
            for name, newest in self.newest.items()
        ]


def to_newest(functions: Any, shares: Shares, before: Mapping[str, str]) -> dict[str, str]:
    """Bring all events of functions to their newest versions, and return those.

    :param before: the version that gets the events of each function, by its name
    :raises LocalError: when no alarm watches a function, and as `Shares.give_all`
    """
    newest = {name: _newest(functions, name) for name in before}
    changed = {name: version for name, version in newest.items() if version != before[name]}
    for name in set(before) - set(changed):
        put(functions, name, before[name])  # a shift that was killed may have left a share
    if alone := [name for name in changed if not _watched(shares.alarms, name)]:
        raise LocalError(
            f"no alarm watches {', '.join(alone)}, so nothing would bring a bad version back. The versions of "
            "before still get all events. Add alarms to include/policies/alarms.yaml, and deploy again"
        )
    if changed:
        shares.give_all(Aliases(functions, before, changed))
    return newest


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


def _watched(cloudwatch: Any, name: str) -> bool:
    for one in alarms(cloudwatch):
        metrics = [one, *(query.get("MetricStat", {}).get("Metric", {}) for query in one.get("Metrics", []))]
        for metric in metrics:
            if any(dimension["Value"] == name for dimension in metric.get("Dimensions", [])):
                return True
    return False
