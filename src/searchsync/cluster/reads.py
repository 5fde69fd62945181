"""Reads of an index, of all its shards or not at all: OpenSearch itself answers 200 for a part, too."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

import opensearchpy

from searchsync.cluster.client import request
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected, SearchSyncError

SCROLLED_AT_ONCE = 5_000


def search(
    client: opensearchpy.OpenSearch, name: str, body: dict[str, Any], params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the answer to one search over the whole index.

    :raises IndexUnavailable: when a shard does not answer for as long as a request is tried again
    """
    answer: dict[str, Any] = request(client, "POST", f"/{name}/_search", body=body, params=(params or {}) | _WHOLE)
    _check_complete(name, answer)
    return answer


_WHOLE = {"allow_partial_search_results": "false"}
"""Parameters that refuse a partial answer: otherwise a shard without any copy is left out, and the answer is 200."""


def count(client: opensearchpy.OpenSearch, name: str, query: dict[str, Any] | None = None) -> int:
    """Return the number of documents of an index, or of those that a filtered alias shows.

    It is a search, because ``_count`` cannot be told to refuse an answer that leaves shards out.

    :raises IndexUnavailable: when some documents were not counted
    """
    body = {"size": 0, "track_total_hits": True, "query": query or {"match_all": {}}}
    return int(search(client, name, body)["hits"]["total"]["value"])


def documents(client: opensearchpy.OpenSearch, name: str, ids: Sequence[str], *, source: str) -> list[dict[str, Any]]:
    """Return documents by id, as they are now, refreshed or not. Where there is no document, there is no ``_source``.

    :param source: a pattern of the fields wanted
    :raises IndexUnavailable: when a document cannot be read: then it is not known to be absent
    """
    if not ids:
        return []
    found: list[dict[str, Any]] = request(
        client, "POST", f"/{name}/_mget", body={"ids": list(ids)}, params={"_source": source}
    )["docs"]
    if failed := [doc for doc in found if "error" in doc]:
        if any(doc["error"].get("type") == "security_exception" for doc in failed):
            raise BadConnection(
                f"{name}: OpenSearch refuses this login to read: {failed[0]['error']}; correct its role"
            )
        raise IndexUnavailable(
            f"{name}: {len(failed)} of {len(ids)} documents cannot be read: {failed[0]['error']}; run the task again"
        )
    return found


def scroll(
    client: opensearchpy.OpenSearch,
    name: str,
    query: dict[str, Any],
    *,
    source: Sequence[str] | Literal[False] = False,
    versions: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield all hits of a query on one index, in no order, as of one moment. Only one batch is in memory.

    :param source: patterns of the fields wanted; False, or an empty list, for hits without ``_source``
    :param versions: give each hit ``_seq_no`` and ``_primary_term``, too
    :raises IndexUnavailable: when the scan was interrupted: the scan is all or nothing
    """
    body = {"size": SCROLLED_AT_ONCE, "query": query, "sort": ["_doc"], "track_total_hits": True}
    body["_source"] = list(source) if source else False  # OpenSearch takes an empty list for "everything"
    body["seq_no_primary_term"] = versions
    answer = request(client, "POST", f"/{name}/_search", body=body, params={"scroll": "5m"} | _WHOLE)
    total, seen = answer["hits"]["total"]["value"], 0
    try:
        while True:
            _check_complete(name, answer)
            hits = answer["hits"]["hits"]
            seen += len(hits)
            if not hits:
                break
            yield from hits
            again = {"scroll": "5m", "scroll_id": answer["_scroll_id"]}
            try:  # not twice: a second attempt would get the batch after the one whose answer was lost
                answer = request(client, "POST", "/_search/scroll", body=again, patience=0)
            except RequestRejected as error:
                raise IndexUnavailable(f"{name}: a scan was interrupted ({error}); run the task again") from error
    finally:
        with suppress(SearchSyncError):  # it ends by itself after five minutes
            request(client, "DELETE", "/_search/scroll", body={"scroll_id": answer["_scroll_id"]}, patience=0)
    if seen != total:
        raise IndexUnavailable(f"{name}: a scan returned {seen} of {total} documents; run the task again")


def _check_complete(name: str, answer: dict[str, Any]) -> None:
    """Refuse an answer for a part of the index.

    ``successful`` includes the shards that were skipped because they can have no hit. ``terminated_early`` is no sign
    of a part: nothing here asks for ``terminate_after``, and OpenSearch 3.5.0 also sets it in complete answers to
    aggregations over all documents.
    """
    shards = answer["_shards"]
    part = shards["failed"] or shards["successful"] < shards["total"]
    if part or answer.get("timed_out"):
        raise IndexUnavailable(f"{name}: a search answered for part of the index only: {shards}; run the task again")
