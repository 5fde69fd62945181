"""Errors of AWS by what helps: told to correct a connection that is right, an operator breaks it."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.stub import Stubber

from searchsync.cli import connections, main
from searchsync.cluster.client import connect, connect_from_environment, signer
from searchsync.errors import BadConnection, BadParams, SearchSyncError, SourceUnavailable
from searchsync.stream import reader
from searchsync.stream.queue import Message, Queue, QueueUnavailable
from searchsync.stream.reader import Forgotten
from tests.members import session

MESSAGE = Message("{}", "receipt", 1, 0.0)
CALLS: dict[str, tuple[str, Callable[[Queue], object]]] = {
    "send": ("send_message_batch", lambda queue: queue.send(["{}"])),
    "receive": ("receive_message", lambda queue: queue.receive()),
    "delete": ("delete_message_batch", lambda queue: queue.delete([MESSAGE])),
    "give back": ("change_message_visibility_batch", lambda queue: queue.give_back([MESSAGE])),
    "count": ("get_queue_attributes", lambda queue: queue.waiting()),
}


@pytest.fixture
def nothing_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that AWS knows nothing of."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")


def stubbed(service: str, operation: str, code: str, status: int) -> Any:
    """A real client that is answered with an error."""
    client: Any = session().client(service, config=Config(retries={"total_max_attempts": 1}))
    stub = Stubber(client)
    if operation == "send_message_batch":  # it asks first what the queue takes
        stub.add_response("get_queue_attributes", {"Attributes": {"MaximumMessageSize": "1048576"}})
    stub.add_client_error(operation, code, "said by AWS", status)
    stub.activate()
    return client


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("RequestThrottled", 400),
        ("AWS.SimpleQueueService.RequestThrottled", 403),
        ("ThrottlingException", 400),
        ("Throttling", 400),
        ("OverLimit", 403),
        ("AWS.SimpleQueueService.OverLimit", 400),
        ("KmsThrottled", 400),
        ("AWS.SimpleQueueService.KmsThrottled", 400),
        ("TooManyRequestsException", 429),
        ("RequestLimitExceeded", 503),
        ("InternalError", 500),
    ],
)
def test_what_passes_by_itself_is_no_bad_connection(call: str, code: str, status: int) -> None:
    operation, act = CALLS[call]
    with pytest.raises(QueueUnavailable, match="said by AWS"):
        act(Queue(stubbed("sqs", operation, code, status), "https://queue"))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", 400),
        ("AccessDenied", 403),
        ("KmsAccessDenied", 400),
        ("KmsDisabled", 400),
        ("InvalidClientTokenId", 403),
        ("ExpiredToken", 403),
    ],
)
def test_what_a_person_has_to_change_is_one(call: str, code: str, status: int) -> None:
    operation, act = CALLS[call]
    with pytest.raises(BadConnection, match=r"https://queue.*permissions"):
        act(Queue(stubbed("sqs", operation, code, status), "https://queue"))


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("LimitExceededException", 400, SourceUnavailable),
        ("ThrottlingException", 400, SourceUnavailable),
        ("ExpiredIteratorException", 400, SourceUnavailable),
        ("InternalServerError", 500, SourceUnavailable),
        ("AccessDeniedException", 400, BadConnection),
        ("UnrecognizedClientException", 400, BadConnection),
        ("ValidationException", 400, BadParams),
        ("TrimmedDataAccessException", 400, Forgotten),
        ("ResourceNotFoundException", 400, Forgotten),
    ],
)
def test_the_stream_likewise(code: str, status: int, error: type[SearchSyncError]) -> None:
    client = stubbed("dynamodbstreams", "get_shard_iterator", code, status)
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/members/stream/2026-01-01T00:00:00.000"
    with pytest.raises(error):
        next(reader.pages(client, arn, "shardId-00000000000000000000-00000000"))


@pytest.mark.parametrize("service", ["sqs", "dynamodb", "dynamodbstreams", "cloudwatch"])
def test_without_a_region_it_is_said_what_to_set(nothing_set_up: None, service: str) -> None:
    with pytest.raises(BadConnection, match="AWS_DEFAULT_REGION"):
        connections.aws("aws_default", service)


def test_without_credentials_it_is_said_what_to_set(nothing_set_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(BadConnection, match="AWS_ACCESS_KEY_ID"):
        Queue(connections.aws("aws_default", "sqs"), "https://sqs.eu-west-1.amazonaws.com/1/q").receive()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half of them")
    with pytest.raises(BadConnection, match="AWS_SECRET_ACCESS_KEY"):
        Queue(connections.aws("aws_default", "sqs"), "https://sqs.eu-west-1.amazonaws.com/1/q").receive()


@pytest.mark.parametrize("region", ["", "eu-west-1"])
def test_a_domain_of_aws_without_credentials_or_region(
    nothing_set_up: None, region: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was a raw ``ValueError`` of the client library, in the shell and at each cold start of the function."""
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_URL", "https://domain")
    monkeypatch.setenv("SEARCHSYNC_OPENSEARCH_AWS_SERVICE", "es")
    if region:
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with pytest.raises(BadConnection, match="credentials" if region else "region"):
        connect_from_environment()
    assert main.main(["indexes"]) == 1
    assert "AWS_DEFAULT_REGION" in capsys.readouterr().err


def test_credentials_that_cannot_be_refreshed_are_no_traceback() -> None:
    """They are fetched when a request is signed."""
    from botocore.exceptions import CredentialRetrievalError, PartialCredentialsError

    for raised, wanted in (
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), BadConnection),
        (CredentialRetrievalError(provider="iam-role", error_msg="away"), SearchSyncError),
    ):

        class Credentials:
            def get_frozen_credentials(self, error: Exception = raised) -> Any:
                raise error

        client = connect("http://127.0.0.1:1", auth=signer(Credentials(), "eu-west-1", "es"))
        with pytest.raises(wanted):
            client.request("GET", "/", patience=0)
