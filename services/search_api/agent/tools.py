"""The tools that the model may use: the API's own search and get, of each entity. They read, and nothing else.

What the model asks goes through the same parsing as what a caller asks, and the query gets its tenant from the scope of
the verified token. No parameter names a tenant's documents, so nothing that a model says can reach those of another.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from search_api.agent.checks import MOST_DOCUMENTS, MOST_STATEMENTS
from search_api.agent.evidence import DocumentId, Evidence, Found, Searched, Seen
from search_api.agent.turn import Call
from search_api.caller import Scope
from search_api.deadline import Deadline
from search_api.edge import DEADLINE_SECONDS
from search_api.problems import Problem
from search_api.query import openapi
from search_api.query.parse import parse_id, parse_json
from search_api.query.searchable import Searchable
from search_api.routes.documents import One
from search_api.routes.search import Question
from search_api.service import Service

JSON = dict[str, Any]

ANSWER: Final = "answer"
"""Name of the tool by which the model answers. It is no tool of ours: its input is the answer."""

MOST_HITS: Final = 10
"""Documents that a search returns."""

DEFAULT_HITS: Final = 5

LONGEST_TEXT: Final = 300
"""Characters of a value that the model sees."""

LONGEST_LIST: Final = 10
"""Values of a list that the model sees."""

MOST_BYTES: Final = 20_000
"""Bytes of documents that one call shows to the model: what a guardrail assesses at once."""

_NOT_FOR_MODELS: Final = ("cursor", "facets", "fields", "highlight")


def names_of(specifications: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of tools and of their parameters, those within others, too."""
    for tool in specifications:
        yield tool["toolSpec"]["name"]
        yield from _properties(tool["toolSpec"]["inputSchema"]["json"])


