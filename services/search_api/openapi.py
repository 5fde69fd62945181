"""The description of the service (OpenAPI 3.1), made of what the entities' files allow. Its examples run."""

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from search_api.agent.budget import Name
from search_api.agent.checks import MEANINGS
from search_api.agent.events import Outcome
from search_api.agent.instructions import MAX_ANSWER, MAX_HISTORY, MAX_QUESTION
from search_api.problems import MEDIA_TYPE
from search_api.query import openapi as parameters
from search_api.query.searchable import Searchable

JSON = dict[str, Any]

_PROBLEMS = {
    "400": "A parameter is unknown, or has a wrong value; the problem names it.",
    "401": "There is no token that is accepted.",
    "403": "The token does not allow this.",
    "404": "There is no such document, entity or index, or no agent.",
    "405": "The address does not answer this method.",
    "410": "The cursor cannot go on.",
    "413": "The body is too large.",
    "414": "The address is too long.",
    "415": "The body is not JSON.",
    "429": "The caller has asked too often; Retry-After says when to ask again.",
    "431": "The headers are too large.",
    "503": "OpenSearch does not answer, and no answer is kept; Retry-After says when to ask again.",
    "504": "The deadline has passed.",
}

_OF_ALL = ("400", "401", "403", "414", "429", "431", "503", "504")
"""Problems of every address that needs a token."""

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def document(entities: Iterable[Searchable]) -> bytes:
    """Return the description as JSON."""
    paths: JSON = {
        "/health": {"get": _open("Whether the process lives", statuses=("200",))},
        "/ready": {"get": _open("Whether each dependency answers", statuses=("200", "503"))},
        "/v1/entities": {"get": _operation("What can be asked of each entity", "Entities")},
        "/v1/ask": {"post": _ask()},
    }
    for searchable in entities:
        paths |= _paths(searchable)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Search API",
                "version": "1",
                "description": "Search in indexes that are kept true to their source. Each answer holds only what the "
                "token's tenant may see.",
            },
            "paths": paths,
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
                "schemas": _SCHEMAS,
                "responses": {f"Problem{status}": _problem(text) for status, text in _PROBLEMS.items()},
            },
        }
    )


def _paths(searchable: Searchable) -> JSON:
    root = f"/v1/{searchable.name}"
    get = _operation(f"Search {searchable.name}", "Hits", "404", "410")
    get["parameters"] = parameters.search(searchable)
    post = _operation(f"Search {searchable.name}, with a JSON document", "Hits", "404", "410", "413", "415")
    post["requestBody"] = {"required": True, "content": {"application/json": parameters.body(searchable)}}
    one = _operation(f"One document of {searchable.name}", "Document", "404")
    one["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
    suggest = _operation(f"Names in {searchable.name} that begin like this", "Suggestions", "404")
    suggest["parameters"] = parameters.suggest(searchable)
    warm = _operation("Warm an index that is about to be live", "Warmed", "404")
    warm["parameters"] = [
        {"name": "index", "in": "query", "required": True, "schema": _TEXT},
        {"name": "compare", "in": "query", "schema": {"enum": ["true"]}, "description": "Ask the live index, too."},
    ]
    return {
        f"{root}/search": {"get": get, "post": post},
        f"{root}/suggest": {"get": suggest},
        f"{root}/warm": {"post": warm},
        f"{root}/{{id}}": {"get": one},
    }


def _ask() -> JSON:
    """Return the operation that is answered by events; their data is JSON, by name of the event."""
    asked = _operation("Ask in words; 404 when there is no agent", "AskEvent", "404", "413", "415")
    told = "Server-sent events step, answer and end. The data of each is an AskEvent."
    asked["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string", "description": told}}}
    text = {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "pattern": r"\S"}
    earlier = _object({"question": text, "answer": {**text, "maxLength": MAX_ANSWER}}) | {"additionalProperties": False}
    history = {"type": "array", "items": earlier, "maxItems": MAX_HISTORY, "description": "What was said before."}
    schema = _object({"question": text}, {"history": history}) | {"additionalProperties": False}
    example = {"question": "places like Lisbon with a rate below 80"}
    asked["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}
    return asked


def _operation(summary: str, schema: str, *errors: str) -> JSON:
    """Return an operation that needs a token.

    :param errors: statuses of the problems that not every such operation has
    """
    headers = {
        "X-Request-Id": {"schema": _TEXT, "description": "Name of the request in the service's log."},
        "X-Cache": {"schema": {"enum": ["hit", "miss", "stale"]}, "description": "Where the answer came from."},
        "Age": {"schema": _COUNT, "description": "Seconds since the answer was made."},
        "X-RateLimit-Limit": {"schema": _COUNT, "description": "Requests that the caller may send in a minute."},
        "X-RateLimit-Remaining": {"schema": _COUNT, "description": "Requests of these that are left, at least."},
        "X-RateLimit-Reset": {"schema": _COUNT, "description": "Seconds to the next window."},
    }
    answer = {"description": "The answer.", "headers": headers, **_content(schema)}
    problems = {status: {"$ref": f"#/components/responses/Problem{status}"} for status in sorted({*_OF_ALL, *errors})}
    return {"summary": summary, "security": [{"token": []}], "responses": {"200": answer, **problems}}


def _open(summary: str, statuses: Iterable[str]) -> JSON:
    """Return an operation that needs no token."""
    answers = {status: {"description": "The state.", **_content("Status")} for status in statuses}
    return {"summary": summary, "security": [], "responses": answers}


def _problem(text: str) -> JSON:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _content(schema: str) -> JSON:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _object(required: JSON, optional: JSON | None = None) -> JSON:
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}}


