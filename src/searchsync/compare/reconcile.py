"""Source against index: sums per bucket, then keys of unequal buckets, then both sides read again (rule 9)."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import opensearchpy

from searchsync.catalog import BUCKETS, SYNC_FIELDS, Entity
from searchsync.cluster import indexes, reads
from searchsync.compare.absence import Guard, believed
from searchsync.documents import transforms
from searchsync.documents.page import Page, Rejection, is_ours, sync_in, sync_of
from searchsync.documents.position import FORM, known
from searchsync.errors import GateFailed, IndexUnavailable
from searchsync.sources.base import READ_KEYS, Source
from searchsync.sources.postgres import PostgresSource
from searchsync.writing import writer
from searchsync.writing.writer import Detour, Ledger, OnRejected

log = logging.getLogger(__name__)

Sums = dict[int, tuple[int, int, int]]
Write = Callable[[Page, OnRejected], Ledger | None]
"""Writes a page of settled keys; returns the ledger of the index that is settled, None when it left the write set."""

SAME_SECOND = 1.1
SUMMED_AT_ONCE = 2_000_000
"""Documents that one request sums over: some seconds of the 60 that it may take, at half a million a second."""

KEYS_AT_ONCE = 200_000
LISTED = 20
"""Keys that a message names."""


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


def index_sums(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Sums:
    """Per bucket: visible documents, and the sums of both halves of their hashes. Foreign ones may have no bucket.

    :raises IndexUnavailable: when the answer is of a part of the index
    """
    sums = {"high": {"sum": {"field": "sync.hash_high"}}, "low": {"sum": {"field": "sync.hash_low"}}}
    aggs = {"buckets": {"terms": {"field": "sync.bucket", "size": BUCKETS}, "aggs": sums}}
    found: Sums = {}
    for part in _parts(reads.count(client, name)):
        query = {"bool": {"filter": [entity.visible, part]}}
        answer = reads.search(client, name, {"size": 0, "query": query, "aggs": aggs})
        for b in answer["aggregations"]["buckets"]["buckets"]:
            found[b["key"]] = (b["doc_count"], int(b["high"]["value"]), int(b["low"]["value"]))
    return found


def _parts(documents: int) -> Iterator[dict[str, Any]]:
    """Queries that divide all buckets, so that each request is answered in time however large the index is."""
    width = max(1, BUCKETS * SUMMED_AT_ONCE // max(documents, 1))
    for low in range(0, BUCKETS, width):
        bounds = {"gte": low} if low else {}  # somebody else's numbers are at both ends
        bounds |= {"lt": low + width} if low + width < BUCKETS else {}
        yield {"range": {"sync.bucket": bounds}} if bounds else {"match_all": {}}


def index_hashes(
    client: opensearchpy.OpenSearch, entity: Entity, name: str, buckets: Sequence[int]
) -> dict[str, tuple[Any, Any]]:
    """Ids of the visible documents in some buckets, with both halves of their hashes as they stand there."""
    query = {"bool": {"filter": [{"terms": {"sync.bucket": list(buckets)}}, entity.visible]}}
    hits = reads.scroll(client, name, query, source=["sync.hash_high", "sync.hash_low"])
    found = ((hit["_id"], sync_in(hit["_source"])) for hit in hits)
    return {key: (sync.get("hash_high"), sync.get("hash_low")) for key, sync in found}


def index_counts(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> dict[int, int]:
    """Visible documents per bucket."""
    buckets = {"terms": {"field": "sync.bucket", "size": BUCKETS}}
    answer = reads.search(client, name, {"size": 0, "query": entity.visible, "aggs": {"buckets": buckets}})
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["buckets"]["buckets"]}


def index_keys(client: opensearchpy.OpenSearch, entity: Entity, name: str, buckets: Sequence[int]) -> set[str]:
    """Ids of the visible documents in some buckets."""
    query = {"bool": {"filter": [{"terms": {"sync.bucket": list(buckets)}}, entity.visible]}}
    return {hit["_id"] for hit in reads.scroll(client, name, query, source=False)}


_OURS: dict[str, Any] = {
    "bool": {
        "filter": [
            {"regexp": {"sync.position": FORM}},
            *({"exists": {"field": f"sync.{name}"}} for name in sorted(SYNC_FIELDS)),
        ]
    }
}
_FOREIGN = {"bool": {"must_not": [_OURS]}}


def foreign_keys(client: opensearchpy.OpenSearch, name: str, *, limit: int) -> set[str]:
    """Ids of documents that something other than the writer wrote, tombstones included.

    A list of one value is indexed as the value: no query tells the two apart, and none has to.

    :param limit: documents at most
    :raises TooMany: when there are more
    """
    count = reads.count(client, name, _FOREIGN)
    if count > limit:
        raise _too_many(name, count, limit)
    keys = {hit["_id"] for hit in reads.scroll(client, name, _FOREIGN, source=False)} if count else set()
    if _has_lists(client, name):
        found = reads.scroll(client, name, {"match_all": {}}, source=["sync"])
        keys |= {hit["_id"] for hit in found if not is_ours(sync_in(hit["_source"]))}
    if len(keys) > limit:
        raise _too_many(name, len(keys), limit)
    return keys


def _has_lists(client: opensearchpy.OpenSearch, name: str) -> bool:
    """Whether some document has two values where the writer puts one."""
    single = ("position", "deleted", "bucket")
    counts = {part: {"value_count": {"field": f"sync.{part}"}} for part in single}
    answer = reads.search(client, name, {"size": 0, "query": _OURS, "track_total_hits": True, "aggs": counts})
    total = answer["hits"]["total"]["value"]
    return any(answer["aggregations"][part]["value"] != total for part in single)


def to_one(client: opensearchpy.OpenSearch, name: str) -> Write:
    """Write settled keys to one index alone (a new epoch: protocol.md, Position)."""
    return lambda page, on_rejected: writer.compare_and_set(client, name, page, on_rejected=on_rejected)


def to_all(client: opensearchpy.OpenSearch, entity: Entity, name: str, detour: Detour | None = None) -> Write:
    """Write settled keys to the whole write set; nothing comes back for an index that left it."""

    def write(page: Page, on_rejected: OnRejected) -> Ledger | None:
        return writer.apply(client, entity, [page], on_rejected=on_rejected, detour=detour).get(name)

    return write


@contextmanager
def renderings(source: Source, meta: Mapping[str, Any]) -> Iterator[Sequence[Source]]:
    """``Source.renderings`` for an index; what they open is closed at the end.

    :param meta: ``_meta`` of the index
    """
    found = source.renderings(transforms.of_index(meta))
    try:
        yield found
    finally:
        for one in found:
            if one is not source:
                one.close()


class Yardstick:
    """What the documents of one index are compared with (protocol.md, Transform).

    :param source: the documents as they are made now
    :param renderings: sources whose document is a right one; None for ``source`` alone. When there is none, keys alone
        are compared
    """

    def __init__(self, source: Source, renderings: Sequence[Source] | None = None) -> None:
        self.source = source
        self.renderings: Sequence[Source] = [source] if renderings is None else renderings

    def sums(self) -> Sums:
        """As most documents of the index should be."""
        return (*self.renderings, self.source)[0].fingerprints()

    def unequal(self, wanted: Sums, found: Sums) -> list[int]:
        """Buckets in which a key may differ."""
        empty = (0, 0, 0)
        every = sorted(wanted.keys() | found.keys())
        return [b for b in every if not self.renderings or wanted.get(b, empty) != found.get(b, empty)]

    def keys(self, batches: Sequence[Sequence[int]]) -> Iterator["Keys"]:
        """What the source has in each batch of buckets; each of its renderings is read once."""
        for each in zip(*(source.hashes(batches) for source in self.renderings or [self.source]), strict=True):
            yield Keys(each, by_content=bool(self.renderings))


class Keys:
    """The source's documents of some buckets."""

    def __init__(self, renderings: Sequence[Mapping[str, tuple[int, int]]], *, by_content: bool) -> None:
        self._renderings = renderings
        self._by_content = by_content

    def lacks(self, key: str) -> bool:
        """Whether a key is in no rendering."""
        return not any(key in rendering for rendering in self._renderings)

    def unequal(self, theirs: Mapping[str, tuple[Any, Any]]) -> list[str]:
        """Keys of which an index has neither of the right documents."""
        keys = sorted(theirs.keys() | {key for rendering in self._renderings for key in rendering})
        if not self._by_content:
            return [key for key in keys if (key in theirs) == self.lacks(key)]
        return [key for key in keys if theirs.get(key) not in [rendering.get(key) for rendering in self._renderings]]


