"""Asking a new index the most frequent queries before it is live: the first searchers after a swap find it warm."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from search_api.cache.popular import PopularQuery

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Queries that warming asks at a time, so that searchers hardly feel it."""


@dataclass(frozen=True)
class Warmed:
    """What became of the queries.

    :ivar filled: their answers are kept
    :ivar failed: the new index did not answer them
    :ivar left: there was no time for them
    :ivar seconds: that it took
    """

    filled: int
    failed: int
    left: int
    seconds: float


async def warm(
    queries: Iterable[PopularQuery], fill: Callable[[PopularQuery], Awaitable[None]], *, seconds: float
) -> Warmed:
    """Ask each query, the first ones first, and return what became of them. No query that fails fails this.

    :param fill: asks the new index one query, and keeps the answer under the key that it has after the swap
    :param seconds: after which no more is asked
    """
    began = time.monotonic()
    waiting = list(queries)
    total, failed, filled = len(waiting), 0, 0
    rest = iter(waiting)

    async def ask_one_after_another() -> None:
        nonlocal failed, filled
        for query in rest:
            try:
                await fill(query)
                filled += 1
            except Exception as error:  # noqa: BLE001  # whatever it is: the swap must go on
                failed += 1
                log.warning("a query could not be asked of the new index: %s", type(error).__name__)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask_one_after_another())
    except TimeoutError:
        pass
    return Warmed(filled, failed, total - filled - failed, round(time.monotonic() - began, 3))
