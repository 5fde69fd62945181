"""A caller's mistake ends at once and says so, whatever status OpenSearch gives it; load and outages are waited out."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local import opensearch as local_opensearch
from searchsync.catalog import Entity
from searchsync.cluster.client import Client
from searchsync.cluster.index import Index
from searchsync.documents.page import Rejection, page_of
from searchsync.errors import IndexUnavailable, RequestRejected, SearchSyncError
from searchsync.writing.writer import compare_and_set
from tests.faults import Answer, Forward, OpenSearchProxy, Request
from tests.steps import documents, line, make_index, make_red_index, position, serve

Ask = Callable[[Client], object]


@pytest.fixture
def blue(client: Client, locations: Entity) -> str:
    return serve(client, locations, "blue")


@pytest.fixture
def snapshot(client: Client, opensearch_server: local_opensearch.Server) -> Iterator[str]:
    """Of an index that was the write index of an alias, as another is now."""
    path = "/_snapshot/test-refusals"
    client.request("PUT", path, body={"type": "fs", "settings": {"location": "test-refusals"}})
    writes = {"aliases": {"one-writes": {"is_write_index": True}}}
    client.request("PUT", "/first", body=writes)
    client.request("PUT", f"{path}/of-first", body={"indices": "first"}, params={"wait_for_completion": "true"})
    client.request("DELETE", "/first")
    client.request("PUT", "/second", body=writes)
    yield f"{path}/of-first"
    client.request("DELETE", f"{path}/of-first")
    client.request("DELETE", path)


def at_once(client: Client, ask: Ask, status: int, says: str) -> None:
    began = time.monotonic()
    with pytest.raises(RequestRejected, match=says) as caught:
        ask(client)
    assert caught.value.status == status
    assert time.monotonic() - began < 20, "retried as an outage"


def search(index: str, body: dict[str, Any]) -> Ask:
    return lambda client: client.request("POST", f"/{index}/_search", body=body)


def names(count: int) -> dict[str, Any]:
    return {"query": {"bool": {"should": [{"term": {"region": f"region {n}"}} for n in range(count)]}}}


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        # As many as are allowed; the alias' own filter is one more, and the answer is no longer 400.
        (search("locations", names(1_024)), 500, "maxClauseCount"),
        (search("locations", names(1_100)), 400, "maxClauseCount"),
        (search("locations", {"query": {"match": {"population": "many"}}}), 400, "many"),
        (search("locations", {"size": 20_000}), 400, "Result window"),
        (search("locations", {"query": {"nothing": {}}}), 400, "nothing"),
        (lambda client: client.request("POST", "/_search/scroll", body={"scroll_id": "x"}), 400, "scroll id"),
    ],
    ids=["clauses of alias and query", "clauses", "text for a number", "window", "query", "scroll"],
)
def test_a_query_that_can_never_succeed_is_refused_at_once(
    client: Client, blue: str, ask: Ask, status: int, says: str
) -> None:
    at_once(client, ask, status, says)


def test_a_split_of_an_index_that_takes_writes_is_refused_at_once(client: Client, blue: str) -> None:
    def split(shards: int) -> Ask:
        body = {"settings": {"index.number_of_shards": shards}}
        return lambda client: client.request("POST", f"/{blue}/_split/{blue}-split", body=body)

    at_once(client, split(2), 500, "must block write operations")
    client.request("PUT", "/two", body={"settings": {"number_of_shards": 2, "index.blocks.write": True}})
    body = {"settings": {"index.number_of_shards": 3}}
    at_once(client, lambda c: c.request("POST", "/two/_split/three", body=body), 400, "factor")


def test_a_second_write_index_is_refused_at_once(client: Client, snapshot: str) -> None:
    at_once(client, lambda c: c.request("POST", f"{snapshot}/_restore"), 500, "more than one write index")
    client.request("PUT", "/third")
    add = {"add": {"index": "third", "alias": "one-writes", "is_write_index": True}}
    at_once(client, lambda c: c.request("POST", "/_aliases", body={"actions": [add]}), 500, "more than one write index")


def test_a_restore_over_an_open_index_is_refused_at_once(client: Client, snapshot: str) -> None:
    body = {"rename_pattern": "first", "rename_replacement": "second", "include_aliases": False}
    at_once(client, lambda c: c.request("POST", f"{snapshot}/_restore", body=body), 500, "open index with same name")


# -- what passes


def waited_out(client: Client, ask: Ask) -> None:
    with pytest.raises(IndexUnavailable, match="gave up after"):
        ask(client)


@contextmanager
def no_memory(client: Client) -> Iterator[None]:
    setting = "indices.breaker.request.limit"
    client.request("PUT", "/_cluster/settings", body={"transient": {setting: "1b"}})
    try:
        yield
    finally:
        client.request("PUT", "/_cluster/settings", body={"transient": {setting: None}})


def test_a_memory_limit_and_a_missing_shard_are_waited_for(client: Client, locations: Entity, blue: str) -> None:
    sums = {"size": 0, "aggs": {"a": {"terms": {"field": "region"}}}}
    with no_memory(client):
        waited_out(client, lambda c: c.request("POST", f"/{blue}/_search", body=sums, patience=0.5))
    assert client.request("POST", f"/{blue}/_search", body=sums)["hits"]["total"]["value"] == 0
    red = make_red_index(client, locations)
    waited_out(client, lambda c: c.request("POST", f"/{red}/_search", body={}, patience=0.5))


ANSWERS: list[tuple[int, dict[str, Any], type[SearchSyncError]]] = [
    # One shard says that the query is wrong, another that it is too busy: who knows.
    (500, {"type": "search_phase_execution_exception", "failed_shards": [
        {"reason": {"type": "query_shard_exception", "caused_by": {"type": "too_many_clauses"}}},
        {"reason": {"type": "node_disconnected_exception"}}]}, IndexUnavailable),
    (500, {"type": "remote_transport_exception", "caused_by": {"type": "exception", "caused_by": {
        "type": "illegal_argument_exception", "reason": "deep down"}}}, RequestRejected),
    (500, {"type": "search_phase_execution_exception", "root_cause": [{"type": "too_many_nested_clauses"}]},
     RequestRejected),
    (503, {"type": "search_phase_execution_exception", "failed_shards": []}, IndexUnavailable),
    (503, {"type": "cluster_manager_not_discovered_exception"}, IndexUnavailable),
    (503, {"type": "process_cluster_event_timeout_exception"}, IndexUnavailable),
    (500, {"type": "node_not_connected_exception"}, IndexUnavailable),
    (500, {"type": "already_closed_exception"}, IndexUnavailable),
    (500, {"type": "null_pointer_exception"}, IndexUnavailable),
    (504, {"type": "receive_timeout_transport_exception"}, IndexUnavailable),
    (429, {"type": "circuit_breaking_exception"}, IndexUnavailable),
    (429, {"type": "es_rejected_execution_exception"}, IndexUnavailable),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "expected"), ANSWERS)
def test_answers_that_cannot_be_produced_here(
    faulty: Client,
    proxy: OpenSearchProxy,
    locations: Entity,
    status: int,
    error: dict[str, Any],
    expected: type[SearchSyncError],
) -> None:
    """Emulated after ``ExceptionsHelper.status`` and what a transport layer of several nodes wraps around a cause."""
    fault = proxy.answer("GET /x", status, {"error": error, "status": status}, times=None)
    with pytest.raises(expected):
        faulty.request("GET", "/x", patience=0.5)
    assert (fault.hits == 1) == (expected is RequestRejected)


def test_one_poisonous_document_that_spoils_its_whole_request_is_found(
    client: Client, faulty: Client, proxy: OpenSearchProxy, locations: Entity
) -> None:
    """By a 500 whose type says that it is the request: it ends alone, and the others are written."""

    def act(request_: Request, forward: Forward) -> Answer:
        if b"spoils" not in request_.body:
            return forward()
        error = {"type": "illegal_argument_exception", "reason": "this one"}
        return Answer(500, json.dumps({"error": error, "status": 500}).encode())

    proxy.add("POST /.*/_bulk", act, times=None)
    green = make_index(client, locations)
    lines = [line(key, 1, name="x") for key in ("a", "b", "spoils", "c")]
    rejected: list[Rejection] = []
    ledger = compare_and_set(Index(faulty, green), page_of(lines, position=position(1)), on_rejected=rejected.append)
    assert (ledger.written, [rejection.id for rejection in rejected]) == (3, ["spoils"])
    assert documents(client, green).keys() == {"a", "b", "c"}
