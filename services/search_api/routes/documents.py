"""One document by its id."""

from functools import partial

import msgspec
from starlette.convertors import StringConvertor
from starlette.requests import Request

from search_api.cache.key import cache_key
from search_api.query.answer import get_answer
from search_api.query.build import get_body
from search_api.query.parse import parse_id
from search_api.responses import Ready
from search_api.routes.bodies import refuse_parameters
from search_api.service import Service


class AnyText(StringConvertor):
    """A part of a path that is an id: it may have slashes and line breaks."""

    regex = r"[\s\S]*"


class Documents:
    """``GET /v1/{entity}/{id}``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: Request) -> Ready:
        """Answer with a document."""
        service = self._service
        exchange, searchable, caller = await service.admit(request, "document")
        refuse_parameters(request)
        key = parse_id(request.path_params["id"])
        body = get_body(searchable, key, caller.scope)

        async def make(index: str) -> bytes:
            return get_answer(await service.ask(index, body, caller.scope, exchange.deadline))

        canonical = msgspec.json.encode(("document", key))
        named = partial(cache_key, caller.scope, searchable.version, canonical=canonical)
        return await service.answer(exchange, named, index=lambda: service.live.of(searchable.name), make=make)
