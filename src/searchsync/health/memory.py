"""What is remembered from one look to the next: what is wrong since when, what was told, what still has to be."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from searchsync.health.verdict import Verdict

VERSION = 1
"""Of the form in which it is kept. A memory of another form is not read: then everything that is wrong is told anew."""


@dataclass
class Condition:
    """Something that is wrong, or that could not be looked at.

    :ivar unknown: whether it could not be looked at
    :ivar since: moment of the first look that saw it (ISO 8601)
    :ivar bad: looks in a row that saw it
    :ivar good: looks in a row, since then, that did not
    :ivar told: when it was told, or kept quiet by a window; empty before that
    """

    alarm: str
    subject: str
    entity: str
    severity: str
    signal: str
    runbook: str
    looks: int
    unknown: bool
    since: str
    seen: str = ""
    bad: int = 0
    good: int = 0
    told: str = ""

    @classmethod
    def of(cls, verdict: Verdict, since: str, *, unknown: bool, looks: int) -> Self:
        """Return a condition that was just seen for the first time."""
        return cls(
            alarm=verdict.alarm,
            subject=verdict.subject,
            entity=verdict.entity,
            severity=verdict.severity,
            signal=verdict.signal,
            runbook=verdict.runbook,
            looks=looks,
            unknown=unknown,
            since=since,
        )

    @property
    def name(self) -> str:
        """The row, and which thing."""
        return f"{self.alarm} of {self.subject}" if self.subject else self.alarm


class Change(NamedTuple):
    """A condition that has lasted long enough, or is over."""

    key: str
    condition: Condition
    over: bool


@dataclass
class Quiet:
    """A window that is open, and what it has kept quiet.

    :ivar happened: by the condition's key: its name, when it began, and when it was over, which is empty while it lasts
    """

    what: str
    who: str
    why: str
    since: str
    happened: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Memory:
    """All of it.

    :ivar at: moment of the last look that was told about (ISO 8601); empty before the first
    :ivar conditions: by key
    :ivar quiet: by window
    :ivar used: when each window last kept something quiet, or was seen first
    :ivar paused: since when each DAG is known to be paused
    :ivar searches: counters of searches, by node
    :ivar refused: why the file of windows was refused at the last look; empty when it was not
    :ivar unsent: messages that Slack has not taken yet, or of which that is not known; the oldest first
    """

    at: str = ""
    conditions: dict[str, Condition] = field(default_factory=dict)
    quiet: dict[str, Quiet] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    searches: Mapping[str, Sequence[float]] = field(default_factory=dict)
    refused: str = ""
    unsent: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, kept: Any) -> Self:
        """Return what was kept by ``as_json``; an empty memory when that is nothing, or of another form."""
        if not isinstance(kept, dict) or kept.get("version") != VERSION:
            return cls()
        values = {name: value for name, value in kept.items() if name != "version"}
        values["conditions"] = {key: Condition(**one) for key, one in values["conditions"].items()}
        values["quiet"] = {name: Quiet(**one) for name, one in values["quiet"].items()}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {"version": VERSION, **asdict(self)}
