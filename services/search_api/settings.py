"""What the service is told by its environment, checked before it starts."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from search_api.agent.models import Guardrail, Model
from search_api.engine.target import Target
from searchsync.errors import SearchSyncError

PREFIX = "SEARCH_API_"

FORBIDDEN_IN_PRODUCTION = (
    "SKIP_AUTH",
    "DYNAMODB_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
)
"""Variables of development. A production service that finds one was given the wrong environment, and does not start."""

_SHORTEST_KEY = 32


class BadSettings(Exception):
    """The environment does not describe a service that may start; the message says each reason."""


@dataclass(frozen=True)
class Settings:
    """What the service is told. Each field but one is a variable: ``SEARCH_API_`` and its name in capitals.

    :ivar opensearch: the cluster and the login for it; its variables are those of the library (``SEARCHSYNC_``)
    :ivar environment: ``production`` unless told otherwise
    :ivar host: address that the server listens on
    :ivar workers: processes that serve
    :ivar redis_url: address of the cache, of the counters of limits, and of what is searched often
    :ivar issuer: who must have issued a token: the address of the user pool
    :ivar audience: client ids of the applications whose tokens are accepted
    :ivar jwks_url: where the issuer's keys are, when not at the issuer's own address: for the emulator alone
    :ivar cognito_url: address of an emulated user pool, which issues development tokens; empty in production
    :ivar cursor_keys: keys that seal cursors; the first one seals, all of them open
    :ivar allowed_origins: web origins whose pages may call the service
    :ivar address_header: header that a gateway overwrites with the caller's address; empty when none does
    :ivar trusted_proxies: how many proxies before the service add the caller's address to ``X-Forwarded-For``
    :ivar tenant_requests_a_minute: limit of a tenant
    :ivar address_requests_a_minute: limit of an address
    :ivar agent_model: the model that answers questions in words; None when there is no agent
    :ivar agent_guardrail: the guardrail that each call of the model names
    :ivar agent_url: address of a stand-in for Bedrock; empty in production
    :ivar otlp_endpoint: where traces are sent; empty when they are not
    :ivar trace_ratio: part of the requests of which a trace is kept, when the caller does not decide
    """

    opensearch: Target
    environment: Literal["production", "development"] = "production"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    redis_url: str = field(default="", repr=False)
    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks_url: str = ""
    cognito_url: str = ""
    cursor_keys: tuple[bytes, ...] = field(default=(), repr=False)
    allowed_origins: tuple[str, ...] = ()
    address_header: str = ""
    trusted_proxies: int = 0
    tenant_requests_a_minute: int = 6_000
    address_requests_a_minute: int = 1_200
    agent_model: Model | None = None
    agent_guardrail: Guardrail | None = None
    agent_url: str = ""
    otlp_endpoint: str = ""
    trace_ratio: float = 0.1
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def in_development(self) -> bool:
        """Whether emulators may stand in for the real services."""
        return self.environment == "development"

    @property
    def keys_url(self) -> str:
        """Where the issuer's keys are."""
        return self.jwks_url or f"{self.issuer}/.well-known/jwks.json"

    @classmethod
    def from_environment(cls) -> "Settings":
        """Return the settings of the environment. Raise BadSettings if one is unknown, missing, wrong or forbidden."""
        given = {
            name.removeprefix(PREFIX).lower(): text for name, text in os.environ.items() if name.startswith(PREFIX)
        }
        reasons = [f"{PREFIX}{name.upper()} is no setting" for name in sorted(given.keys() - _READERS.keys())]
        values: dict[str, object] = {}
        for name in sorted(given.keys() & _READERS.keys()):
            try:
                values[name] = _READERS[name](given[name].strip())
            except ValueError as error:
                reasons.append(f"{PREFIX}{name.upper()}: {error}")
        if reasons:
            raise BadSettings("; ".join(reasons))
        try:
            settings = cls(**values, opensearch=Target.from_environment())  # type: ignore[arg-type]  # as read
        except SearchSyncError as error:
            raise BadSettings(str(error)) from error
        if reasons := [*settings._missing(), *settings._unsafe()]:
            raise BadSettings("; ".join(reasons))
        return settings

    def _missing(self) -> list[str]:
        needed = ("redis_url", "issuer", "audience", "cursor_keys")
        missing = [f"{PREFIX}{name.upper()} is not set" for name in needed if not getattr(self, name)]
        if self.agent_model and not self.agent_guardrail:
            missing.append(f"{PREFIX}AGENT_GUARDRAIL is not set: no model is asked without a guardrail")
        if not self.agent_model and (self.agent_guardrail or self.agent_url):
            missing.append(f"{PREFIX}AGENT_MODEL is not set, and other settings of the agent are")
        if self.agent_model and not self.agent_url:
            region = os.environ.get("AWS_DEFAULT_REGION", "")
            why = self.agent_model.why_not_from(region) if region else "AWS_DEFAULT_REGION is not set"
            missing += [f"{PREFIX}AGENT_MODEL: {why}"] if why else []
        return missing

    def _unsafe(self) -> list[str]:
        """Return what a production service must not be told; nothing in development."""
        if self.in_development:
            return []
        forbidden = [name for name in FORBIDDEN_IN_PRODUCTION if name in os.environ]
        reasons = [f"{name} is set: it is for development alone" for name in forbidden]
        emulators = [name for name in ("agent_url", "cognito_url", "jwks_url") if getattr(self, name)]
        reasons += [f"{PREFIX}{name.upper()} is set: only an emulator or a stand-in needs it" for name in emulators]
        if not (self.opensearch.signer or self.opensearch.user):
            reasons.append("neither SEARCHSYNC_OPENSEARCH_AWS_SERVICE nor SEARCHSYNC_OPENSEARCH_USER is set")
        remote = [
            ("SEARCHSYNC_OPENSEARCH_URL", self.opensearch.url, "https"),
            ("SEARCH_API_REDIS_URL", self.redis_url, "rediss"),
            ("SEARCH_API_ISSUER", self.issuer, "https"),
            *(("SEARCH_API_ALLOWED_ORIGINS", origin, "https") for origin in self.allowed_origins),
        ]
        whys = [(name, _why_not_remote(url, scheme)) for name, url, scheme in remote]
        return [*reasons, *(f"{name} {why}" for name, why in whys if why)]


