"""DynamoDB as a source: consistent scans and reads by key. Each has its own position (protocol.md, Position)."""

import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from threading import Event, Lock
from typing import Any

from searchsync.catalog import TTL_DAYS, Entity
from searchsync.documents import dynamodb_item, transforms
from searchsync.documents.dynamodb_key import decoder, shown_key
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.page import Document, Page, Rejection, page_of, written_now
from searchsync.documents.position import FUTURE_SECONDS, of_event, of_read
from searchsync.documents.transforms import Transform
from searchsync.errors import BadParams, BadSource, SourceChanged
from searchsync.mapping import fitting
from searchsync.mapping.fitting import Dropped
from searchsync.sources.dynamodb_table import Read, Table
from searchsync.sources.spool import Spool

MAX_SEGMENTS = 256
READ_AT_ONCE = 100
"""Largest number of keys that one BatchGetItem takes."""

FINGERPRINT_SEGMENTS = 4
"""Number of segments that ``fingerprints`` scans at once. More help little, because one core decodes all items."""


@dataclass(frozen=True)
class Segment:
    """One part of a parallel scan. ``number`` counts from 0 and is less than ``total``."""

    number: int
    total: int

    def __str__(self) -> str:
        """Return the name that Airflow's grid shows for this partition."""
        return f"segment {self.number + 1} of {self.total}"


def segments(n: int) -> list[Segment]:
    """Return the segments of a parallel scan. Raise ``BadParams`` when ``n`` is less than 1 or too large."""
    if not 1 <= n <= MAX_SEGMENTS:
        raise BadParams(f"partitions must be between 1 and {MAX_SEGMENTS}, not {n}")
    return [Segment(number, n) for number in range(n)]


