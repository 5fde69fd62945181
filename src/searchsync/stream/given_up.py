"""Batches that the event source mapping gave up, whole: an object for each in a bucket, which a message names.

The documented form of an object is that of a pointer with the invocation's event in ``payload``
(https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html).
"""

import json
from typing import Any

from botocore.exceptions import ClientError

from searchsync import aws
from searchsync.catalog import Entity
from searchsync.errors import BadConnection, SourceUnavailable
from searchsync.stream import event_source
from searchsync.stream.dead_letters import GivenUp, Unreadable
from searchsync.stream.reader import Record

MAX_BYTES = 16_000_000
"""Largest object that is read. An invocation has 6 MB at most, and its event is kept as text, with quotes escaped."""


def records(s3: Any, entity: Entity, table: str, named: GivenUp) -> list[Record]:
    """Return the records of a batch that was given up.

    :param s3: boto3's S3 client
    :param table: ARN of the entity's table
    :raises Unreadable: when the object is missing, too large, cut off, or not of this entity's function and table
    :raises SourceUnavailable: when S3 does not answer
    :raises BadConnection: when the role may not read the object
    """
    text = _text(s3, named)
    try:
        found = json.loads(text)
        batch, function = found["DDBStreamBatchInfo"], str(found["requestContext"]["functionArn"])
        stream, count = str(batch["streamArn"]), int(batch["batchSize"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _unusable(named, f"it is cut off, or Lambda did not write it ({error!r})") from None
    if not stream.startswith(f"{table}/stream/"):
        raise _unusable(named, f"it is of {stream}, not of a stream of {table}")
    if function.split(":")[6:7] != [event_source.function_of(entity)]:
        raise _unusable(named, f"it is of the function {function}, not of {event_source.function_of(entity)}")
    return _records(named, found.get("payload"), stream, count)


def _records(named: GivenUp, payload: Any, stream: str, count: int) -> list[Record]:
    try:
        # Documented as "<Whole Event>", which does not say whether it is text or part of the document.
        event = json.loads(payload) if isinstance(payload, str) else payload
        found: list[Record] = event["Records"]
        others = [record for record in found if record["eventSourceARN"] != stream]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _unusable(named, f"its payload has no records ({error!r})") from None
    if len(found) != count or others:
        raise _unusable(named, f"it lists {count} records of {stream}, and has {len(found) - len(others)} of them")
    return found


def _text(s3: Any, named: GivenUp) -> bytes:
    try:
        with aws.errors("S3", SourceUnavailable):
            answer = s3.get_object(Bucket=named.bucket, Key=named.key)
            if answer["ContentLength"] > MAX_BYTES:
                raise _unusable(named, f"it has {answer['ContentLength']} bytes, and {MAX_BYTES} are the most")
            text: bytes = answer["Body"].read()
            return text
    except BadConnection as error:
        code = aws.code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
        if code in ("NoSuchKey", "NoSuchBucket"):
            raise _unusable(named, "it is not there (any more)") from None
        raise


def _unusable(named: GivenUp, why: str) -> Unreadable:
    return Unreadable(f"{named.what} cannot be replayed: {why}. A full comparison with repair finds what it stands for")
