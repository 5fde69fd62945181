"""Whose token is accepted, and whose is not: for each check a token that passes all the others."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from search_api.auth import tokens
from search_api.auth.keys import Keys
from search_api.auth.tokens import Verifier
from search_api.caller import Caller, EveryTenant, OneTenant, Role
from search_api.problems import Problem
from tests import user_pool
from tests.user_pool import CLIENT, NOW, UserPool, bearer, claims, encoded, hmac_of_public_key, rsa, sign


def with_verifier(
    work: Callable[[Verifier, UserPool], Awaitable[Any]], clock: Callable[[], float] = lambda: NOW
) -> Any:
    """Do something with a verifier of a served pool, at the moment at which tokens are issued."""

    async def run() -> Any:
        async with UserPool().serving() as pool, Keys(pool.url) as keys:
            await keys.fetch()
            return await work(Verifier(keys, issuer=user_pool.ISSUER, audience=[CLIENT], clock=clock), pool)

    return asyncio.run(run())


def verified(authorization: str) -> Caller:
    async def work(verifier: Verifier, _: UserPool) -> Caller:
        return await verifier.verify(authorization)

    caller: Caller = with_verifier(work)
    return caller


def refused(authorization: str) -> Problem:
    with pytest.raises(Problem) as problem:
        verified(authorization)
    return problem.value


@pytest.mark.parametrize("use", ["id", "access"])
def test_a_good_token_says_who_asks(use: str) -> None:
    assert verified(bearer(use)) == Caller("0b0e6a46-subject", Role.TENANT_USER, OneTenant("a"))


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        (Role.ADMIN, EveryTenant()),
        (Role.TENANT_ADMIN, OneTenant("a")),
        (Role.TENANT_USER, OneTenant("a")),
        (Role.SERVICE, OneTenant("a")),
    ],
)
def test_a_role_gives_its_scope(role: Role, scope: object) -> None:
    """Lost otherwise: somebody who is no administrator sees all tenants."""
    caller = verified(bearer(groups=["a-group-of-another-application", role.value]))
    assert (caller.role, caller.scope) == (role, scope)


def test_an_administrator_needs_no_tenant() -> None:
    assert verified(bearer(groups=["admin"], tenant=None)).scope == EveryTenant()


HEAD, _, SEAL = sign(claims()).split(".")
OTHER_TENANT = encoded(json.dumps(claims(tenant="b")).encode())

FORGED = {
    "no algorithm": ("token-algorithm", sign(claims(), header={"alg": "none"}, seal=lambda _: b"-")),
    "the public key as a secret": (
        "token-algorithm",
        sign(claims(), header={"alg": "HS256"}, seal=hmac_of_public_key),
    ),
    "the public key as a secret, called RS256": ("token-signature", sign(claims(), seal=hmac_of_public_key)),
    "another algorithm, of the same key": (
        "token-algorithm",
        sign(claims(), header={"alg": "RS512"}, seal=rsa("first", hashes.SHA512())),
    ),
    "somebody's own key": ("token-signature", sign(claims(), seal=rsa("other"))),
    "somebody's own key, and where it is": (
        "token-signature",
        sign(claims(), header={"jku": "https://example.com/keys"}, seal=rsa("other")),
    ),
    "claims changed after signing": ("token-signature", f"{HEAD}.{OTHER_TENANT}.{SEAL}"),
    "a key that the pool does not have": ("token-key-unknown", sign(claims(), by="other")),
    "no key id": ("token-key-unknown", sign(claims(), header={"kid": None})),
    "a key id that is no text": ("token-key-unknown", sign(claims(), header={"kid": 1})),
    "a critical header": ("token-malformed", sign(claims(), header={"crit": ["unheard-of"], "unheard-of": 1})),
    "claims that are a list": ("token-malformed", sign([claims()])),
    "another issuer": ("token-issuer", sign(claims(iss=user_pool.ISSUER.replace("TEST", "OTHER")))),
    "an issuer that begins like ours": ("token-issuer", sign(claims(iss=f"{user_pool.ISSUER}2"))),
    "no issuer": ("token-issuer", sign(claims(iss=None))),
    "a use that is not ours": ("token-use", sign(claims(token_use="refresh"))),
    "no use": ("token-use", sign(claims(token_use=None))),
    "a use that is a list": ("token-use", sign(claims(token_use=["id"]))),
    "another application's ID token": ("token-audience", sign(claims(aud="another"))),
    "another application's access token": ("token-audience", sign(claims("access", client_id="another"))),
    "an ID token with the client of an access token": ("token-audience", sign(claims(aud=None, client_id=CLIENT))),
    "an access token with the audience of an ID token": (
        "token-audience",
        sign(claims("access", client_id=None, aud=CLIENT)),
    ),
    "several audiences": ("token-audience", sign(claims(aud=[CLIENT, "another"]))),
    "expired": ("token-expired", sign(claims(exp=NOW - 61))),
    "issued in the future": ("token-not-yet-valid", sign(claims(iat=NOW + 120))),
    "valid in the future": ("token-not-yet-valid", sign(claims(nbf=NOW + 120))),
    "no end": ("token-claims", sign(claims(exp=None))),
    "an end that is no number": ("token-claims", sign(claims(exp="9999999999"))),
    "an end that is no time": ("token-claims", sign(claims(exp=1e300))),
    "no moment of issue": ("token-claims", sign(claims(iat=None))),
    "no subject": ("token-claims", sign(claims(sub=None))),
    "a subject that is no text": ("token-claims", sign(claims(sub=7))),
    "no tenant": ("token-tenant", sign(claims(tenant=None))),
    "the name of all tenants": ("token-tenant", sign(claims(tenant="*"))),
    "a tenant that ends with a line break": ("token-tenant", sign(claims(tenant="a\n"))),
    "a tenant with a separator": ("token-tenant", sign(claims(tenant="a:b"))),
    "a tenant of other letters": ("token-tenant", sign(claims(tenant="аcme"))),
    "an empty tenant": ("token-tenant", sign(claims(tenant=""))),
    "a long tenant": ("token-tenant", sign(claims(tenant="a" * 65))),
    "two tenants": ("token-tenant", sign(claims(tenant=["a", "b"]))),
}
"""By name: the check that has to refuse a token, and the token. It passes all other checks."""


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused_by_the_check_for_it(name: str) -> None:
    """Lost otherwise: that check. Each token is good but for one thing, so that no other check would refuse it."""
    code, token = FORGED[name]
    problem = refused(f"Bearer {token}")
    assert (problem.status, problem.code) == (401, code)
    error = "invalid_token"
    assert problem.headers == {"WWW-Authenticate": f'Bearer error="{error}"'}


@pytest.mark.parametrize("groups", [None, [], ["another"], ["ADMIN"], ["tenant_user", "admin"], "admin", {"admin": 1}])
def test_a_user_without_one_role_may_do_nothing(groups: object) -> None:
    """Lost otherwise: who is in no group is taken for something, or who is in two gets the greater rights."""
    problem = refused(bearer(groups=groups))
    assert (problem.status, problem.code) == (403, "role-unknown")
    assert problem.headers == {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


@pytest.mark.parametrize(
    ("header", "code", "challenge"),
    [
        ("", "token-missing", "Bearer"),
        ("Basic YTpi", "token-malformed", 'Bearer error="invalid_request"'),
        ("Bearer", "token-malformed", 'Bearer error="invalid_request"'),
        ("Bearer a.b", "token-malformed", 'Bearer error="invalid_request"'),
        (f"Bearer {sign(claims())} ", "token-malformed", 'Bearer error="invalid_request"'),
        ("Bearer a.b.c", "token-malformed", 'Bearer error="invalid_token"'),
        (f"Bearer {'a' * 2_000}.b.c", "token-malformed", 'Bearer error="invalid_token"'),
    ],
)
def test_what_is_no_token_is_refused(header: str, code: str, challenge: str) -> None:
    problem = refused(header)
    assert (problem.status, problem.code, problem.headers["WWW-Authenticate"]) == (401, code, challenge)


def test_the_name_of_the_scheme_has_no_case() -> None:
    assert verified(bearer().replace("Bearer", "bEaReR")).tenant == "a"


def test_clocks_may_differ_by_a_minute() -> None:
    """Lost otherwise: tokens of a pool whose clock is a little ahead are refused for seconds after they are issued."""
    verified(bearer(iat=NOW + 55, nbf=NOW + 55))
    verified(bearer(exp=NOW - 55))


def test_a_refusal_says_nothing_that_the_token_does_not() -> None:
    """Lost otherwise: who sends tokens at random learns which issuer or audience would have been right."""
    for _, token in FORGED.values():
        said = refused(f"Bearer {token}").body("id").decode()
        assert CLIENT not in said
        assert user_pool.ISSUER not in said
        assert token not in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "jku", "x5c", "zip", "enc"])


@given(headers=st.lists(st.dictionaries(NAMES, JSON, max_size=3) | JSON, min_size=30, max_size=30))
@settings(max_examples=20)
def test_whatever_the_header_is_the_token_is_refused_in_order(headers: list[object]) -> None:
    """Lost otherwise: somebody without any token makes the service fail, and its operators be called."""

    async def work(verifier: Verifier, _: UserPool) -> None:
        for header in headers:
            changed = header if isinstance(header, dict) else {}
            good = {"alg": "RS256", "kid": "first", **changed} if isinstance(header, dict) else header
            token = f"{encoded(json.dumps(good).encode())}.{encoded(json.dumps(claims()).encode())}.AAAA"
            with pytest.raises(Problem) as problem:
                await verifier.verify(f"Bearer {token}")
            assert problem.value.status == 401

    with_verifier(work)


def test_a_token_is_verified_once() -> None:
    """Lost otherwise: each request pays for a signature, which costs more than a kept answer."""

    async def work(verifier: Verifier, _: UserPool) -> None:
        header = bearer()
        first = await verifier.verify(header)
        assert await verifier.verify(header) is first
        assert header not in repr(vars(verifier))

    with_verifier(work)


def test_a_remembered_token_expires_in_time() -> None:
    """Lost otherwise: who was seen once stays for ever."""
    now = float(NOW)

    async def work(verifier: Verifier, _: UserPool) -> None:
        nonlocal now
        header = bearer(exp=NOW + 300)
        await verifier.verify(header)
        now = NOW + 359.9
        await verifier.verify(header)
        now = NOW + 360.0
        with pytest.raises(Problem, match="not accepted"):
            await verifier.verify(header)

    with_verifier(work, clock=lambda: now)


def test_a_remembered_token_ends_with_its_key() -> None:
    """Lost otherwise: after a key was stolen and withdrawn, tokens that were forged with it are good to their end."""

    async def run() -> None:
        pool = UserPool(kids=["first", "second"])
        async with pool.serving(), Keys(pool.url) as keys:
            await keys.fetch()
            verifier = Verifier(keys, issuer=user_pool.ISSUER, audience=[CLIENT])
            await verifier.verify(bearer())
            pool.kids = ["second"]
            await keys.fetch()
            with pytest.raises(Problem) as problem:
                await verifier.verify(bearer())
            assert problem.value.code == "token-key-unknown"

    asyncio.run(run())


def test_a_refused_token_is_not_remembered_as_good() -> None:
    async def work(verifier: Verifier, _: UserPool) -> None:
        for _attempt in range(2):
            with pytest.raises(Problem):
                await verifier.verify(bearer(exp=NOW - 61))

    with_verifier(work)


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: each login takes memory for ever. Those used last stay."""
    monkeypatch.setattr(tokens, "KEPT_TOKENS", 3)

    async def work(verifier: Verifier, _: UserPool) -> None:
        headers = [bearer(sub=f"subject-{number}") for number in range(4)]
        callers = [await verifier.verify(header) for header in headers[:3]]
        assert await verifier.verify(headers[0]) is callers[0]
        await verifier.verify(headers[3])
        assert await verifier.verify(headers[0]) is callers[0]
        assert await verifier.verify(headers[1]) is not callers[1]

    with_verifier(work)