def _why_not_remote(url: str, scheme: str) -> str:
    """Return why an address is no production address; empty when it is one. The answer does not repeat the address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != scheme:
        return f"must begin with {scheme}://"
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = "." not in host or host.endswith(".localhost") or host == "host.docker.internal"
    return "is an emulator's or this machine's own address" if local else ""


def _text(text: str) -> str:
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if parts.password and "redis" not in schemes:
            raise ValueError("must not hold a password: it has a variable of its own")
        return text.rstrip("/")

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ValueError("must be the name of a header: letters, digits and hyphens")
    return text.lower()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _keys(text: str) -> tuple[bytes, ...]:
    try:
        keys = tuple(bytes.fromhex(word) for word in _words(text))
    except ValueError:
        keys = ()
    if not keys or any(len(key) < _SHORTEST_KEY for key in keys):
        raise ValueError(
            f"must be keys of at least {_SHORTEST_KEY} bytes in hexadecimal digits, with commas between them"
        )
    return keys


_READERS: Mapping[str, Callable[[str], object]] = {
    "environment": _one_of("production", "development"),
    "host": _text,
    "port": _whole(1, 65_535),
    "workers": _whole(1, 64),
    "redis_url": _url("redis", "rediss"),
    "issuer": _url("http", "https"),
    "audience": _words,
    "jwks_url": _url("http", "https"),
    "cognito_url": _url("http", "https"),
    "cursor_keys": _keys,
    "allowed_origins": _words,
    "address_header": _header,
    "trusted_proxies": _whole(0, 10),
    "tenant_requests_a_minute": _whole(1, 10_000_000),
    "address_requests_a_minute": _whole(1, 10_000_000),
    "agent_model": Model.of,
    "agent_guardrail": Guardrail.of,
    "agent_url": _url("http", "https"),
    "otlp_endpoint": _url("http", "https"),
    "trace_ratio": _ratio,
    "log_level": _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
}
