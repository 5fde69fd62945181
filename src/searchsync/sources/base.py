"""What a reindex, a sync, a replay and a comparison need from a source database."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from searchsync.catalog import Entity
from searchsync.documents.page import Page, Rejection
from searchsync.documents.transforms import Transform

READ_KEYS = 10_000
"""Largest number of keys that one ``states`` or ``read`` may get. PostgreSQL scans the table once for each call."""


class Source(Protocol):
    """The rows or items of one entity. Not thread-safe. Each kind of source has a dataclass for its partitions.

    :ivar identity: the expected database; a read from any other raises ``SourceChanged``; None accepts any
    :ivar rounds: how often a comparison may reconcile and compare again; 1 where the reads do not share one snapshot,
        because then there is always something that changes meanwhile
    """

    entity: Entity
    identity: str | None
    rounds: int

    def close(self) -> None:
        """Close what is open. The next read opens it again."""

    def check(self) -> object:
        """Prove that the entity can be read from this source.

        :raises SearchSyncError: when it cannot; the message names what is wrong
        """

    def origin(self) -> str:
        """Return the identity of the database that answers now."""

    def lost_history(self, highest: str, /) -> str:
        """Return why the database is behind what was read from it before; empty when it is not behind.

        :param highest: the highest position in the live index
        """

    def latest(self) -> str:
        """Return the highest position that can be right now. A write with a higher position must be wrong."""

    def count(self) -> int | None:
        """Return about how many documents there are; None when that is unknown."""

    def partitions(self, n: int) -> Sequence[Any]:
        """Return about ``n`` parts. Together they hold every possible key, also the keys of rows that come later."""

    def partition(self, described: dict[str, Any]) -> Any:
        """Return the part that ``dataclasses.asdict`` and JSON have passed on."""

    def pages(self, partition: Any, *, page_bytes: int, after: Any = None) -> Iterator[Page]:
        """Yield the documents of a part. Each page has its own position.

        :param after: ``resume`` of the last page that was written
        """

    def states(self, keys: Sequence[str]) -> Generator[Page, None, None]:
        """Read some keys consistently. Yield their documents, and a tombstone for each key that does not exist.

        It holds one page in memory. A caller that does not take all pages must close the generator before it reads
        from the source again.

        :param keys: document ids, without repetition, at most ``READ_KEYS``
        """

    def read(self, keys: Sequence[str]) -> list[Page]:
        """Return all pages of ``states`` at once. Use it for few keys."""

    def fingerprints(self) -> dict[int, tuple[int, int, int]]:
        """Return for each bucket the number of visible documents, and the sums of both halves of their hashes."""

    def hashes(self, batches: Sequence[Sequence[int]], /) -> Iterator[dict[str, tuple[int, int]]]:
        """Yield for each batch of buckets the ids with both halves of their hashes.

        They are as the last ``fingerprints`` saw them, or newer. The source is read at most once, however many batches
        there are.
        """

    def renderings(self, made: Transform | None, /) -> Sequence["Source"]:
        """Return the sources that make documents which are right in an index (protocol.md, Transform).

        The source that made most documents of the index comes first.

        :param made: how the documents of the index were made; None when the index does not say it
        :returns: nothing when only keys can be compared, and no content
        """

    def read_at(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the positions under which ``fingerprints`` read some keys of the last ``hashes``.

        A key may be present or absent. Return nothing where all is read at one snapshot: the next comparison sees what
        was changed after it.
        """

    def dropped(self) -> dict[str, int]:
        """Return how many values the last ``fingerprints`` left out of documents, by path (``mapping.fitting``)."""

    def unusable(self) -> tuple[Rejection, ...]:
        """Return the rows or items that no document can be made of, at most 10,000. They are in no fingerprint."""
