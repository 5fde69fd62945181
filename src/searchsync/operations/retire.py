"""Delete indexes that are old or abandoned, and purge old tombstones (docs/protocol.md, rules 11 and 12)."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from searchsync.cluster import aliases
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex, Running
from searchsync.cluster.snapshots import Repository
from searchsync.config import retention, snapshots
from searchsync.errors import SearchSyncError, StaleSwap
from searchsync.operations import purge

log = logging.getLogger(__name__)


@dataclass
class Decision:
    """What a run decided about one index.

    :ivar action: ``kept``, ``deleted`` or ``would be deleted``
    :ivar purged: number of tombstones purged; in a dry run, of those that would be
    """

    index: str
    role: str
    action: str
    why: str
    purged: int = 0


def retire(
    indexes: EntityIndexes, running: Running, *, dry_run: bool = False, now: datetime | None = None
) -> list[Decision]:
    """Delete indexes that are out of the rollback window, and abandoned ones (rule 11); purge tombstones (rule 12).

    An index that cannot be saved or purged holds up nothing else: its error is raised at the end.

    :param dry_run: change nothing; report what a run would do
    :param now: the present moment, for tests
    :returns: a decision for each index
    :raises BadParams: when the policy cannot be followed; then nothing was changed
    :raises SearchSyncError: when an index stays because it could not be saved or deleted, or was live at the same
        moment
    """
    now = now or datetime.now(UTC)
    repository, before = check_policy(now)
    run = _Run(indexes, dry_run, repository)
    _previous(run, now)
    for index in indexes.all():
        if index.role == "building":
            gone = index.abandoned(running, now=now)
            run.decide(index, gone, "abandoned" if gone else "being built, or kept for a day")
        elif index.is_live:
            run.decide(index, False, "it is read")
    members = set(indexes.write_set())
    done = "to purge" if dry_run else "purged"
    for line in run.report:
        if line.index in members and line.action == "kept":
            run.purge(line, before)
        log.info(
            "%(index)s (%(role)s): %(action)s, %(why)s; tombstones %(done)s: %(purged)d", vars(line) | {"done": done}
        )
    if run.failures:
        raise run.failures[0]  # all of them are in the log
    return run.report


def _previous(run: "_Run", now: datetime) -> None:
    """Decide on the indexes that were live."""
    window = retention()
    live = run.indexes.live()
    previous = [index for index in run.indexes.all() if index.was_served and index.name != live]
    previous.sort(key=lambda index: index.left_read_at or now, reverse=True)
    for rank, index in enumerate(previous):
        if index.left_read_at is None and not run.dry_run:
            # A crash between the swap and its stamp: the window begins now.
            index.stamp_left_read(now)
        hours = (now - (index.left_read_at or now)).total_seconds() / 3600
        retired = live is not None and rank >= window.keep_previous and hours >= window.rollback_hours
        run.decide(index, retired, f"left the read alias {hours:.1f} h ago")


def check_policy(now: datetime) -> tuple[str, datetime]:
    """Refuse a policy that cannot be followed, before anything is changed.

    :returns: the repository of snapshots, empty when nothing is saved; and the moment before which a tombstone must
        have been written to be purged
    :raises BadParams: when it cannot be followed; the message names the file and what is wrong in it
    """
    return snapshots().repository if retention().save_before_deletion else "", purge.cutoff(now)


@dataclass
class _Run:
    """One run: what it decided, and what it could not do."""

    indexes: EntityIndexes
    dry_run: bool
    repository: str
    report: list[Decision] = field(default_factory=list)
    failures: list[SearchSyncError] = field(default_factory=list)

    def decide(self, index: PhysicalIndex, gone: bool, why: str) -> None:
        """Keep an index, or delete it."""
        action = "kept"
        if gone:
            try:
                why += self._delete(index)
                action = "would be deleted" if self.dry_run else "deleted"
            except SearchSyncError as error:
                self._failed(error)
                why += f"; not deleted: {type(error).__name__}"
        self.report.append(Decision(index.name, index.role, action, why))

    def _delete(self, index: PhysicalIndex) -> str:
        """Save an index that was live, then delete it.

        It is saved before it leaves its aliases: without them a later run would delete it as abandoned.
        """
        how = ""
        if self.repository and index.was_served:
            how = f"; saved in {self.repository}"
            if self.dry_run:
                Repository(self.indexes.client, self.repository).find(index.name)
            else:
                Repository(self.indexes.client, self.repository).save(index.name, index.left_read_at)
                self._check_unchanged(index)
        if not self.dry_run:
            aliases.delete(self.indexes, index.name)
        return how

    def _check_unchanged(self, index: PhysicalIndex) -> None:
        meta = index.read_meta()
        if meta and meta.get("left_read_at") != index.meta.get("left_read_at"):
            raise StaleSwap(f"{index.name} stays: it was live again while it was being saved; run it again")

    def purge(self, line: Decision, before: datetime) -> None:
        """Purge the tombstones of a member of the write set; in a dry run only count them."""
        try:
            if refusal := self.indexes.index(line.index).why_unwritable():
                line.why += f"; not purged: {refusal}"
            elif self.dry_run:
                line.purged = purge.count(self.indexes.index(line.index), before)
            else:
                line.purged = purge.purge(self.indexes, line.index, before)
        except SearchSyncError as error:
            self._failed(error)
            line.why += "; the purge failed"

    def _failed(self, error: SearchSyncError) -> None:
        log.error("%s", error)
        self.failures.append(error)