def settle(
    client: opensearchpy.OpenSearch,
    source: Source,
    name: str,
    *,
    write: Write,
    max_settled: int,
    confirm: str,
    renderings: Sequence[Source] | None = None,
    deletes: int | None = None,
    on_rejected: OnRejected,
) -> Settled:
    """Make an index equal to its source, and prove it.

    Unequal keys are read again from the source and written by compare-and-set. Afterwards each must either have the
    source's hash or a later position than the read: rows may change all the while. But that later position must not be
    later than the next read: nobody can have written what the source has not yet been.

    :param write: where to, and how: ``to_one`` or ``to_all``
    :param renderings: as ``Yardstick`` has them
    :param max_settled: more unequal keys than this are no drift but a broken load
    :param deletes: documents that may be taken for deleted; None for what is believed unasked
    :param confirm: what a person does when there are more and they are gone for good
    :raises GateFailed: when keys stay different, or too many are
    :raises IndexUnavailable: when the index left the write set meanwhile
    """
    report, settling, yardstick = Settled(), None, Yardstick(source, renderings)
    while True:
        wanted, found = yardstick.sums(), index_sums(client, source.entity, name)
        report.source, report.index = (sum(count for count, _, _ in sums.values()) for sums in (wanted, found))
        report.rounds += 1
        limit = max_settled + len(report.rejected)
        unequal = unequal_keys(client, source.entity, name, yardstick, wanted, found, limit=limit)
        suspects = {*unequal.keys, *foreign_keys(client, name, limit=limit)}
        keys = sorted(suspects - report.rejected - report.around.keys())
        log.info(
            "%s: round %d: source %d, index %d, unequal keys %d",
            name,
            report.rounds,
            report.source,
            report.index,
            len(keys),
        )
        if not keys:
            return _proven(name, report)
        if settling is None:
            guard = Guard(name, report.index, believed(report.index) if deletes is None else deletes, confirm)
            settling = _Settling(client, source, name, write, guard, on_rejected, report)
        settling.guard.check(settling.guard.gone + unequal.gone)
        settling.all(keys)
        if report.rounds == source.rounds:  # the rows go on changing; every key that differed was proven
            report.index = reads.count(client, name, source.entity.visible)
            return _proven(name, report)


