"""OpenSearch: the indexes that are live, and where they are saved."""

from collections.abc import Iterator
from functools import partial

from searchsync import config
from searchsync.access.repository import of_aws
from searchsync.catalog import Entity
from searchsync.cluster import schema
from searchsync.cluster.snapshots import Repository
from searchsync.preflight.checks import Check, Finding, differences
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
        config.snapshots().repository,
        "when the cluster is lost, its indexes are",
        "`searchsync access apply` registers it, as the domain's master user (docs/operations/index_snapshot.md)",
        partial(_repository, target),
    )


def _mapping(target: Target, entity: Entity) -> Finding:
    indexes = target.connections.indexes(entity)
    live = indexes.live_or_raise()
    return Finding(live, schema.differences(indexes, live)[:5])


def _repository(target: Target) -> Finding:
    repository = Repository(target.connections.opensearch(), config.snapshots().repository)
    found = repository.client.request("GET", f"/_snapshot/{repository.name}", patience=0)[repository.name]
    problems = ["it is read-only"] if found["settings"].get("readonly") == "true" else []
    if found["type"] == "s3":
        problems += differences(of_aws(target.account, target.region), found["settings"])
    return Finding(f"{found['type']}; {repository.verify()} nodes can write to it", problems)
