"""OpenSearch: the indexes that are live, and where they are saved."""

from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

from searchsync import config
from searchsync.catalog import Entity
from searchsync.cluster import schema
from searchsync.preflight.checks import Check, Finding, NotApplicable
from searchsync.preflight.target import Target


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of each entity's index, and of the snapshot repository."""
    for _, entity in sorted(target.entities.items()):
        yield Check(
            "mapping",
            entity.name,
            "documents would be refused, or searched in another way",
            f"searchsync reindex {entity.name}, or ./dev trigger {entity.name}_reindex",
            partial(_mapping, target, entity),
        )
    yield Check(
        "snapshot repository",
        config.retention().snapshot_repository or "-",
        "an index that cannot be saved is never deleted",
        "Register the repository, or correct snapshot_repository in include/policies/retention.yaml",
        partial(_repository, target),
    )


def _mapping(target: Target, entity: Entity) -> Finding:
    indexes = target.connections.indexes(entity)
    live = indexes.live_or_raise()
    return Finding(live, schema.differences(indexes, live)[:5])


def _repository(target: Target) -> Finding:
    name = config.retention().snapshot_repository
    if not name:
        raise NotApplicable("snapshot_repository in include/policies/retention.yaml is empty: nothing is saved")
    answer = target.connections.opensearch().request("POST", f"/_snapshot/{quote(name, safe='')}/_verify", patience=0)
    return Finding(f"{len(answer['nodes'])} nodes can write to it")