def settle_presence(
    client: opensearchpy.OpenSearch,
    source: PostgresSource,
    name: str,
    *,
    write: Write,
    guard: Guard,
    on_rejected: OnRejected,
) -> Settled:
    """Bring an index the keys that it lacks, and take away those that the source lacks, whatever their content.

    :raises TooManyGone: when the source lacks more than may be believed: nothing was written then
    :raises GateFailed: when a key stays different
    :raises IndexUnavailable: when the index left the write set meanwhile
    """
    report = Settled(rounds=1)
    wanted, found = source.counts(), index_counts(client, source.entity, name)
    unequal = [b for b in sorted(wanted.keys() | found.keys()) if wanted.get(b, 0) != found.get(b, 0)]
    keys: list[str] = []
    gone = 0
    batches = list(_batches(unequal, found))
    for batch, ours in zip(batches, source.keys(batches), strict=True):
        theirs = index_keys(client, source.entity, name, batch)
        gone += len(theirs - ours)
        keys += sorted(theirs ^ ours)
    guard.check(gone)
    log.info("%s: %d keys without a row, %d rows without a document", name, gone, len(keys) - gone)
    if keys:
        _Settling(client, source, name, write, guard, on_rejected, report).all(keys)
    return _proven(name, report)


def _proven(name: str, report: Settled) -> Settled:
    """The report, unless a key could not be settled: all others are by then.

    :raises GateFailed: naming these keys
    """
    if report.around:
        shown = "; ".join(f"{key!r}: {why}" for key, why in sorted(report.around.items())[:LISTED])
        raise GateFailed(
            f"{name}: {len(report.around)} documents are not the source's rows although all others are settled "
            f"({shown}). They were changed around the write protocol; stop that writer and run the reindex again"
        )
    return report


class Unequal(NamedTuple):
    """Keys whose hashes differ, and how many of them the source has not at all."""

    keys: list[str]
    gone: int


