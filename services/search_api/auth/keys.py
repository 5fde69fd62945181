"""The keys that the user pool signs tokens with: fetched in the background, kept while they cannot be fetched."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Never, Self
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from search_api.http_client import CannotConnectInTime, HttpClient, TooLarge
from search_api.problems import Problem

log = logging.getLogger(__name__)

ALGORITHM: Final = "RS256"
REFRESH_SECONDS: Final = 300.0
"""Seconds after which the keys are fetched again, so that a key that was withdrawn is trusted no longer than this."""

UNKNOWN_SECONDS: Final = 60.0
"""Seconds in which unknown key ids make the keys be fetched once at most: anybody can send a token with such an id."""

RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
FETCH_SECONDS: Final = 3.0
LARGEST_DOCUMENT: Final = 65_536
SMALLEST_KEY_BITS: Final = 2_048


class KeysUnavailable(Problem):
    """It cannot be known whether the token is good. As a response: 503, because 401 would make a caller log in anew."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "keys-unavailable",
            "The keys of the user pool cannot be fetched, so the token cannot be verified.",
            next_step="Send the same request again after 5 s.",
            headers={"Retry-After": "5"},
        )


class _BadDocument(Exception):
    """What was fetched is no set of keys."""


class Keys:
    """The public keys of one user pool. Use it as a context: ``async with Keys(url) as keys``, beside ``keys.run()``.

    :param url: of the pool's JSON Web Key Set
    :param clock: seconds that only grow
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._http: HttpClient
        self._keys: dict[str, RSAKey] = {}
        self._fetching: asyncio.Task[bool] | None = None
        self._asked_at = float("-inf")
        self._well = False

    async def __aenter__(self) -> Self:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        self._http = HttpClient(self._url, tls=ssl.create_default_context, headers=headers, largest=LARGEST_DOCUMENT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        self._http.close()

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified: False until the keys were fetched for the first time."""
        return bool(self._keys)

    def has(self, kid: str) -> bool:
        """Return whether a key is one of the pool's, as far as is known now."""
        return kid in self._keys

    async def of(self, kid: str) -> RSAKey | None:
        """Return the key with an id; None when the pool has none.

        For an id that is unknown the keys are fetched, once a minute at most. Only those wait who ask for such an id.

        :raises KeysUnavailable: when the keys were never fetched, or the key may be newer than those that were
        """
        key = self._keys.get(kid)
        if key is not None:
            return key
        if self._fetching is not None or self._clock() >= self._asked_at + UNKNOWN_SECONDS:
            self._asked_at = self._clock()
            await self.fetch()
        if not self._well:
            raise KeysUnavailable
        return self._keys.get(kid)

    async def run(self) -> Never:
        """Fetch the keys now and then, for ever; soon again as long as that fails."""
        failed = 0
        while True:
            failed = 0 if await self.fetch() else failed + 1
            await asyncio.sleep(RETRY_SECONDS[min(failed, len(RETRY_SECONDS)) - 1] if failed else REFRESH_SECONDS)

    async def fetch(self) -> bool:
        """Fetch the keys, or wait for those that do. Return whether that succeeded; the old ones stay if not."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        # Who is cancelled while waiting must not take the fetch from the others.
        return await asyncio.shield(self._fetching)

    def _fetched(self, _: asyncio.Task[bool]) -> None:
        self._fetching = None

    async def _fetch(self) -> bool:
        try:
            found = keys_in(await self._document())
        except (OSError, CannotConnectInTime, _BadDocument) as error:
            if self._well or not self._keys:
                log.warning("the keys of %s are not fetched; those known stay: %s", self._url, _reason(error))
            self._well = False
            return False
        if not self._well or found.keys() != self._keys.keys():
            log.info("the keys of %s are %s", self._url, ", ".join(sorted(found)))
        self._keys, self._well = found, True
        return True

    async def _document(self) -> bytes:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                response = await self._http.ask("GET", urlsplit(self._url)._replace(scheme="", netloc="").geturl(), {})
        except TooLarge as error:
            raise _BadDocument(f"the document has more than {LARGEST_DOCUMENT} bytes") from error
        if response.status != 200:
            raise _BadDocument(f"the answer has status {response.status}")
        return response.body


def keys_in(document: bytes) -> dict[str, RSAKey]:
    """Return the keys of a JSON Web Key Set that tokens may be signed with, by their ids.

    :raises _BadDocument: when there is none, or it is no such document
    """
    try:
        members = json.loads(document)["keys"]
        found = {member["kid"]: _public(member) for member in members if _signs(member)}
    except (ValueError, TypeError, KeyError, RecursionError, JoseError) as error:
        raise _BadDocument(f"the document is no set of keys ({type(error).__name__})") from error
    found = {kid: key for kid, key in found.items() if key.public_key.key_size >= SMALLEST_KEY_BITS}
    if not found:
        raise _BadDocument(f"the document has no RSA key of {SMALLEST_KEY_BITS} bits and more for signatures")
    return found


def _signs(member: object) -> bool:
    return (
        isinstance(member, dict)
        and member.get("kty") == "RSA"
        and member.get("use", "sig") == "sig"
        and member.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(member.get("kid"), str)
    )


def _public(member: dict[str, Any]) -> RSAKey:
    return RSAKey.import_key({"kty": "RSA", "n": member["n"], "e": member["e"]})


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
