"""The keys of the user pool: what becomes of callers when they change, or cannot be fetched."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aiohttp import web
from joserfc.jwk import RSAKey

from search_api.auth import keys as keys_module
from search_api.auth.keys import UNKNOWN_SECONDS, Keys, KeysUnavailable
from tests.user_pool import Answer, UserPool, answered, key, key_set, never


def with_keys(work: Callable[[Keys, UserPool], Awaitable[None]], *, clock: Callable[[], float] = lambda: 0.0) -> None:
    async def run() -> None:
        async with UserPool().serving() as pool, Keys(pool.url, clock=clock) as keys:
            await work(keys, pool)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened in the background."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


def test_without_keys_the_service_is_not_ready_and_blames_no_caller() -> None:
    """Lost otherwise: while the pool is away at the start, every user is told that their login is no longer good."""

    async def work(keys: Keys, pool: UserPool) -> None:
        pool.answer = partial(answered, 500)
        assert not keys.ready
        with pytest.raises(KeysUnavailable) as problem:
            await keys.of("first")
        assert (problem.value.status, problem.value.headers["Retry-After"]) == (503, "5")
        pool.answer = None
        assert await keys.fetch()
        assert keys.ready
        assert await keys.of("first")

    with_keys(work)


def test_a_new_key_is_found_at_its_first_token() -> None:
    """Lost otherwise: after a rotation all callers are refused until the next fetch, five minutes."""

    async def work(keys: Keys, pool: UserPool) -> None:
        await keys.fetch()
        pool.kids = ["first", "second"]
        assert await keys.of("second")

    with_keys(work)


def test_unknown_ids_make_one_fetch_a_minute() -> None:
    """Lost otherwise: whoever sends tokens with invented ids makes the service flood its user pool."""
    now = 0.0

    async def work(keys: Keys, pool: UserPool) -> None:
        nonlocal now
        await keys.fetch()
        for number in range(20):
            assert await keys.of(f"invented-{number}") is None
        assert pool.asked == 2
        now = UNKNOWN_SECONDS - 0.1
        assert await keys.of("invented") is None
        assert pool.asked == 2
        now = UNKNOWN_SECONDS
        assert await keys.of("invented") is None
        assert pool.asked == 3

    with_keys(work, clock=lambda: now)


def test_all_who_wait_share_one_fetch_and_the_others_do_not_wait() -> None:
    """Lost otherwise: a slow pool holds up callers whose keys are known, or gets a request for each caller."""

    async def work(keys: Keys, pool: UserPool) -> None:
        await keys.fetch()
        go = asyncio.Event()

        async def slow() -> web.StreamResponse:
            await go.wait()
            return await answered(200, key_set("second"))

        pool.answer = slow
        waiting = [asyncio.create_task(keys.of("second")) for _ in range(20)]
        await until(lambda: pool.asked == 2)
        impatient = waiting.pop()
        impatient.cancel()
        assert await asyncio.wait_for(keys.of("first"), 5.0)
        go.set()
        assert all(await asyncio.gather(*waiting))
        assert impatient.cancelled()
        assert pool.asked == 2

    with_keys(work)


BAD: dict[str, Answer] = {
    "another status": partial(answered, 203, key_set("elsewhere")),
    "a redirect": partial(answered, 302, headers={"Location": "/elsewhere"}),
    "no JSON": partial(answered, 200, b"<html>"),
    "no keys": partial(answered, 200, b'{"keys": []}'),
    "another document": partial(answered, 200, b'{"issuer": "x"}'),
    "a list": partial(answered, 200, b"[]"),
    "keys that are none": partial(answered, 200, b'{"keys": [1, null, {"kty": "RSA", "kid": "first"}]}'),
    "too large": partial(answered, 200, key_set(*["elsewhere"] * 500)),
    "deep": partial(answered, 200, b"[" * 60_000),
    "nothing": never,
}


@pytest.mark.parametrize("name", BAD)
def test_the_old_keys_stay_when_the_new_ones_are_no_keys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a fault of the pool, or of a proxy before it, refuses all callers."""
    monkeypatch.setattr(keys_module, "FETCH_SECONDS", 0.2 if name == "nothing" else 5.0)

    async def work(keys: Keys, pool: UserPool) -> None:
        assert await keys.fetch()
        pool.answer, began = BAD[name], time.monotonic()
        assert not await keys.fetch()
        assert await keys.of("first")
        with pytest.raises(KeysUnavailable):  # the pool may have got it since
            await keys.of("second")
        assert time.monotonic() - began < 20, "a pool that says nothing is given up"
        pool.answer = None
        assert await keys.fetch()
        assert await keys.of("second") is None

    with_keys(work)


@pytest.mark.filterwarnings("ignore:Key size")
def test_only_keys_for_our_signatures_are_taken() -> None:
    """Lost otherwise: a key for encryption, of another kind, or short enough to be broken, signs tokens."""
    good = key("first").as_dict(private=False)
    short = RSAKey.generate_key(1_024, {"kid": "short"}).as_dict(private=False)
    others = [
        {**good, "kid": "encryption", "use": "enc"},
        {**good, "kid": "other-algorithm", "alg": "RS512"},
        {**good, "kid": None},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "curve", "crv": "P-256", "x": good["n"], "y": good["n"]},
        short,
    ]
    plain = {name: good[name] for name in ("kty", "n", "e")}
    found = keys_module.keys_in(json.dumps({"keys": [good, *others, {**plain, "kid": "plain"}]}).encode())
    assert found.keys() == {"first", "plain"}


def test_the_keys_are_fetched_again_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a service that started while the pool was away stays not ready, and a withdrawn key stays."""
    monkeypatch.setattr(keys_module, "RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(keys_module, "REFRESH_SECONDS", 0.01)

    async def work(keys: Keys, pool: UserPool) -> None:
        pool.answer = partial(answered, 500)
        task = asyncio.create_task(keys.run())
        await until(lambda: pool.asked > 2)
        assert not keys.ready
        pool.answer = None
        await until(lambda: keys.ready)
        pool.kids = ["second"]
        await until(lambda: not keys.has("first"))
        task.cancel()

    with_keys(work)
