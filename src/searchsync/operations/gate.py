"""Check that a new index may be served: it has what the source has, answers, and is not much smaller than the old."""

import logging
from datetime import UTC, datetime
from typing import Any

import opensearchpy

from searchsync.cluster import indexes, reads, schema
from searchsync.compare import reconcile
from searchsync.config import thresholds
from searchsync.documents import transforms
from searchsync.errors import GateFailed
from searchsync.operations import smoke, sync
from searchsync.operations.reindex import Plan
from searchsync.sources.base import Source
from searchsync.sources.postgres import PostgresSource
from searchsync.stream import gaps
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger
from searchsync.writing.progress import Rejections

log = logging.getLogger(__name__)


def gate(
    client: opensearchpy.OpenSearch,
    source: Source,
    plan: Plan,
    green: str,
    *,
    rejections: Rejections,
    max_rejected: int | None = None,
    allow_shrink: bool = False,
) -> dict[str, Any]:
    """Check everything that must hold before an index is served (rule 9). Change nothing but the keys it reconciles.

    :param max_rejected: number of documents that may be left out; None for the policy's number
    :param allow_shrink: accept far fewer documents than are served now, or none
    :returns: the figures that it found
    :raises GateFailed: when a check failed; the message says which. The live index goes on serving
    :raises BadMapping: when mapping or settings are not those of the file
    """
    entity, limits = source.entity, thresholds()
    allowed = limits.rejected if max_rejected is None else max_rejected
    index = indexes.check_own(client, entity, green, build=plan.build)
    schema.check(client, entity, green)
    if transforms.of_index(index.meta) != transforms.present(entity):
        raise GateFailed(
            f"{green} was made by another version of the SQL file or of the code than is here now: it was changed "
            "since. The live index goes on serving; run the reindex again"
        )
    known_gaps = gaps.of_index(client, green)
    indexes.refresh(client, green)
    began = datetime.now(UTC)
    caught_up = _catch_up(client, source, green, began)
    most = max(limits.reconciled, allowed)
    reconciled = reconcile.make_equal(
        client,
        source,
        green,
        # Of a new epoch, positions are above all that the others have: they are not written.
        write=reconcile.to_one(client, green) if plan.fresh_epoch else reconcile.to_all(client, entity, green),
        max_reconciled=most,
        deletes=most if allow_shrink else None,
        confirm='run the reindex with {{"allow_shrink": true}}',
        on_rejected=rejections.add,
    )
    unusable = source.unusable()
    for rejection in unusable:
        rejections.add(rejection)
    rejected = len(reconciled.rejected) + len(unusable)
    if rejected > allowed:
        raise GateFailed(
            f"{green}: {rejected} documents were rejected, {allowed} are allowed: see {rejections.path}. Correct "
            'the rows or the mapping and run the reindex again, or accept the loss with {"max_rejected": N}'
        )
    served = reads.count(client, entity.name) if plan.blue else 0
    _check_shrink(plan.blue, served, green, reconciled.index, allow_shrink, limits.shrink)
    found = smoke.run(client, entity, green)
    gaps.close(client, entity, green, known_gaps)
    indexes.stamp_synced(client, indexes.get(client, entity, green), began)
    return {
        "source": reconciled.source,
        "documents": reconciled.index,
        "served": served,
        "caught_up": caught_up,
        "reconciled": reconciled.unequal,
        "rounds": reconciled.rounds,
        "rejected": rejected,
        "dropped": source.dropped(),
        "ignored": reads.count(client, green, {"exists": {"field": "_ignored"}}),
        "smoke": found,
    }


def _catch_up(client: opensearchpy.OpenSearch, source: Source, green: str, end: datetime) -> int:
    """Bring green the rows that changed since it was made, where a column says so: they are no fault of the load.

    :param end: changes from this moment on are left to the comparison. Without an end, a table that changes faster than
        its rows are written would be read forever
    :returns: the number of these rows
    """
    if source.entity.changed is None or not isinstance(source, PostgresSource):
        return 0
    ledger = Ledger(green)
    for page in sync.changed_pages(source, indexes.get(client, source.entity, green).created, end):
        # What is refused here differs afterwards, and is refused and named then.
        ledger += writer.compare_and_set(client, green, page, on_rejected=lambda _: None)
    indexes.refresh(client, green)
    log.info("%s: %d rows changed since it was made, %d of them were newer", green, ledger.read, ledger.written)
    return ledger.read


def _check_shrink(blue: str | None, served: int, green: str, documents: int, allow: bool, ratio: float) -> None:
    if not allow and (documents == 0 or documents < ratio * served):
        raise GateFailed(
            f"{green} has {documents} documents, {blue or 'the live index'} serves {served}: is the table complete? "
            'If this is right, run the reindex with {"allow_shrink": true}'
        )


def why_ask(gated: dict[str, Any], asked: str) -> str:
    """Return why a person has to say yes before the swap; empty when nobody has to.

    :param gated: what the gate found
    :param asked: ``always``, ``never``, or ``auto``: ask when the number of documents moves by more than the policy's
        share
    """
    served, documents = gated["served"], gated["documents"]
    if asked == "always":
        return "it was asked for"
    share = thresholds().approval_share
    if asked == "auto" and served and abs(documents - served) > share * served:
        return f"{documents} documents instead of {served}: more than {share:.0%} of a change"
    return ""


def check_as_approved(approved: dict[str, Any], found: dict[str, Any]) -> None:
    """Refuse to serve an index that is not what a person approved.

    :raises GateFailed: when the number of documents has moved by more than the policy's share since the person was
        asked
    """
    share = thresholds().approval_share
    if abs(found["documents"] - approved["documents"]) > share * max(approved["documents"], 1):
        raise GateFailed(
            f"{approved['documents']} documents were approved, {found['documents']} are there now: the live index goes "
            "on serving; run the reindex again"
        )
