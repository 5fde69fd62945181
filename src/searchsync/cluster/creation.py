"""Make a new index of an entity, and make it searchable once it is loaded (docs/protocol.md, rule 14)."""

import logging
import secrets
from datetime import UTC, datetime
from typing import Any

from searchsync.cluster import shards
from searchsync.cluster.client import Client
from searchsync.cluster.indexes import EntityIndexes, PhysicalIndex
from searchsync.documents import transforms
from searchsync.errors import BadMapping, IndexUnavailable, RequestRejected, SourceChanged

log = logging.getLogger(__name__)

COPIES_SECONDS = 600.0
"""Seconds that the copies of a new index may take to be there."""

# Loading an index that nobody searches: no refreshes, no copies. Undone by ``make_searchable``.
_LOADING = {"refresh_interval": "-1", "number_of_replicas": 0, "auto_expand_replicas": "false"}


def find_or_create(
    indexes: EntityIndexes, *, run_id: str, source: dict[str, Any], number_of_shards: int | None = None
) -> PhysicalIndex:
    """Return the index of a run; create it when there is none yet (rule 14). A new index is in no alias.

    Safe to repeat.

    :param source: ``identity`` and ``epoch`` of the source, kept in ``_meta``
    :param number_of_shards: primary shards of a new index; None for as many as the mapping file says
    :raises BadMapping: when OpenSearch refuses the mapping file
    :raises SourceChanged: when the run's index belongs to another source or epoch
    """
    for index in indexes.all():
        if index.run_id == run_id:
            if index.meta.get("source") != source:
                raise SourceChanged(
                    f"{index.name} of this run was built from {index.meta.get('source')}, not from {source}: positions "
                    "of the two cannot be compared. Nothing was written; trigger a new run"
                )
            return index
    entity, now = indexes.entity, datetime.now(UTC)
    name = f"{entity.name}-{now:%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"
    meta = {
        "entity": entity.name,
        "build": run_id,
        "created": now.isoformat(timespec="seconds"),
        "source": source,
        **transforms.present(entity).as_meta(),
        **shards.as_meta(entity, number_of_shards),
    }
    body = entity.index_body
    settings = {**body["settings"], "number_of_shards": shards.wanted(entity, meta)}
    try:
        create_hidden(indexes.client, name, settings, {**body["mappings"], "_meta": meta})
    except RequestRejected as error:
        if error.error_type == "resource_already_exists_exception":  # an earlier attempt whose answer was lost
            return find_or_create(indexes, run_id=run_id, source=source, number_of_shards=number_of_shards)
        number = f" with number_of_shards = {number_of_shards}" if number_of_shards else ""
        raise refused(f"include/mappings/{entity.name}.json{number}", error) from error
    return PhysicalIndex(indexes.client, name, is_live=False, in_write_set=False, was_served=False, meta=meta)


def create_hidden(client: Client, name: str, settings: dict[str, Any], mappings: dict[str, Any]) -> None:
    """Create an index to be loaded: hidden, without refreshes, and without copies where the domain allows this.

    Otherwise it has the copies of the mapping file.
    """
    settings = {**settings, "hidden": True}
    try:
        client.request("PUT", f"/{name}", body={"settings": settings | _LOADING, "mappings": mappings})
    except RequestRejected as error:
        if error.error_type != "validation_exception":
            raise
        log.warning("%s is loaded with the copies of its mapping file, because: %s", name, error)
        loading = settings | {"refresh_interval": _LOADING["refresh_interval"]}
        client.request("PUT", f"/{name}", body={"settings": loading, "mappings": mappings})


def refused(file: str, error: RequestRejected) -> RequestRejected | BadMapping:
    """Return the error to raise when OpenSearch makes no index of a file's settings and mappings."""
    if error.status != 400:
        return error
    if error.error_type == "validation_exception" and "awareness" in str(error):
        return BadMapping(
            f"this domain wants as many copies of an index as it has zones, or a multiple ({error}): with three zones "
            f'{file} needs "auto_expand_replicas": "0-2", or "number_of_replicas": 2 in its place'
        )
    return BadMapping(f"OpenSearch refuses {file}: {error}")


def make_searchable(indexes: EntityIndexes, name: str, *, patience: float = COPIES_SECONDS) -> None:
    """Set refresh and replicas as the mapping file has them; return when all copies are there and refreshed.

    :raises IndexUnavailable: when they are not there after ``patience`` seconds
    """
    settings = indexes.entity.index_body["settings"]
    wanted = {key: settings.get(key) for key in _LOADING}
    indexes.client.request("PUT", f"/{name}/_settings", body={"index": wanted})
    # In the path, because opensearch-py takes a parameter of that name for its own; answered with 408 if it does not
    # come true by then, and asked again.
    waits = "timeout=10s&wait_for_status=green&wait_for_no_initializing_shards=true&wait_for_no_relocating_shards=true"
    try:
        indexes.client.request("GET", f"/_cluster/health/{name}?{waits}", patience=patience)
    except IndexUnavailable as error:
        raise IndexUnavailable(
            f"not all copies of {name} are there after {patience:.0f} s: see GET /_cluster/allocation/explain ({error})"
        ) from error
    indexes.index(name).refresh()
