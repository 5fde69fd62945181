"""Make an index equal to its source: compare sums, then the keys of unequal buckets, read both sides again (rule 9)."""

import logging
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field

from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare.absence import Guard, believed
from searchsync.compare.fingerprints import (
    Yardstick,
    foreign_keys,
    in_batches,
    index_counts,
    index_keys,
    index_sums,
    unequal_keys,
)
from searchsync.documents.page import Page, Rejection, sync_in, sync_of
from searchsync.documents.position import known
from searchsync.errors import GateFailed, IndexUnavailable
from searchsync.sources.base import READ_KEYS, Source
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger, OnRejected
from searchsync.writing.writer import Bypass

log = logging.getLogger(__name__)

Write = Callable[[Page, OnRejected], Ledger | None]
"""Writes a page; returns the ledger of the index that is being reconciled, or None when it left the write set."""

SAME_SECOND = 1.1

LISTED = 20
"""Number of keys that a message names at most."""


@dataclass
class Reconciled:
    """What reconciling found and did. The numbers are counts of keys.

    :ivar source: documents of the source at the last snapshot that was compared
    :ivar index: documents of the index, without tombstones, at the last comparison
    :ivar unequal: keys that differed and were reconciled, over all rounds
    :ivar written: of these, written to the index
    :ivar tombstoned: of these, written as deleted
    :ivar rejected: keys that stay out of the index because it refuses them
    :ivar around: keys that stay different because they were changed around the writer, with the reasons
    """

    source: int = 0
    index: int = 0
    rounds: int = 0
    unequal: int = 0
    written: int = 0
    tombstoned: int = 0
    rejected: set[str] = field(default_factory=set)
    around: dict[str, str] = field(default_factory=dict)


def to_one(index: Index) -> Write:
    """Return a ``Write`` to one index alone, for a new epoch (protocol.md, Position)."""
    return lambda page, on_rejected: writer.compare_and_set(index, page, on_rejected=on_rejected)


def to_all(indexes: EntityIndexes, name: str, bypass: Bypass | None = None) -> Write:
    """Return a ``Write`` to the whole write set. It returns None when the index has left the write set."""

    def write(page: Page, on_rejected: OnRejected) -> Ledger | None:
        return writer.apply(indexes, [page], on_rejected=on_rejected, bypass=bypass).get(name)

    return write


@dataclass(frozen=True)
class Allowed:
    """How much a reconciliation may change unasked.

    :ivar keys: largest number of unequal keys; more are no drift but a broken load
    :ivar confirm: what a person does when more documents are gone for good; ``{gone}`` stands for their number
    :ivar deletes: number of documents that may be taken for deleted; None for what is believed unasked
    """

    keys: int
    confirm: str
    deletes: int | None = None


def make_equal(
    index: Index, yardstick: Yardstick, *, write: Write, allowed: Allowed, on_rejected: OnRejected
) -> Reconciled:
    """Make an index equal to its source, and prove it.

    Unequal keys are read again from the source and written by compare-and-set. Afterwards each document must have
    either the source's hash or a later position than the read, because rows may change all the while. But this later
    position must not be later than the next read: nobody can have written a state that the source has not had yet.

    :param write: says where and how to write: ``to_one`` or ``to_all``
    :raises GateFailed: when keys stay different, or too many differ
    :raises IndexUnavailable: when the index left the write set meanwhile
    """
    report, reconciling, source = Reconciled(), None, yardstick.source
    while True:
        wanted, found = yardstick.sums(), index_sums(index, source.entity)
        report.source, report.index = (sum(count for count, _, _ in sums.values()) for sums in (wanted, found))
        report.rounds += 1
        limit = allowed.keys + len(report.rejected)
        unequal = unequal_keys(index, yardstick, wanted, found, limit=limit)
        suspects = {*unequal.keys, *foreign_keys(index, limit=limit)}
        keys = sorted(suspects - report.rejected - report.around.keys())
        counts = (report.rounds, report.source, report.index, len(keys))
        log.info("%s: round %d: source %d, index %d, unequal keys %d", index.name, *counts)
        if not keys:
            return _proven(index.name, report)
        if reconciling is None:
            deletes = believed(source.entity, report.index) if allowed.deletes is None else allowed.deletes
            guard = Guard(index.name, report.index, deletes, allowed.confirm)
            reconciling = _Reconciling(index, source, write, guard, on_rejected, report)
        reconciling.guard.check(reconciling.guard.gone + unequal.gone)
        reconciling.all(keys)
        if report.rounds == source.rounds:  # the rows go on changing; every key that differed was proven
            report.index = index.count(source.entity.visible)
            return _proven(index.name, report)


