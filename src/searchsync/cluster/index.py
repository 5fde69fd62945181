"""One index: what is read of it, of all its shards or not at all, and what it says about itself.

OpenSearch itself answers 200 for a part of an index, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Self

from searchsync.cluster.client import Backoff, Client
from searchsync.deadline import Deadline
from searchsync.documents.position import known
from searchsync.errors import BadConnection, IndexUnavailable, RequestRejected, SearchSyncError

SCROLLED_AT_ONCE = 5_000

FOREIGN_AT_ONCE = 10
"""Number of documents, highest position first, that one search returns: usually the first one is ours."""

_WHOLE = {"allow_partial_search_results": "false"}
"""Parameters that refuse a partial answer: otherwise a shard without any copy is left out, and the answer is 200."""


@dataclass(frozen=True)
class Index:
    """An index by its name. It need not exist. To search and count, the name of an alias does as well."""

    client: Client = field(repr=False, compare=False)
    name: str

    def until(self, deadline: Deadline) -> Self:
        """Return the same index, each of whose requests has to be over by a moment."""
        return replace(self, client=self.client.until(deadline))

    # -- documents

    def search(self, body: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to one search over the whole index.

        :raises IndexUnavailable: when a shard does not answer for as long as a request is tried again
        """
        path, all_params = f"/{self.name}/_search", (params or {}) | _WHOLE
        answer: dict[str, Any] = self.client.request("POST", path, body=body, params=all_params)
        self._check_complete(answer)
        return answer

    def count(self, query: dict[str, Any] | None = None) -> int:
        """Return the number of documents of an index, or of those that a filtered alias shows.

        It is a search, because ``_count`` cannot be told to refuse an answer that leaves shards out.

        :raises IndexUnavailable: when some documents were not counted
        """
        body = {"size": 0, "track_total_hits": True, "query": query or {"match_all": {}}}
        return int(self.search(body)["hits"]["total"]["value"])

    def documents(self, ids: Sequence[str], *, source: str) -> list[dict[str, Any]]:
        """Return documents by id, as they are now, refreshed or not. Where there is none, there is no ``_source``.

        :param source: a pattern of the fields wanted
        :raises IndexUnavailable: when a document cannot be read: then it is not known to be absent
        """
        if not ids:
            return []
        path, params = f"/{self.name}/_mget", {"_source": source}
        found: list[dict[str, Any]] = self.client.request("POST", path, body={"ids": list(ids)}, params=params)["docs"]
        if failed := [doc for doc in found if "error" in doc]:
            if any(doc["error"].get("type") == "security_exception" for doc in failed):
                raise BadConnection(
                    f"{self.name}: OpenSearch refuses this login to read: {failed[0]['error']}; correct its role"
                )
            raise IndexUnavailable(
                f"{self.name}: {len(failed)} of {len(ids)} documents cannot be read: {failed[0]['error']}; run the "
                "task again"
            )
        return found

    def scroll(
        self, query: dict[str, Any], *, source: Sequence[str] | Literal[False] = False, versions: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield all hits of a query, in no order, as of one moment. Only one batch is in memory.

        :param source: patterns of the fields wanted; False, or an empty list, for hits without ``_source``
        :param versions: give each hit ``_seq_no`` and ``_primary_term``, too
        :raises IndexUnavailable: when the scan was interrupted: the scan is all or nothing
        """
        body = {"size": SCROLLED_AT_ONCE, "query": query, "sort": ["_doc"], "track_total_hits": True}
        body["_source"] = list(source) if source else False  # OpenSearch takes an empty list for "everything"
        body["seq_no_primary_term"] = versions
        path, params = f"/{self.name}/_search", {"scroll": "5m"} | _WHOLE
        answer = self.client.request("POST", path, body=body, params=params)
        total, seen = answer["hits"]["total"]["value"], 0
        try:
            while True:
                self._check_complete(answer)
                hits = answer["hits"]["hits"]
                seen += len(hits)
                if not hits:
                    break
                yield from hits
                again = {"scroll": "5m", "scroll_id": answer["_scroll_id"]}
                try:  # not twice: a second attempt would get the batch after the one whose answer was lost
                    answer = self.client.request("POST", "/_search/scroll", body=again, patience=0)
                except RequestRejected as error:
                    raise IndexUnavailable(
                        f"{self.name}: a scan was interrupted ({error}); run the task again"
                    ) from error
        finally:
            with suppress(SearchSyncError):  # it ends by itself after five minutes
                ended = {"scroll_id": answer["_scroll_id"]}
                self.client.request("DELETE", "/_search/scroll", body=ended, patience=0)
        if seen != total:
            raise IndexUnavailable(f"{self.name}: a scan returned {seen} of {total} documents; run the task again")

    def _check_complete(self, answer: dict[str, Any]) -> None:
        """Refuse an answer for a part of the index.

        ``successful`` includes the shards that were skipped because they can have no hit. ``terminated_early`` is no
        sign of a part: nothing here asks for ``terminate_after``, and OpenSearch 3.5.0 also sets it in complete answers
        to aggregations over all documents.
        """
        shards = answer["_shards"]
        part = shards["failed"] or shards["successful"] < shards["total"]
        if part or answer.get("timed_out"):
            raise IndexUnavailable(
                f"{self.name}: a search answered for part of the index only: {shards}; run the task again"
            )

    def highest_position(self, *, fresh: bool = True) -> str:
        """Return the highest position of any document, tombstones included; empty when there is none.

        Foreign documents do not count.

        :param fresh: refresh first; otherwise only what searches see counts
        """
        if fresh:
            self.refresh()
        digits = {"range": {"sync.position": {"gte": "0", "lt": ":"}}}
        sort = [{"sync.position": {"order": "desc", "unmapped_type": "keyword"}}]
        body: dict[str, Any] = {"size": FOREIGN_AT_ONCE, "query": digits, "sort": sort, "_source": False}
        while hits := self.search(body)["hits"]["hits"]:
            for hit in hits:  # what is foreign may sort above
                if known(hit["sort"][0]):
                    return str(hit["sort"][0])
            body["search_after"] = hits[-1]["sort"]
        return ""

    # -- shards

    def refresh(self) -> None:
        """Make everything that was written so far visible to searches, on all shards.

        Copies that are away get it when they recover.

        :raises IndexUnavailable: when a shard did not answer: then a count would cover only a part
        """
        backoff = Backoff(deadline=self.client.deadline)
        while self.health() == "red":  # the request would wait a minute for it, longer than we wait for an answer
            backoff.wait(f"{self.name} is red: a primary shard is missing; see GET /_cluster/allocation/explain")
        shards = self.client.request("POST", f"/{self.name}/_refresh")["_shards"]
        # A copy that is not assigned counts as not refreshed, and so does a primary: not as failed, either of them.
        missed = shards["successful"] < shards["total"]
        if shards["failed"] or (missed and self.health() not in ("green", "yellow")):
            raise IndexUnavailable(
                f"{self.name}: only {shards['successful']} of {shards['total']} shards were refreshed"
            )

    def health(self) -> str:
        """Return green, yellow (a copy is missing), red (a primary shard is missing), or empty (there is no index)."""
        params = {"level": "indices", "filter_path": "indices.*.status"}  # one asked for by name is waited for
        found = self.client.request("GET", "/_cluster/health", params=params).get("indices", {})
        return str(found.get(self.name, {}).get("status", ""))

    def why_unwritable(self) -> str:
        """Return why the index takes no writes now; empty when it takes them, or was deleted."""
        state = state_of(self.client, self.name, flat=True).get(self.name)
        if state is None:
            return ""
        return why_unwritable(state["settings"], self.health())

    # -- what the index says about itself

    def read_meta(self) -> dict[str, Any]:
        """Return ``mappings._meta``; empty when there is no such index."""
        state = state_of(self.client, self.name).get(self.name)
        return dict(state["mappings"].get("_meta", {})) if state else {}

    def put_meta(self, meta: dict[str, Any]) -> None:
        """Replace ``mappings._meta`` as a whole."""
        self.client.request("PUT", f"/{self.name}/_mapping", body={"_meta": meta})

    def stamp_left_read(self, when: datetime | None) -> None:
        """Note in ``_meta`` when the index stopped being live.

        :param when: the moment; None when the index is live again
        """
        meta = self.read_meta()
        if not meta:
            return  # deleted meanwhile: nothing counts on it any more
        meta.pop("left_read_at", None)
        if when is not None:
            meta["left_read_at"] = when.isoformat(timespec="milliseconds")
        self.put_meta(meta)


def why_unwritable(settings: Mapping[str, str], health: str) -> str:
    """Return why an index takes no writes; empty when it takes them.

    :param settings: flat
    :param health: as ``Index.health`` returns it
    """
    if settings.get("index.verified_before_close") == "true":
        return "it is closed"
    if health == "red":
        return "it is red: a primary shard is missing"
    blocks = [key for key, value in settings.items() if key.startswith("index.blocks.") and value == "true"]
    return f"it is blocked: {', '.join(sorted(blocks))}" if blocks else ""


def aliases_of(client: Client, alias: str) -> dict[str, Any]:
    """Return the indexes that a name stands for, each with all its aliases.

    They are the members of an alias, or the concrete index of that name.
    """
    try:
        found = client.request("GET", f"/{alias}/_alias")
    except RequestRejected as error:
        if error.status == 404:
            return {}
        raise
    return {name: index["aliases"] for name, index in found.items()}


def state_of(client: Client, names: str, *, flat: bool = False) -> dict[str, Any]:
    """Return aliases, mappings and settings of the indexes that some names or patterns stand for."""
    params = {"flat_settings": str(flat).lower(), "ignore_unavailable": "true", "allow_no_indices": "true"}
    params["expand_wildcards"] = "all"  # closed and hidden ones, too
    found: dict[str, Any] = client.request("GET", f"/{names}", params=params)
    return found
