"""Answers in Redis, where all processes find them: compressed when that is worth it, and gone by themselves."""

import struct
import zlib
from typing import Final, NamedTuple

from search_api.cache.connection import Connection

COMPRESS_BYTES: Final = 4_096
"""A body of this size or more is compressed. To compress a smaller one takes as long as to keep ten of them."""

LARGEST_BYTES: Final = 1_048_576
_HEAD = struct.Struct("!Bdd")
_PLAIN, _DEFLATED = 1, 2


class Entry(NamedTuple):
    """An answer that is kept.

    :ivar body: the response's body
    :ivar made_at: when it was made, in seconds since 1970
    :ivar fresh_for: seconds for which it is as good as a new one
    """

    body: bytes
    made_at: float
    fresh_for: float


class Store:
    """Entries in Redis, by key.

    :param kept: seconds after which Redis forgets an entry
    """

    def __init__(self, connection: Connection, kept: float) -> None:
        self._connection = connection
        self._kept = max(1, int(kept))

    async def get(self, key: str) -> Entry | None:
        """Return an entry; None when there is none, when it cannot be read, or when Redis is away."""
        value = await self._connection.call("GET", key)
        return unpack(value) if isinstance(value, bytes) else None

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry soon, if Redis is there and the entry is not too large. Nobody waits for it."""
        if len(entry.body) <= LARGEST_BYTES:
            value = pack(entry)
            self._connection.tell("SET", key, value, "EX", self._kept, size=len(value))


def pack(entry: Entry) -> bytes:
    """Return an entry as one value, marked as compressed or not."""
    if len(entry.body) < COMPRESS_BYTES:
        return _HEAD.pack(_PLAIN, entry.made_at, entry.fresh_for) + entry.body
    return _HEAD.pack(_DEFLATED, entry.made_at, entry.fresh_for) + zlib.compress(entry.body, 1)


def unpack(value: bytes) -> Entry | None:
    """Return the entry that a value is; None when it is none, such as one that was cut."""
    try:
        mark, made_at, fresh_for = _HEAD.unpack_from(value)
        if mark == _PLAIN:
            return Entry(value[_HEAD.size :], made_at, fresh_for)
        return Entry(zlib.decompress(value[_HEAD.size :]), made_at, fresh_for) if mark == _DEFLATED else None
    except (struct.error, zlib.error):
        return None
