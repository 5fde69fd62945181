"""Sources, queues and streams as a shell's environment names them: what ``search_ops.hook`` is in Airflow."""

import os
from collections.abc import Callable
from typing import Any

import botocore.session
import opensearchpy

from searchsync import config
from searchsync.aws import CONFIG, errors
from searchsync.catalog import Entity
from searchsync.cluster import indexes
from searchsync.cluster.client import setting
from searchsync.cluster.indexes import Served
from searchsync.errors import SearchSyncError
from searchsync.operations.reindex import Plan
from searchsync.quality.health import Feed
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.postgres import PostgresSource
from searchsync.stream.lag import Lag
from searchsync.stream.queue import Queue


def source(entity: Entity, of: Plan | Served | None, *, read_units: float | None = None) -> Source:
    """The source of an entity.

    :param of: what its reads have to belong to; None accepts any server
    :param read_units: of all reads together, a second; None for the policy's number
    """
    if entity.source == "dynamodb":
        identity = of.identity if of else None
        return DynamoSource(entity, aws("dynamodb"), identity=identity, read_units=config.read_units(read_units))
    dsn, source_id = setting("SEARCHSYNC_POSTGRES_DSN"), os.environ.get("SEARCHSYNC_POSTGRES_SOURCE_ID", "")
    if of is None:
        return PostgresSource(entity, dsn, source_id=source_id)
    return PostgresSource(entity, dsn, epoch=of.epoch, identity=of.identity, source_id=source_id)


def feed(entity: Entity, served: Served | None = None) -> Feed | None:
    """What feeds the indexes of a table in real time; None for an entity that syncs feed."""
    if entity.source != "dynamodb":
        return None
    dead_letters, parked = queues()
    identity = served.identity if served else None
    table = DynamoSource(entity, aws("dynamodb"), identity=identity)
    return Feed(table, aws("dynamodbstreams"), aws("cloudwatch"), dead_letters, parked)


def behind(client: opensearchpy.OpenSearch, entity: Entity, name: str) -> Callable[[], Lag] | None:
    """Tells how far an index is behind its stream; None where there is none."""
    fed = feed(entity, indexes.served(client, entity, name))
    return (lambda: fed.behind(client, name)) if fed else None


def queues() -> tuple[Queue, Queue]:
    """The dead-letter queue, and that of messages which wait for a person."""
    dead_letters, parked = (setting(name) for name in ("SEARCHSYNC_DEAD_LETTER_QUEUE", "SEARCHSYNC_PARKED_QUEUE"))
    return Queue(aws("sqs"), dead_letters), Queue(aws("sqs"), parked)


def aws(service: str) -> Any:
    """A client as AWS' own variables and files describe it.

    :raises BadConnection: when they do not say a region, or credentials by half
    """
    with errors(service, SearchSyncError):
        return botocore.session.get_session().create_client(service, config=CONFIG)
