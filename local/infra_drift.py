"""What a second plan may change on the emulator: attributes that `infra/emulator.yaml` lists, each with a reason."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from local.terraform import INFRA

LIST: Final = INFRA / "emulator.yaml"


@dataclass(frozen=True, slots=True)
class Drift:
    """Attributes of a type of resource that the emulator does not give back as it got them."""

    type: str
    attributes: frozenset[str]
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan wants to do with one resource.

    :ivar actions: as Terraform names them, such as `update`
    :ivar attributes: those that would change, at the top of the resource
    :ivar why: the reason that the list has for each of them; empty when it has none
    """

    address: str
    actions: tuple[str, ...]
    attributes: tuple[str, ...]
    why: str

    @property
    def what(self) -> str:
        """The resource without the key of an instance, and what would happen to it."""
        kind = re.sub(r'\["[^"]*"\]', "", self.address)
        return f"{kind}: {'/'.join(self.actions)} {', '.join(self.attributes)}".rstrip()


def known(path: Path = LIST) -> list[Drift]:
    """Return the drifts of the list."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [Drift(one["type"], frozenset(one["attributes"]), one["why"]) for one in loaded["drifts"]]


def changes(plan: Mapping[str, Any], drifts: list[Drift]) -> list[Change]:
    """Return what a plan would change; what no drift explains has no reason."""
    return [
        _explained(one, drifts)
        for one in plan.get("resource_changes", [])
        if one["change"]["actions"] not in (["no-op"], ["read"])
    ]


def _explained(one: Mapping[str, Any], drifts: list[Drift]) -> Change:
    actions, attributes = tuple(one["change"]["actions"]), tuple(_changed(one["change"]))
    reasons = [
        drift.why
        for drift in drifts
        if drift.type == one["type"]
        and actions == ("update",)
        and attributes
        and drift.attributes.issuperset(attributes)
    ]
    return Change(one["address"], actions, attributes, reasons[0] if reasons else "")


def _changed(change: Mapping[str, Any]) -> Iterator[str]:
    """The attributes that differ; one that is only known afterwards counts when something else differs."""
    before, after = change["before"] or {}, change["after"] or {}
    unknown = change.get("after_unknown") or {}
    yield from sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name) and not unknown.get(name)
    )
