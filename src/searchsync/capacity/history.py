"""Sizes over time: a document for each run and entity, and one for the disks, in the index ``searchsync-capacity``.

A document has 500 bytes, and 40 for each of 50 tenants at most: ten entities take 10 MB a year.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from searchsync.cluster.bookkeeping import Bookkeeping
from searchsync.cluster.client import Client

INDEX = "searchsync-capacity"

Kept = dict[str, Any]
"""Fields of ``include/mappings/searchsync-capacity.json``."""


@dataclass(frozen=True)
class Counted:
    """Numbers of documents on a day (UTC): of an entity, and by tenant."""

    day: date
    documents: int
    tenants: dict[str, int]


class History:
    """What a cluster keeps of its sizes."""

    def __init__(self, client: Client) -> None:
        self._documents = Bookkeeping(client, INDEX)

    def keep(self, document: Kept) -> None:
        """Write a document. A run that is repeated replaces its own."""
        self._documents.put(f"{document['run']}-{document.get('entity', '')}", document)

    def counts(self, entity: str, *, until: datetime, back: int) -> list[Counted]:
        """Return numbers of documents of an entity, the oldest first.

        :param back: days before ``until`` that are of interest
        """
        times = {"range": {"at": {"gte": (until - timedelta(days=back)).isoformat(), "lte": until.isoformat()}}}
        fields = ["at", "documents", "tenants"]
        body = {"size": 10_000, "query": _of(entity, times), "sort": [{"at": "asc"}], "_source": fields}
        return [_counted(hit["_source"]) for hit in self._documents.find(body)]

    def latest(self, entity: str | None, *, before: str = "") -> Kept | None:
        """Return the newest document of an entity; None when there is none.

        :param entity: None for that of the disks
        :param before: a run whose own document does not count
        """
        body = {"size": 2, "query": _of(entity), "sort": [{"at": "desc"}]}
        return next((found for hit in self._documents.find(body) if (found := hit["_source"])["run"] != before), None)


def _counted(kept: Kept) -> Counted:
    tenants = {one["tenant"]: one["documents"] for one in kept["tenants"]}
    return Counted(datetime.fromisoformat(kept["at"]).date(), kept["documents"], tenants)


def _of(entity: str | None, *filters: dict[str, Any]) -> dict[str, Any]:
    if entity is None:
        return {"bool": {"must_not": [{"exists": {"field": "entity"}}], "filter": [*filters]}}
    return {"bool": {"filter": [{"term": {"entity": entity}}, *filters]}}
