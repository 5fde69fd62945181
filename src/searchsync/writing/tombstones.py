"""Copy the tombstones of one index to another (docs/protocol.md, rule 8): what was deleted stays deleted there, too."""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from searchsync.cluster.index import Index
from searchsync.documents.page import Document, Rejection, is_ours, page_of, sync_in, tombstone
from searchsync.errors import GateFailed
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger

log = logging.getLogger(__name__)

AT_ONCE = 2_000


def copy(of: Index, to: Index, *, before: datetime | None = None) -> Ledger:
    """Write the tombstones of one index to another by compare-and-set. Safe to repeat.

    A foreign tombstone does not say when it was deleted: the log names it, and it holds up nothing.

    :param before: tombstones that were written before this moment have no use and are not copied; None to copy all
    :raises IndexUnavailable: when one of the two indexes cannot be read or written
    """
    began, ledger = time.monotonic(), Ledger(to.name)
    of.refresh()
    foreign: list[str] = []
    found = _of(of, before, foreign)
    while documents := list(islice(found, AT_ONCE)):
        ledger += writer.compare_and_set(to, page_of(documents, position=""), on_rejected=_never_rejected)
    if foreign:
        log.warning("%s: %d tombstones are not of our form and were not copied: %s", of.name, len(foreign), foreign)
    log.info("%s: %d tombstones of %s in %.1f s", to.name, ledger.read, of.name, time.monotonic() - began)
    return ledger.balanced()


def old(index: Index, before: datetime) -> dict[str, Any]:
    """Return the query of an index' tombstones from before a moment, without the one of the highest position."""
    early = [{"term": {"sync.deleted": True}}, {"range": {"sync.written_at": {"lt": before.isoformat()}}}]
    highest = index.highest_position(fresh=False)
    return {"bool": {"filter": early, "must_not": [{"term": {"sync.position": highest}}]}}


def _of(index: Index, before: datetime | None, foreign: list[str]) -> Iterator[Document]:
    """Yield each tombstone, made anew from its own state. Add the ids of foreign ones to ``foreign``."""
    wanted: dict[str, Any] = {"filter": [{"term": {"sync.deleted": True}}]}
    if before is not None:
        wanted["must_not"] = [old(index, before)]
    for hit in index.scroll({"bool": wanted}, source=["sync"]):
        sync = sync_in(hit["_source"])
        if is_ours(sync) and sync["deleted"]:
            yield tombstone(hit["_id"], position=sync["position"], bucket=sync["bucket"], written_at=sync["written_at"])
        else:
            foreign.append(hit["_id"])


def _never_rejected(rejection: Rejection) -> None:
    raise GateFailed(f"a tombstone was refused: {rejection}; a deleted document could come back")
