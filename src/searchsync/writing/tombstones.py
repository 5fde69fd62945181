"""Tombstones of one index for another (docs/protocol.md, rule 8): what was deleted stays deleted there, too."""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import opensearchpy

from searchsync.cluster import indexes, reads
from searchsync.documents.page import Document, Rejection, is_ours, page_of, sync_in, tombstone
from searchsync.errors import GateFailed
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger

log = logging.getLogger(__name__)

AT_ONCE = 2_000


def copy(client: opensearchpy.OpenSearch, of: str, to: str, *, before: datetime | None = None) -> Ledger:
    """Write the tombstones of one index to another by compare-and-set. Safe to repeat.

    A foreign one says of no time that it was deleted: it is named in the log, and holds up nothing.

    :param before: tombstones that were written before this have no use, and stay behind; None for all
    :raises IndexUnavailable: when one of the two cannot be read or written
    """
    began, ledger = time.monotonic(), Ledger(to)
    indexes.refresh(client, of)
    foreign: list[str] = []
    found = _of(client, of, before, foreign)
    while documents := list(islice(found, AT_ONCE)):
        ledger += writer.compare_and_set(client, to, page_of(documents, position=""), on_rejected=_never_rejected)
    if foreign:
        log.warning("%s: %d tombstones are not of our form and were not copied: %s", of, len(foreign), foreign)
    log.info("%s: %d tombstones of %s in %.1f s", to, ledger.read, of, time.monotonic() - began)
    return ledger.balanced()


def old(client: opensearchpy.OpenSearch, name: str, before: datetime) -> dict[str, Any]:
    """Query of the tombstones of an index that were written before a moment, without its highest position."""
    early = [{"term": {"sync.deleted": True}}, {"range": {"sync.written_at": {"lt": before.isoformat()}}}]
    highest = indexes.highest_position(client, name, fresh=False)
    return {"bool": {"filter": early, "must_not": [{"term": {"sync.position": highest}}]}}


def _of(client: opensearchpy.OpenSearch, name: str, before: datetime | None, foreign: list[str]) -> Iterator[Document]:
    """Each tombstone made anew of its own state; the ids of foreign ones apart."""
    wanted: dict[str, Any] = {"filter": [{"term": {"sync.deleted": True}}]}
    if before is not None:
        wanted["must_not"] = [old(client, name, before)]
    for hit in reads.scroll(client, name, {"bool": wanted}, source=["sync"]):
        sync = sync_in(hit["_source"])
        if is_ours(sync) and sync["deleted"]:
            yield tombstone(hit["_id"], position=sync["position"], bucket=sync["bucket"], written_at=sync["written_at"])
        else:
            foreign.append(hit["_id"])


def _never_rejected(rejection: Rejection) -> None:
    raise GateFailed(f"a tombstone was refused: {rejection}; a deleted document could come back")
