"""What the page shows: the cluster's indexes, figures, runs and next steps, by entity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_ops.indexes_page.airflow_runs import Dag, Run
    from search_ops.indexes_page.questions import Queues
    from searchsync.capacity import CapacitySummary
    from searchsync.catalog import Entity
    from searchsync.freshness import Measured

GOOD, WARN, BAD = "good", "warn", "bad"


@dataclass(frozen=True)
class Row:
    """A physical index. What is None was not answered.

    :ivar shards: bytes of each primary shard
    :ivar gaps: times of which it may lack changes
    :ivar run: Airflow's run that made it; None when Airflow does not know it
    :ivar is_left_over: whether nobody needs it any more
    """

    name: str
    role: str
    created: datetime
    synced: datetime
    left_live: datetime | None
    source: dict[str, Any]
    documents: int | None
    shards: list[int] | None
    health: str | None
    why_unwritable: str
    gaps: list[dict[str, Any]] | None
    run: "Run | None"
    is_left_over: bool


@dataclass(frozen=True)
class Fact:
    """A figure. ``tone`` is good, warn or bad where there is something to judge."""

    name: str
    said: str
    tone: str = ""
    href: str = ""


@dataclass(frozen=True)
class Step:
    """A DAG to start.

    :ivar does: what comes of it
    :ivar because: why it may be wanted now
    :ivar conf: values of its parameters
    """

    does: str
    because: str
    dag_id: str
    conf: dict[str, Any] = field(default_factory=dict)


@dataclass
class EntityView:
    """One entity.

    :ivar rows: its indexes, the live one first; None when OpenSearch did not say
    :ivar results: of quality runs of its live index, the newest first; None when OpenSearch did not say
    :ivar freshness: of an entity with a stream: what the last heartbeat showed; None when OpenSearch did not say
    :ivar capacity: what the last run of ``capacity`` kept; None when none did, or OpenSearch did not say
    :ivar recovery: as ``searchsync.recovery.summary`` returns it; None when OpenSearch did not say
    :ivar missing: what was not answered, and why
    """

    entity: "Entity"
    rows: list[Row] | None = None
    results: list[dict[str, Any]] | None = None
    queues: "Queues | None" = None
    freshness: "Measured | None" = None
    capacity: "CapacitySummary | None" = None
    recovery: dict[str, Any] | None = None
    facts: list[Fact] = field(default_factory=list)
    dags: list["Dag"] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def live(self) -> Row | None:
        """The index that is searched."""
        return next((row for row in self.rows or [] if row.role == "live"), None)

    @property
    def compared(self) -> dict[str, Any] | None:
        """The latest result of a run that compared the whole live index."""
        return next((result for result in self.results or [] if result["level"] == "full"), None)


@dataclass
class SharedView:
    """What is about no single entity."""

    dags: list["Dag"]
    facts: list[Fact] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Answers:
    """Answers by name, some of which are errors."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self._failed: dict[str, list[str]] = {}

    def get(self, name: str) -> Any:
        """Return an answer. Of one that failed return None, and note why."""
        answer = self._answers.get(name)
        if not isinstance(answer, Exception):
            return answer
        names = self._failed.setdefault(str(answer), [])
        names += [name] if name not in names else []
        return None

    @property
    def missing(self) -> list[str]:
        """What was asked for in vain, by the reason."""
        return [f"{', '.join(names)}: {why}" for why, names in self._failed.items()]
