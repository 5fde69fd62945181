"""One document by its id."""

from dataclasses import dataclass

import msgspec
from starlette.convertors import StringConvertor
from starlette.requests import Request

from search_api.cache.key import cache_key
from search_api.caller import Scope
from search_api.deadline import Deadline
from search_api.query.answer import get_answer
from search_api.query.build import get_body
from search_api.query.parse import parse_id
from search_api.query.searchable import Searchable
from search_api.responses import Ready
from search_api.routes.bodies import refuse_parameters
from search_api.service import Service


class AnyText(StringConvertor):
    """A part of a path that is an id: it may have slashes and line breaks."""

    regex = r"[\s\S]*"


@dataclass(frozen=True)
class One:
    """One caller's wish for the document with an id."""

    searchable: Searchable
    id: str
    scope: Scope

    def key(self, index: str) -> str:
        """Return the key of the answer of an index."""
        return cache_key(self.scope, self.searchable.version, index, msgspec.json.encode(("document", self.id)))

    async def make(self, service: Service, index: str, deadline: Deadline) -> bytes:
        """Return the response's body from an index."""
        body = get_body(self.searchable, self.id, self.scope)
        return get_answer(await service.ask(index, body, self.scope, deadline))


class Documents:
    """``GET /v1/{entity}/{id}``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: Request) -> Ready:
        """Answer with a document."""
        service = self._service
        exchange, searchable, caller = await service.admit(request, "document")
        refuse_parameters(request)
        asked = One(searchable, parse_id(request.path_params["id"]), caller.scope)
        return await service.answer(
            exchange,
            asked.key,
            index=lambda: service.live.of(searchable.name),
            make=lambda index: asked.make(service, index, exchange.deadline),
        )
