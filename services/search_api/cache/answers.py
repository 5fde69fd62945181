"""Answers: kept ones while they are fresh, new ones otherwise, and old ones when there can be no new one.

Of all who ask the same at one time in this process, one makes the answer, and the others wait for it, each until its
own deadline. When that one fails or goes away, another takes its place.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from search_api.cache.memory import Memory
from search_api.cache.store import Entry, Store
from search_api.deadline import Deadline
from search_api.engine.client import RESERVE_SECONDS, EngineUnavailable
from search_api.problems import Problem

Make = Callable[[], Awaitable[bytes]]
"""Makes the body of the response. What it raises is not kept."""

MEMORY_BYTES: Final = 32 * 1_048_576


@dataclass(frozen=True)
class Lifetimes:
    """How old an answer may be, in seconds.

    A query is hot when it is asked again after its last answer grew old and before that answer is forgotten.

    :param cold: for which an answer is fresh
    :param hot: for which it is fresh when its query is hot
    :param kept: for which it may be shown, marked as stale, when OpenSearch is away
    """

    cold: float = 10.0
    hot: float = 60.0
    kept: float = 3_600.0


class Cached(NamedTuple):
    """An answer, and where it came from.

    :ivar state: ``miss`` when it was made for this request, ``hit`` when not, ``stale`` when it is old and there is no
        new one
    :ivar age: seconds since it was made
    """

    body: bytes
    state: Literal["hit", "miss", "stale"]
    age: float


class Answers:
    """The answers of this service, in the memory of the process and in Redis."""

    def __init__(self, store: Store, lifetimes: Lifetimes, *, memory: int = MEMORY_BYTES) -> None:
        self._store = store
        self._lifetimes = lifetimes
        self._memory = Memory(memory)
        self._flights: dict[str, asyncio.Future[Cached | Problem | None]] = {}

    async def get(self, key: str, make: Make, deadline: Deadline) -> Cached:
        """Return the answer under a key.

        :param key: of ``key.cache_key``
        :param make: makes the answer, by the same deadline; it is called only when no other call for the key is on its
            way
        :raises EngineUnavailable: when somebody else makes it, does not come to an end in time, and none is kept
        :raises Problem: as ``make``; a problem of 500 or more only when no answer is kept
        """
        entry = self._memory.get(key)
        if entry is not None and (age := time.time() - entry.made_at) < entry.fresh_for:
            return Cached(entry.body, "hit", max(0.0, age))
        while (flight := self._flights.get(key)) is not None:
            result = await self._landed(key, flight, deadline)
            if isinstance(result, Problem):
                raise result.with_traceback(None)
            if result is not None:
                return result
        return await self._lead(key, make)

    async def fill(self, key: str, make: Make) -> None:
        """Make an answer and keep it as that of a hot query, whatever is kept."""
        entry = Entry(await make(), time.time(), self._lifetimes.hot)
        self._memory.put(key, entry)
        self._store.put(key, entry)

    async def _landed(
        self, key: str, flight: asyncio.Future[Cached | Problem | None], deadline: Deadline
    ) -> Cached | Problem | None:
        """Return what the one who makes the answer came to; None when nobody makes it any more."""
        done, _ = await asyncio.wait({flight}, timeout=deadline.remaining - RESERVE_SECONDS)
        if done:
            result = flight.result()
            return result._replace(state="hit") if isinstance(result, Cached) and result.state == "miss" else result
        stale = self._stale(self._memory.get(key))
        if stale is None:
            raise EngineUnavailable("OpenSearch did not answer in time.")
        return stale

    async def _lead(self, key: str, make: Make) -> Cached:
        flight: asyncio.Future[Cached | Problem | None] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        result: Cached | Problem | None = None
        try:
            result = await self._kept_or_made(key, make)
        except Problem as problem:
            # What the request is to blame for, all others are told, too. After any other failure they try themselves.
            result = problem if problem.status < 500 else None
            raise
        finally:
            del self._flights[key]
            flight.set_result(result)
        return result

    async def _kept_or_made(self, key: str, make: Make) -> Cached:
        known = await self._known(key)
        if known is not None and (age := time.time() - known.made_at) < known.fresh_for:
            return Cached(known.body, "hit", max(0.0, age))
        try:
            body = await make()
        except Problem as problem:
            stale = self._stale(known)
            if stale is None or problem.status < 500:
                raise
            return stale
        made = Entry(body, time.time(), self._lifetimes.cold if known is None else self._lifetimes.hot)
        self._memory.put(key, made)
        self._store.put(key, made)
        return Cached(body, "miss", 0.0)

    async def _known(self, key: str) -> Entry | None:
        """Return what is kept, here or in Redis, whichever is newer."""
        kept, mine = await self._store.get(key), self._memory.get(key)
        if kept is None or (mine is not None and mine.made_at >= kept.made_at):
            return mine
        self._memory.put(key, kept)
        return kept

    def _stale(self, entry: Entry | None) -> Cached | None:
        if entry is None or (age := time.time() - entry.made_at) > self._lifetimes.kept:
            return None
        return Cached(entry.body, "stale", max(0.0, age))
