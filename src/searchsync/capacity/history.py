"""Sizes over time: a document for each run and entity, and one for the disks, in the index ``searchsync-capacity``.

A document is some 500 bytes, so that ten years of daily runs of ten entities are 20 MB.
"""

from datetime import date, datetime, timedelta
from typing import Any

from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client

INDEX = "searchsync-capacity"

Kept = dict[str, Any]
"""Fields of ``include/mappings/searchsync-capacity.json``."""


class History:
    """What a cluster keeps of its sizes."""

    def __init__(self, client: Client) -> None:
        self._documents = Bookkeeping(client, INDEX)

    def keep(self, document: Kept) -> None:
        """Write a document. A run that is repeated replaces its own."""
        self._documents.put(f"{document['run']}-{document.get('entity', '')}", document)

    def counts(self, entity: str, *, until: datetime, back: int) -> list[tuple[date, int]]:
        """Return numbers of documents of an entity with their day (UTC), the oldest first.

        :param back: days before ``until`` that are of interest
        """
        times = {"range": {"at": {"gte": (until - timedelta(days=back)).isoformat(), "lte": until.isoformat()}}}
        body = {"size": 10_000, "query": _of(entity, times), "sort": [{"at": "asc"}], "_source": ["at", "documents"]}
        hits = (hit["_source"] for hit in self._documents.find(body))
        return [(datetime.fromisoformat(hit["at"]).date(), hit["documents"]) for hit in hits]

    def latest(self, entity: str | None, *, before: str = "") -> Kept | None:
        """Return the newest document of an entity; None when there is none.

        :param entity: None for that of the disks
        :param before: a run whose own document does not count
        """
        body = {"size": 2, "query": _of(entity), "sort": [{"at": "desc"}]}
        return next((found for hit in self._documents.find(body) if (found := hit["_source"])["run"] != before), None)


def _of(entity: str | None, *filters: dict[str, Any]) -> dict[str, Any]:
    if entity is None:
        return {"bool": {"must_not": [{"exists": {"field": "entity"}}], "filter": [*filters]}}
    return {"bool": {"filter": [{"term": {"entity": entity}}, *filters]}}
