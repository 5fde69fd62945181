"""Tombstones of one index for another (docs/protocol.md, rule 8): what was deleted stays deleted there, too."""

import json
import logging

import opensearchpy

from searchsync import indexes, reads, writer
from searchsync.envelope import Line, Rejection, page_of
from searchsync.errors import GateFailed
from searchsync.writer import Ledger

log = logging.getLogger(__name__)

AT_ONCE = 2_000


def copy(client: opensearchpy.OpenSearch, of: str, to: str) -> Ledger:
    """Write all tombstones of one index to another by compare-and-set. Safe to repeat.

    :raises IndexUnavailable: when one of the two cannot be read or written
    """
    ledger = Ledger(to)
    indexes.refresh(client, of)
    lines: list[Line] = []

    def write() -> None:
        nonlocal ledger
        page = page_of(lines, position="")
        ledger += writer.compare_and_set(client, to, page, on_rejected=_never_rejected)
        lines.clear()

    for hit in reads.scroll(client, of, {"term": {"sync.deleted": True}}, source=["sync"]):
        lines.append(Line(json.dumps(hit["_id"]).encode(), json.dumps(hit["_source"], separators=(",", ":")).encode()))
        if len(lines) >= AT_ONCE:
            write()
    if lines:
        write()
    log.info("%s: %d tombstones of %s", to, ledger.read, of)
    return ledger.balanced()


def _never_rejected(rejection: Rejection) -> None:
    raise GateFailed(f"a tombstone was refused: {rejection}; a deleted document could come back")
