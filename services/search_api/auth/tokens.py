"""Verifies who asks: the one way from a request to a tenant.

A token is a JSON Web Token of the Cognito user pool. Its tenant is the attribute ``custom:tenant_id``, which is set
when the user is made, cannot be changed, and cannot be written by the application's client. Its role is a group of the
pool. An ID token has both. An access token has the group alone, so one is accepted only from a pool whose
pre-token-generation trigger (version 2) adds the claim ``custom:tenant_id``.

A token is good until it expires: nobody asks the pool again. So a user who was removed, disabled or signed out may go
on for that long, which is an hour by Cognito's default, and five minutes at the least; set it on the client. To end all
tokens of an application at once, take its client id out of the accepted ones. A token whose key the pool has withdrawn
is refused when the keys are next fetched (``auth.keys``).
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jws import extract_compact

from search_api.auth.keys import ALGORITHM, Keys
from search_api.auth.roles import RIGHTS, role_of
from search_api.caller import Caller, EveryTenant, OneTenant, Role, Scope
from search_api.problems import Problem

SKEW_SECONDS: Final = 60.0
"""Seconds that the clock of the user pool and ours may differ."""

KEPT_TOKENS: Final = 10_000
"""Verified tokens that are remembered, each some 500 bytes."""

TENANT_CLAIM: Final = "custom:tenant_id"
GROUPS_CLAIM: Final = "cognito:groups"

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.ASCII | re.IGNORECASE)
_CLIENT_CLAIM: Final[Mapping[object, str]] = {"id": "aud", "access": "client_id"}
"""By the use of a token, the claim that names the application it was issued to."""


class Unauthorized(Problem):
    """There is no token, or it is not good. The code says which check it did not pass, and that is all that is said.

    :param code: of the problem
    :param error: of RFC 6750; None when there is no token at all
    """

    def __init__(self, code: str, *, error: str | None = "invalid_token") -> None:
        super().__init__(
            401,
            code,
            "The token is not accepted." if error else "There is no bearer token.",
            next_step="Send the header Authorization: Bearer, with a valid token of the user pool.",
            headers={"WWW-Authenticate": f'Bearer error="{error}"' if error else "Bearer"},
        )


class Forbidden(Problem):
    """The token is good, and gives no right here."""

    def __init__(self, code: str, detail: str, next_step: str) -> None:
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        super().__init__(403, code, detail, next_step=next_step, headers=challenge)


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    kid: str
    end: float


class Verifier:
    """Verifies tokens of one user pool, and remembers those that are good.

    :param keys: of the pool
    :param issuer: address of the pool, as it stands in its tokens
    :param audience: client ids of the applications whose tokens are accepted
    :param clock: seconds since 1970
    """

    def __init__(
        self, keys: Keys, *, issuer: str, audience: Collection[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = frozenset(audience)
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, authorization: str) -> Caller:
        """Return who sent a request.

        :param authorization: value of the header ``Authorization``; empty when there is none
        :raises Unauthorized: 401, when there is no good token
        :raises Forbidden: 403, when the token is good and has no role
        :raises KeysUnavailable: 503, when that cannot be known
        """
        name = sha256(authorization.encode()).digest()  # what is remembered is no token
        known = self._verified.get(name)
        if known is not None:
            if self._clock() < known.end and self._keys.has(known.kid):
                self._verified.move_to_end(name)
                return known.caller
            del self._verified[name]
        verified = await self._verify(authorization)
        self._verified[name] = verified
        if len(self._verified) > KEPT_TOKENS:
            self._verified.popitem(last=False)
        return verified.caller

    async def _verify(self, authorization: str) -> _Verified:
        if not authorization:
            raise Unauthorized("token-missing", error=None)
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise Unauthorized("token-malformed", error="invalid_request")
        kid, claims = await self._signed(match[1])
        end = self._valid_until(claims)
        self._require_issued_for_us(claims)
        return _Verified(_caller(claims), kid, end)

    async def _signed(self, token: str) -> tuple[str, Mapping[str, Any]]:
        """Return the id of the key that signed a token, and its claims."""
        try:
            header = extract_compact(token.encode()).headers()
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthorized("token-malformed") from error
        if header.get("alg") != ALGORITHM:
            raise Unauthorized("token-algorithm")
        kid = header.get("kid")
        key = await self._keys.of(kid) if isinstance(kid, str) else None
        if not isinstance(kid, str) or key is None:
            raise Unauthorized("token-key-unknown")
        try:
            return kid, jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except BadSignatureError as error:
            raise Unauthorized("token-signature") from error
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthorized("token-malformed") from error

    def _valid_until(self, claims: Mapping[str, Any]) -> float:
        """Return when a token ends, by our clock."""
        now = self._clock()
        end = _seconds(claims, "exp") + SKEW_SECONDS
        if now >= end:
            raise Unauthorized("token-expired")
        begin = max(_seconds(claims, "iat"), _seconds(claims, "nbf") if "nbf" in claims else 0.0)
        if now < begin - SKEW_SECONDS:
            raise Unauthorized("token-not-yet-valid")
        return end

    def _require_issued_for_us(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self._issuer:
            raise Unauthorized("token-issuer")
        use = claims.get("token_use")
        client = _CLIENT_CLAIM.get(use) if isinstance(use, str) else None
        if client is None:
            raise Unauthorized("token-use")
        audience = claims.get(client)
        if not isinstance(audience, str) or audience not in self._audience:
            raise Unauthorized("token-audience")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise Unauthorized("token-claims")
    return float(value)


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise Unauthorized("token-claims")
    role = role_of(claims.get(GROUPS_CLAIM))
    if role is None:
        raise Forbidden(
            "role-unknown",
            "The token's groups name no role, or more than one.",
            f"Have the user put into one of the groups {', '.join(Role)}, then take a new token.",
        )
    return Caller(subject, role, _scope(role, claims))


def _scope(role: Role, claims: Mapping[str, Any]) -> Scope:
    if RIGHTS[role].every_tenant:
        return EveryTenant()
    tenant = claims.get(TENANT_CLAIM)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise Unauthorized("token-tenant")
    return OneTenant(tenant)
