"""Which OpenSearch is asked, and who asks it: the same environment as that of the library's client."""

import asyncio
import base64
import os
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from searchsync import aws
from searchsync.errors import BadConnection, BadParams, SearchSyncError

CREDENTIALS_SECONDS: Final = 60.0
"""Seconds for which AWS' credentials are kept. AWS renews them at least ten minutes before they expire."""


class CannotSign(Exception):
    """AWS gives no credentials now. The cause says why."""


class Signer:
    """Signs requests for a domain of AWS (Signature Version 4).

    :param credentials: botocore's credentials, which renew themselves
    :param region: of the domain
    :param service: ``es``
    """

    def __init__(self, credentials: Any, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._renewal = asyncio.Lock()
        self._signature: SigV4Auth | None = None
        self._end = 0.0

    async def headers(self, method: str, url: str, body: bytes | None) -> dict[str, str]:
        """Return the headers that sign exactly this request.

        :param url: as it is sent, percent-encoded
        :raises CannotSign: when AWS gives no credentials any more
        """
        try:
            signature = await self._current()
        except (BotoCoreError, ClientError, RuntimeError) as error:  # botocore has no one error for this
            raise CannotSign from error
        request = AWSRequest(method=method, url=url, data=body)
        request.headers["X-Amz-Content-SHA256"] = signature.payload(request)
        signature.add_auth(request)
        return dict(request.headers.items())

    async def _current(self) -> SigV4Auth:
        async with self._renewal:
            if self._signature is None or time.monotonic() >= self._end:
                # In a thread, because this may ask AWS over the network, and what is not signed must not wait for it.
                frozen = await asyncio.to_thread(self._credentials.get_frozen_credentials)
                self._signature = SigV4Auth(frozen, self._service, self._region)
                self._end = time.monotonic() + CREDENTIALS_SECONDS
            return self._signature


@dataclass(frozen=True)
class Target:
    """An OpenSearch, and the login for it.

    :ivar url: ``http(s)://host:port``, without credentials
    :ivar user: name of the user; empty for none
    :ivar password: of the user
    :ivar signer: signs each request instead; None when the domain is not one of AWS
    :ivar ca_certs: file with the certificates to trust; None for the system's certificates
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    signer: Signer | None = field(default=None, repr=False)
    ca_certs: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        whole = parts.path in ("", "/") and not parts.query and not parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not whole:
            raise BadParams("SEARCHSYNC_OPENSEARCH_URL must be http(s)://host:port, without credentials and path")

    @classmethod
    def from_environment(cls) -> "Target":
        """Return the target that ``SEARCHSYNC_OPENSEARCH_URL`` and the variables beside it name.

        :raises BadParams: when the URL is not set, or is none
        :raises BadConnection: when requests are to be signed, and AWS gives no credentials, or no region
        """
        service = os.environ.get("SEARCHSYNC_OPENSEARCH_AWS_SERVICE")
        user = "" if service else os.environ.get("SEARCHSYNC_OPENSEARCH_USER", "")
        return cls(
            url=os.environ.get("SEARCHSYNC_OPENSEARCH_URL", ""),
            user=user,
            password=os.environ.get("SEARCHSYNC_OPENSEARCH_PASSWORD", "") if user else "",
            signer=_signer(service) if service else None,
            ca_certs=os.environ.get("SEARCHSYNC_OPENSEARCH_CA_CERTS") or None,
        )

    @property
    def login(self) -> dict[str, str]:
        """The headers with user and password."""
        if not self.user:
            return {}
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def tls(self) -> ssl.SSLContext:
        """Return what checks the certificate of the server, and its name."""
        return ssl.create_default_context(cafile=self.ca_certs)


def _signer(service: str) -> Signer:
    if service == "aoss":
        raise BadParams("OpenSearch Serverless (aoss) cannot be used. Use a managed domain (service es)")
    with aws.errors("OpenSearch's signature", SearchSyncError):
        session = botocore.session.get_session()
        credentials, region = session.get_credentials(), session.get_config_variable("region")
    for there, name in ((credentials, "credentials"), (region, "region")):
        if not there:
            raise BadConnection(f"OpenSearch's requests cannot be signed: AWS has no {name} here. {aws.HOW_TO_SET_UP}")
    return Signer(credentials, region, service)
