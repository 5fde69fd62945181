"""Kept answers and the single flight, with Redis away: nobody may wait for ever, or fail because another one did."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_api.cache.answers import Answers, Cached, Lifetimes
from search_api.cache.connection import Connection
from search_api.cache.store import Store
from search_api.deadline import Deadline
from search_api.engine.client import EngineUnavailable
from search_api.problems import Problem

FRESH = Lifetimes(cold=60, hot=60, kept=60)
OLD_AT_ONCE = Lifetimes(cold=0, hot=60, kept=60)


def answers(lifetimes: Lifetimes = FRESH) -> Answers:
    return Answers(Store(Connection("redis://127.0.0.1:1"), lifetimes.kept), lifetimes)


class Maker:
    """Makes answers when it is let, and counts."""

    def __init__(self, *outcomes: bytes | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self) -> bytes:
        self.calls += 1
        self.begun.set()
        await self.gate.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def ready(*outcomes: bytes | Exception) -> Maker:
    maker = Maker(*outcomes)
    maker.gate.set()
    return maker


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(bounded())


async def crowd(cache: Answers, make: Maker, size: int, seconds: float = 5) -> list[asyncio.Task[Cached]]:
    """Begin some requests for one key, the first of which leads, and wait until the others wait for it."""
    tasks = [asyncio.create_task(cache.get("k", make, Deadline(seconds))) for _ in range(size)]
    await make.begun.wait()
    return tasks


def test_a_fresh_answer_is_made_once() -> None:
    async def test() -> None:
        cache, make = answers(), ready(b"1", b"2")
        assert (await cache.get("k", make, Deadline(5))).state == "miss"
        again = await cache.get("k", make, Deadline(5))
        assert (again.body, again.state, make.calls) == (b"1", "hit", 1)
        assert 0 <= again.age < 5
        assert (await cache.get("other", make, Deadline(5))).body == b"2"

    run(test)


def test_of_fifty_at_one_time_one_makes_the_answer() -> None:
    """Else each swap and each restart would send OpenSearch the same search fifty times."""

    async def test() -> None:
        cache, make = answers(), Maker(b"1")
        tasks = await crowd(cache, make, 50)
        make.gate.set()
        got = await asyncio.gather(*tasks)
        assert make.calls == 1
        assert [one.state for one in got] == ["miss"] + ["hit"] * 49
        assert {one.body for one in got} == {b"1"}

    run(test)


def test_a_leader_that_goes_away_fails_nobody_else() -> None:
    async def test() -> None:
        cache, make = answers(), Maker(b"1")
        leader, *others = await crowd(cache, make, 10)
        leader.cancel()
        make.gate.set()
        got = await asyncio.gather(*others)
        assert {one.body for one in got} == {b"1"}
        assert make.calls == 2
        assert leader.cancelled()

    run(test)


@pytest.mark.parametrize("error", [EngineUnavailable("away"), RuntimeError("a defect")])
def test_a_leader_that_fails_fails_nobody_else(error: Exception) -> None:
    async def test() -> None:
        cache, make = answers(), Maker(error, b"1")
        leader, *others = await crowd(cache, make, 10)
        make.gate.set()
        assert {one.body for one in await asyncio.gather(*others)} == {b"1"}
        with pytest.raises(type(error)):
            await leader
        assert make.calls == 2, "one after another, and not all at once"

    run(test)


def test_what_the_request_is_to_blame_for_is_said_to_all() -> None:
    async def test() -> None:
        cache, make = answers(), Maker(Problem(404, "gone", "no", next_step="none"))
        tasks = await crowd(cache, make, 10)
        make.gate.set()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one.status for one in got if isinstance(one, Problem)] == [404] * 10
        assert make.calls == 1

    run(test)


def test_who_waits_for_another_waits_until_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not beyond it: a kept answer or a problem has to be sent still."""
    monkeypatch.setattr("search_api.cache.answers.RESERVE_SECONDS", 3.0)  # more than a busy machine takes for itself

    async def test() -> None:
        cache, make = answers(), Maker(b"1")
        (leader,) = await crowd(cache, make, 1)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable):
            await cache.get("k", make, Deadline(3.3))
        assert time.monotonic() - began < 3.3
        make.gate.set()
        assert (await leader).body == b"1", "it is not the leader's time that was over"

    run(test)


