"""What DynamoDB says of one table: its key, its stream, its time to live, and a sample of its items."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore import exceptions

from searchsync import aws
from searchsync.errors import BadSource, SourceUnavailable
from searchsync.selection import Selection
from searchsync.sources.dynamodb import key_schema
from searchsync.sources.dynamodb_answers import documented

SAMPLE_ITEMS = 1_000
MOST_PAGES = 50
"""Largest number of pages, of a megabyte each, in which the items of one kind are looked for."""


@dataclass(frozen=True)
class Table:
    """One table.

    :ivar key: the partition key, and the sort key if there is one
    :ivar key_types: S, N or B for each of them
    :ivar stream: what its stream has; empty when it is off
    :ivar expires: the attribute of its time to live; empty when it has none
    :ivar sample: some items, in DynamoDB's JSON
    """

    name: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    stream: str
    expires: str
    sample: tuple[dict[str, Any], ...]


def read(client: Any, name: str, selection: Selection | None = None) -> Table:
    """Return a table.

    :param client: a client of DynamoDB
    :param selection: of which items the sample is; None for all
    :raises SourceUnavailable: when DynamoDB does not answer
    :raises BadConnection: when the credentials are wrong, or do not allow it
    :raises BadSource: when there is no such table
    """
    with _errors(name), documented(name):
        described = client.describe_table(TableName=name)["Table"]
        key, key_types = key_schema(described)
        ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        sample = _sample(client, name, selection)
    stream = (described.get("StreamSpecification") or {}).get("StreamViewType", "")
    on = ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return Table(name, key, key_types, str(stream), str(ttl["AttributeName"]) if on else "", tuple(sample))


def _sample(client: Any, name: str, selection: Selection | None) -> list[dict[str, Any]]:
    sample: list[dict[str, Any]] = []
    arguments: dict[str, Any] = selection.arguments() if selection else {"Limit": SAMPLE_ITEMS}
    for _ in range(MOST_PAGES):
        answer = client.scan(TableName=name, **arguments)
        sample += answer["Items"]
        last = answer.get("LastEvaluatedKey")
        if not last or len(sample) >= SAMPLE_ITEMS:
            break
        arguments["ExclusiveStartKey"] = last
    return sample[:SAMPLE_ITEMS]


@contextmanager
def _errors(name: str) -> Iterator[None]:
    with aws.errors(f"table {name}: DynamoDB", SourceUnavailable):
        try:
            yield
        except exceptions.ClientError as error:
            code = aws.code_of(error)
            if code not in ("ResourceNotFoundException", "ValidationException"):
                raise
            said = error.response["Error"].get("Message", "")
            raise BadSource(
                f"table {name}: DynamoDB answered {code}: {said}. Nothing was written. Is it the right account and "
                "region?"
            ) from None
        except exceptions.ParamValidationError as error:
            raise BadSource(f"{name!r} names no table: {error}. Nothing was written") from None
