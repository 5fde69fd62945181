"""What holds each test's calls to the grants: a call that it does not see, or takes for another, is not held to any."""

import subprocess
import sys
from pathlib import Path

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
        Call("airflow-task", "POST /searchsync-check-places-1a2b/_bulk create"),
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


def test_a_bulk_whose_actions_are_not_seen_is_granted_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in another way, the actions would be held to no grant."""
    monkeypatch.setattr(calls, "CALLS", {})
    monkeypatch.setattr(calls, "_part", lambda _: "stream")
    client = connect("http://127.0.0.1:9")
    for body in (b'{"create":{"_id":"1"}}\n{}\n', b'{ "create" : {"_id":"1"}}\n{}\n'):
        with pytest.raises(IndexUnavailable):
            client.send_bulk("members", body, 1)
    assert not_granted(calls.CALLS) == [Call("stream", "POST /{index}/_bulk")]


TESTS = """
import pytest
from tests import calls

def scan():
    calls.CALLS[calls.Call("stream", "dynamodb:Scan")] = None

@pytest.fixture(scope="module")
def shared():
    scan()

def test_of_a_shared_fixture(shared):
    pass

def test_first():
    scan()

def test_again():
    scan()

@pytest.mark.mutant
def test_mutant():
    scan()

def test_after_the_mutant():
    pass
"""


def test_each_test_fails_whose_calls_are_not_granted(tmp_path: Path) -> None:
    """Also one whose fixture made them for several, and one that is not the first; a mutant is not the product."""
    (tmp_path / "test_of_calls.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-q", "-rE", str(tmp_path)], cwd=calls.REPO, capture_output=True, text=True, check=False, timeout=120
    )
    failed = {line.split("::")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("ERROR ")}
    assert failed == {"test_of_a_shared_fixture", "test_first", "test_again"}, done.stdout
    assert "include/policies does not grant stream the call dynamodb:Scan" in done.stdout


def test_a_call_between_two_parts_belongs_to_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may let a reindex come in the middle of a write of the function: its calls are not the function's."""
    library, function = (
        f"{calls.REPO}/src/searchsync/cluster/index.py",
        f"{calls.REPO}/src/searchsync/stream/consumer.py",
    )
    for files, part in (
        ([library, function], "stream"),
        ([library, __file__, function], None),
        ([library, __file__], "airflow-task"),
        ([__file__, function], None),
    ):
        monkeypatch.setattr(calls, "_files", lambda _, files=files: iter(files))
        assert calls._part(sys._getframe()) == part
