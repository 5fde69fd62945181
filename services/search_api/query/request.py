"""What one search asks: the form that parsing makes, that queries are built from, and that caches and cursors name."""

import msgspec

from searchsync.mapping import searching

RELEVANCE, DISTANCE = searching.SORTS
"""The sorts that put the best match first (without ``q``, the most prominent), and the nearest."""

Value = str | int | float | bool


class Near(msgspec.Struct, frozen=True):
    """A circle on the earth.

    :ivar lat: degrees of latitude of its centre
    :ivar lon: degrees of longitude of its centre
    :ivar km: its radius in kilometres
    """

    lat: float
    lon: float
    km: float


class Sort(msgspec.Struct, frozen=True):
    """The order of hits.

    :ivar by: name of a field, ``relevance`` or ``distance``
    :ivar descending: for a field: whether the greatest is first
    """

    by: str
    descending: bool = False


class SearchRequest(msgspec.Struct, frozen=True):
    """What one search asks. Two requests that ask the same are equal, however they were written.

    :ivar entity: name of the entity
    :ivar q: what was typed; empty when nothing was
    :ivar filters: parameter and values of each filter, both in the order of their texts and each value once
    :ivar near: the circle that hits are in
    :ivar sort: the order of hits
    :ivar limit: the greatest number of hits of a page
    :ivar fields: names of the fields that hits show, in the order of the mapping
    :ivar facets: names of the fields whose values are counted, in the order of their texts
    :ivar highlight: whether hits show where they match
    :ivar cursor: the place to go on from, sealed; empty for the first page
    """

    entity: str
    q: str
    filters: tuple[tuple[str, tuple[Value, ...]], ...]
    near: Near | None
    sort: Sort
    limit: int
    fields: tuple[str, ...]
    facets: tuple[str, ...]
    highlight: bool
    cursor: str = ""


class SuggestRequest(msgspec.Struct, frozen=True):
    """What one request for suggestions asks.

    :ivar entity: name of the entity
    :ivar q: the beginning that was typed
    :ivar limit: the greatest number of suggestions
    """

    entity: str
    q: str
    limit: int


def question(request: SearchRequest) -> bytes:
    """Return what decides which documents are found, and in which order. Other questions have other bytes."""
    return msgspec.json.encode((request.entity, request.q, request.filters, request.near, request.sort))