def test_who_waits_and_goes_away_takes_nothing_along() -> None:
    async def test() -> None:
        cache, make = answers(), Maker(b"1")
        leader, follower, last = await crowd(cache, make, 3)
        await asyncio.sleep(0)
        follower.cancel()
        make.gate.set()
        assert (await leader).body == (await last).body == b"1"
        assert make.calls == 1

    run(test)


def test_an_old_answer_is_shown_as_stale_only_while_there_can_be_no_new_one() -> None:
    async def test() -> None:
        cache = answers(OLD_AT_ONCE)
        incomplete = Problem(503, "incomplete", "no", next_step="none")
        make = ready(b"1", EngineUnavailable("away"), incomplete, b"2", b"3")
        states = [await cache.get("k", make, Deadline(5)) for _ in range(5)]
        assert [(one.body, one.state) for one in states] == [
            (b"1", "miss"),
            (b"1", "stale"),
            (b"1", "stale"),
            (b"2", "miss"),
            (b"2", "hit"),  # asked again after it was old: hot
        ]

    run(test)


def test_those_who_wait_get_the_stale_answer_too() -> None:
    async def test() -> None:
        cache = answers(OLD_AT_ONCE)
        await cache.get("k", ready(b"1"), Deadline(5))
        make = Maker(EngineUnavailable("away"))
        tasks = await crowd(cache, make, 5)
        patient = asyncio.create_task(cache.get("k", make, Deadline(0.3)))
        assert (await patient).state == "stale", "its time is over, and there is an old answer"
        make.gate.set()
        assert {(one.body, one.state) for one in await asyncio.gather(*tasks)} == {(b"1", "stale")}
        assert make.calls == 1

    run(test)


def test_an_answer_that_is_too_old_is_not_shown() -> None:
    async def test() -> None:
        cache = answers(Lifetimes(cold=0, hot=0, kept=0))
        await cache.get("k", ready(b"1"), Deadline(5))
        await asyncio.sleep(0.01)
        with pytest.raises(EngineUnavailable):
            await cache.get("k", ready(EngineUnavailable("away")), Deadline(5))

    run(test)


def test_what_the_request_is_to_blame_for_is_not_covered_by_an_old_answer() -> None:
    async def test() -> None:
        cache = answers(OLD_AT_ONCE)
        await cache.get("k", ready(b"1"), Deadline(5))
        with pytest.raises(Problem) as raised:
            await cache.get("k", ready(Problem(400, "bad", "no", next_step="none")), Deadline(5))
        assert raised.value.status == 400

    run(test)


def test_what_was_filled_is_there() -> None:
    """Else warming would warm nothing."""

    async def test() -> None:
        cache = answers(OLD_AT_ONCE)
        await cache.fill("k", ready(b"1"))
        got = await cache.get("k", ready(b"2"), Deadline(5))
        assert (got.body, got.state) == (b"1", "hit")

    run(test)


OUTCOMES = st.sampled_from([b"1", EngineUnavailable("away"), Problem(404, "gone", "no", next_step="none")])
ENDS = st.sampled_from(["stays", "stays", "cancelled"])


@settings(max_examples=100, deadline=None)
@given(
    outcomes=st.lists(OUTCOMES, min_size=1, max_size=6),
    ends=st.lists(ENDS, min_size=1, max_size=12),
    seed=st.integers(0, 10_000),
)
def test_whatever_happens_nobody_hangs_and_nothing_is_left(
    outcomes: list[bytes | Exception], ends: list[str], seed: int
) -> None:
    """Cancellations and failures at any moment, in any order."""
    chance = random.Random(seed)

    async def test() -> None:
        cache, running, most = answers(), 0, 0

        async def make() -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                outcome = outcomes.pop() if len(outcomes) > 1 else outcomes[0]
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
            finally:
                running -= 1

        async def later(end: str) -> None:
            task = asyncio.create_task(cache.get("k", make, Deadline(5)))
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            if end == "cancelled":
                task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                error = task.exception()
                assert isinstance(error, Problem) if error else task.result().body == b"1"
            else:
                assert end == "cancelled"

        await asyncio.gather(*(later(end) for end in ends))
        assert most <= 1
        assert not cache._flights

    run(test)
