"""Whose fault an error of OpenSearch is, by its type: the status alone does not say it.

What has no status of its own is a 500 (``OpenSearchException.status``), the caller's mistake as well as an outage.
Types that were seen at real servers are in the tests (``test_refusals``); the others are those that
``ExceptionsHelper`` and the REST layer of OpenSearch 3.5 give to a request that cannot succeed as it is.
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
"""The request cannot succeed as it is, also with status 500."""

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
"""Load, or a node that is away, on one shard at least: the same request may succeed later, whatever others say."""

OURS = {
    "",  # no error that we know how to read
    "index_closed_exception",
    "invalid_index_name_exception",
    "routing_missing_exception",
    "script_exception",
    "validation_exception",
}
"""An item of a bulk with one of these and status 400 is no fault of its document."""

OUR_WORDS = ("no write index is defined", "pipeline with id")
"""These come under the type of a poisonous document (``illegal_argument_exception``), and are not."""

POISON = {"illegal_argument_exception", "mapper_parsing_exception", "number_format_exception", "parse_exception"}
"""What a document may be to blame for even with status 500."""


def is_callers(error: Any) -> bool:
    """Whether an ``error`` object says, at any depth, that the request can never succeed, and nowhere that it may."""
    types = set(_types(error))
    return not types.isdisjoint(CALLERS) and types.isdisjoint(PASSING)


def _types(error: Any) -> Iterator[str]:
    """The types of an error, of its causes and of its shards'."""
    if isinstance(error, list):
        for each in error:
            yield from _types(each)
    elif isinstance(error, dict):
        yield str(error.get("type", ""))
        for part in ("caused_by", "root_cause", "failed_shards", "reason"):
            if isinstance(error.get(part), dict | list):
                yield from _types(error[part])