def make_keys_equal(
    index: Index, source: PostgresSource, *, write: Write, guard: Guard, on_rejected: OnRejected
) -> Reconciled:
    """Bring an index the keys that it lacks, and delete those that the source lacks. Contents are not compared.

    :raises TooManyGone: when the source lacks more than may be believed; then nothing was written
    :raises GateFailed: when a key stays different
    :raises IndexUnavailable: when the index left the write set meanwhile
    """
    report = Reconciled(rounds=1)
    wanted, found = source.counts(), index_counts(index, source.entity)
    unequal = [b for b in sorted(wanted.keys() | found.keys()) if wanted.get(b, 0) != found.get(b, 0)]
    keys: list[str] = []
    gone = 0
    batches = list(in_batches(unequal, found))
    for batch, ours in zip(batches, source.keys(batches), strict=True):
        theirs = index_keys(index, source.entity, batch)
        gone += len(theirs - ours)
        keys += sorted(theirs ^ ours)
    guard.check(gone)
    log.info("%s: %d keys without a row, %d rows without a document", index.name, gone, len(keys) - gone)
    if keys:
        _Reconciling(index, source, write, guard, on_rejected, report).all(keys)
    return _proven(index.name, report)


def _proven(name: str, report: Reconciled) -> Reconciled:
    """Return the report, unless a key could not be reconciled. All other keys are reconciled by then.

    :raises GateFailed: when a key could not be reconciled; the message names it
    """
    if report.around:
        shown = "; ".join(f"{key!r}: {why}" for key, why in sorted(report.around.items())[:LISTED])
        raise GateFailed(
            f"{name}: {len(report.around)} documents are not the source's rows although all others are reconciled "
            f"({shown}). They were changed around the write protocol; stop that writer and run the reindex again"
        )
    return report


@dataclass
class _Reconciling:
    """The keys of one index that are being reconciled.

    :ivar overtaken: keys that others wrote after the read of an earlier round, with the positions that they claim
    """

    index: Index
    source: Source
    write: Write
    guard: Guard
    on_rejected: OnRejected
    report: Reconciled
    overtaken: dict[str, str] = field(default_factory=dict)

    def all(self, keys: list[str]) -> None:
        """Reconcile the keys, some at a time, and make the result visible to searches."""
        self.report.unequal += len(keys)
        for at in range(0, len(keys), READ_KEYS):
            self._reconcile(keys[at : at + READ_KEYS])
        self.index.refresh()

    def _reconcile(self, keys: list[str], *, counted: AbstractSet[str] | None = None) -> None:
        """Reconcile some keys in one round, and those that need it in a second round.

        :param counted: in the second round, the keys that the first round took for deleted; None in the first
        """
        same: list[str] = []
        gone: set[str] = set()
        with closing(self.source.states(keys)) as pages:
            for page in pages:
                self._check_claims(page)
                gone |= self.guard.take(page, counted=counted or frozenset())
                self._write(page)
                same += self._prove(page, again=counted is None)
        if same:
            time.sleep(SAME_SECOND)  # two reads within one second have one position, and the first to write wins
            self._reconcile(same, counted=gone)

    def _check_claims(self, page: Page) -> None:
        for document in page.documents() if self.overtaken else ():
            claimed = self.overtaken.get(document.key, "")
            if claimed > page.position:
                self.report.around[document.key] = f"it claims {claimed}, but the source is at {page.position} only"

    def _prove(self, page: Page, *, again: bool) -> list[str]:
        """Note the keys that are neither as they were written nor later.

        Return the keys that have another content at the same position.
        """
        expected = {document.key: sync_of(document) for document in page.documents()}
        ids = sorted(expected.keys() - self.report.rejected - self.report.around.keys())
        same = []
        for doc in self.index.documents(ids, source="sync"):
            key, want, have = doc["_id"], expected[doc["_id"]], sync_in(doc.get("_source", {}))
            position = have["position"] if known(have.get("position")) else ""
            if position > want["position"]:
                self.overtaken[key] = position
            elif any(have.get(part) != want[part] for part in ("deleted", "hash_high", "hash_low")):
                if position == want["position"] and again:
                    same.append(key)
                else:
                    self.report.around[key] = f"just written at {want['position']}, it has {have or 'nothing'}"
        return same

    def _write(self, page: Page) -> None:
        ledger = self.write(page, self._refuse)
        if ledger is None:
            raise IndexUnavailable(f"{self.index.name} left the write set meanwhile; run it again")
        self.report.written += ledger.written
        self.report.tombstoned += ledger.tombstoned

    def _refuse(self, rejection: Rejection) -> None:
        # An older mapping of another member may refuse what this index takes: that is not this index' gate.
        if rejection.index in ("", self.index.name) and rejection.id not in self.report.rejected:
            self.report.rejected.add(rejection.id)
            self.on_rejected(rejection)
