"""Purge old tombstones by compare-and-delete in every member of the write set (docs/protocol.md, rule 12).

A tombstone keeps late older writes out. Each such write was read, or told by the stream, before the tombstone was
written. A stream keeps its records for 24 hours. A queue keeps its messages for 14 days, and a replay reads the source
again. A task ends within hours. So after ``LEAST_DAYS`` nothing is left to keep out, and a purge need not wait for a
reindex or a rollback:

- A tombstone of blue that is due is not copied (rule 8): green never needed it. A tombstone that comes due after the
  copy is as old in green, and goes with the next run.
- A load (rule 7) reads the source now. It does not create an absent key. A key that was created again has a later
  position, so a copied tombstone does not replace it (rule 1).
- A key that is created again between search and delete has another sequence number: it stays.
- The tombstone with the highest position of an index stays, whatever its age: by this position a source that was put
  back is recognised.

``written_at`` decides about the age, because not every position is a time. A copy keeps ``written_at``.
"""

import json
import logging
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from searchsync.cluster.client import PATIENCE_SECONDS, Backoff
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.config import retention
from searchsync.errors import BadParams, IndexUnavailable, RequestRejected
from searchsync.writing import tombstones
from searchsync.writing.item_outcome import Outcome, outcome_of, reason_of

log = logging.getLogger(__name__)

LEAST_DAYS = 15
AT_ONCE = 5_000


def cutoff(now: datetime) -> datetime:
    """Return a moment: tombstones that were written before it have no use any more.

    :raises BadParams: when the policy would purge tombstones that are still needed
    """
    days = retention().tombstone_days
    if days < LEAST_DAYS:
        raise BadParams(
            f"include/policies/retention.yaml: tombstone_days must be at least {LEAST_DAYS}, not {days:g}: a "
            "tombstone has to outlive what may be on its way, 24 hours in the stream and then 14 days in a queue; 30 "
            "leaves room for the rollback window. Nothing was changed"
        )
    return now - timedelta(days=days)


def count(index: Index, before: datetime) -> int:
    """Return the number of tombstones that a purge would delete."""
    return index.count(tombstones.old(index, before))


def purge(indexes: EntityIndexes, name: str, before: datetime, *, patience: float = PATIENCE_SECONDS) -> int:
    """Delete the tombstones of one member that were written before a moment, unless they change meanwhile.

    :returns: number of tombstones deleted, without those deleted by a request whose answer was lost
    """
    purged, index = 0, indexes.index(name)
    try:
        hits = index.scroll(tombstones.old(index, before), source=False, versions=True)
        while lines := [_line(hit) for hit in islice(hits, AT_ONCE)]:
            purged += _delete(index, lines, patience)
            log.info("%s: %d tombstones older than %s purged", name, purged, before.isoformat(timespec="seconds"))
    except (RequestRejected, IndexUnavailable):
        if name in indexes.write_set():
            raise
        log.info("%s left the write set meanwhile", name)
    return purged


def _line(hit: dict[str, Any]) -> bytes:
    seen = {"_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
    return json.dumps({"delete": seen}).encode() + b"\n"


def _delete(index: Index, lines: list[bytes], patience: float) -> int:
    backoff, deleted = Backoff(patience), 0
    while lines:
        try:
            items = index.client.send_bulk(index.name, b"".join(lines), len(lines))
        except IndexUnavailable as error:
            backoff.wait(f"{index.name}: {error}")
            continue
        again, cause = [], ""
        for line, item in zip(lines, items, strict=True):
            if item["status"] == 404 and "error" not in item:
                continue  # gone already
            outcome = outcome_of(index.name, item)
            if outcome is Outcome.RETRY:
                again.append(line)
                cause = f"{index.name}: {item['status']} {reason_of(item)}"
            elif outcome is Outcome.REJECTED:
                raise RequestRejected(f"{index.name}: {reason_of(item)}", status=item["status"], error_type="")
            deleted += outcome is Outcome.WRITTEN  # a conflict was written meanwhile, and stays
        if len(again) < len(lines):
            backoff.progress()
        if again:
            backoff.wait(f"{len(again)} of {len(lines)} tombstones: {cause}")
        lines = again
    return deleted
