"""The emulator as the entities of DynamoDB need it: clients, the streams of their tables, their queues."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from local import stream_function
from local.airflow import aws_environment
from local.errors import LocalError
from searchsync.catalog import Entity
from searchsync.sources.export_requests import EXPORT_BUCKET
from searchsync.stream.queue import DEAD_LETTER_QUEUE

IMAGES = "NEW_AND_OLD_IMAGES"
"""What a stream has to have: a comparison and a replay need both."""

BUCKET = "searchsync-exports"
"""Of all exports; those of an entity have its name as prefix."""

_ACCOUNT = "123456789012"  # moto's


class NoStream(LocalError):
    """There is nothing to deliver: no table, or none with the right stream. The text says what to do."""


def client(service: str, endpoint: str) -> Any:
    """A client of the emulator, whatever account and proxy this shell is set up for."""
    import boto3
    from botocore.config import Config

    from searchsync.aws import CONFIG

    own = aws_environment(endpoint)
    session = boto3.Session(
        aws_access_key_id=own["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=own["AWS_SECRET_ACCESS_KEY"],
        region_name=own["AWS_DEFAULT_REGION"],
    )
    return session.client(service, endpoint_url=endpoint, config=CONFIG.merge(Config(proxies={})))


def stream_arn(entity: Entity, endpoint: str) -> str:
    """The stream of an entity's table.

    :raises NoStream: when the table is not there, or has no stream of new and old images.
    """
    dynamodb = client("dynamodb", endpoint)
    try:
        table = dynamodb.describe_table(TableName=entity.table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        raise NoStream(
            f"the emulator has no table {entity.table}, which lives in its memory: create it with a stream of new and "
            "old images (docs/entities.md shows how). Its changes are delivered from then on"
        ) from None
    stream = table.get("StreamSpecification") or {}
    if stream.get("StreamViewType") != IMAGES:
        has = f"a stream of {stream['StreamViewType']}: turn it off, then" if stream.get("StreamEnabled") else "none:"
        raise NoStream(
            f"the table {entity.table} needs a stream of new and old images and has {has} run `aws dynamodb "
            f"update-table --table-name {entity.table} --stream-specification "
            f"StreamEnabled=true,StreamViewType={IMAGES}`"
        )
    arn: str = table["LatestStreamArn"]
    return arn


def queues(entity: Entity, endpoint: str) -> dict[str, str]:
    """Where the queues will be, for those that start before they are made: variable of the environment, and URL."""
    return {variable: f"{endpoint}/{_ACCOUNT}/{name}" for variable, name in stream_function.queue_names(entity).items()}


def dead_letters(entity: Entity, endpoint: str) -> str:
    """The URL of the queue that gets what the function cannot write."""
    return queues(entity, endpoint)[entity.variable(DEAD_LETTER_QUEUE)]


def variables(endpoint: str) -> dict[str, str]:
    """What Airflow and shells are told of all entities: their queues, and where their exports go."""
    served = stream_function.served()
    urls = {name: url for entity in served for name, url in queues(entity, endpoint).items()}
    return urls | {entity.variable(EXPORT_BUCKET): f"{BUCKET}/{entity.name}" for entity in exported(served)}


def exported(entities: Iterable[Entity]) -> list[Entity]:
    """Those of the entities that are read from exports."""
    return [entity for entity in entities if entity.read_from == "export"]


def make_bucket(endpoint: str) -> None:
    """Make the bucket of all exports, if it is missing."""
    region = aws_environment(endpoint)["AWS_DEFAULT_REGION"]
    s3 = client("s3", endpoint)
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": region})


def make_queues(entity: Entity, endpoint: str) -> None:
    """Make the queues of an entity, or what is missing of them."""
    settings, sqs = stream_function.SETTINGS["queues"], client("sqs", endpoint)
    for name in stream_function.queue_names(entity).values():
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]  # one that is there may have other attributes
        sqs.set_queue_attributes(
            QueueUrl=queue,
            Attributes={
                "MaximumMessageSize": str(settings["maximum_message_size_bytes"]),
                "MessageRetentionPeriod": str(settings["message_retention_seconds"]),
                "VisibilityTimeout": str(settings["visibility_timeout_seconds"]),
            },
        )