class DynamoSource:
    """The items of one entity. Not thread-safe.

    :param client: boto3's low-level DynamoDB client
    :param identity: ARN of the expected table
    :param read_units: read capacity units a second that all reads together may use; None for no limit
    """

    rounds = 1

    def __init__(
        self, entity: Entity, client: Any, *, identity: str | None = None, read_units: float | None = None
    ) -> None:
        self.entity = entity
        self.identity = identity
        self._table = Table(entity.table, client, read_units=read_units)
        self._proven = False
        self._scanned: Spool | None = None
        self._began = ""
        self._read_at: dict[str, str] = {}
        self._unusable: list[Rejection] = []
        self._dropped: Dropped = {}

    def __repr__(self) -> str:
        return f"DynamoSource({self.entity.name!r})"

    def close(self) -> None:
        """Forget the last scan and delete its files."""
        self._read_at = {}
        if self._scanned is not None:
            self._scanned.close()
            self._scanned = None

    def check(self) -> None:
        """Prove that the table exists, has the entity's key and a stream of new and old images, and can be read.

        :raises BadSource: when it does not; the message names what is wrong
        """
        dynamodb_item.check(self.entity)  # wrong files fail here, not in the middle of a load
        table = self._table.describe()
        _check_key(self.entity, table)
        stream = table.get("StreamSpecification") or {}
        if stream.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
            raise BadSource(
                f"table {self._table.name}: its stream is {stream.get('StreamViewType', 'off')}, not "
                "NEW_AND_OLD_IMAGES: changes made during a reindex would be lost; enable it"
            )
        self._table.scan(Limit=1)

    def origin(self) -> str:
        """Return the ARN of the table.

        A table that is restored under the same name has the same ARN. Its positions are times, so they go on rising.
        """
        return str(self._table.describe()["TableArn"])

    def stream(self) -> str:
        """Return the ARN of the table's stream.

        :raises BadSource: when the table has no stream
        """
        table = self._table.describe()
        if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            raise BadSource(f"table {self._table.name} has no stream: no change reaches the index; enable it")
        return str(table["LatestStreamArn"])

    def lost_history(self, _: str) -> str:
        """Return nothing, always: reads repair what a restored table lost, because their positions are of now."""
        return ""

    def latest(self) -> str:
        """Return the position of an hour from now: a later one comes from a clock that cannot be trusted."""
        return of_event(int(time.time()) + FUTURE_SECONDS, "9" * 40)

    def count(self) -> int | None:
        """Return how many items DynamoDB counted, about six hours ago: a rough figure for progress.

        It counts all items of the table. So it is unknown how many there are of an entity that selects.
        """
        return None if self.entity.select else int(self._table.describe()["ItemCount"])

    def partitions(self, n: int) -> list[Segment]:
        """Return the segments of a parallel scan.

        :raises BadParams: when ``n`` is less than 1 or too large
        """
        return segments(n)

    def partition(self, described: dict[str, Any]) -> Segment:
        """Return the segment that JSON describes."""
        return Segment(**described)

    def pages(self, partition: Segment, *, after: Any = None, **_: Any) -> Iterator[Page]:
        """Yield all items of a segment, one page for each page of the scan.

        A page of the scan has at most a megabyte of items, whatever the caller asks for.

        :param after: ``LastEvaluatedKey`` of the page before
        """
        for found, read, last in self._scan(partition, after):
            documents, rejected, dropped = self._render(found, read)
            yield page_of(documents, position=read.position, rejected=tuple(rejected), resume=last, dropped=dropped)

    def states(self, keys: Sequence[str]) -> Generator[Page, None, None]:
        """Read each of some keys consistently. Yield a page for each request, with a tombstone for each absent key."""
        self._prove_identity()
        for at in range(0, len(keys), READ_AT_ONCE):
            yield self._read(keys[at : at + READ_AT_ONCE])

    def read(self, keys: Sequence[str]) -> list[Page]:
        """Return all pages of ``states`` at once. Use it for few keys."""
        return list(self.states(keys))

    def fingerprints(self) -> dict[int, tuple[int, int, int]]:
        """Scan the whole table once. Return for each bucket the number of items and the sums of their hashes' halves.

        Expired items are left out. The scan also writes the hashes to temporary files, so that ``hashes`` needs no
        second scan.
        """
        self.close()
        self._scanned = Spool()
        self._unusable, self._dropped, self._began = [], {}, ""
        self._prove_identity()
        sums: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        one_at_a_time, failed = Lock(), Event()

        def scan(segment: Segment) -> None:
            try:
                for found, read, _ in self._scan(segment, None):
                    if failed.is_set():
                        return
                    with one_at_a_time:
                        self._began = self._began or read.position
                        for item in found:
                            self._add(item, read, sums)
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(FINGERPRINT_SEGMENTS, thread_name_prefix="scan") as pool:
            list(pool.map(scan, segments(FINGERPRINT_SEGMENTS)))
        return dict(sums)

    def _add(self, item: Any, read: Read, sums: dict[int, tuple[int, int, int]]) -> None:
        """Add one item of a scan to the sums of its bucket, and its hash to the temporary files."""
        key = ""
        try:
            key = dynamodb_item.key_of(self.entity, item)
            text = dynamodb_item.text_of(self.entity, item, self._dropped)
        except BadItem as error:
            self._unusable.append(self._rejection(item, key, error))
            return
        if self._expired(item):
            return
        high, low = dynamodb_item.hash_of(text)
        bucket = dynamodb_item.bucket_of(key)
        count, highs, lows = sums[bucket]
        sums[bucket] = (count + 1, highs + high, lows + low)
        if self._scanned is not None:
            self._scanned.add(bucket, key, high, low, read.position)

    def hashes(self, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, tuple[int, int]]]:
        """Yield for each batch of buckets the ids with both halves of their hashes, from the last ``fingerprints``."""
        for batch in batches:
            seen = self._scanned.of(batch) if self._scanned else []
            self._read_at = {key: position for key, (_, _, position) in seen}
            yield {key: (high, low) for key, (high, low, _) in seen}

    def read_at(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the positions under which ``fingerprints`` read some keys of the last batch of ``hashes``.

        A key that it did not see gets the first position of the scan.
        """
        return {key: self._read_at.get(key, self._began) for key in keys}

    def renderings(self, made: Transform | None) -> list["DynamoSource"]:
        """Return this source if the present transform made the documents; else nothing: only keys can be compared."""
        return [self] if made == transforms.present(self.entity) else []

    def unusable(self) -> tuple[Rejection, ...]:
        """Return the items that the last ``fingerprints`` could make no document of, at most 10,000."""
        return tuple(self._unusable[:10_000])

    def dropped(self) -> dict[str, int]:
        """Return how many values the last ``fingerprints`` left out of documents, by path."""
        return self._dropped

    def sample(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of a scan from its beginning. The caller takes as many as it needs."""
        for item in chain.from_iterable(self.items(Segment(0, 1))):
            with suppress(BadItem):  # comparisons count these items
                yield dynamodb_item.content_of(self.entity, item)

    def items(self, partition: Segment) -> Iterator[list[Any]]:
        """Yield the items of a segment as they are stored, in DynamoDB's JSON, for each page of the scan."""
        for found, _, _ in self._scan(partition, None):
            yield list(found)

    # -- reading

    def _scan(self, segment: Segment, after: Any) -> Iterator[tuple[Iterable[Any], Read, Any]]:
        """Yield pages of items, each with its last key, after which the next page begins; None on the last page."""
        self._prove_identity()
        wanted = self.entity.select.arguments() if self.entity.select else {}
        while True:
            found, read, after = self._table.scan(after, Segment=segment.number, TotalSegments=segment.total, **wanted)
            yield self._selected(found), read, after
            if not after:
                return

    def _selected(self, items: Iterable[Any]) -> Iterable[Any]:
        return items if self.entity.select is None else filter(self.entity.select.takes, items)

    def _read(self, keys: Sequence[str]) -> Page:
        key_of = decoder(self.entity.key, self.entity.key_types)
        asked = {key: attributes for key in keys if (attributes := key_of(key))}
        never = Read(of_read(int(time.time())), written_now())  # no item can have such an id, so any moment tells it
        documents = _tombstones(set(keys) - asked.keys(), never)
        rejected: list[Rejection] = []
        dropped: Dropped = {}
        position = ""
        wanted = set(asked)
        for items, read, left in self._table.items(list(asked.values())):
            found = list(self._selected(items))
            position = position or read.position
            rendered, bad, left_out = self._render(found, read)
            rejected += bad
            fitting.add(dropped, left_out)
            later = self._ids(left)
            documents += rendered + _tombstones(wanted - later - self._ids(found), read)
            wanted = later
        return page_of(documents, position=position or never.position, rejected=tuple(rejected), dropped=dropped)

    def _ids(self, items: Iterable[Any]) -> set[str]:
        return {dynamodb_item.key_of(self.entity, item) for item in items}

    def _render(self, found: Iterable[Any], read: Read) -> tuple[list[Document], list[Rejection], Dropped]:
        documents: list[Document] = []
        rejected: list[Rejection] = []
        dropped: Dropped = {}
        for item in found:
            key = ""
            try:
                key = dynamodb_item.key_of(self.entity, item)
                document = dynamodb_item.document_of(
                    self.entity, key, item, position=read.position, written_at=read.at, dropped=dropped
                )
            except BadItem as error:
                rejected.append(self._rejection(item, key, error))
            else:
                documents.append(document)
        return documents, rejected, dropped

    def _rejection(self, item: Any, key: str, error: BadItem) -> Rejection:
        return Rejection(key or shown_key(self.entity.key, item), error.type, str(error))

    def _expired(self, item: Mapping[str, Any]) -> bool:
        """Return whether an item is expired, by the same rule as ``Entity.visible`` in the index."""
        until = dynamodb_item.expires_at(self.entity, item)
        now = time.time()
        return until is not None and bool(now - TTL_DAYS * 86_400 < until <= now)

    def _prove_identity(self) -> None:
        """Prove that this is the expected table. Once is enough: a client does not change its account or region."""
        if self.identity is None or self._proven:
            return
        found = self.origin()
        if found != self.identity:
            raise SourceChanged(
                f"{self.entity.name}: the source is now {found}, not {self.identity}. Nothing was written; correct the "
                "AWS connection"
            )
        self._proven = True


def _tombstones(keys: Iterable[str], read: Read) -> list[Document]:
    return [dynamodb_item.tombstone_of(key, position=read.position, written_at=read.at) for key in sorted(keys)]


def key_schema(described: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the types of a table's key, the partition key first.

    :param described: what DescribeTable says of the table
    """
    types = {one["AttributeName"]: str(one["AttributeType"]) for one in described["AttributeDefinitions"]}
    parts = sorted(described["KeySchema"], key=lambda part: part["KeyType"] != "HASH")
    names = tuple(str(part["AttributeName"]) for part in parts)
    return names, tuple(types[name] for name in names)


def _check_key(entity: Entity, described: Mapping[str, Any]) -> None:
    """Refuse a table whose key is not that of the entity: its items would have other ids.

    :raises BadSource: when it is not
    """
    names, types = key_schema(described)
    if (names, types) != (entity.key, entity.key_types):
        raise BadSource(
            f"table {entity.table}: its key is {_shown(names, types)}, and include/entities/{entity.name}.yaml says "
            f"{_shown(entity.key, entity.key_types)}. Nothing was written. Is it the right table? If so, write "
            f"'key: [{', '.join(names)}]' and 'key_types: [{', '.join(types)}]' into the file, and reindex"
        )


def _shown(names: tuple[str, ...], types: tuple[str, ...]) -> str:
    return " and ".join(f"{name} ({kind})" for name, kind in zip(names, types, strict=True))
