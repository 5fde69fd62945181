"""Tokens for the page on a developer's machine, from the emulated user pool. In production there is none of this."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any

import botocore.session
import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.routing import Route

from search_api import responses
from search_api.caller import Role
from search_api.exchange import Exchange
from search_api.problems import Problem
from search_api.responses import Ready
from search_api.routes.bodies import read_json
from search_api.settings import Settings

PASSWORD = "Development-1"  # noqa: S105  # of all users of the emulated pool, which everybody may make
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def routes(settings: Settings) -> list[Route]:
    """Return the routes; none outside development, or without an emulated pool."""
    if not (settings.in_development and settings.cognito_url):
        return []
    pool = _Pool(settings)
    return [
        Route("/dev/identities", pool.identities, methods=["GET"]),
        Route("/dev/token", pool.token, methods=["POST"]),
    ]


class _Pool:
    """The emulated user pool. A user's name is their role and their tenant, with an @ between."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.cognito_url
        self._client_id = settings.audience[0]
        host, _, self._id = settings.issuer.partition("//")[2].partition("/")
        self._region = host.split(".")[1]

    @cached_property
    def _cognito(self) -> Any:
        return botocore.session.get_session().create_client(
            "cognito-idp",
            region_name=self._region,
            endpoint_url=self._url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106  # the emulator takes any
        )

    async def identities(self, request: Request) -> Ready:
        """Answer with the tenants and roles that tokens can be had for."""
        exchange = _of_this_machine(request)
        users = (await self._ask(lambda cognito: cognito.list_users(UserPoolId=self._id)))["Users"]
        names = [user["Username"].partition("@") for user in users]
        known = [{"tenant": tenant, "role": role} for role, _, tenant in names if tenant and role in set(Role)]
        return responses.json(exchange, msgspec.json.encode({"identities": known}))

    async def token(self, request: Request) -> Ready:
        """Answer with a token of one of them."""
        exchange = _of_this_machine(request)
        match await read_json(request, exchange):
            case {"tenant": str(tenant), "role": str(role)}:
                login = {"USERNAME": f"{role}@{tenant}", "PASSWORD": PASSWORD}
            case _:
                raise Problem(400, "bad-body", "The body needs tenant and role.", next_step="See /dev/identities.")
        answer = await self._ask(
            lambda cognito: cognito.initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH", ClientId=self._client_id, AuthParameters=login
            )
        )
        return responses.json(exchange, msgspec.json.encode({"token": answer["AuthenticationResult"]["IdToken"]}))

    async def _ask(self, do: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(lambda: do(self._cognito))
        except ClientError:
            step = "Make the user: ./dev token --tenant TENANT --role ROLE."
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-user", "The pool has no such user.", next_step=step) from None
        except BotoCoreError:
            step = "See whether the emulator runs: ./dev status."
            raise Problem(503, "no-user-pool", "The emulated pool does not answer.", next_step=step) from None


def _of_this_machine(request: Request) -> Exchange:
    """Refuse what a page of another origin sends: its name was made to lead here, or it says where it comes from."""
    exchange = Exchange.of(request.scope)
    exchange.route = "development"
    name = exchange.header(b"host").lower()
    host = name.rpartition(":")[0] if not name.endswith("]") and ":" in name else name
    if host not in _LOOPBACK or exchange.header(b"sec-fetch-site") not in ("", "none", "same-origin"):
        detail = "Development tokens are for pages of this machine."
        raise Problem(403, "other-origin", detail, next_step="Open the page at http://localhost.")
    return exchange
