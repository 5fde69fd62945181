"""Which queries were the most frequent ones of the last day: what a new index is warmed with before it is live.

Counts are gathered in the process and added to Redis every ten seconds, in one sorted set for each entity and hour. A
set holds the most frequent queries alone, so its size does not grow with the traffic.
"""

import asyncio
import heapq
import time
from collections import defaultdict
from typing import Final, NamedTuple, Never

import msgspec

from search_api.cache.connection import Command, Connection
from search_api.caller import EveryTenant, OneTenant, Scope

FLUSH_SECONDS: Final = 10.0
HOURS: Final = 24
GATHERED: Final = 5_000
"""Number of different queries that are counted between two flushes. Any more of them are too rare to matter."""

FLUSHED: Final = 200
"""Number of queries of an entity that one flush adds: more would keep the process from answering."""

HELD: Final = 500
"""Number of queries that the set of an hour holds."""

LONGEST: Final = 1_024
"""Bytes of a query with its tenant that is counted."""

READ_SECONDS: Final = 2.0
_decode = msgspec.msgpack.Decoder(tuple[str | None, bytes]).decode


class PopularQuery(NamedTuple):
    """A query that was asked often.

    :ivar scope: whose documents it may find
    :ivar query: what ``Popular.count`` was given
    :ivar times: how often it was asked
    """

    scope: Scope
    query: bytes
    times: int


class Popular:
    """The most frequent queries, by entity."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gathered: defaultdict[str, dict[bytes, int]] = defaultdict(dict)

    def count(self, entity: str, scope: Scope, query: bytes) -> None:
        """Count a query as asked once more.

        :param query: what the query can be made from again
        """
        gathered = self._gathered[entity]
        member = msgspec.msgpack.encode((scope.id if isinstance(scope, OneTenant) else None, query))
        if member in gathered:
            gathered[member] += 1
        elif len(gathered) < GATHERED and len(member) <= LONGEST:
            gathered[member] = 1

    async def run(self) -> Never:
        """Add to Redis what was counted, every ten seconds, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Add to Redis what was counted since the last flush. While Redis is away, that is lost."""
        gathered, self._gathered = self._gathered, defaultdict(dict)
        hour = _hour()
        for entity, counts in gathered.items():
            most = heapq.nlargest(FLUSHED, counts.items(), key=lambda item: item[1])
            key = _key(entity, hour)
            commands: list[Command] = [("ZINCRBY", key, count, member) for member, count in most]
            commands += [("ZREMRANGEBYRANK", key, 0, -HELD - 1), ("EXPIRE", key, (HOURS + 2) * 3_600)]
            await self._connection.calls(commands)

    async def most(
        self, entity: str, *, each: int = 20, of_all: int = 500, seconds: float = READ_SECONDS
    ) -> list[PopularQuery]:
        """Return the most frequent queries of the last day. Each tenant's most frequent one stands before any second.

        :param each: number of queries of one tenant
        :param of_all: number of queries
        :param seconds: in which Redis has to say them; after two at most, the hours that are known by then decide
        """
        hour, end = _hour(), time.monotonic() + min(seconds, READ_SECONDS)
        sums: defaultdict[bytes, int] = defaultdict(int)
        for ago in range(HOURS + 1):  # one after another, so that no search waits for all of it
            if time.monotonic() > end:
                break
            key = _key(entity, hour - ago)
            found = await self._connection.call("ZREVRANGE", key, 0, HELD - 1, "WITHSCORES")
            for member, times in zip(*[iter(found or ())] * 2, strict=True):
                sums[member] += int(times)
        by_scope: defaultdict[Scope, list[PopularQuery]] = defaultdict(list)
        for member, times in sorted(sums.items(), key=lambda item: -item[1]):
            tenant, query = _decode(member)
            scope = EveryTenant() if tenant is None else OneTenant(tenant)
            by_scope[scope].append(PopularQuery(scope, query, times))
        ranked = [(rank, -one.times, one) for ones in by_scope.values() for rank, one in enumerate(ones[:each])]
        return [one for _, _, one in sorted(ranked, key=lambda place: place[:2])[:of_all]]


def _hour() -> int:
    return int(time.time() // 3_600)


def _key(entity: str, hour: int) -> str:
    return f"popular:1:{entity}:{hour}"
