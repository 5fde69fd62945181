"""Results of quality runs over time: one document for each, in the index ``searchsync-quality``, to be searched.

A result is some 500 bytes, so that a year of hourly runs is a few megabytes.
"""

from typing import Any

import opensearchpy

from searchsync import notes
from searchsync.entities import Entity

INDEX = "searchsync-quality"
LIGHT, FULL = "light", "full"
GOOD, WARNING, BAD = "good", "warning", "bad"

Result = dict[str, Any]
"""Fields of ``include/mappings/searchsync-quality.json``."""


def keep(client: opensearchpy.OpenSearch, result: Result) -> None:
    """Write a result; a run that is repeated replaces its own."""
    notes.put(client, INDEX, f"{result['run']}-{result['index']}", result)


def latest(client: opensearchpy.OpenSearch, entity: Entity, *, most: int = 500) -> list[Result]:
    """Results of an entity's live indexes, the newest first."""
    query = {"bool": {"filter": [{"term": {"entity": entity.name}}, {"term": {"live": True}}]}}
    body = {"size": most, "query": query, "sort": [{"at": "desc"}]}
    return [hit["_source"] for hit in notes.find(client, INDEX, body)]


def of_run(client: opensearchpy.OpenSearch, run: str) -> Result | None:
    """What a run found; None when it found nothing out."""
    body = {"size": 1, "query": {"bool": {"filter": [{"term": {"run": run}}]}}, "sort": [{"at": "desc"}]}
    return next((hit["_source"] for hit in notes.find(client, INDEX, body)), None)


def recovered(result: Result, before: list[Result]) -> bool:
    """Whether a good result is the first one that says so after a bad one.

    A light run cannot say that what a full one found is gone.

    :param before: earlier results, the newest first
    """
    if result["verdict"] == BAD:
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
