"""The answers that this process was asked for last: a hit costs microseconds, and no other server."""

from collections import OrderedDict
from typing import Final

from search_api.cache.store import Entry

OVERHEAD_BYTES: Final = 400
"""What an entry takes beside its body: key, tuple, and the place in the table."""


class Memory:
    """Entries by key, up to a number of bytes; what was asked for longest ago goes first.

    :param most: bytes
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    @property
    def bytes(self) -> int:
        """What the entries take, about."""
        return self._bytes

    def get(self, key: str) -> Entry | None:
        """Return an entry; None when there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry in place of the one under its key."""
        self.drop(key)
        self._entries[key] = entry
        self._bytes += len(entry.body) + OVERHEAD_BYTES
        while self._bytes > self._most:
            self.drop(next(iter(self._entries)))

    def drop(self, key: str) -> None:
        """Forget an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.body) + OVERHEAD_BYTES
