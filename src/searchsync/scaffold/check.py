"""Prove the files of an entity before anything is live: a sample of its documents in an index that is thrown away.

The index is hidden, and no name of an entity begins with ``searchsync``: so nothing takes it for one of the entity's
indexes, and no alias ever points to it.
"""

import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from searchsync.catalog import CATALOG, Entity, on_one_table
from searchsync.cluster import creation
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index, state_of
from searchsync.config import thresholds
from searchsync.documents import transforms
from searchsync.documents.page import Page, Rejection
from searchsync.errors import GateFailed, RequestRejected, SearchSyncError
from searchsync.operations import smoke
from searchsync.scaffold import twice
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.writing import writer
from searchsync.writing.ledger import Ledger

log = logging.getLogger(__name__)

PLACES = 4
"""Number of ranges of the source that the sample is taken from: the first page of each."""

PAGE_BYTES = 2_000_000

MOST_PAGES = 20
"""Largest number of pages that are looked through for one with a document: an entity may select few of many items."""

MOST_READERS = 2
"""Largest number of readers that a shard of a stream of DynamoDB stands at once, as AWS documents it."""

EXAMPLES = 5
"""Largest number of documents that are named for one problem."""

LEFTOVER_SECONDS = 3_600
"""Age above which the index of an earlier check is deleted that was killed before it could do so."""


@dataclass(frozen=True)
class CheckReport:
    """What a sample showed.

    :ivar documents: documents of the sample that the index took
    :ivar rejected: rows or items that would not be in the index, with the reasons; the first of them
    :ivar rejections: the number of all of them
    :ivar dropped: values that would be left out of documents, by path
    :ivar ignored: documents with a value that their field does not hold, by path: it is shown, and not searched
    :ivar unsearchable: documents with a value that no search finds, by path
    :ivar unsteady: documents that are others when they are made again: the transformation depends on more than the item
    :ivar differences: what differs in them, by id; the first of them
    :ivar not_searched: fields that are shown only, because the mapping says so
    :ivar without_tenant: documents without a tenant, where the entity's file names the field that holds it
    :ivar unproven: fields of which the sample has no value
    :ivar smoke: for each smoke query the samples that it found
    :ivar failed: smoke queries that are refused or do not find their sample, with the reasons
    :ivar readers: the entities whose functions read one stream, where it does not stand so many at once
    """

    documents: int
    rejections: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    unsearchable: dict[str, int] = field(default_factory=dict)
    without_tenant: int = 0
    unsteady: int = 0
    differences: dict[str, str] = field(default_factory=dict)
    not_searched: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    smoke: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    readers: list[str] = field(default_factory=list)

    @property
    def losses(self) -> list[str]:
        """What would be lost, each with the next step; empty when nothing would."""
        found = {
            "rejected, so not in the index: correct the row, its transformation or the field": self.rejections,
            "left out of documents: give the path a field, or accept it": self.dropped,
            "not held by its field: correct the value or the field's type, or accept it": self.ignored,
            "not found by any search: correct the field, or say index or enabled false": self.unsearchable,
            "without a tenant, so no filter by a tenant finds them: give them one, or accept it": self.without_tenant,
            "another document when made again, so no comparison is equal: use the item alone": self.unsteady,
            "smoke queries failed: correct the query or the field": self.failed,
        }
        return [f"{what} {text}" for text, what in found.items() if what]


def check(client: Client, source: Source) -> CheckReport:
    """Load a sample of the source into an index that is thrown away, and tell what would be lost.

    :raises BadSource: when the table cannot be read as the files say
    :raises BadMapping: when the mapping file cannot be used, or OpenSearch refuses it
    """
    entity = source.entity
    _ = entity.index_body, entity.smoke_queries, thresholds(entity), transforms.present(entity)
    source.check()
    _sweep(client, entity)
    with _throwaway(client, entity) as index:
        rejected: list[Rejection] = []
        paths: dict[str, set[str]] = {}
        ledger = writer.load(index, _noted(_sample(source), paths), on_rejected=rejected.append)
        index.refresh()
        taken = paths.keys() - {one.id for one in rejected}
        report = _report(index, entity, ledger, rejected, Counter(path for key in taken for path in paths[key]))
        different = _unsteady(source)
        found = replace(report, unsteady=len(different), differences=dict([*different.items()][:EXAMPLES]))
        return replace(found, readers=_readers(entity))


def _readers(entity: Entity) -> list[str]:
    """Return the entities whose functions read the stream of the same table, where they are too many."""
    found = [other.name for other in CATALOG.values() if on_one_table(entity, other)]
    return found if len(found) > MOST_READERS else []


def _sample(source: Source) -> Iterator[Page]:
    """Yield the first page that is not empty of each of some parts of the source."""
    for partition in source.partitions(PLACES):
        pages = islice(source.pages(partition, page_bytes=PAGE_BYTES), MOST_PAGES)
        yield from islice((page for page in pages if page.count or page.rejected), 1)


