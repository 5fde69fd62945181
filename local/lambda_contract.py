"""What AWS Lambda and a function agree on for DynamoDB streams: the event, the response, and the pointer to a loss."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Records = list[dict[str, Any]]


def event_record(record: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """One record of an event, from one that boto3 has read: binary as base64 text, the time as float seconds."""
    identity = record.get("userIdentity")
    return {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record["eventVersion"],
        "eventSource": "aws:dynamodb",
        "awsRegion": record["awsRegion"],
        "dynamodb": _plain(record["dynamodb"]),
        **({"userIdentity": {"type": identity["Type"], "principalId": identity["PrincipalId"]}} if identity else {}),
        "eventSourceARN": stream_arn,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    return value


def sequence_number(record: Mapping[str, Any]) -> str:
    number: str = record["dynamodb"]["SequenceNumber"]
    return number


def created(record: Mapping[str, Any]) -> float:
    """When the change was made, in seconds since the epoch."""
    seconds: float = record["dynamodb"]["ApproximateCreationDateTime"]
    return seconds


def first_failure(response: Any, batch: Records) -> int:
    """How many records at the front of the batch are done: all before the lowest one that the function reports.

    :raises ValueError: for a response that fails the whole batch: not an object, a list without the right key, an
        identifier that is empty or of no record in the batch.
    """
    if response is None:
        return len(batch)
    if not isinstance(response, dict):
        raise ValueError(f"the function returned {type(response).__name__}, no object")
    failures = response.get("batchItemFailures")
    if failures is None or failures == []:
        return len(batch)
    numbers = [sequence_number(record) for record in batch]
    try:
        return min(numbers.index(failure["itemIdentifier"]) for failure in failures)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the function reported what is not in the batch: {str(failures)[:200]}") from None


def pointer(
    batch: Records, shard_id: str, function: str, *, condition: str, invocations: int, raised: bool
) -> dict[str, Any]:
    """The message for the on-failure queue: where in the stream the records are, and nothing of what they say.

    :param function: its name.
    :param condition: `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    :param raised: whether the last invocation failed, which a partial failure does not.
    """
    stream_arn: str = batch[0]["eventSourceARN"]
    region, account = stream_arn.split(":")[3:5]
    return {
        "requestContext": {
            "requestId": str(uuid4()),
            "functionArn": f"arn:aws:lambda:{region}:{account}:function:{function}",
            "condition": condition,
            "approximateInvokeCount": invocations,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            **({"functionError": "Unhandled"} if raised else {}),
        },
        "version": "1.0",
        "timestamp": _iso(datetime.now(UTC), "milliseconds"),
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": sequence_number(batch[0]),
            "endSequenceNumber": sequence_number(batch[-1]),
            "approximateArrivalOfFirstRecord": _iso(datetime.fromtimestamp(created(batch[0]), UTC), "seconds"),
            "approximateArrivalOfLastRecord": _iso(datetime.fromtimestamp(created(batch[-1]), UTC), "seconds"),
            "batchSize": len(batch),
            "streamArn": stream_arn,
        },
    }


def _iso(moment: datetime, precision: str) -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
