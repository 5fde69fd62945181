"""What a reindex, a sync, a replay and a comparison need of a source database."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from searchsync.catalog import Entity
from searchsync.documents.page import Page, Rejection
from searchsync.documents.transforms import Transform

READ_KEYS = 10_000
"""Keys of one ``states`` or ``read`` at most. PostgreSQL passes over the table once for each."""


class Source(Protocol):
    """One entity's rows or items. Not thread-safe. Its partitions are dataclasses of its own.

    :ivar identity: the database expected; a read on any other raises ``SourceChanged``; None accepts any
    :ivar rounds: how often a comparison may reconcile and compare again; once where reads are not of one snapshot,
        because then something always moves
    """

    entity: Entity
    identity: str | None
    rounds: int

    def close(self) -> None:
        """Free what is open; the next read opens it again."""

    def check(self) -> object:
        """Prove that the entity can be read here.

        :raises SearchSyncError: naming what is wrong
        """

    def origin(self) -> str:
        """The identity of the database that answers now."""

    def lost_history(self, highest: str, /) -> str:
        """Why the database is behind what was read of it before; empty when it is not.

        :param highest: the highest position in the live index
        """

    def latest(self) -> str:
        """No write can be sound under a position above this one now."""

    def count(self) -> int:
        """Documents, about."""

    def partitions(self, n: int) -> Sequence[Any]:
        """About ``n`` parts that together hold every possible key, those of later rows too."""

    def partition(self, described: dict[str, Any]) -> Any:
        """A part as ``dataclasses.asdict`` and JSON have passed it on."""

    def pages(self, partition: Any, *, page_bytes: int, after: Any = None) -> Iterator[Page]:
        """The documents of a part, each page under its own position.

        :param after: ``resume`` of the last page that was written
        """

    def states(self, keys: Sequence[str]) -> Generator[Page, None, None]:
        """The state of some documents, consistently: a tombstone for each that is not there. Memory for one page.

        Whoever does not take all pages closes it, before the source is read again.

        :param keys: document ids, without repetition, at most ``READ_KEYS``
        """

    def read(self, keys: Sequence[str]) -> list[Page]:
        """The same at once, of keys that are few."""

    def fingerprints(self) -> dict[int, tuple[int, int, int]]:
        """Per bucket: visible documents, and the sums of both halves of their hashes."""

    def hashes(self, batches: Sequence[Sequence[int]], /) -> Iterator[dict[str, tuple[int, int]]]:
        """For each batch of buckets, ids with both halves of their hashes, as of the last ``fingerprints`` or later.

        However many batches there are, the source is read once at most.
        """

    def renderings(self, made: Transform | None, /) -> Sequence["Source"]:
        """Sources whose document is a right one in an index, that of most documents first (protocol.md, Transform).

        :param made: how the documents of the index were made; None when it does not say it
        :returns: nothing when no content can be compared, only keys
        """

    def read_at(self, keys: Sequence[str]) -> dict[str, str]:
        """Positions under which ``fingerprints`` read some keys of the last ``hashes``, present or absent.

        Empty where all is read at one snapshot: whoever compares again sees what came since.
        """

    def dropped(self) -> dict[str, int]:
        """Values that the last ``fingerprints`` left out of documents, by path (``searchsync.mapping.fitting``)."""

    def unusable(self) -> tuple[Rejection, ...]:
        """What no document can be made of, 10,000 at most: it is in no fingerprint."""
