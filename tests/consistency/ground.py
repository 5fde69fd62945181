"""What both sources' stages share: reindexes step by step as the DAG takes them, their end, and the truth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from searchsync.catalog import Entity
from searchsync.cli import workflows
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import differences, repair
from searchsync.compare.differences import Effort
from searchsync.config import retention
from searchsync.errors import SearchSyncError
from searchsync.operations import gate, reindex, retire
from searchsync.operations.reindex import Reindex
from searchsync.sources.base import Source
from searchsync.stream.lag import Lag
from searchsync.writing import writer
from searchsync.writing.progress import Rejections
from tests.consistency.clock import Clock

POISON_ALLOWED = 1_000

Content = dict[str, Any] | None
"""What an index has of a key; None for a tombstone and for nothing."""


class Violation(AssertionError):
    """An index is not what its source is, or the aliases are not what they have to be."""


@contextmanager
def blocked(client: Client, index: str) -> Iterator[None]:
    """An index that takes no writes for a while, and writers that soon go on without it.

    Only then: at other times a busy machine may need the product's own patience for a write that succeeds.
    """
    path = f"/{index}/_settings"
    client.request("PUT", path, body={"index.blocks.write": True})
    try:
        with mock.patch.object(writer, "UNWRITABLE_PATIENCE_SECONDS", 0.3):
            yield
    finally:
        with suppress(SearchSyncError):  # deleted meanwhile
            client.request("PUT", path, body={"index.blocks.write": None})


@dataclass
class Ground(ABC):
    """One entity's source, and the product's operations on it.

    :ivar client: the real OpenSearch; indexes of the entity that it has are deleted
    :ivar running: builds whose run is under way
    """

    client: Client
    folder: Path
    clock: Clock
    entity: Entity = field(init=False)
    running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for index in EntityIndexes(self.client, self.entity).all():
            self.client.request("DELETE", f"/{index.name}")
        settings = self.entity.index_body["settings"]  # copies cost time and prove nothing here
        settings |= {"auto_expand_replicas": "false", "number_of_replicas": 0}

    @abstractmethod
    def source(self, plan: Any = None) -> Source:
        """A connection of its own; whoever asks closes it."""

    @abstractmethod
    def contents(self) -> dict[str, Content]:
        """What the index has to hold of each key that ever was."""

    @abstractmethod
    def read(self, document: dict[str, Any]) -> Content:
        """A living document, as ``contents`` has it."""

    def behind(self, _: str) -> Callable[[], Lag] | None:
        """How far an index is behind a stream."""
        return None

    def latest(self) -> str:
        """No position may be later."""
        return "~"

    def repair(self, index: str, *, quiet: bool = False) -> repair.Repaired:
        """Compare an index and repair it.

        :param quiet: nothing is on its way, so nothing is waited for. (Nor could it be told: the turmoil purges
            tombstones that the stream still tells of, and its clock passes stamps that were of the future.)
        """
        with closing(self.source()) as source:
            grace, behind = (0.0, None) if quiet else (2.0, self.behind(index))
            report = differences.find(
                EntityIndexes(self.client, source.entity).get(index), source, behind=behind, effort=Effort(grace=grace)
            )
            return repair.repair(EntityIndexes(self.client, source.entity), source, report, dry_run=False, cap=10_000)

    def rollback(self, *, force: str = "") -> dict[str, Any]:
        with self.rejections() as rejections:
            return workflows.roll_back(
                EntityIndexes(self.client, self.entity),
                self.source,
                name=None,
                rejections=rejections,
                behind=self.behind,
                force=force,
            )

    def retire(self, before: datetime) -> list[retire.Decision]:
        """When all windows are over, and so are the days of tombstones that were written before a moment."""
        later = before + timedelta(days=retention().tombstone_days)
        return retire.retire(EntityIndexes(self.client, self.entity), self.is_running, now=later)

    def is_running(self, build: str) -> bool:
        return build in self.running

    @contextmanager
    def rejections(self) -> Iterator[Rejections]:
        with TemporaryDirectory(dir=self.folder) as folder, Rejections(Path(folder) / "rejected.ndjson") as rejections:
            yield rejections

    # -- truth

    def check(self, *names: str) -> int:
        """Every index of the write set, or some index, equals the source; and one index is read.

        :returns: documents compared
        :raises Violation: saying all that is wrong
        """
        compared = 0
        wrong = []
        members = EntityIndexes(self.client, self.entity).write_set()
        if not names:
            read = sorted(index.name for index in EntityIndexes(self.client, self.entity).all() if index.is_live)
            if len(read) != 1 or read[0] not in members:
                wrong.append(f"read are {read}, written are {members}")
        wanted, latest = self.contents(), self.latest()
        for index in names or members:
            found = self.documents(index)
            for key, content in sorted(wanted.items()):
                compared += 1
                position, have = found.pop(key, ("", None))
                if have != content:
                    wrong.append(f"{index}: {key} at {position or 'nothing'} is {have}, in the source it is {content}")
                if position > latest:
                    wrong.append(f"{index}: {key} has the position {position}, which is of the future")
            wrong += [f"{index}: {key} was never in the source" for key in found]
        if wrong:
            raise Violation("\n".join(wrong))
        return compared

    def documents(self, index: str) -> dict[str, tuple[str, Content]]:
        """Position and content by key."""
        Index(self.client, index).refresh()
        answer = self.client.request("POST", f"/{index}/_search", body={"size": 1_000})
        found = {}
        for hit in answer["hits"]["hits"]:
            sync = hit["_source"]["sync"]
            # A tombstone has no fields: one that has some is no tombstone.
            empty = sync["deleted"] and len(hit["_source"]) == 1
            found[hit["_id"]] = sync["position"], None if empty else self.read(hit["_source"])
        return found


@dataclass
class Build:
    """A reindex, step by step as the DAG's tasks are.

    :ivar between: called with the name of the step that comes next
    """

    stage: Ground
    name: str
    client: Client
    between: Callable[[str], None] = lambda _: None
    parts: int = 1
    force: bool = False
    green: str = ""
    reconciled: int = 0

    def run(self) -> None:
        """All steps; whoever calls it cleans up."""
        self.check()
        self.create()
        self.load()
        self.finish()

    def check(self) -> None:
        self.between("check")
        running, force = self.stage.is_running, self.force
        with closing(self.stage.source()) as source:
            self.plan = reindex.check(
                EntityIndexes(self.client, source.entity), source, run_id=self.name, running=running, force=force
            )

    def create(self) -> None:
        self.between("create")
        self.green = reindex.create_green(EntityIndexes(self.client, self.stage.entity), self.plan)

    def load(self) -> None:
        with closing(self.stage.source(self.plan)) as source, self.stage.rejections() as rejections:
            for part in source.partitions(self.parts):
                self.between("load")
                reindex.Reindex(EntityIndexes(self.client, source.entity), self.plan, self.green).load(
                    source, part, rejections=rejections, bulk_bytes=2_000_000
                )

    def finish(self) -> None:
        self.between("tombstones")
        self.copy_tombstones()
        self.between("gate")
        self.gate()
        self.between("swap")
        self.swap()

    def copy_tombstones(self) -> None:
        reindex.Reindex(EntityIndexes(self.client, self.stage.entity), self.plan, self.green).copy_tombstones()

    def gate(self) -> None:
        creation.make_searchable(EntityIndexes(self.client, self.stage.entity), self.green)
        with closing(self.stage.source(self.plan)) as source, self.stage.rejections() as rejections:
            found = gate.gate(
                Reindex(EntityIndexes(self.client, source.entity), self.plan, self.green),
                source,
                rejections=rejections,
                max_rejected=POISON_ALLOWED,
                allow_shrink=True,
            )
        self.reconciled = found.reconciled

    def swap(self) -> None:
        reindex.Reindex(EntityIndexes(self.client, self.stage.entity), self.plan, self.green).swap()
        reindex.Reindex(EntityIndexes(self.client, self.stage.entity), self.plan, self.green).verify()

    def discard(self) -> None:
        reindex.discard(EntityIndexes(self.stage.client, self.stage.entity), self.name)
