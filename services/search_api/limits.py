"""How often a tenant and an address may ask: counted in Redis for all processes together, at little cost to a request.

A process takes requests from Redis in advance (a share), one at first, then twice as many each time, up to a fiftieth
of the limit, and gives them out without asking. So Redis is asked for few of many requests, and the limit is never
exceeded. What is lost: a share that is not used up when its window ends was counted for nothing. It is at most as much
as the process gave out in this window, and at most a fiftieth of the limit for each process: by as much less may be let
through.

When Redis is away, each process counts for itself, on from what it knew last. Then the limit holds for each process,
and together they let through as many times more as there are processes.
"""

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from search_api import sliding_window
from search_api.auth.roles import RIGHTS
from search_api.cache.connection import Connection
from search_api.caller import Caller
from search_api.problems import Problem
from search_api.sliding_window import NOTHING, SCRIPT, Counts, Rate

log = logging.getLogger(__name__)

WINDOW: Final = 60_000
"""Milliseconds of a window."""

SHARES: Final = 50
"""The part of a limit that a process takes at once is at most one of so many."""

REFUSED_FOR: Final = 1_000
"""Milliseconds for which a refusal is repeated without asking Redis again."""

KEPT_NAMES: Final = 20_000
"""Tenants and addresses that a process knows; those that asked last."""


class Allowance(NamedTuple):
    """What a caller may still ask.

    :ivar limit: requests in a minute
    :ivar remaining: requests of them that are left, at least
    :ivar reset: seconds to the next window
    """

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response that say so."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class TooManyRequests(Problem):
    """A limit is reached. As a response: 429 with ``Retry-After``.

    :param whose: ``tenant`` or ``address``
    :param seconds: after which a request is let through, if none is before
    """

    def __init__(self, whose: str, allowance: Allowance, seconds: int) -> None:
        super().__init__(
            429,
            f"too-many-requests-of-{whose}",
            f"This {whose} has asked {allowance.limit} times within a minute, which is the limit.",
            next_step=f"Wait {seconds} s, then ask at most every {60 / allowance.limit:.3g} s.",
            headers={"Retry-After": str(seconds), **allowance.headers},
        )


@dataclass(slots=True)
class _Share:
    """What this process has of one limit.

    :ivar counts: as they were seen last
    :ivar left: requests that it may give out without asking
    :ivar ask: requests that it asks for when none are left
    :ivar refused_until: moment before which it does not ask again
    """

    counts: Counts = NOTHING
    left: int = 0
    ask: int = 1
    refused_until: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limits:
    """The limits of all tenants and addresses.

    :param tenant: requests of a tenant in a minute
    :param address: requests of an address in a minute
    :param clock: seconds since 1970
    """

    def __init__(
        self, connection: Connection, *, tenant: int, address: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._address = Rate(address, WINDOW)
        self._clock = clock
        self._ahead = 0  # milliseconds that Redis' clock is ahead of ours
        self._alone = False
        self._shares: OrderedDict[str, _Share] = OrderedDict()

    async def check(self, caller: Caller | None, address: str) -> Allowance:
        """Count a request, and return what is left of the limit: the tenant's, or the address' when nobody is known.

        :param caller: None when there was no good token
        :param address: of the connection, or what a trusted proxy says that it is
        :raises TooManyRequests: when a limit is reached
        """
        if caller is None:
            return await self._take(f"address:{network(address)}", self._address)
        rights = RIGHTS[caller.role]
        name = f"tenant:{caller.tenant}"
        if rights.by_machine:
            name += f":{caller.role}"
        else:
            await self._take(f"address:{network(address)}", self._address)
        return await self._take(name, Rate(self._tenant * rights.factor, WINDOW))

    async def _take(self, name: str, rate: Rate) -> Allowance:
        share = self._share(name)
        now = self._now()
        if now >= share.counts.start + rate.window:
            share.left, share.ask = 0, 1
        if not share.left:
            async with share.lock:
                if not share.left:
                    await self._refill(name, share, rate)
        share.left -= 1
        return _allowance(share, now, rate)

    def _share(self, name: str) -> _Share:
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = _Share()
            if len(self._shares) > KEPT_NAMES:
                self._shares.popitem(last=False)
        else:
            self._shares.move_to_end(name)
        return share

    async def _refill(self, name: str, share: _Share, rate: Rate) -> None:
        """Have at least one request to give out, or raise TooManyRequests."""
        asks = self._now() >= share.refused_until
        if asks:
            share.left = await self._ask_redis(name, share, rate)
            share.ask = min(2 * share.ask, max(1, rate.requests // SHARES))
        if share.left:
            return
        now = self._now()
        milliseconds = sliding_window.wait(share.counts, now, rate)
        if asks:
            share.refused_until = now + min(milliseconds, REFUSED_FOR)
        raise TooManyRequests(name.partition(":")[0], _allowance(share, now, rate), max(1, -(-milliseconds // 1_000)))

    async def _ask_redis(self, name: str, share: _Share, rate: Rate) -> int:
        """Return how many requests are given; those of this process alone are counted when Redis is away."""
        answer: list[int] | None = await self._connection.call("EVAL", SCRIPT, 1, f"limit:{name}", *rate, share.ask)
        self._tell(alone=answer is None)
        if answer is None:
            given, share.counts = sliding_window.take(share.counts, self._now(), share.ask, rate)
            return given
        given, now, previous, current = answer
        self._ahead = now - int(self._clock() * 1_000)
        share.counts = Counts(now - now % rate.window, previous, current)
        return given

    def _now(self) -> int:
        return int(self._clock() * 1_000) + self._ahead

    def _tell(self, *, alone: bool) -> None:
        if alone and not self._alone:
            log.warning("Redis is away: each process counts requests for itself, so limits are as many times higher")
        elif self._alone and not alone:
            log.warning("requests are counted in Redis again")
        self._alone = alone


def _allowance(share: _Share, now: int, rate: Rate) -> Allowance:
    counts = sliding_window.at(share.counts, now, rate.window)
    remaining = share.left + sliding_window.left(counts, now, rate)
    return Allowance(rate.requests, remaining, -(-(counts.start + rate.window - now) // 1_000))


@lru_cache(maxsize=KEPT_NAMES)
def network(address: str) -> str:
    """Return whose address it is: an IPv4 address, or the first half of an IPv6 address, which one household has.

    What is no address is ``unknown``: all of it has one limit, and no name that somebody made up.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"{ipaddress.IPv6Address(int(found) >> 64 << 64)}/64"
        found = found.ipv4_mapped
    return str(found)
