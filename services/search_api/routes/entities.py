"""What can be asked of each entity: for programs that offer it to people, as the page does."""

from typing import Any

import msgspec
from starlette.requests import Request

from search_api import responses
from search_api.query.searchable import Searchable
from search_api.responses import Ready
from search_api.routes.bodies import refuse_parameters
from search_api.service import Service


class Entities:
    """``GET /v1/entities``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        described = [_described(one) for one in service.entities.values()]
        self._body = msgspec.json.encode({"entities": described, "agent": service.bedrock is not None})

    async def get(self, request: Request) -> Ready:
        """Answer with the entities that are served, and whether there is an agent that can be asked about them."""
        exchange, _ = await self._service.authenticate(request, "entities")
        refuse_parameters(request)
        return responses.json(exchange, self._body)


def _described(searchable: Searchable) -> dict[str, Any]:
    return {
        "name": searchable.name,
        "names": searchable.text.names,
        "fields": searchable.fields,
        "filters": [
            {"parameter": name, "field": one.field.name, "kind": one.field.kind, "bound": one.bound}
            for name, one in searchable.parameters.items()
        ],
        "facets": list(searchable.facets),
        "sorts": list(searchable.sorts),
        "near": searchable.near,
    }
