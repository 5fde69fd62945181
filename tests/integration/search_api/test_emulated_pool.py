"""Tokens of the emulated user pool before the service's own checks: what a newcomer searches with."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from local import cognito, tables
from local.cognito import UserPool
from search_api.auth.keys import Keys
from search_api.auth.tokens import Unauthorized, Verifier
from search_api.caller import EveryTenant, OneTenant, Role, Scope


def with_verifier(pool: UserPool, work: Callable[[Verifier], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Keys(pool.jwks_url) as keys:
            await work(Verifier(keys, issuer=pool.issuer, audience=[pool.client_id]))

    asyncio.run(run())


@pytest.mark.parametrize("role", list(Role))
def test_a_development_token_is_accepted_with_its_role_and_tenant(role: Role, aws_url: str) -> None:
    """Lost otherwise: what ``./dev token`` prints is of no use, or of another role than was asked for."""
    pool = cognito.ensure(aws_url)
    scope: Scope = EveryTenant() if role is Role.ADMIN else OneTenant("acme")

    async def work(verifier: Verifier) -> None:
        caller = await verifier.verify(f"Bearer {cognito.token(pool, tenant='acme', role=role)}")
        assert (caller.role, caller.scope) == (role, scope)

    with_verifier(pool, work)


def test_an_access_token_without_the_tenant_is_refused(aws_url: str) -> None:
    """Here as on AWS, only the ID token has custom attributes: what has no tenant must not be given one."""
    pool = cognito.ensure(aws_url)
    cognito.ensure_user(pool, tenant="acme", role="tenant_user")
    login = {"USERNAME": cognito.name_of(tenant="acme", role="tenant_user"), "PASSWORD": cognito.PASSWORD}
    tokens = tables.client("cognito-idp", aws_url).initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH", ClientId=pool.client_id, AuthParameters=login
    )["AuthenticationResult"]

    async def work(verifier: Verifier) -> None:
        with pytest.raises(Unauthorized) as problem:
            await verifier.verify(f"Bearer {tokens['AccessToken']}")
        assert problem.value.code == "token-tenant"

    with_verifier(pool, work)