def _properties(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from _properties(inner)


@dataclass(frozen=True)
class Result:
    """What a tool gave.

    :ivar told: to the model, beside the documents
    :ivar seen: the documents
    :ivar searched: the search that was made, if it was one
    :ivar problem: code of what went wrong; empty when nothing did
    """

    told: JSON
    seen: tuple[Seen, ...] = ()
    searched: Searched | None = None
    problem: str = ""

    @property
    def content(self) -> JSON:
        """What the model gets. What was found is marked as what it is: data, whatever it says."""
        return self.told if self.problem else {"untrusted_data": {**self.told, "documents": [*self.shown]}}

    @property
    def shown(self) -> list[Mapping[str, Any]]:
        """The documents as the model reads them."""
        return [one.shown for one in self.seen]

    @property
    def found(self) -> int | None:
        """Number of documents that match; None when it failed."""
        if self.problem:
            return None
        return self.searched.total if self.searched else len(self.seen)


class BadCall(Exception):
    """The model asks for something that there is not. The text is for the model."""


def specifications(entities: Iterable[Searchable]) -> list[JSON]:
    """Return the tools as Converse takes them."""
    made = []
    for one in entities:
        made.append(_tool(f"search_{one.name}", f"Search {one.name}. It returns documents with their ids.", _asks(one)))
        key = {"type": "string", "description": "The id of a document, as a search returned it."}
        made.append(_tool(f"get_{one.name}", f"One document of {one.name} by its id.", _object({"id": key}, "id")))
    return [*made, _tool(ANSWER, "Answer the question. This ends the conversation.", _answer_schema())]


class Tools:
    """The tools of one question.

    :param scope: of the verified token: whose documents are found
    :ivar evidence: what the model was shown so far
    """

    def __init__(self, service: Service, scope: Scope) -> None:
        self._service = service
        self._scope = scope
        self.evidence = Evidence()

    async def use(self, call: Call, deadline: Deadline) -> Result:
        """Return what a tool gives. What goes wrong is told to the model, which may ask otherwise.

        :param deadline: of the question; one call has the time of one request at most
        """
        own = Deadline(max(0.0, min(DEADLINE_SECONDS, deadline.remaining)))
        try:
            kind, searchable = self._tool(call)
            if kind == "search":
                return await self._search(searchable, call.input or {}, own)
            return await self._get(searchable, call.input or {}, own)
        except BadCall as error:
            return Result({"error": str(error)}, problem="bad-call")
        except Problem as problem:
            return Result({"error": f"{problem.detail} {problem.next_step}"}, problem=problem.code)

    def _tool(self, call: Call) -> tuple[str, Searchable]:
        kind, _, name = call.name.partition("_")
        searchable = self._service.entities.get(name)
        if searchable is None or kind not in ("search", "get"):
            raise BadCall("There is no such tool.")
        if call.input is None:
            raise BadCall("The input is no JSON object.")
        return kind, searchable

    async def _search(self, searchable: Searchable, asked: Mapping[str, Any], deadline: Deadline) -> Result:
        if refused := [name for name in _NOT_FOR_MODELS if name in asked]:
            raise BadCall(f"There is no parameter {refused[0]}.")
        request = parse_json(searchable, {"limit": DEFAULT_HITS, **asked})
        if request.limit > MOST_HITS:
            raise BadCall(f"limit is at most {MOST_HITS}.")
        question, service = Question(searchable, request, self._scope), self._service
        cached = await service.found(
            question.key,
            index=lambda: question.index(service.live),
            make=lambda index: question.make(service, index, deadline),
            deadline=deadline,
        )
        body = msgspec.json.decode(cached.body)
        total = body["total"]["value"]
        exact = body["total"]["relation"] == "eq"
        searched = Searched(searchable.name, asked, total, exact)
        told = {"search": len(self.evidence.searches) + 1, "total": total, "total_is_exact": exact}
        return Result(told, tuple(_that_fit(searchable, body["hits"])), searched)

    async def _get(self, searchable: Searchable, asked: Mapping[str, Any], deadline: Deadline) -> Result:
        match asked:
            case {"id": str(key)} if len(asked) == 1:
                one, service = One(searchable, parse_id(key), self._scope), self._service
            case _:
                raise BadCall("The input needs the text id, and nothing else.")
        cached = await service.found(
            one.key,
            index=lambda: service.live.of(searchable.name),
            make=lambda index: one.make(service, index, deadline),
            deadline=deadline,
        )
        seen = tuple(_that_fit(searchable, [msgspec.json.decode(cached.body)]))
        if not seen:
            raise BadCall("The document is too large to be shown.")
        return Result({}, seen)


def _that_fit(searchable: Searchable, hits: Iterable[Mapping[str, Any]]) -> Iterator[Seen]:
    """Yield the first documents, as many as the model reads at once."""
    left = MOST_BYTES
    for hit in hits:
        one = _seen(searchable, hit)
        left -= len(msgspec.json.encode(one.shown))
        if left < 0:
            return
        yield one


def _seen(searchable: Searchable, hit: Mapping[str, Any]) -> Seen:
    values: JSON = _clipped(hit["document"])
    key = DocumentId(searchable.name, hit["id"])
    named = [values.get(name) for name in (*searchable.text.names, *searchable.text.other_names)]
    names = [text for value in named for text in (value if isinstance(value, list) else [value])]
    kept = tuple(name for name in names if isinstance(name, str) and name.strip())
    return Seen(key, Found(kept or (key.id,), values), {"entity": key.entity, "id": key.id, "document": values})


def _clipped(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, list):
        return [_clipped(one) for one in value[:LONGEST_LIST]]
    if isinstance(value, dict):
        return {name: _clipped(one) for name, one in value.items()}
    return value


def _asks(searchable: Searchable) -> JSON:
    """Return what a search takes: what the API's own description says, without what is for programs."""
    schema: JSON = openapi.body(searchable)["schema"]
    properties = {name: one for name, one in schema["properties"].items() if name not in _NOT_FOR_MODELS}
    properties["limit"] = {**properties["limit"], "maximum": MOST_HITS, "default": DEFAULT_HITS}
    return {**schema, "properties": properties}


def _answer_schema() -> JSON:
    cited = _object({"entity": {"type": "string"}, "id": {"type": "string"}}, "entity", "id")
    statement = _object(
        {
            "text": {"type": "string", "description": "One sentence. It names each document that it cites."},
            "documents": {"type": "array", "items": cited, "maxItems": MOST_DOCUMENTS},
            "search": {"type": "integer", "description": "In place of text and documents: the number of a search."},
        }
    )
    return _object({"statements": {"type": "array", "items": statement, "maxItems": MOST_STATEMENTS}}, "statements")


def _object(properties: JSON, *required: str) -> JSON:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _tool(name: str, description: str, schema: JSON) -> JSON:
    return {"toolSpec": {"name": name, "description": description, "inputSchema": {"json": schema}}}
