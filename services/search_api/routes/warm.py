"""Warming an index that is about to be live, so that the first searchers after the swap find it warm.

With ``compare=true`` the live index is asked the same, and the answer says how alike the two are. Both are asked as a
searcher would ask: with the filters of the tenant who asked, and of what nobody sees.
"""

from dataclasses import asdict
from http import HTTPStatus

import msgspec
from starlette.requests import Request

from search_api import responses
from search_api.auth.roles import RIGHTS
from search_api.auth.tokens import Forbidden
from search_api.cache.comparison import Comparison
from search_api.cache.popular import PopularQuery
from search_api.cache.warming import warm
from search_api.deadline import Deadline
from search_api.problems import Problem
from search_api.query.parse import pairs_of
from search_api.query.request import SearchRequest
from search_api.query.searchable import Searchable
from search_api.responses import Ready
from search_api.routes.bodies import method_not_allowed
from search_api.routes.search import Question
from search_api.service import Service

RESERVE_SECONDS = 0.5
"""Seconds before the deadline at which no more is asked. What is asked most often comes first."""

_read = msgspec.json.Decoder(tuple[SearchRequest, None]).decode


class Warm:
    """``POST /v1/{entity}/warm?index=``, or ``&compare=true``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Ready:
        """Ask an index the most frequent queries of the last day, keep the answers, and say how many there are.

        Where it is asked for, say how alike the live index answers.
        """
        if request.method != "POST":  # else it would be asked for as a document
            raise method_not_allowed(request, ["POST"])
        exchange, searchable, caller = await self._service.admit(request, "warm")
        if not RIGHTS[caller.role].warms:
            raise Forbidden("warming-forbidden", "Your role may not warm indexes.", "Ask as a service account.")
        index, compares = await self._index(searchable, pairs_of(request.scope["query_string"]))
        comparison = Comparison() if compares else None
        deadline = exchange.deadline
        queries = await self._service.popular.most(searchable.name, seconds=deadline.remaining - RESERVE_SECONDS)
        warmed = await warm(
            queries,
            lambda query: self._fill(searchable, index, query, deadline, comparison),
            seconds=deadline.remaining - RESERVE_SECONDS,
        )
        compared = {"compared": comparison.result()} if comparison else {}
        return responses.json(exchange, msgspec.json.encode(asdict(warmed) | compared))

    async def _index(self, searchable: Searchable, pairs: list[tuple[str, str]]) -> tuple[str, bool]:
        """Return the index to warm, and whether to compare it.

        It is one that gets every write of the entity, so that it may be live next.
        """
        given = dict(pairs)
        if sorted(pairs) not in ([("index", given.get("index"))], [("compare", "true"), ("index", given.get("index"))]):
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "bad-parameter",
                "The address must have the parameter index; it may have compare=true, and no other.",
                next_step=f"Send POST /v1/{searchable.name}/warm?index= with the index that is about to be live.",
            )
        index = given["index"]
        await self._service.live.refresh()
        if not self._service.live.is_written(searchable.name, index):
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown-index",
                f"{searchable.name} has no such index that gets its writes.",
                next_step=f"Name an index of the alias {searchable.name}-writers.",
            )
        return index, "compare" in given

    async def _fill(
        self, searchable: Searchable, index: str, query: PopularQuery, deadline: Deadline, comparison: Comparison | None
    ) -> None:
        asked, _ = _read(query.query)
        question = Question(searchable, asked, query.scope)

        async def make() -> bytes:
            if comparison is None:
                return await question.make(self._service, index, deadline)
            live = self._service.live.of(searchable.name)
            return await comparison.ask(
                lambda: question.make(self._service, live, deadline),
                lambda: question.make(self._service, index, deadline),
            )

        await self._service.answers.fill(question.key(index), make)
