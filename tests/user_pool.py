"""A user pool of the tests' own: it has keys, serves them as Cognito does, and signs whatever token a test asks for."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_TEST"
CLIENT = "client-of-the-tests"
NOW = int(time.time())
"""When tokens are issued, unless a test says otherwise. They are good for a day."""

_CLAIMS = {"tenant": "custom:tenant_id", "groups": "cognito:groups"}

Seal = Callable[[bytes], bytes]
Answer = Callable[[], Awaitable[web.StreamResponse]]


@cache
def key(kid: str) -> RSAKey:
    """The private key of this id, the same one for the whole session."""
    return RSAKey.generate_key(2_048, {"kid": kid, "use": "sig", "alg": "RS256"})


def claims(use: str = "id", **changes: Any) -> dict[str, Any]:
    """The claims of a good token of a user of tenant ``a``, with changes; None leaves a claim out.

    Those whose names are no words of Python are called ``tenant`` and ``groups`` here.
    """
    good = {
        "iss": ISSUER,
        "sub": "0b0e6a46-subject",
        "token_use": use,
        "iat": NOW,
        "exp": NOW + 86_400,
        "aud" if use == "id" else "client_id": CLIENT,
        "tenant": "a",
        "groups": ["tenant_user"],
    }
    return {_CLAIMS.get(name, name): value for name, value in {**good, **changes}.items() if value is not None}


def sign(body: object, *, by: str = "first", header: Mapping[str, Any] | None = None, seal: Seal | None = None) -> str:
    """A token with these claims, made without the library that verifies it, so that it can be wrong in any way.

    :param by: id of the key that signs
    :param header: what is different in it; None leaves a name out
    :param seal: makes the signature, in place of RS256
    """
    head = {"alg": "RS256", "kid": by, **(header or {})}
    parts = [{name: value for name, value in head.items() if value is not None}, body]
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{encoded((seal or rsa(by))(signed.encode()))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rsa(kid: str, digest: hashes.HashAlgorithm | None = None) -> Seal:
    """Sign with an RSA key; by SHA-256 unless told otherwise."""
    private = key(kid).private_key
    assert private is not None
    return lambda data: private.sign(data, padding.PKCS1v15(), digest or hashes.SHA256())


def hmac_of_public_key(data: bytes) -> bytes:
    """Sign as who takes the pool's public key, which anybody has, for a secret."""
    return hmac.digest(key("first").as_pem(private=False), data, "sha256")


def bearer(use: str = "id", **changes: Any) -> str:
    """The value of the header ``Authorization`` with a good token, with changes."""
    return f"Bearer {sign(claims(use, **changes))}"


@dataclass
class UserPool:
    """What serves the keys.

    :ivar url: of the key set, while it serves
    :ivar kids: ids of the keys that are served
    :ivar answer: what is answered instead of the keys, if anything
    :ivar asked: how often the keys were asked for
    """

    url: str = ""
    kids: list[str] = field(default_factory=lambda: ["first"])
    answer: Answer | None = None
    asked: int = 0

    async def _serve(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.answer is not None:
            return await self.answer()
        return web.Response(body=key_set(*self.kids))

    async def _serve_elsewhere(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=key_set("elsewhere"))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["UserPool"]:
        """Serve the keys on a free port."""
        app = web.Application()
        app.router.add_get("/.well-known/jwks.json", self._serve)
        app.router.add_get("/elsewhere", self._serve_elsewhere)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/.well-known/jwks.json"
        try:
            yield self
        finally:
            await runner.cleanup()


def key_set(*kids: str) -> bytes:
    """The document with these keys."""
    return json.dumps({"keys": [key(kid).as_dict(private=False) for kid in kids]}).encode()


async def answered(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """An answer with this status and body."""
    return web.Response(status=status, body=body, headers=headers)


async def never() -> web.StreamResponse:
    """No answer."""
    await asyncio.Event().wait()
    raise AssertionError
