"""What the service is made of, wired once, and the way that each question takes through it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Final, Never
from urllib.parse import quote

import msgspec
from starlette.requests import Request

from search_api import responses, telemetry
from search_api.agent.bedrock import Bedrock
from search_api.auth.keys import Keys
from search_api.auth.tokens import Verifier
from search_api.cache.answers import Answers, Cached, Lifetimes
from search_api.cache.connection import Connection
from search_api.cache.popular import Popular
from search_api.cache.store import Store
from search_api.caller import Caller, Scope
from search_api.deadline import Deadline
from search_api.engine.client import AT_ONCE, WAITING, Engine, EngineUnavailable
from search_api.engine.live_index import LiveIndexes
from search_api.engine.shares import Shares
from search_api.exchange import Exchange, address
from search_api.limits import Limits
from search_api.problems import Problem
from search_api.query.cursor import Cursors
from search_api.query.searchable import NotServed, Searchable
from search_api.responses import Ready
from search_api.settings import Settings
from searchsync.catalog import CATALOG, Entity

Key = Callable[[str], str]
Make = Callable[[str], Awaitable[bytes]]

AGAIN_SECONDS: Final = 1.0
"""Seconds after which work in the background begins again when it failed."""


class IndexGone(Exception):
    """An index was deleted since it was last seen as live."""


class Service:
    """The parts of the service. Its connections are open while ``running``.

    :ivar entities: what may be asked of each entity that is served, by name
    :ivar bedrock: the model of the agent; None when no agent is configured
    """

    def __init__(self, settings: Settings) -> None:
        served = list(_served())
        self.entities = {searchable.name: searchable for _, searchable in served}
        self.engine = Engine(settings.opensearch)
        self._shares = Shares((AT_ONCE + WAITING) // 2)
        self.live = LiveIndexes(self.engine, [entity for entity, _ in served])
        self.redis = Connection(settings.redis_url)
        lifetimes = Lifetimes()
        self.answers = Answers(Store(self.redis, lifetimes.kept), lifetimes)
        self.popular = Popular(self.redis)
        self.cursors = Cursors(settings.cursor_keys)
        self.keys = Keys(settings.keys_url)
        self.verifier = Verifier(self.keys, issuer=settings.issuer, audience=settings.audience)
        self.limits = Limits(
            self.redis, tenant=settings.tenant_requests_a_minute, address=settings.address_requests_a_minute
        )
        self.bedrock = (
            Bedrock(settings.agent_model, settings.agent_guardrail, settings.agent_url)
            if settings.agent_model and settings.agent_guardrail
            else None
        )
        self._trusted_proxies, self._address_header = settings.trusted_proxies, settings.address_header

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the connections open, and what is known up to date, while the block runs."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.redis.close)
            await stack.enter_async_context(self.engine)
            await stack.enter_async_context(self.keys)
            for work in (self.keys.run, self.live.run, self.popular.run):
                stack.push_async_callback(_end, asyncio.create_task(keep_up(work)))
            if self.bedrock:
                stack.callback(self.bedrock.close)
            yield
            await self.popular.flush()

    async def authenticate(self, request: Request, kind: str) -> tuple[Exchange, Caller]:
        """Return who asks.

        :param kind: what is asked, for metrics and logs
        :raises Problem: 401 without a token that is accepted, 429 when the caller has asked too often
        """
        exchange = Exchange.of(request.scope)
        exchange.route = kind
        caller_address = address(request.scope, self._trusted_proxies, self._address_header)
        try:
            caller = await self.verifier.verify(exchange.header(b"authorization"))
        except Problem:
            await self.limits.check(None, caller_address)  # whoever tries tokens is slowed down, too
            raise
        exchange.tenant = caller.tenant
        exchange.allowance = await self.limits.check(caller, caller_address)
        return exchange, caller

    async def admit(self, request: Request, kind: str) -> tuple[Exchange, Searchable, Caller]:
        """Return what is asked of which entity, and by whom.

        :raises Problem: as ``authenticate``, and 404 for an entity that is not served
        """
        exchange, caller = await self.authenticate(request, kind)
        name = request.path_params["entity"]
        searchable = self.entities.get(name)
        if searchable is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown-entity",
                "There is no such entity, or it is not served.",
                next_step=f"Ask for one of {', '.join(self.entities)}.",
            )
        exchange.route = f"{name}.{kind}"
        return exchange, searchable, caller

    async def answer(self, exchange: Exchange, key: Key, *, index: Callable[[], str], make: Make) -> Ready:
        """Return a response from the cache, or a new one.

        :param key: names the question in the cache, when it is given the index
        :param index: says which index answers now
        :param make: makes the body of the response from this index
        """

        def named(found: str) -> str:
            name = key(found)
            exchange.query = name[-16:]
            return name

        body, state, age = await self.found(named, index=index, make=make, deadline=exchange.deadline)
        exchange.cache = state
        return responses.json(exchange, body, [(b"x-cache", state.encode()), (b"age", b"%d" % age)])

    async def found(self, key: Key, *, index: Callable[[], str], make: Make, deadline: Deadline) -> Cached:
        """Return an answer from the cache, or a new one; the parameters are those of ``answer``."""

        async def get(current: str) -> Cached:
            return await self.answers.get(key(current), lambda: make(current), deadline)

        try:
            return await get(index())
        except IndexGone:
            await self.live.refresh()
        try:
            return await get(index())
        except IndexGone:
            raise EngineUnavailable("The index was replaced in this moment.") from None

    async def ask(self, index: str, body: bytes, scope: Scope, deadline: Deadline) -> bytes:
        """Return OpenSearch's answer to a query.

        :param scope: whose query it is
        :raises EngineUnavailable: when it has none now
        :raises IndexGone: when the index is not there any more
        :raises Problem: when it refuses the query
        """
        with self._shares.one(scope), telemetry.step("opensearch"):
            status, answer = await self.engine.send("POST", f"/{quote(index)}/_search", body, deadline)
        if status == HTTPStatus.OK:
            return answer
        if status == HTTPStatus.NOT_FOUND:
            raise IndexGone(index)
        telemetry.log.error("opensearch refused a query", status=status, error=_reason(answer))
        if status == HTTPStatus.BAD_REQUEST:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "query-refused",
                "OpenSearch cannot run this query.",
                next_step="Ask for less in one search: fewer words, fewer values.",
            )
        raise EngineUnavailable("OpenSearch refuses this service.")


async def keep_up(work: Callable[[], Awaitable[Never]]) -> Never:
    """Do some work that has no end. Begin it again when an error that nobody thought of ends it: nobody else would."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # whatever it is: without this work, what is known grows old
            telemetry.log.error("work in the background failed, and begins again", error=telemetry.where(error))
        await asyncio.sleep(AGAIN_SECONDS)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _served() -> Iterator[tuple[Entity, Searchable]]:
    for entity in CATALOG.values():
        try:
            yield entity, Searchable.of(entity)
        except NotServed as error:
            telemetry.log.warning("an entity is not served", error=str(error))


class _Cause(msgspec.Struct):
    type: str = ""


class _Refusal(msgspec.Struct):
    error: _Cause | str = ""


def _reason(answer: bytes) -> str:
    """Return the type of OpenSearch's error; its text would repeat the query."""
    try:
        error = msgspec.json.decode(answer, type=_Refusal).error
    except msgspec.DecodeError:
        return "no JSON"
    return error.type if isinstance(error, _Cause) else "unknown"
