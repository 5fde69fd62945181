"""Hashes by key, kept on disk for any number of documents and read back some buckets at a time."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from searchsync.catalog import BUCKETS

_FILES = 64


class Spool:
    """Temporary files. Each has the documents of neighbouring buckets, so a read holds only a few buckets in memory."""

    def __init__(self) -> None:
        self._open = ExitStack()
        folder = Path(self._open.enter_context(TemporaryDirectory(prefix="searchsync-")))
        self._files: list[IO[str]] = [
            self._open.enter_context((folder / str(number)).open("w+", encoding="utf-8")) for number in range(_FILES)
        ]

    def add(self, bucket: int, key: str, *seen: Any) -> None:
        """Keep what was seen of one document: both halves of its hash, and further values that JSON can hold."""
        self._files[_file_of(bucket)].write(json.dumps([bucket, key, *seen]) + "\n")

    def of(self, buckets: Sequence[int]) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the keys of some buckets with what was seen of each. A key that was added twice comes twice."""
        wanted = set(buckets)
        found: list[tuple[str, tuple[Any, ...]]] = []
        for number in sorted({_file_of(bucket) for bucket in wanted}):
            self._files[number].seek(0)
            for line in self._files[number]:
                bucket, key, *seen = json.loads(line)
                if bucket in wanted:
                    found.append((key, tuple(seen)))
        return found

    def close(self) -> None:
        """Delete the files."""
        self._open.close()


def _file_of(bucket: int) -> int:
    return bucket * _FILES // BUCKETS
