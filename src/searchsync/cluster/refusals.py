"""Whose fault an error of OpenSearch is, by the error's type: the status alone does not say it.

An error type without a status of its own gives 500 (``OpenSearchException.status``), for the caller's mistake as well
as for an outage. The types that were seen at real servers are in the tests (``test_refusals``). The other types are
those that ``ExceptionsHelper`` and the REST layer of OpenSearch 3.5 give to a request that cannot succeed as it is.
"""

from collections.abc import Iterator
from typing import Any

CALLERS = {
    "illegal_argument_exception",  # a split to a number of shards that does not fit; a scroll id that is none
    "illegal_state_exception",  # a second write index by _aliases or a restore; a split of an index that takes writes
    "number_format_exception",
    "parse_exception",
    "parsing_exception",
    "query_shard_exception",  # a query that the mapping does not allow
    "script_exception",
    "search_parse_exception",
    "snapshot_restore_exception",  # over an index that is open
    "too_many_clauses",  # 500 where the filter of an alias is what makes them too many
    "too_many_nested_clauses",
    "x_content_parse_exception",
}
"""Error types of a request that cannot succeed as it is, also with status 500."""

PASSING = {
    "circuit_breaking_exception",
    "es_rejected_execution_exception",
    "no_shard_available_action_exception",
    "node_closed_exception",
    "node_disconnected_exception",
    "node_not_connected_exception",
    "rejected_execution_exception",
    "unavailable_shards_exception",
}
"""Error types of load, or of a node that is away, on at least one shard.

The same request may succeed later, whatever the other shards say.
"""

OURS = {
    "",  # no error that we know how to read
    "index_closed_exception",
    "invalid_index_name_exception",
    "routing_missing_exception",
    "script_exception",
    "validation_exception",
}
"""Error types of a bulk item with status 400 that are not the fault of the item's document."""

OUR_WORDS = ("no write index is defined", "pipeline with id")
"""Words of errors that have the type of a poisonous document (``illegal_argument_exception``), but are no poison."""

POISON = {"illegal_argument_exception", "mapper_parsing_exception", "number_format_exception", "parse_exception"}
"""Error types for which a document may be to blame even with status 500."""


def is_callers(error: Any) -> bool:
    """Return whether an ``error`` object says that the request can never succeed.

    It must say so at some depth, and at no depth that the request may succeed.
    """
    types = set(_types(error))
    return not types.isdisjoint(CALLERS) and types.isdisjoint(PASSING)


def _types(error: Any) -> Iterator[str]:
    """Yield the types of an error, of its causes and of its shards' errors."""
    if isinstance(error, list):
        for each in error:
            yield from _types(each)
    elif isinstance(error, dict):
        yield str(error.get("type", ""))
        for part in ("caused_by", "root_cause", "failed_shards", "reason"):
            if isinstance(error.get(part), dict | list):
                yield from _types(error[part])
