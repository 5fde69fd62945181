"""Read what source and index have, bucket by bucket, and find the keys in which they differ."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from searchsync.catalog import BUCKETS, Entity
from searchsync.cluster.index import Index
from searchsync.documents import transforms
from searchsync.documents.page import is_ours, sync_in
from searchsync.documents.position import FORM
from searchsync.errors import GateFailed
from searchsync.mapping.mapping_file import SYNC_FIELDS
from searchsync.sources.base import READ_KEYS, Source

log = logging.getLogger(__name__)

Sums = dict[int, tuple[int, int, int]]


SUMMED_AT_ONCE = 2_000_000
"""Number of documents that one request sums over.

At half a million a second this takes some seconds of the 60 that a request may take.
"""


KEYS_AT_ONCE = 200_000


class TooMany(GateFailed):
    """More keys differ than may be looked at.

    :ivar count: their number, at least
    """

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def index_sums(index: Index, entity: Entity) -> Sums:
    """Return for each bucket the number of visible documents, and the sums of both halves of their hashes.

    Foreign documents may have no bucket.

    :raises IndexUnavailable: when the answer covers only a part of the index
    """
    sums = {"high": {"sum": {"field": "sync.hash_high"}}, "low": {"sum": {"field": "sync.hash_low"}}}
    aggs = {"buckets": {"terms": {"field": "sync.bucket", "size": BUCKETS}, "aggs": sums}}
    found: Sums = {}
    for part in _parts(index.count()):
        query = {"bool": {"filter": [entity.visible, part]}}
        answer = index.search({"size": 0, "query": query, "aggs": aggs})
        for b in answer["aggregations"]["buckets"]["buckets"]:
            found[b["key"]] = (b["doc_count"], int(b["high"]["value"]), int(b["low"]["value"]))
    return found


def _parts(documents: int) -> Iterator[dict[str, Any]]:
    """Yield queries that divide the buckets, so that each request is answered in time however large the index is."""
    width = max(1, BUCKETS * SUMMED_AT_ONCE // max(documents, 1))
    for low in range(0, BUCKETS, width):
        bounds = {"gte": low} if low else {}  # somebody else's numbers are at both ends
        bounds |= {"lt": low + width} if low + width < BUCKETS else {}
        yield {"range": {"sync.bucket": bounds}} if bounds else {"match_all": {}}


def index_hashes(index: Index, entity: Entity, buckets: Sequence[int]) -> dict[str, tuple[Any, Any]]:
    """Return the ids of the visible documents in some buckets, with both halves of their hashes as they are stored."""
    query = {"bool": {"filter": [{"terms": {"sync.bucket": list(buckets)}}, entity.visible]}}
    hits = index.scroll(query, source=["sync.hash_high", "sync.hash_low"])
    found = ((hit["_id"], sync_in(hit["_source"])) for hit in hits)
    return {key: (sync.get("hash_high"), sync.get("hash_low")) for key, sync in found}


def index_counts(index: Index, entity: Entity) -> dict[int, int]:
    """Return the number of visible documents per bucket."""
    buckets = {"terms": {"field": "sync.bucket", "size": BUCKETS}}
    answer = index.search({"size": 0, "query": entity.visible, "aggs": {"buckets": buckets}})
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["buckets"]["buckets"]}


def index_keys(index: Index, entity: Entity, buckets: Sequence[int]) -> set[str]:
    """Return the ids of the visible documents in some buckets."""
    query = {"bool": {"filter": [{"terms": {"sync.bucket": list(buckets)}}, entity.visible]}}
    return {hit["_id"] for hit in index.scroll(query, source=False)}


_OURS: dict[str, Any] = {
    "bool": {
        "filter": [
            {"regexp": {"sync.position": FORM}},
            *({"exists": {"field": f"sync.{name}"}} for name in sorted(SYNC_FIELDS)),
        ]
    }
}


_FOREIGN = {"bool": {"must_not": [_OURS]}}


def foreign_keys(index: Index, *, limit: int) -> set[str]:
    """Return the ids of foreign documents, tombstones included: something other than the writer wrote them.

    OpenSearch indexes a list of one value as the value: no query tells the two apart, and none has to.

    :param limit: largest number of documents
    :raises TooMany: when there are more
    """
    count = index.count(_FOREIGN)
    if count > limit:
        raise _too_many(index.name, count, limit)
    keys = {hit["_id"] for hit in index.scroll(_FOREIGN, source=False)} if count else set()
    if _has_lists(index):
        found = index.scroll({"match_all": {}}, source=["sync"])
        keys |= {hit["_id"] for hit in found if not is_ours(sync_in(hit["_source"]))}
    if len(keys) > limit:
        raise _too_many(index.name, len(keys), limit)
    return keys


def _has_lists(index: Index) -> bool:
    """Return whether some document has two values where the writer puts one."""
    single = ("position", "deleted", "bucket")
    counts = {part: {"value_count": {"field": f"sync.{part}"}} for part in single}
    answer = index.search({"size": 0, "query": _OURS, "track_total_hits": True, "aggs": counts})
    total = answer["hits"]["total"]["value"]
    return any(answer["aggregations"][part]["value"] != total for part in single)


@contextmanager
def renderings(source: Source, meta: Mapping[str, Any]) -> Iterator[Sequence[Source]]:
    """Yield ``Source.renderings`` for an index. Close at the end what they open.

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

    :param source: makes the documents as they are made now
    :param renderings: the sources whose documents count as right; None for ``source`` alone. When the sequence is
        empty, only keys are compared
    """

    def __init__(self, source: Source, renderings: Sequence[Source] | None = None) -> None:
        self.source = source
        self.renderings: Sequence[Source] = [source] if renderings is None else renderings

    def sums(self) -> Sums:
        """Return the sums that most documents of the index should have."""
        return (*self.renderings, self.source)[0].fingerprints()

    def unequal(self, wanted: Sums, found: Sums) -> list[int]:
        """Return the buckets in which a key may differ."""
        empty = (0, 0, 0)
        every = sorted(wanted.keys() | found.keys())
        return [b for b in every if not self.renderings or wanted.get(b, empty) != found.get(b, empty)]

    def keys(self, batches: Sequence[Sequence[int]]) -> Iterator["Keys"]:
        """Yield what the source has in each batch of buckets. Each rendering of the source is read once."""
        for each in zip(*(source.hashes(batches) for source in self.renderings or [self.source]), strict=True):
            yield Keys(each, by_content=bool(self.renderings))


class Keys:
    """The source's documents of some buckets."""

    def __init__(self, renderings: Sequence[Mapping[str, tuple[int, int]]], *, by_content: bool) -> None:
        self._renderings = renderings
        self._by_content = by_content

    def lacks(self, key: str) -> bool:
        """Return whether a key is in no rendering."""
        return not any(key in rendering for rendering in self._renderings)

    def unequal(self, theirs: Mapping[str, tuple[Any, Any]]) -> list[str]:
        """Return the keys of which an index has none of the right documents."""
        keys = sorted(theirs.keys() | {key for rendering in self._renderings for key in rendering})
        if not self._by_content:
            return [key for key in keys if (key in theirs) == self.lacks(key)]
        return [key for key in keys if theirs.get(key) not in [rendering.get(key) for rendering in self._renderings]]


