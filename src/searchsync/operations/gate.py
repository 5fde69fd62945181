"""Check that a new index may be live: it has what the source has, answers, and is not much smaller than the old."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from searchsync.catalog import Entity
from searchsync.cluster import schema
from searchsync.cluster.indexes import PhysicalIndex
from searchsync.compare import reconcile
from searchsync.compare.fingerprints import Yardstick
from searchsync.compare.reconcile import Allowed, Reconciled
from searchsync.config import thresholds
from searchsync.documents import transforms
from searchsync.errors import GateFailed
from searchsync.operations import smoke, sync
from searchsync.operations.reindex import Reindex
from searchsync.sources.base import Source
from searchsync.sources.postgres import PostgresSource
from searchsync.stream import gaps
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gated:
    """The figures that the gate found; counts of documents unless they say otherwise.

    :ivar source: documents of the source, at the last comparison
    :ivar documents: documents of the index
    :ivar live_documents: documents of the index that is live
    :ivar caught_up: rows that changed since the index was made
    :ivar reconciled: keys that differed and were made equal
    :ivar rounds: how often the two were compared
    :ivar dropped: values left out of documents, by path
    :ivar ignored: documents with a field that OpenSearch ignored
    :ivar smoke: for each smoke query the samples that it found
    """

    source: int
    documents: int
    live_documents: int
    caught_up: int
    reconciled: int
    rounds: int
    rejected: int
    dropped: dict[str, int]
    ignored: int
    smoke: dict[str, int]


def gate(
    run: Reindex,
    source: Source,
    *,
    rejections: Rejections,
    max_rejected: int | None = None,
    allow_shrink: bool = False,
) -> Gated:
    """Check everything that must hold before an index is live (rule 9). Change nothing but the keys it reconciles.

    :param max_rejected: number of documents that may be left out; None for the policy's number
    :param allow_shrink: accept far fewer documents than are live now, or none
    :raises GateFailed: when a check failed; the message says which. The live index goes on serving
    :raises BadMapping: when mapping or settings are not those of the file
    """
    indexes, green, entity = run.indexes, run.green, source.entity
    limits = thresholds(entity)
    allowed = limits.rejected if max_rejected is None else max_rejected
    index = indexes.check_own(green, run_id=run.plan.run_id)
    schema.check(indexes, green)
    if transforms.of_index(index.meta) != transforms.present(entity):
        raise GateFailed(
            f"{green} was made by another version of the SQL file, the transformation or the code than is here now: "
            "it was changed since. The live index goes on serving; run the reindex again"
        )
    known_gaps = gaps.of_index(index)
    index.refresh()
    began = datetime.now(UTC)
    caught_up = _catch_up(index, source, began)
    reconciled = _reconcile(run, source, max(limits.reconciled, allowed), allow_shrink, rejections)
    rejected = _count_rejected(green, reconciled, source, rejections, allowed)
    live_documents = indexes.index(entity.read_alias).count() if run.plan.blue else 0
    _check_shrink(run.plan.blue, live_documents, green, reconciled.index, allow_shrink, limits.shrink)
    found = smoke.run(index, entity)
    gaps.close(indexes, green, known_gaps)
    index.stamp_synced(began)
    return Gated(
        source=reconciled.source,
        documents=reconciled.index,
        live_documents=live_documents,
        caught_up=caught_up,
        reconciled=reconciled.unequal,
        rounds=reconciled.rounds,
        rejected=rejected,
        dropped=source.dropped(),
        ignored=index.count({"exists": {"field": "_ignored"}}),
        smoke=found,
    )


def _reconcile(run: Reindex, source: Source, most: int, allow_shrink: bool, rejections: Rejections) -> Reconciled:
    index = run.indexes.index(run.green)
    confirm = 'run the reindex with {{"allow_shrink": true}}'
    return reconcile.make_equal(
        index,
        Yardstick(source),
        write=reconcile.to_one(index) if run.plan.fresh_epoch else reconcile.to_all(run.indexes, run.green),
        allowed=Allowed(most, confirm, deletes=most if allow_shrink else None),
        on_rejected=rejections.add,
    )


def _count_rejected(green: str, reconciled: Reconciled, source: Source, rejections: Rejections, allowed: int) -> int:
    """Return the number of documents that are left out.

    :raises GateFailed: when there are more than may be
    """
    unusable = source.unusable()
    for rejection in unusable:
        rejections.add(rejection)
    rejected = len(reconciled.rejected) + len(unusable)
    if rejected > allowed:
        raise GateFailed(
            f"{green}: {rejected} documents were rejected, {allowed} are allowed: see {rejections.path}. Correct "
            'the rows or the mapping and run the reindex again, or accept the loss with {"max_rejected": N}'
        )
    return rejected


def _catch_up(index: PhysicalIndex, source: Source, end: datetime) -> int:
    """Bring green the rows that changed since it was made, where a column says so: they are no fault of the load.

    :param end: changes from this moment on are left to the comparison. Without an end, a table that changes faster than
        its rows are written would be read forever
    :returns: the number of these rows
    """
    if source.entity.changed is None or not isinstance(source, PostgresSource):
        return 0
    ledger = Ledger(index.name)
    for page in sync.changed_pages(source, index.created, end):
        # What is refused here differs afterwards, and is refused and named then.
        ledger += writer.compare_and_set(index, page, on_rejected=lambda _: None)
    index.refresh()
    log.info("%s: %d rows changed since it was made, %d of them were newer", index.name, ledger.read, ledger.written)
    return ledger.read


def _check_shrink(blue: str | None, live_documents: int, green: str, documents: int, allow: bool, ratio: float) -> None:
    if not allow and (documents == 0 or documents < ratio * live_documents):
        raise GateFailed(
            f"{green} has {documents} documents, {blue or 'the live index'} has {live_documents}: is the table "
            'complete? If this is right, run the reindex with {"allow_shrink": true}'
        )


def why_ask(entity: Entity, live_documents: int, documents: int, asked: str) -> str:
    """Return why a person has to say yes before the swap; empty when nobody has to.

    :param live_documents: number of documents that are live
    :param documents: number of documents of the new index
    :param asked: ``always``, ``never``, or ``auto``: ask when the number of documents moves by more than the policy's
        share
    """
    if asked == "always":
        return "it was asked for"
    share = thresholds(entity).approval_share
    if asked == "auto" and live_documents and abs(documents - live_documents) > share * live_documents:
        return f"{documents} documents instead of {live_documents}: more than {share:.0%} of a change"
    return ""


def check_as_approved(entity: Entity, approved: int, found: int) -> None:
    """Refuse to make an index live that is not what a person approved.

    :param approved: number of documents that the person was shown
    :param found: number of documents now
    :raises GateFailed: when the number of documents has moved by more than the policy's share since the person was
        asked
    """
    share = thresholds(entity).approval_share
    if abs(found - approved) > share * max(approved, 1):
        raise GateFailed(
            f"{approved} documents were approved, {found} are there now: the live index goes "
            "on serving; run the reindex again"
        )
