"""What holds each test's calls to the grants: a call that it does not see, or takes for another, is not held to any."""

import pytest

from searchsync.cluster.client import connect
from searchsync.cluster.index import Index
from searchsync.deadline import Deadline
from searchsync.errors import IndexUnavailable
from tests import calls
from tests.calls import Call, not_granted, request


def test_calls_that_are_not_granted_are_found() -> None:
    granted = [
        Call("stream", "sqs:SendMessage"),
        Call("stream", "POST /{index}/_bulk create"),
        Call("deploy", "iam:GetRole"),
    ]
    refused = [
        Call("stream", "dynamodb:Scan"),
        Call("search-api-task", "DELETE /{index}"),
        Call("deploy", "iam:CreateUser"),
    ]
    assert not_granted([*granted, *refused]) == refused


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "/members,members-writers/_alias?ignore_unavailable=true", "GET /{index}/_alias"),
        ("PUT", "/searchsync-gaps/_doc/a%20b", "PUT /searchsync-gaps/_doc/{id}"),
        ("GET", "/_cluster/health/members-1?timeout=1s", "GET /_cluster/health/{index}"),
        ("PUT", "/_snapshot/retired/members-1", "PUT /_snapshot/{repository}/{snapshot}"),
        ("POST", "/_snapshot/retired/_verify", "POST /_snapshot/{repository}/_verify"),
        ("POST", "/_search/scroll", "POST /_search/scroll"),
    ],
)
def test_requests_are_named_without_what_differs(method: str, path: str, named: str) -> None:
    assert request(method, path) == named


def test_the_part_that_calls_is_seen_and_a_test_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS", {})
    client = connect("http://127.0.0.1:9")
    with pytest.raises(IndexUnavailable):
        client.request("DELETE", "/of-a-test", patience=0)
    assert not calls.CALLS
    with pytest.raises(IndexUnavailable):
        Index(client.until(Deadline.within(0.5)), "of-the-product").put_meta({})
    assert [*calls.CALLS] == [Call("airflow-task", "PUT /{index}/_mapping")]