class Unequal(NamedTuple):
    """The keys whose hashes differ, and how many of them the source does not have."""

    keys: list[str]
    gone: int


def unequal_keys(index: Index, yardstick: Yardstick, wanted: Sums, found: Sums, *, limit: int) -> Unequal:
    """Return the keys whose hashes differ, in the buckets whose sums differ.

    The source is read first, as a whole. So what changes before the index is read differs, and is looked at again.

    :param wanted: the yardstick's sums
    :param found: the sums of the index
    :param limit: largest number of keys
    :raises TooMany: when there are more
    """
    empty = (0, 0, 0)
    unequal = yardstick.unequal(wanted, found)
    missing = sum(abs(wanted.get(b, empty)[0] - found.get(b, empty)[0]) for b in unequal)
    if (
        missing > limit and yardstick.source.rounds > 1
    ):  # what came since a scan began is no difference, and not known yet
        raise _too_many(index.name, missing, limit)
    keys: list[str] = []
    gone = 0
    batches = list(in_batches(unequal, {bucket: count for bucket, (count, _, _) in wanted.items()}))
    for batch, ours in zip(batches, yardstick.keys(batches), strict=True):
        theirs = index_hashes(index, yardstick.source.entity, batch)
        different = _not_written_since(index, yardstick.source, ours.unequal(theirs))
        keys += different
        gone += sum(key in theirs and ours.lacks(key) for key in different)
        if len(keys) > limit:
            raise _too_many(index.name, len(keys), limit)
    return Unequal(keys, gone)


def _not_written_since(index: Index, source: Source, keys: list[str]) -> list[str]:
    """Leave out the keys that the index has at a later position than the source was read at: the stream brought these.

    A scan of a large table takes hours, and thousands of keys change meanwhile: they are no difference. A position
    under which no write can be sound does not count.
    """
    read_at = source.read_at(keys)
    if not read_at:
        return keys
    latest, since = source.latest(), set()
    for at in range(0, len(keys), READ_KEYS):
        for doc in index.documents(keys[at : at + READ_KEYS], source="sync.position"):
            position = sync_in(doc.get("_source", {})).get("position")
            if isinstance(position, str) and read_at[doc["_id"]] < position <= latest:
                since.add(doc["_id"])
    if since:
        log.info("%s: %d keys were written since they were read", index.name, len(since))
    return [key for key in keys if key not in since]


def in_batches(buckets: list[int], counts: dict[int, int]) -> Iterator[list[int]]:
    """Yield the buckets in batches of about ``KEYS_AT_ONCE`` keys."""
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
        f"{name}: at least {count} keys differ from the source, more than the {limit} that may be reconciled "
        "(include/policies/thresholds.yaml: reconciled, and the rejected documents allowed). That is no drift: a load "
        "lost them, or writes have not reached this index. Look for rejected documents and for syncs or streams that "
        "stand still; correct the SQL file or the mapping if it is to blame, and run the reindex",
        count,
    )
