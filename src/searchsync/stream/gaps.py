"""Gaps: times of which an index may lack changes (docs/protocol.md, What the stream has forgotten; A member misses).

A gap has one of two causes: the stream forgot records before they were replayed, or a member that is not live took no
writes. For each index that may lack changes, the index ``searchsync-gaps`` has a document. It stays until the gate of a
reindex or a whole comparison has found the index equal to its source. Gaps are not in ``_meta``, because ``_meta`` is
replaced as a whole: whoever stamps an index at the same moment would lose the gap.
"""

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.cluster.indexes import EntityIndexes
from searchsync.documents.page import Page
from searchsync.documents.position import second_of
from searchsync.errors import GateFailed, SearchSyncError
from searchsync.writing import tombstones

log = logging.getLogger(__name__)

INDEX = "searchsync-gaps"
MOST = 1_000
MISSED_SECONDS = 3_600
"""Changes of one hour that an index missed share one note: an outage makes a handful of them, however long the stream
is."""

UNWRITABLE_SECONDS = 30.0
"""How long a member that is not live and took no write is left alone before it is tried again."""

Gap = dict[str, Any]
"""``from`` and ``to`` (ISO 8601); ``records`` and ``shard`` of what the stream forgot, ``why`` of what was missed."""


@dataclass(frozen=True)
class NotedGap:
    """A gap as it was looked at.

    :ivar key: id of its document
    :ivar version: version of its document; a gap that was noted again since then has another, and is not closed
    """

    gap: Gap
    key: str
    version: tuple[int, int]


def note(indexes: EntityIndexes, gap: Gap) -> None:
    """Note for the whole write set that changes of some time are lost. Safe to repeat."""
    digest = hashlib.sha256(json.dumps(gap, sort_keys=True).encode()).hexdigest()[:32]
    for name in indexes.targets_or_raise().members:
        Bookkeeping(indexes.client, INDEX).put(f"{name}-{digest}", {"index": name, **gap})


def of_index(index: Index) -> list[NotedGap]:
    """Return the gaps of an index, the earliest first."""
    body = {
        "size": MOST,
        "query": {"term": {"index": index.name}},
        "sort": [{"from": "asc"}],
        "seq_no_primary_term": True,
    }
    return [_noted(hit) for hit in Bookkeeping(index.client, INDEX).find(body)]


def of_all(client: Client) -> dict[str, list[Gap]]:
    """Return all gaps, by the index, the earliest first: by one search. Beyond ``MOST`` of them are left out."""
    found: dict[str, list[Gap]] = {}
    for hit in Bookkeeping(client, INDEX).find({"size": MOST, "sort": [{"from": "asc"}]}):
        gap = dict(hit["_source"])
        found.setdefault(gap.pop("index"), []).append(gap)
    return found


def close(indexes: EntityIndexes, name: str, closed: list[NotedGap]) -> None:
    """Delete gaps of an index that were noted before a comparison which found no difference.

    A comparison does not see the deletion of a document that the index never had. So the tombstones that the index
    missed are copied first, from the other members. A gap that was noted again meanwhile stays: the comparison may have
    read the index before it missed that.
    """
    if any("why" in noted.gap for noted in closed):
        for other in indexes.write_set():
            if other != name:
                tombstones.copy(indexes.index(other), indexes.index(name))
    for noted in closed:
        Bookkeeping(indexes.client, INDEX).remove(noted.key, version=noted.version)


def refuse(index: Index) -> None:
    """Refuse to make an index live that missed changes since it was compared with its source.

    :raises GateFailed: when it has a gap
    """
    if found := of_index(index):
        first, last = found[0].gap, found[-1].gap
        raise GateFailed(
            f"{index.name} may lack changes of {first['from']} to {last['to']}, noted since it was compared with its "
            f"source: {last.get('why', 'the stream forgot them')}. What is live goes on serving. See that the index "
            "takes writes, then clear the run from its gate (or its comparison), or run it again"
        )


def _noted(hit: dict[str, Any]) -> NotedGap:
    gap = {part: value for part, value in hit["_source"].items() if part != "index"}
    return NotedGap(gap, hit["_id"], (hit["_seq_no"], hit["_primary_term"]))


class NotedBypass:
    """Bypasses members that are not live and take no writes, and notes what they miss (``writer.Bypass``).

    It remembers between batches which index takes no writes.

    :ivar missed: reasons, by index, of those that were bypassed since the last ``forget``
    """

    def __init__(self) -> None:
        self.missed: dict[str, str] = {}
        self._unwritable: dict[str, tuple[float, SearchSyncError]] = {}

    def forget(self) -> None:
        """Empty ``missed``. Which index takes no writes stays known."""
        self.missed = {}

    def why_skip(self, name: str) -> SearchSyncError | None:
        """Return why this member is not even tried for the moment; None to try it."""
        since, error = self._unwritable.get(name, (float("-inf"), None))
        return error if time.monotonic() - since < UNWRITABLE_SECONDS else None

    def note(self, indexes: EntityIndexes, name: str, page: Page, error: SearchSyncError) -> None:
        """Note that an index missed a page, each time, so that no comparison closes what it has not seen."""
        if self.why_skip(name) is None:
            log.error("%s is not live and takes no writes; what it misses is noted as a gap: %s", name, error)
            self._unwritable[name] = (time.monotonic(), error)
        self.missed[name] = why = f"it took no writes: {str(error)[:500]}"
        known_gaps = Bookkeeping(indexes.client, INDEX)
        for begin in sorted({_begin(document.position) for document in page.documents()}):
            gap = {"from": _iso(begin), "to": _iso(begin + MISSED_SECONDS), "why": why}
            known_gaps.put(f"{name}-missed-{begin}", {"index": name, **gap})


def _begin(position: str) -> int:
    return second_of(position) // MISSED_SECONDS * MISSED_SECONDS


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
