"""The response, made of OpenSearch's answer. The bytes of documents are passed on and never decoded."""

from collections.abc import Sequence

import msgspec

from search_api.problems import Problem
from search_api.query.cursor import Cursors, Page
from search_api.query.request import DISTANCE, SearchRequest
from search_api.query.searchable import Searchable
from searchsync.mapping.searching import Kind

_NOTHING = msgspec.Raw(b"[]")


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    score: float | None = msgspec.field(name="_score")
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"{}"))
    sort: msgspec.Raw = _NOTHING
    highlight: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Total(msgspec.Struct):
    value: int
    relation: str


class _Hits(msgspec.Struct):
    hits: list[_Hit]
    total: _Total | None = None


class _Bucket(msgspec.Struct):
    key: str | int
    doc_count: int


class _Counted(msgspec.Struct):
    buckets: list[_Bucket] = []
    values: "_Counted | None" = None


class _Shards(msgspec.Struct):
    failed: int


class _Found(msgspec.Struct):
    took: int
    timed_out: bool
    shards: _Shards = msgspec.field(name="_shards")
    hits: _Hits
    aggregations: dict[str, _Counted] = {}


class _ShownHit(msgspec.Struct):
    id: str
    score: float | None
    document: msgspec.Raw
    highlights: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    distance_km: float | msgspec.UnsetType = msgspec.UNSET


class _ShownValue(msgspec.Struct):
    value: str | bool
    count: int


class _Shown(msgspec.Struct):
    total: _Total | None
    took_ms: int
    hits: list[_ShownHit]
    facets: dict[str, list[_ShownValue]]
    next_cursor: str | None


class _Suggestion(msgspec.Struct):
    id: str
    document: msgspec.Raw


_decode = msgspec.json.Decoder(_Found).decode
_encode = msgspec.json.Encoder().encode


def search_answer(searchable: Searchable, page: Page, raw: bytes, cursors: Cursors) -> bytes:
    """Return the response to a search.

    :param page: what was asked
    :param raw: body of OpenSearch's answer
    :param cursors: they seal the cursor of the next page
    :raises Problem: 503 when only a part of the index has answered
    """
    found = _whole(raw)
    facets = {name: _facet(searchable, name, counted) for name, counted in found.aggregations.items()}
    shown = [_shown(page.request, hit) for hit in found.hits.hits]
    return _encode(_Shown(found.hits.total, found.took, shown, facets, _next(page, found.hits.hits, cursors)))


def is_nothing(raw: bytes) -> bool:
    """Return whether a search has no hit on any page.

    :raises Problem: as ``search_answer``
    """
    total = _whole(raw).hits.total
    return total is not None and total.value == 0


def get_answer(raw: bytes) -> bytes:
    """Return the response with one document.

    :raises Problem: 404 when there is no such document, or the caller must not see it: nobody can tell which
    """
    hits = _whole(raw).hits.hits
    if not hits:
        detail = "There is no document with this id that you may see."
        raise Problem(404, "not-found", detail, next_step="Take the id of a hit of a search.")
    return _encode(_Suggestion(hits[0].id, hits[0].source))


def suggest_answer(raw: bytes) -> bytes:
    """Return the response with suggestions."""
    found = _whole(raw)
    return _encode({"suggestions": [_Suggestion(hit.id, hit.source) for hit in found.hits.hits], "took_ms": found.took})


def _whole(raw: bytes) -> _Found:
    """Return OpenSearch's answer. A part of an answer is none: what lacks could be what was looked for."""
    found = _decode(raw)
    if found.timed_out or found.shards.failed:
        detail = "OpenSearch took too long." if found.timed_out else "A part of the index does not answer."
        step = "Ask again in a moment, or more precisely."
        raise Problem(503, "incomplete-answer", detail, next_step=step, headers={"Retry-After": "1"})
    return found


def _shown(request: SearchRequest, hit: _Hit) -> _ShownHit:
    shown = _ShownHit(hit.id, hit.score, hit.source, hit.highlight)
    if request.near:
        values = msgspec.json.decode(hit.sort)
        shown.distance_km = round(values[0 if request.sort.by == DISTANCE else -1], 3)
    return shown


def _facet(searchable: Searchable, name: str, counted: _Counted) -> list[_ShownValue]:
    buckets = (counted.values or counted).buckets
    if searchable.facets[name].kind is Kind.BOOLEAN:
        return [_ShownValue(bool(one.key), one.doc_count) for one in buckets]
    return [_ShownValue(str(one.key), one.doc_count) for one in buckets]


def _next(page: Page, hits: Sequence[_Hit], cursors: Cursors) -> str | None:
    """Return the cursor of the next page; None when this is the last."""
    if len(hits) < page.request.limit:
        return None
    return cursors.following(page, msgspec.json.decode(hits[-1].sort))
