"""A table of DynamoDB whose reindex loads an export to a point in time, in S3, instead of a scan.

Everything else (reads by key, the gate's comparison) is as for any table. docs/protocol.md, An export, says which
position its items have, and what has to come before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from searchsync.catalog import Entity
from searchsync.documents.page import Page, page_of, written_now
from searchsync.errors import BadParams
from searchsync.sources.dynamodb import DynamoSource, segments
from searchsync.sources.dynamodb_table import Read
from searchsync.sources.export_files import DataFile, Export, ExportFiles
from searchsync.sources.export_requests import ExportAccess, Exports, position_of

PAGE_BYTES = 1_000_000
"""Bytes of typed JSON of which a page is made; a page of a scan has as many."""


@dataclass(frozen=True)
class FileGroup:
    """Some of the data files of an export. ``number`` counts from 0 and is less than ``total``."""

    export: Export
    number: int
    total: int

    def __str__(self) -> str:
        """Return the name that Airflow's grid shows for this partition."""
        return f"files {self.number + 1} of {self.total} of export {self.export.id}"


class ExportSource(DynamoSource):
    """The items of one entity; its pages come from an export. Not thread-safe.

    :ivar exports: the exports of the table
    :ivar export: the one that ``partitions`` divides; to be set before
    """

    def __init__(
        self,
        entity: Entity,
        client: Any,
        access: ExportAccess,
        *,
        identity: str | None = None,
        read_units: float | None = None,
    ) -> None:
        super().__init__(entity, client, identity=identity, read_units=read_units)
        self.exports = Exports(entity, self._table, client, access)
        self.export: Export | None = None

    def check(self) -> None:
        """Prove, beside what ``DynamoSource.check`` proves, that there can be an export, or that the chosen one fits.

        :raises BadParams: when there is no such export, or no bucket for one
        :raises BadSource: when the table has no point-in-time recovery, or the chosen export cannot be used
        """
        super().check()
        self.exports.check()

    def count(self) -> int | None:
        """Return the number of items in the export; before there is one, what DynamoDB counted.

        It is None for an entity that selects, as of ``DynamoSource.count``.
        """
        return self.export.items if self.export and not self.entity.select else super().count()

    def partitions(self, n: int) -> list[Any]:
        """Return groups of data files, at most as many as there are files.

        :raises BadSource: when the export is not whole
        """
        segments(n)  # the same limits of n
        if self.export is None:
            raise BadParams(f"{self.entity.name}: there is no export yet; clear the run from export, with downstream")
        files = self.exports.files(self.export).listed()
        total = max(1, min(n, len(files)))
        return [FileGroup(self.export, number, total) for number in range(total)]

    def partition(self, described: dict[str, Any]) -> Any:
        """Return the group that JSON describes."""
        return FileGroup(Export(**described["export"]), described["number"], described["total"])

    def pages(self, partition: Any, *, after: Any = None, **_: Any) -> Iterator[Page]:
        """Yield all items of a group of files. After the last page of each file the load can be resumed.

        :param after: number of files of the group that were read
        """
        self._prove_identity()
        files, done = self.exports.files(partition.export), after or 0
        for file in _dealt(files.listed(), partition.total)[partition.number][done:]:
            done += 1
            yield from self._file(files, file, position_of(partition.export), done)

    def _file(self, files: ExportFiles, file: DataFile, position: str, done: int) -> Iterator[Page]:
        """Yield the pages of a file; the last one only when the file is proven whole."""
        batch: list[Any] = []
        size = 0
        for item, length in files.items(file):
            if size >= PAGE_BYTES:
                yield self._page(batch, position, None)
                batch, size = [], 0
            batch.append(item)
            size += length
        yield self._page(batch, position, done)

    def _page(self, items: list[Any], position: str, resume: Any) -> Page:
        documents, rejected, dropped = self._render(self._selected(items), Read(position, written_now()))
        return page_of(documents, position=position, rejected=tuple(rejected), resume=resume, dropped=dropped)


def _dealt(files: list[DataFile], total: int) -> list[list[DataFile]]:
    """Deal files to groups of about as many items. The same list is dealt in the same way each time."""
    groups: list[list[DataFile]] = [[] for _ in range(total)]
    items = [0] * total
    for file in sorted(files, key=lambda file: (-file.items, file.key)):
        least = items.index(min(items))
        groups[least].append(file)
        items[least] += file.items
    return groups
