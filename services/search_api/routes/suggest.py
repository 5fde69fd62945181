"""Suggestions: names that begin with what somebody has typed so far."""

from functools import partial

import msgspec
from starlette.requests import Request

from search_api.cache.key import cache_key
from search_api.query.answer import suggest_answer
from search_api.query.build import suggest_body
from search_api.query.parse import pairs_of, parse_suggest
from search_api.responses import Ready
from search_api.service import Service


class Suggest:
    """``GET /v1/{entity}/suggest``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: Request) -> Ready:
        """Answer with suggestions."""
        service = self._service
        exchange, searchable, caller = await service.admit(request, "suggest")
        asked = parse_suggest(searchable, pairs_of(request.scope["query_string"]))

        async def make(index: str) -> bytes:
            body = suggest_body(searchable, asked.q, caller.scope, asked.limit)
            return suggest_answer(await service.ask(index, body, caller.scope, exchange.deadline))

        canonical = msgspec.json.encode(("suggest", asked.q, asked.limit))
        key = partial(cache_key, caller.scope, searchable.version, canonical=canonical)
        return await service.answer(exchange, key, index=lambda: service.live.of(searchable.name), make=make)