def _list(of: JSON) -> JSON:
    return {"type": "array", "items": of}


_PERHAPS = {"type": ["number", "null"]}
_DOCUMENT = {"type": "object", "description": "The document's fields."}
_ONE = {"id": _TEXT, "document": _DOCUMENT}
_SCHEMAS: JSON = {
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "next_step": _TEXT,
            "request_id": _TEXT,
        }
    ),
    "Status": _object(
        {"status": {"enum": ["ok", "degraded", "unavailable"]}},
        {"dependencies": {"type": "object", "additionalProperties": {"enum": ["ok", "away"]}}},
    ),
    "Hits": _object(
        {
            "total": _object({"value": _COUNT, "relation": {"enum": ["eq", "gte"]}}),
            "took_ms": _COUNT,
            "hits": _list(
                _object(
                    {**_ONE, "score": {"type": ["number", "null"]}},
                    {
                        "highlights": {"type": "object", "additionalProperties": _list(_TEXT)},
                        "distance_km": {"type": "number", "minimum": 0},
                    },
                )
            ),
            "facets": {
                "type": "object",
                "additionalProperties": _list(_object({"value": {"type": ["string", "boolean"]}, "count": _COUNT})),
            },
            "next_cursor": {"type": ["string", "null"]},
        }
    ),
    "Document": _object(_ONE),
    "Suggestions": _object({"suggestions": _list(_object(_ONE)), "took_ms": _COUNT}),
    "Warmed": _object(
        {"filled": _COUNT, "failed": _COUNT, "left": _COUNT, "seconds": {"type": "number"}},
        {
            "compared": _object(
                {
                    "queries": _COUNT,
                    "unanswered": _COUNT,
                    **dict.fromkeys(("overlap", "rank", "live_ms", "new_ms"), _PERHAPS),
                }
            )
        },
    ),
    "Entities": _object(
        {
            "entities": _list(_object({"name": _TEXT, "names": _list(_TEXT), "fields": _list(_TEXT)})),
            "agent": {"type": "boolean", "description": "Whether there is an agent to ask."},
        }
    ),
    "AskEvent": {
        "oneOf": [
            _object(
                {
                    "event": {"const": "step"},
                    "turn": _COUNT,
                    "tool": _TEXT,
                    "asked": {
                        "type": "object",
                        "description": "Its parameters; texts of the model's own are withheld.",
                    },
                    "found": {"type": ["integer", "null"], "minimum": 0},
                    "returned": _COUNT,
                    "problem": _TEXT,
                    "milliseconds": _COUNT,
                }
            ),
            _object(
                {
                    "event": {"const": "answer"},
                    "by": {"enum": ["model", "service"]},
                    "statements": _list(
                        _object(
                            {
                                "text": _TEXT,
                                "documents": _list(_object({"entity": _TEXT, "id": _TEXT, "name": _TEXT})),
                                "search": {"type": ["integer", "null"], "minimum": 1},
                            }
                        )
                    ),
                }
            ),
            _object(
                {
                    "event": {"const": "end"},
                    "outcome": {"enum": [*get_args(Outcome)]},
                    "text": _TEXT,
                    "limited_by": {"enum": [*get_args(Name), None]},
                    "code": _TEXT,
                    "withheld": _list({"enum": [*MEANINGS]}),
                    "turns": _COUNT,
                    "tool_calls": _COUNT,
                    "input_tokens": _COUNT,
                    "output_tokens": _COUNT,
                }
            ),
        ]
    },
}