def unequal_keys(
    client: opensearchpy.OpenSearch,
    entity: Entity,
    name: str,
    yardstick: Yardstick,
    wanted: Sums,
    found: Sums,
    *,
    limit: int,
) -> Unequal:
    """Keys whose hashes differ, in buckets whose sums do.

    The source is read first, as a whole: what changes before the index is read differs then, and is looked at again.

    :param wanted: the yardstick's sums
    :param limit: keys at most
    :raises TooMany: when there are more
    """
    empty = (0, 0, 0)
    unequal = yardstick.unequal(wanted, found)
    missing = sum(abs(wanted.get(b, empty)[0] - found.get(b, empty)[0]) for b in unequal)
    if (
        missing > limit and yardstick.source.rounds > 1
    ):  # what came since a scan began is no difference, and not known yet
        raise _too_many(name, missing, limit)
    keys: list[str] = []
    gone = 0
    batches = list(_batches(unequal, {bucket: count for bucket, (count, _, _) in wanted.items()}))
    for batch, ours in zip(batches, yardstick.keys(batches), strict=True):
        theirs = index_hashes(client, entity, name, batch)
        different = _not_written_since(client, yardstick.source, name, ours.unequal(theirs))
        keys += different
        gone += sum(key in theirs and ours.lacks(key) for key in different)
        if len(keys) > limit:
            raise _too_many(name, len(keys), limit)
    return Unequal(keys, gone)


def _not_written_since(client: opensearchpy.OpenSearch, source: Source, name: str, keys: list[str]) -> list[str]:
    """Without the keys that the index has at a later position than the source was read: the stream brought these.

    A scan of a large table takes hours, and thousands of keys change meanwhile: they are no difference. A position that
    no write can be sound under is none.
    """
    read_at = source.read_at(keys)
    if not read_at:
        return keys
    latest, since = source.latest(), set()
    for at in range(0, len(keys), READ_KEYS):
        for doc in reads.documents(client, name, keys[at : at + READ_KEYS], source="sync.position"):
            position = sync_in(doc.get("_source", {})).get("position")
            if isinstance(position, str) and read_at[doc["_id"]] < position <= latest:
                since.add(doc["_id"])
    if since:
        log.info("%s: %d keys were written since they were read", name, len(since))
    return [key for key in keys if key not in since]


def _batches(buckets: list[int], counts: dict[int, int]) -> Iterator[list[int]]:
    """The buckets in batches of about ``KEYS_AT_ONCE`` keys."""
    batch, keys = [], 0
    for bucket in buckets:
        batch.append(bucket)
        keys += counts.get(bucket, 0)
        if keys >= KEYS_AT_ONCE:
            yield batch
            batch, keys = [], 0
    if batch:
        yield batch


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
    write: Write
    guard: Guard
    on_rejected: OnRejected
    report: Settled
    overtaken: dict[str, str] = field(default_factory=dict)

    def all(self, keys: list[str]) -> None:
        """Settle the keys, some at a time, and make it visible."""
        self.report.unequal += len(keys)
        for at in range(0, len(keys), READ_KEYS):
            self._settle(keys[at : at + READ_KEYS])
        indexes.refresh(self.client, self.name)

    def _settle(self, keys: list[str], *, counted: AbstractSet[str] | None = None) -> None:
        """One round for some keys, and one more for those that need it.

        :param counted: in that second round, the keys that the first one took for deleted
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
            self._settle(same, counted=gone)

    def _check_claims(self, page: Page) -> None:
        for line in page.lines() if self.overtaken else ():
            claimed = self.overtaken.get(line.key, "")
            if claimed > page.position:
                self.report.around[line.key] = f"it claims {claimed}, but the source is at {page.position} only"

    def _prove(self, page: Page, *, again: bool) -> list[str]:
        """Note what is neither as it was written nor later; keys of another content at the same position come back."""
        expected = {line.key: sync_of(line) for line in page.lines()}
        ids = sorted(expected.keys() - self.report.rejected - self.report.around.keys())
        same = []
        for doc in reads.documents(self.client, self.name, ids, source="sync"):
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
            raise IndexUnavailable(f"{self.name} left the write set meanwhile; run it again")
        self.report.written += ledger.written
        self.report.tombstoned += ledger.tombstoned

    def _refuse(self, rejection: Rejection) -> None:
        # An older mapping of another member may refuse what this index takes: that is not this index' gate.
        if rejection.index in ("", self.name) and rejection.id not in self.report.rejected:
            self.report.rejected.add(rejection.id)
            self.on_rejected(rejection)
