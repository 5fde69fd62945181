"""Results of quality runs over time: one document for each, in the index ``searchsync-quality``, to be searched.

A result is some 500 bytes, so that a year of hourly runs is a few megabytes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from searchsync.catalog import Entity
from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client

INDEX = "searchsync-quality"
LIGHT, FULL = "light", "full"
GOOD, WARNING, BAD = "good", "warning", "bad"

Result = dict[str, Any]
"""Fields of ``include/mappings/searchsync-quality.json``."""


class History:
    """The results that a cluster keeps."""

    def __init__(self, client: Client) -> None:
        self._results = Bookkeeping(client, INDEX)

    def keep(self, result: Result) -> Result:
        """Write a result. A run that is repeated replaces its own result, but never what it found bad.

        What was bad may be half repaired by then.

        :returns: what is kept: with what an earlier attempt found, if that was bad
        """
        key = f"{result['run']}-{result['index']}"
        for hit in self._results.find({"query": {"ids": {"values": [key]}}}):
            if hit["_source"]["verdict"] == BAD:
                result = _with(result, hit["_source"])
        self._results.put(key, result)
        return result

    def latest(self, entity: Entity, *, most: int = 500) -> list[Result]:
        """Return the results of an entity's live indexes, the newest first."""
        query = {"bool": {"filter": [{"term": {"entity": entity.name}}, {"term": {"live": True}}]}}
        body = {"size": most, "query": query, "sort": [{"at": "desc"}]}
        return [hit["_source"] for hit in self._results.find(body)]

    def of_all(self, entities: Sequence[Entity], *, most: int) -> dict[str, list[Result]]:
        """Return the results of the live indexes of some entities by one search: by the name, the newest first.

        :param most: number of results of each entity, 100 at most (``index.max_inner_result_window``)
        """
        names = [entity.name for entity in entities]
        newest = {"top_hits": {"size": most, "sort": [{"at": "desc"}]}}
        body = {
            "size": 0,
            "query": {"bool": {"filter": [{"terms": {"entity": names}}, {"term": {"live": True}}]}},
            "aggs": {"entities": {"terms": {"field": "entity", "size": len(names)}, "aggs": {"newest": newest}}},
        }
        return {
            bucket["key"]: [hit["_source"] for hit in bucket["newest"]["hits"]["hits"]]
            for bucket in self._results.aggregated(body)["entities"]["buckets"]
        }

    def of_run(self, run: str) -> Result | None:
        """Return what a run found; None when it found nothing out."""
        body = {"size": 1, "query": {"bool": {"filter": [{"term": {"run": run}}]}}, "sort": [{"at": "desc"}]}
        return next((hit["_source"] for hit in self._results.find(body)), None)

    def full(self, entity: Entity, start: datetime, end: datetime) -> list[Result]:
        """Return what full comparisons of live indexes of an entity found between two moments, the oldest first."""
        terms = {"entity": entity.name, "live": True, "level": FULL}
        times = {"range": {"at": {"gte": start.isoformat(), "lt": end.isoformat()}}}
        query = {"bool": {"filter": [*({"term": {name: value}} for name, value in terms.items()), times]}}
        body = {"size": 10_000, "query": query, "sort": [{"at": "asc"}]}
        return [hit["_source"] for hit in self._results.find(body)]

    def last_full(self, index: str) -> datetime | None:
        """Return when an index was last compared in full, whatever was found; None when it never was."""
        query = {"bool": {"filter": [{"term": {"index": index}}, {"term": {"level": FULL}}]}}
        body = {"size": 1, "query": query, "sort": [{"at": "desc"}], "_source": ["at"]}
        return next((datetime.fromisoformat(hit["_source"]["at"]) for hit in self._results.find(body)), None)


def _with(result: Result, earlier: Result) -> Result:
    said = {part: [*earlier.get(part, []), *result.get(part, [])] for part in ("failed", "problems")}
    counted = ("confirmed", "kinds", "not_looked_at", "unusable")
    return {
        **earlier,  # what it counted, where the other one compared nothing
        **result,
        **{part: [*dict.fromkeys(texts)] for part, texts in said.items()},
        **{part: earlier[part] for part in counted if part in earlier},
        "repaired": earlier.get("repaired", 0) + result.get("repaired", 0),
        "level": FULL if FULL in (earlier["level"], result["level"]) else LIGHT,
        "verdict": BAD,
    }


def recovered(result: Result, before: list[Result]) -> bool:
    """Return whether a good result is the first one that says so after a bad one.

    A light run cannot say that what a full one found is gone: while the latest full result is bad, it says nothing.

    :param before: earlier results, the newest first
    """
    full = next((earlier for earlier in before if earlier["level"] == FULL and earlier["run"] != result["run"]), result)
    if result["verdict"] == BAD or (result["level"] == LIGHT and full["verdict"] == BAD):
        return False
    covered = (LIGHT, FULL) if result["level"] == FULL else (LIGHT,)
    good: set[str] = set()
    for earlier in before:
        if earlier["run"] == result["run"]:
            continue
        if earlier["verdict"] == BAD:
            if earlier["level"] in covered and earlier["level"] not in good:
                return True
        else:
            good |= {LIGHT, FULL} if earlier["level"] == FULL else {LIGHT}
        if good.issuperset(covered):
            return False
    return False
