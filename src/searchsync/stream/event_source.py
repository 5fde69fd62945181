"""The event source mapping: what takes the records of a table's stream to the function of an entity."""

from typing import Any

from searchsync.catalog import Entity
from searchsync.errors import SearchSyncError

ALIAS = "live"
"""Of the version of a function that the mapping calls."""

RUNNING = ("Enabled", "Enabling")
"""States in which it delivers, or is about to."""


class NoMapping(SearchSyncError):
    """Not exactly one mapping leads from the stream to the function."""


def function_of(entity: Entity) -> str:
    """Return the name of the function that writes an entity's changes."""
    return f"{entity.name}-stream"


def mapping_of(entity: Entity, client: Any, stream: str) -> dict[str, Any]:
    """Return the mapping as Lambda describes it. It is found by its source: by name, those of an alias are missed.

    :param client: boto3's Lambda client
    :param stream: ARN
    :raises NoMapping: when there is none, or more than one
    """
    found = client.list_event_source_mappings(EventSourceArn=stream)["EventSourceMappings"]
    function = function_of(entity)
    own = [one for one in found if one["FunctionArn"].endswith(f":{function}:{ALIAS}")]
    if len(own) != 1:
        raise NoMapping(
            f"{len(own)} event source mappings lead from the stream of {entity.table} to the alias {ALIAS} of "
            f"{function}, instead of one"
        )
    mapping: dict[str, Any] = own[0]
    return mapping
