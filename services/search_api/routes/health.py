"""Whether the service lives, whether it can answer, and its metrics."""

import asyncio
import ipaddress
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request

from search_api import responses
from search_api.exchange import Exchange
from search_api.problems import Problem
from search_api.responses import Ready
from search_api.service import Service

CHECK_SECONDS = 1.0
"""Seconds after which a dependency that has not answered counts as away."""

_PROMETHEUS = CONTENT_TYPE_PLAIN_0_0_4.encode()
Check = Callable[[], Awaitable[bool]]


OLDEST_SECONDS = 5.0
"""Seconds after which an OpenSearch that has not said where the aliases are counts as away."""


@dataclass(frozen=True)
class Dependency:
    """What the service needs.

    :ivar check: says whether it answers
    :ivar required: whether nothing can be answered without it; else the service is only degraded
    """

    check: Check
    required: bool


def dependencies(service: Service) -> dict[str, Dependency]:
    """Return what a service needs, by name.

    It can answer from the moment at which it knows where to search, and whom to trust. When OpenSearch goes away
    afterwards, it goes on with kept answers: a balancer that took it out would take those away, too.
    """

    async def indexes() -> bool:
        return math.isfinite(service.live.age)

    async def opensearch() -> bool:
        return service.live.age < OLDEST_SECONDS  # it is asked each second; no caller can make it be asked more often

    async def keys() -> bool:
        return service.keys.ready

    async def redis() -> bool:
        return await service.redis.call("PING") is not None

    return {
        "indexes": Dependency(indexes, required=True),
        "keys": Dependency(keys, required=True),
        "opensearch": Dependency(opensearch, required=False),
        "redis": Dependency(redis, required=False),
    }


async def health(request: Request) -> Ready:
    """Say that the process lives; a load balancer that hears nothing replaces it. It asks nobody else."""
    Exchange.of(request.scope).route = "health"
    return Ready(200, [(b"content-type", b"application/json"), (b"cache-control", b"no-store")], b'{"status":"ok"}')


class Readiness:
    """Whether the service can answer: it asks each dependency.

    :param dependencies: what it needs, by name
    """

    def __init__(self, dependencies: Mapping[str, Dependency]) -> None:
        self._dependencies = dependencies

    async def get(self, request: Request) -> Ready:
        """Answer 200 when all that is required answers, 503 otherwise, with the state of each dependency."""
        exchange = Exchange.of(request.scope)
        exchange.route = "ready"
        found = await asyncio.gather(*(_answers(dependency.check) for dependency in self._dependencies.values()))
        states = dict(zip(self._dependencies, found, strict=True))
        missing = [name for name, answers in states.items() if not answers]
        needed = [name for name in missing if self._dependencies[name].required]
        document = {
            "status": "unavailable" if needed else "degraded" if missing else "ok",
            "dependencies": {name: "ok" if answers else "away" for name, answers in states.items()},
        }
        status = HTTPStatus.SERVICE_UNAVAILABLE if needed else HTTPStatus.OK
        return responses.json(exchange, msgspec.json.encode(document), status=status)


async def _answers(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except Exception:  # noqa: BLE001  # whatever it raises, it does not answer
        return False


async def metrics(request: Request) -> Ready:
    """Answer with the metrics of all workers, to a collector beside the service alone."""
    exchange = Exchange.of(request.scope)
    exchange.route = "metrics"
    if not _beside(request, exchange):
        raise Problem(
            HTTPStatus.NOT_FOUND, "not-found", "There is nothing at this address.", next_step="See /openapi.json."
        )
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return responses.ready(exchange, generate_latest(), _PROMETHEUS)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return responses.ready(exchange, generate_latest(registry), _PROMETHEUS)


def _beside(request: Request, exchange: Exchange) -> bool:
    """Return whether a request comes from this machine, and was not passed on by a proxy on it."""
    if b"x-forwarded-for" in exchange.headers or b"forwarded" in exchange.headers or request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
