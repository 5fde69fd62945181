"""Searching: by parameters of the address, or by the same names in a JSON document."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from starlette.requests import Request

from search_api.cache.key import cache_key
from search_api.caller import Scope
from search_api.deadline import Deadline
from search_api.engine.live_index import LiveIndexes
from search_api.exchange import Exchange
from search_api.query.answer import is_nothing, search_answer
from search_api.query.build import canonical, search_body
from search_api.query.cursor import DISCOURAGED_PAGE, Cursor, Page
from search_api.query.parse import pairs_of, parse, parse_json
from search_api.query.request import RELEVANCE, SearchRequest
from search_api.query.searchable import Searchable
from search_api.responses import Ready
from search_api.routes.bodies import read_json, refuse_parameters
from search_api.service import Service

UNDERSTOOD = 1_000
"""Addresses whose meaning is remembered: what is asked often is not read again each time."""


@dataclass(frozen=True)
class Question:
    """One search of one caller.

    :ivar cursor: where its page begins; None for the first
    """

    searchable: Searchable
    asked: SearchRequest
    scope: Scope
    cursor: Cursor | None = None

    @cached_property
    def canonical(self) -> bytes:
        """Its one form."""
        return canonical(self.asked, self.cursor)

    def key(self, index: str) -> str:
        """Return the key of the answer of an index."""
        return cache_key(self.scope, self.searchable.version, index, self.canonical)

    def index(self, live: LiveIndexes) -> str:
        """Return the index that answers it: the live one, or the one that its first page came from.

        An index that was live before gets every write while it is in the write set, so its pages go on as they began.
        When it is gone, the values of the last hit name the same place in the live index.
        """
        current = live.of(self.searchable.name)
        if self.cursor is None or not live.is_written(self.searchable.name, self.cursor.index):
            return current
        return self.cursor.index

    async def make(self, service: Service, index: str, deadline: Deadline) -> bytes:
        """Return the response's body from an index.

        What is only like ``q`` is the end of a list by relevance. In any other order it would stand anywhere, so there
        it is looked for only when nothing else is found on any page.
        """

        async def ask(*, guesses: bool) -> bytes:
            body = search_body(self.searchable, self.asked, self.scope, self.cursor, guesses=guesses)
            return await service.ask(index, body, self.scope, deadline)

        guesses = not self.asked.q or self.asked.sort.by == RELEVANCE
        raw = await ask(guesses=guesses)
        if not guesses and is_nothing(raw):
            raw = await ask(guesses=True)
        return search_answer(self.searchable, Page(self.asked, self.scope, index, self.cursor), raw, service.cursors)


class Search:
    """``GET`` and ``POST /v1/{entity}/search``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._understood = lru_cache(maxsize=UNDERSTOOD)(self._understand)

    def _understand(self, entity: str, query_string: bytes) -> SearchRequest:
        return parse(self._service.entities[entity], pairs_of(query_string))

    async def answer(self, request: Request) -> Ready:
        """Answer the parameters of an address, or a JSON document."""
        exchange, searchable, caller = await self._service.admit(request, "search")
        if request.method == "POST":
            refuse_parameters(request)
            asked = parse_json(searchable, await read_json(request, exchange))
        else:
            asked = self._understood(searchable.name, request.scope["query_string"])
        return await self._answer(exchange, searchable, asked, caller.scope)

    async def _answer(self, exchange: Exchange, searchable: Searchable, asked: SearchRequest, scope: Scope) -> Ready:
        cursor = self._service.cursors.open(asked, scope)
        question = Question(searchable, asked, scope, cursor)
        if cursor is None:
            self._service.popular.count(searchable.name, scope, question.canonical)
        response = await self._service.answer(
            exchange,
            question.key,
            index=lambda: question.index(self._service.live),
            make=lambda index: question.make(self._service, index, exchange.deadline),
        )
        if cursor and cursor.page > DISCOURAGED_PAGE:
            response.headers.append((b"x-discouraged", b"page %d: ask more precisely" % cursor.page))
        return response
