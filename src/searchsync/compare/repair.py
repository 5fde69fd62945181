"""Repair what a comparison has proven: read each key again, and write it above the position that the index claims."""

import logging
from contextlib import closing
from dataclasses import dataclass

from searchsync.cluster.indexes import EntityIndexes
from searchsync.compare import reconcile
from searchsync.compare.absence import Guard, believed
from searchsync.compare.differences import FUTURE, ORPHAN, DiffReport
from searchsync.compare.states import State, index_states
from searchsync.config import thresholds
from searchsync.documents.page import Page, Rejection, page_of, with_position
from searchsync.errors import GateFailed, IndexUnavailable
from searchsync.sources.base import READ_KEYS, Source

log = logging.getLogger(__name__)

_CONFIRM = 'repair with {{"cap": {gone}}} or more'


@dataclass
class Repaired:
    """What a repair did. The numbers are counts of keys.

    :ivar rejected: keys that the index refuses
    :ivar left: documents from the future, which stay as they are
    """

    found: int = 0
    written: int = 0
    stale: int = 0
    rejected: int = 0
    left: int = 0
    dry_run: bool = False


def repair(
    indexes: EntityIndexes, source: Source, report: DiffReport, *, dry_run: bool = True, cap: int | None = None
) -> Repaired:
    """Write the confirmed keys as the source has them now, by the one writer, into the whole write set (rule 9).

    A document that was changed around the writer kept its position, which may be as late as the read's. So the write
    goes just above this position. That is sound, because the source is read after the index. A document from the future
    stays as it is: a write above it would hide the changes to come. A reindex takes care of it.

    :param cap: largest number of keys, deletions included, as a person confirmed it; None for one in a hundred of the
        source's documents, at least 100
    :raises GateFailed: when there are more keys: that is no drift but a fault of the mapping or the stream
    :raises TooManyGone: when the source lacks more of these keys than may be believed
    :raises IndexUnavailable: when a member of the write set takes no writes, or the index left the write set
    """
    keys = [finding.key for finding in report.findings if finding.kind != FUTURE]
    done = Repaired(found=len(report.findings), left=len(report.findings) - len(keys), dry_run=dry_run)
    share = thresholds(source.entity).repair_share
    allowed = cap if cap is not None else max(int(report.source_count * share), 100)
    if len(keys) > allowed:
        raise GateFailed(
            f"{report.index}: {len(keys)} differences are more than the {allowed} that a repair may write: this smells "
            "of a fault of the SQL, the mapping or the delivery of changes. Nothing was changed. Find the fault, then "
            "run the reindex; or repair with a higher cap"
        )
    orphans = report.kinds.get(ORPHAN, 0)
    gone = max(believed(source.entity, report.index_count), orphans if cap else 0)
    guard = Guard(report.index, report.index_count, gone, _CONFIRM)
    guard.check(orphans)
    if dry_run or not keys:
        return done

    write = reconcile.to_all(indexes, report.index)
    for at in range(0, len(keys), READ_KEYS):
        some = keys[at : at + READ_KEYS]
        have = index_states(indexes.index(report.index), some)  # the index first, then the source
        with closing(source.states(some)) as pages:
            for page in pages:
                guard.take(page)
                ledger = write(_above(page, have), _log_refused)
                if ledger is None:
                    raise IndexUnavailable(f"{report.index} left the write set meanwhile; run it again")
                done.written += ledger.written + ledger.tombstoned
                done.stale += ledger.stale
                done.rejected += ledger.rejected
    return done


def _log_refused(refused: Rejection) -> None:
    log.warning("%s: %s: %s: %s", refused.index or "no document", refused.id, refused.type, refused.reason)


def _above(page: Page, have: dict[str, State]) -> Page:
    """Return the page with every position above the one that the index has.

    All positions have one length, so a position with one more sign is above it.
    """
    documents = []
    for document in page.documents():
        known = have[document.key].position
        documents.append(with_position(document, at_least=f"{known}+") if known else document)
    return page_of(documents, position=page.position, rejected=page.rejected)
