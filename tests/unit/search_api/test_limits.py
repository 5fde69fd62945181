"""Limits without Redis: what a process gives out for itself, and what it remembers of whom."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from local import ports
from search_api import limits as limits_module
from search_api.cache.connection import Connection
from search_api.caller import Caller, EveryTenant, OneTenant, Role
from search_api.limits import WINDOW, Limits, TooManyRequests, network

START = 1_796_000_000_000 // WINDOW * WINDOW / 1_000
USER = Caller("u", Role.TENANT_USER, OneTenant("a"))
SERVICE = Caller("s", Role.SERVICE, OneTenant("a"))
ADMIN = Caller("x", Role.ADMIN, EveryTenant())
HOME = "203.0.113.7"


class Clock:
    """Seconds since 1970, which pass when a test says so."""

    now = START

    def __call__(self) -> float:
        return self.now


def without_redis(work: Callable[[Limits, Clock], Awaitable[None]], *, tenant: int = 100, address: int = 1_000) -> None:
    async def run() -> None:
        connection, clock = Connection(f"redis://{ports.LOOPBACK}:{ports.choose()}"), Clock()
        try:
            await work(Limits(connection, tenant=tenant, address=address, clock=clock), clock)
        finally:
            await connection.close()

    asyncio.run(run())


async def let_through(limits: Limits, caller: Caller | None, address: str, times: int) -> int:
    """How many of so many requests are let through."""
    count = 0
    for _ in range(times):
        with suppress(TooManyRequests):
            await limits.check(caller, address)
            count += 1
    return count


def test_without_redis_the_limit_is_that_of_this_process(caplog: pytest.LogCaptureFixture) -> None:
    """Lost otherwise: when Redis goes down there is no limit, or nobody is let through, or the log drowns."""

    async def work(limits: Limits, clock: Clock) -> None:
        assert await let_through(limits, USER, HOME, 150) == 100
        clock.now += 60
        assert await let_through(limits, USER, HOME, 150) == 0
        clock.now += 30
        assert await let_through(limits, USER, HOME, 150) == 50

    with caplog.at_level(logging.WARNING, "search_api.limits"):
        without_redis(work)
    assert [record.message.partition(":")[0] for record in caplog.records if record.name == "search_api.limits"] == [
        "Redis is away"
    ]


def test_who_is_refused_is_told_when_to_come_back() -> None:
    async def work(limits: Limits, clock: Clock) -> None:
        clock.now += 20
        first = await limits.check(USER, HOME)
        assert first.headers == {
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": "99",
            "X-RateLimit-Reset": "40",
        }
        assert await let_through(limits, USER, HOME, 200) == 99
        with pytest.raises(TooManyRequests) as problem:
            await limits.check(USER, HOME)
        assert (problem.value.status, problem.value.code) == (429, "too-many-requests-of-tenant")
        assert problem.value.headers == {
            "Retry-After": "41",  # the next window begins after 40 s, and forgets one of 100 each 0.6 s
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "40",
        }
        clock.now += 41
        await limits.check(USER, HOME)

    without_redis(work)


def test_who_keeps_asking_is_let_through_when_it_is_time() -> None:
    """Lost otherwise: each request that is refused puts off the next one that is not, for ever."""

    async def work(limits: Limits, clock: Clock) -> None:
        assert await let_through(limits, USER, HOME, 100) == 100
        clock.now += 59.9
        while clock.now < START + 61.8:  # one of 100 is forgotten after 60.6 s, and is looked for once a second
            if await let_through(limits, USER, HOME, 1):
                return
            clock.now += 0.1
        pytest.fail("still refused")

    without_redis(work)


def test_what_was_taken_in_advance_is_not_kept_for_the_next_minute() -> None:
    """Lost otherwise: the limit, by a share for each process."""

    async def work(limits: Limits, clock: Clock) -> None:
        assert await let_through(limits, USER, HOME, 32) == 32  # shares of 1, 2, 4, 8, 16 and 20: 51 are counted
        clock.now += 90
        assert await let_through(limits, USER, HOME, 2_000) == 1_000 - 26

    without_redis(work, tenant=1_000, address=10_000)


def test_a_tenant_takes_nothing_from_another() -> None:
    """Lost otherwise: one tenant's load is an outage for all."""

    async def work(limits: Limits, _: Clock) -> None:
        assert await let_through(limits, USER, HOME, 150) == 100
        other = Caller("u", Role.TENANT_USER, OneTenant("b"))
        assert await let_through(limits, other, HOME, 150) == 100
        assert await let_through(limits, ADMIN, HOME, 150) == 100

    without_redis(work)


def test_all_of_a_tenant_have_one_limit_and_its_machines_another() -> None:
    """Lost otherwise: a nightly job of a tenant shuts out its people, or many users are no limit at all."""

    async def work(limits: Limits, _: Clock) -> None:
        head = Caller("h", Role.TENANT_ADMIN, OneTenant("a"))
        assert await let_through(limits, USER, HOME, 60) == 60
        assert await let_through(limits, SERVICE, HOME, 1_500) == 1_000
        assert await let_through(limits, head, "198.51.100.1", 60) == 40

    without_redis(work)


def test_an_address_has_a_limit_with_and_without_token() -> None:
    """Lost otherwise: tokens can be tried without end from one place, or one user takes all of a tenant."""

    async def work(limits: Limits, _: Clock) -> None:
        assert await let_through(limits, USER, HOME, 20) == 20
        assert await let_through(limits, None, HOME, 50) == 30
        with pytest.raises(TooManyRequests) as problem:
            await limits.check(USER, HOME)
        assert problem.value.code == "too-many-requests-of-address"
        assert await let_through(limits, None, "198.51.100.1", 50) == 50
        assert await let_through(limits, SERVICE, HOME, 50) == 50  # by its tenant alone

    without_redis(work, address=50)


def test_only_so_many_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: who asks from many addresses takes the memory of the service."""
    monkeypatch.setattr(limits_module, "KEPT_NAMES", 10)

    async def work(limits: Limits, _: Clock) -> None:
        for number in range(50):
            await limits.check(None, f"198.51.100.{number}")
        assert len(limits._shares) == 10

    without_redis(work)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("made-up:name", "unknown"),
    ],
)
def test_whose_address_it_is(address: str, name: str) -> None:
    """Lost otherwise: one household has 2^64 limits."""
    assert network(address) == name
