"""Source against index: sums per bucket, then keys of unequal buckets, then both sides read again (rule 9)."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import opensearchpy

from searchsync import indexes, reads, writer
from searchsync.entities import BUCKETS, Entity
from searchsync.envelope import Page, Rejection, sync_of
from searchsync.errors import GateFailed, IndexUnavailable
from searchsync.sources import READ_KEYS, Source
from searchsync.writer import OnRejected

log = logging.getLogger(__name__)

Sums = dict[int, tuple[int, int, int]]
SAME_SECOND = 1.1
KEYS_AT_ONCE = 200_000


class TooMany(GateFailed):
    """More keys differ than may be looked at.

    :ivar count: at least so many
    """

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


@dataclass
class Settled:
    """What settling found and did; counts of keys.

    :ivar source: documents of the source at the last snapshot compared
    :ivar index: documents of the index, without tombstones, at the last comparison
    :ivar unequal: keys that differed and were settled, over all rounds
    :ivar written: of these, written to the index
    :ivar tombstoned: of these, written as deleted
    :ivar rejected: keys that stay out of the index because it refuses them
    """

    source: int = 0
    index: int = 0
    rounds: int = 0
    unequal: int = 0
    written: int = 0
    tombstoned: int = 0
    rejected: set[str] = field(default_factory=set)


def index_sums(client: opensearchpy.OpenSearch, entity: Entity, name: str, *, tolerant: bool = False) -> Sums:
    """Per bucket: visible documents, and the sums of both halves of their hashes.

    :param tolerant: leave documents out that have no bucket (foreign: no writer of ours made them)
    :raises GateFailed: when there is such a document
    :raises IndexUnavailable: when the answer is of a part of the index
    """
    sums = {"high": {"sum": {"field": "sync.hash_high"}}, "low": {"sum": {"field": "sync.hash_low"}}}
    body = {
        "size": 0,
        "track_total_hits": True,
        "query": entity.visible,
        "aggs": {"buckets": {"terms": {"field": "sync.bucket", "size": BUCKETS}, "aggs": sums}},
    }
    answer = reads.search(client, name, body)
    found = answer["aggregations"]["buckets"]["buckets"]
    total = answer["hits"]["total"]["value"]
    with_bucket = sum(bucket["doc_count"] for bucket in found)
    if with_bucket != total and not tolerant:
        raise GateFailed(
            f"{name}: {total - with_bucket} documents have no sync.bucket: something other than this system wrote "
            "them. Find the writer and stop it; then run the reindex again"
        )
    return {b["key"]: (b["doc_count"], int(b["high"]["value"]), int(b["low"]["value"])) for b in found}


def index_hashes(
    client: opensearchpy.OpenSearch, entity: Entity, name: str, buckets: Sequence[int]
) -> dict[str, tuple[Any, Any]]:
    """Ids of the visible documents in some buckets, with both halves of their hashes as they stand there."""
    query = {"bool": {"filter": [{"terms": {"sync.bucket": list(buckets)}}, entity.visible]}}
    hits = reads.scroll(client, name, query, source=["sync.hash_high", "sync.hash_low"])
    found = ((hit["_id"], sync_in(hit["_source"])) for hit in hits)
    return {key: (sync.get("hash_high"), sync.get("hash_low")) for key, sync in found}


def sync_in(document: dict[str, Any]) -> dict[str, Any]:
    """What a document carries of ours; nothing where somebody else wrote something of another form."""
    sync = document.get("sync")
    return sync if isinstance(sync, dict) else {}


def settle(
    client: opensearchpy.OpenSearch,
    source: Source,
    name: str,
    *,
    only: bool,
    max_settled: int,
    on_rejected: OnRejected,
) -> Settled:
    """Make an index equal to its source, and prove it.

    Unequal keys are read again from the source and written by compare-and-set into the whole write set. Afterwards each
    must either have the source's hash or a later position than the read: rows may change all the while. But that later
    position must not be later than the next read: nobody can have written what the source has not yet been.

    :param only: write to this index alone (a new epoch: protocol.md, Position)
    :param max_settled: more unequal keys than this are no drift but a broken load
    :raises GateFailed: when keys stay different, or too many are
    :raises IndexUnavailable: when the index left the write set meanwhile
    """
    report = Settled()
    settling = _Settling(client, source, name, only, on_rejected, report)
    while True:
        wanted, found = source.fingerprints(), index_sums(client, source.entity, name)
        report.source, report.index = (sum(count for count, _, _ in sums.values()) for sums in (wanted, found))
        report.rounds += 1
        keys = unequal_keys(client, source, name, wanted, found, limit=max_settled + len(report.rejected))
        keys = [key for key in keys if key not in report.rejected]
        log.info(
            "%s: round %d: source %d, index %d, unequal keys %d",
            name,
            report.rounds,
            report.source,
            report.index,
            len(keys),
        )
        if not keys:
            return report
        report.unequal += len(keys)
        for at in range(0, len(keys), READ_KEYS):
            settling.settle(keys[at : at + READ_KEYS])
        indexes.refresh(client, name)
        if report.rounds == source.rounds:  # the rows go on changing; every key that differed was proven
            return report


def unequal_keys(
    client: opensearchpy.OpenSearch, source: Source, name: str, wanted: Sums, found: Sums, *, limit: int
) -> list[str]:
    """Keys whose hashes differ, in buckets whose sums do.

    :param limit: keys at most
    :raises TooMany: when there are more
    """
    empty = (0, 0, 0)
    unequal = [b for b in sorted(wanted.keys() | found.keys()) if wanted.get(b, empty) != found.get(b, empty)]
    missing = sum(abs(wanted.get(b, empty)[0] - found.get(b, empty)[0]) for b in unequal)
    if missing > limit:
        raise _too_many(name, missing, limit)
    keys: list[str] = []
    while unequal:
        batch, documents = [], 0
        while unequal and documents < KEYS_AT_ONCE:
            batch.append(unequal.pop())
            documents += wanted.get(batch[-1], empty)[0]
        # The index first, then the source: a row deleted in between is then settled, not missed.
        theirs = index_hashes(client, source.entity, name, batch)
        ours = source.hashes(batch)
        keys += sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if len(keys) > limit:
            raise _too_many(name, len(keys), limit)
    return keys


def _too_many(name: str, count: int, limit: int) -> TooMany:
    return TooMany(
        f"{name}: at least {count} keys differ from the source, more than the {limit} that may be settled "
        "(include/policies/thresholds.yaml: settled, and the rejected documents allowed). That is no drift: a load "
        "lost them, or writes have not reached this index. Look for rejected documents and for syncs or streams that "
        "stand still; correct the SQL file or the mapping if it is to blame, and run the reindex",
        count,
    )


@dataclass
class _Settling:
    """The keys of one index that are being settled.

    :ivar overtaken: keys that others had written since an earlier round's read, with the positions they claim
    """

    client: opensearchpy.OpenSearch
    source: Source
    name: str
    only: bool
    on_rejected: OnRejected
    report: Settled
    overtaken: dict[str, str] = field(default_factory=dict)

    def settle(self, keys: list[str], *, again: bool = True) -> None:
        pages = self.source.read(keys)
        for key in keys:
            claimed = self.overtaken.get(key, "")
            if claimed > pages[0].position:
                why = f"it claims {claimed}, but the source is at {pages[0].position} only"
                raise _around(self.name, key, why)
        self._write(pages)
        proof = _prove(self.client, self.name, pages, self.report.rejected)
        self.overtaken |= proof.overtaken
        if not proof.same:
            return
        if not again:
            why = f"just written at {pages[0].position}, it has another content"
            raise _around(self.name, proof.same[0], why)
        time.sleep(SAME_SECOND)  # two reads within one second have one position, and the first to write wins
        self.settle(proof.same, again=False)

    def _write(self, pages: list[Page]) -> None:
        if self.only:
            ledgers = [writer.compare_and_set(self.client, self.name, page, on_rejected=self._refuse) for page in pages]
        else:
            found = writer.apply(self.client, self.source.entity, pages, on_rejected=self._refuse)
            if self.name not in found:
                raise IndexUnavailable(f"{self.name} left the write set meanwhile; run it again")
            ledgers = [found[self.name]]
        self.report.written += sum(ledger.written for ledger in ledgers)
        self.report.tombstoned += sum(ledger.tombstoned for ledger in ledgers)

    def _refuse(self, rejection: Rejection) -> None:
        # An older mapping of another member may refuse what this index takes: that is not this index' gate.
        if rejection.index in ("", self.name) and rejection.id not in self.report.rejected:
            self.report.rejected.add(rejection.id)
            self.on_rejected(rejection)


class _Proof(NamedTuple):
    """Keys that others have written since the read, with their positions; keys that differ at the read's position."""

    overtaken: dict[str, str]
    same: list[str]


def _prove(client: opensearchpy.OpenSearch, name: str, pages: list[Page], rejected: set[str]) -> _Proof:
    """What is in the index after a write: as the source is, or later, or else."""
    expected: dict[str, dict[str, Any]] = {
        json.loads(line.id): sync_of(line) for page in pages for line in page.lines()
    }
    ids = sorted(expected.keys() - rejected)
    proof = _Proof({}, [])
    for doc in reads.documents(client, name, ids, source="sync"):
        want, have = expected[doc["_id"]], sync_in(doc.get("_source", {}))
        if have.get("position", "") > want["position"]:
            proof.overtaken[doc["_id"]] = have["position"]
        elif any(have.get(part) != want[part] for part in ("deleted", "hash_high", "hash_low")):
            if have.get("position") != want["position"]:
                raise _around(name, doc["_id"], f"just written at {want['position']}, it has {have}")
            proof.same.append(doc["_id"])
    return proof


def _around(name: str, key: str, why: str) -> GateFailed:
    return GateFailed(
        f"{name}: document {key!r} is not the source's row ({why}). It was changed around the write protocol; stop "
        "that writer and run the reindex again"
    )