def _unsteady(source: Source) -> dict[str, str]:
    """Return what differs when documents of the sample are made again: only Python makes them differ."""
    if not isinstance(source, DynamoSource) or not (source.entity.transform and source.entity.transform.python):
        return {}
    items: list[Any] = []
    for partition in source.partitions(PLACES):
        items += next(filter(None, islice(source.items(partition), MOST_PAGES)), [])
    return twice.unsteady(source.entity, items)


def _noted(pages: Iterator[Page], paths: dict[str, set[str]]) -> Iterator[Page]:
    """Pass pages on, and note for each of their documents the paths that have a value."""
    for page in pages:
        for document in page.documents():
            paths[document.key] = set(_paths({**json.loads(document.source), "sync": None}))
        yield page


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all values that a search has to find: of a list those of its elements.

    Nulls are no values, and texts without a letter or digit have no words.
    """
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, path)
    elif isinstance(value, dict):
        inner = [found for name, one in value.items() for found in _paths(one, f"{path}.{name}" if path else name)]
        yield from [*inner, path] if inner else []
    elif isinstance(value, str):
        yield from [path] if any(map(str.isalnum, value)) else []
    elif value is not None:
        yield path


# -- the index


@contextmanager
def _throwaway(client: Client, entity: Entity) -> Iterator[Index]:
    """Make an index of the entity's mapping; delete it at the end, whatever happens."""
    name = f"{_prefix(entity)}{secrets.token_hex(4)}"
    body = entity.index_body
    try:
        try:
            creation.create_hidden(client, name, body["settings"], body["mappings"])
        except RequestRejected as error:
            raise creation.refused(f"include/mappings/{entity.name}.json", error) from error
        yield Index(client, name)
    finally:
        _delete(client, name)


def _prefix(entity: Entity) -> str:
    return f"searchsync-check-{entity.name}-"


def _delete(client: Client, name: str) -> None:
    try:
        client.request("DELETE", f"/{name}", params={"ignore_unavailable": "true"})
    except SearchSyncError as error:  # the error of the check itself is the one to tell
        log.warning("%s was not deleted: %s. A check after an hour deletes it, or: DELETE /%s", name, error, name)


def _sweep(client: Client, entity: Entity) -> None:
    """Delete what checks left that were killed."""
    for name, state in state_of(client, f"{_prefix(entity)}*").items():
        created = int(state["settings"]["index"]["creation_date"]) / 1000
        if time.time() - created > LEFTOVER_SECONDS:
            _delete(client, name)


# -- what it shows


def _report(
    index: Index, entity: Entity, ledger: Ledger, rejected: list[Rejection], there: Mapping[str, int]
) -> CheckReport:
    ignored = _ignored(index)
    fields = entity.index_body["mappings"]["properties"]
    unsearchable, not_searched, unproven = {}, [], []
    for path, mapped in _leaves({name: mapped for name, mapped in fields.items() if name != "sync"}):
        if mapped.get("enabled") is False or mapped.get("index") is False:
            not_searched.append(path)
        elif not (values := there.get(path, 0)):
            unproven.append(path)
        elif (lost := values - index.count({"exists": {"field": path}}) - ignored.get(path, 0)) > 0:
            unsearchable[path] = lost
    found, failed = _smoke(index, entity)
    return CheckReport(
        documents=ledger.written,
        rejections=ledger.rejected,
        rejected={one.id: f"{one.type}: {one.reason}"[:500] for one in rejected[:EXAMPLES]},
        dropped=ledger.dropped,
        ignored=ignored,
        unsearchable=unsearchable,
        without_tenant=index.count(_lacks(entity.tenant)) if entity.tenant else 0,
        not_searched=not_searched,
        unproven=unproven,
        smoke=found,
        failed=failed,
    )


def _lacks(field: str) -> dict[str, Any]:
    return {"bool": {"must_not": [{"exists": {"field": field}}]}}


def _leaves(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and mapping of each field. A sub-field is another way to find what its field has: none is needed."""
    for name, mapped in fields.items():
        if mapped.get("type") == "nested":
            continue  # its objects are documents of their own, which a query of the whole does not see
        if "properties" in mapped and mapped.get("enabled") is not False:
            yield from _leaves(mapped["properties"], f"{above}{name}.")
        else:
            yield above + name, mapped


def _ignored(index: Index) -> dict[str, int]:
    """Return for each field the number of documents whose value it does not hold."""
    found: Counter[str] = Counter()
    for hit in index.scroll({"exists": {"field": "_ignored"}}):
        found.update(hit.get("_ignored", []))
    return dict(found)


def _smoke(index: Index, entity: Entity) -> tuple[dict[str, int], dict[str, str]]:
    found: dict[str, int] = {}
    failed: dict[str, str] = {}
    samples = thresholds(entity).smoke_samples
    for query in entity.smoke_queries:
        try:
            found[query.name] = smoke.run_one(index, entity, query, samples)
        except GateFailed as error:
            failed[query.name] = str(error)[:500]
    return found, failed
