"""Sources, queues and streams, wired once: a shell and Airflow differ only in where the addresses come from."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from searchsync import config
from searchsync.catalog import Entity
from searchsync.cluster.client import Client, setting
from searchsync.cluster.indexes import BuiltFrom, EntityIndexes
from searchsync.errors import BadParams
from searchsync.freshness.item import HeartbeatItem
from searchsync.operations.reindex import ReindexPlan
from searchsync.quality.health import Feed
from searchsync.sources.base import Source
from searchsync.sources.dynamodb import DynamoSource
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.sources.export_requests import EXPORT_BUCKET, ExportAccess
from searchsync.sources.postgres import PostgresSource
from searchsync.sources.postgres_connection import Dsn
from searchsync.stream.lag import Lag
from searchsync.stream.pointers import Origins
from searchsync.stream.queue import DEAD_LETTER_QUEUE, PARKED_QUEUE, Queue


@dataclass(frozen=True)
class Connections:
    """What reaches the servers.

    :ivar opensearch: makes a client of the cluster
    :ivar postgres: returns for a connection's id the connection string of the login that may SELECT, or what makes one
        for each connection, and an operator's name for this very database, which may be empty
    :ivar aws: makes a client of a service, by the id of a connection and the service's name in botocore
    """

    opensearch: Callable[[], Client]
    postgres: Callable[[str], tuple[Dsn, str]]
    aws: Callable[[str, str], Any]

    def source(
        self, entity: Entity, of: ReindexPlan | BuiltFrom | None = None, *, read_units: float | None = None
    ) -> Source:
        """Return the rows or items of an entity.

        :param of: the plan or the index whose database and epoch all reads have to belong to; None accepts any
            database
        :param read_units: read capacity units a second of all reads together; None for the number of the policy
        """
        if entity.source == "dynamodb":
            identity = of.identity if of else None
            units = config.read_units(entity, read_units)
            return DynamoSource(entity, self.aws(entity.connection, "dynamodb"), identity=identity, read_units=units)
        return self.rows(entity, of)

    def to_reindex(
        self, entity: Entity, of: ReindexPlan | None = None, *, read_units: float | None = None, export: str = ""
    ) -> Source:
        """Return what a reindex loads: an export where the entity's file says so, else the same as ``source``.

        :param export: ARN of an export to read; empty to request one
        :raises BadParams: when an export is named for an entity that is not read from one
        """
        if entity.read_from == "export":
            client, units = self.aws(entity.connection, "dynamodb"), config.read_units(entity, read_units)
            target = os.environ.get(entity.variable(EXPORT_BUCKET), "")
            access = ExportAccess(self.aws(entity.connection, "s3"), self.streams(entity), target, export)
            return ExportSource(entity, client, access, identity=of.identity if of else None, read_units=units)
        if export:
            raise BadParams(
                f"{entity.name} is not read from exports: include/entities/{entity.name}.yaml does not say "
                "read_from: export. Nothing was changed"
            )
        return self.source(entity, of, read_units=read_units)

    def rows(self, entity: Entity, of: ReindexPlan | BuiltFrom | None = None) -> PostgresSource:
        """Return the rows of an entity of PostgreSQL; ``of`` is as for ``source``."""
        dsn, source_id = self.postgres(entity.connection)
        if of is None:
            return PostgresSource(entity, dsn, source_id=source_id)
        return PostgresSource(entity, dsn, epoch=of.epoch, identity=of.identity, source_id=source_id)

    def queues(self, entity: Entity) -> tuple[Queue, Queue]:
        """Return the dead-letter queue of an entity and its queue of messages that wait for a person.

        :raises BadParams: when their variables are not set
        """
        urls = (setting(entity.variable(DEAD_LETTER_QUEUE)), setting(entity.variable(PARKED_QUEUE)))
        dead_letters, parked = (Queue(self.aws(entity.connection, "sqs"), url) for url in urls)
        return dead_letters, parked

    def streams(self, entity: Entity) -> Any:
        """Return a client of DynamoDB Streams."""
        return self.aws(entity.connection, "dynamodbstreams")

    def origins(self, entity: Entity) -> Origins:
        """Return where the records of an entity are that messages of its queues only name."""
        return Origins(self.streams(entity), self.aws(entity.connection, "s3"))

    def feed(self, entity: Entity, of: BuiltFrom | None = None) -> Feed | None:
        """Return what brings an entity's changes in real time; None for an entity that syncs bring them to."""
        if entity.source != "dynamodb":
            return None
        table = DynamoSource(entity, self.aws(entity.connection, "dynamodb"), identity=of.identity if of else None)
        cloudwatch = self.aws(entity.connection, "cloudwatch")
        return Feed(table, self.streams(entity), cloudwatch, *self.queues(entity))

    def behind(self, indexes: EntityIndexes, name: str) -> Callable[[], Lag] | None:
        """Return how to ask how far an index is behind its stream; None where there is no stream."""
        feed = self.feed(indexes.entity, indexes.built_from(name))
        return (lambda: feed.behind(indexes, name)) if feed else None

    def heartbeat(self, entity: Entity) -> HeartbeatItem | None:
        """Return the item that measures an entity's freshness; None where its file describes none."""
        if entity.heartbeat is None:
            return None
        return HeartbeatItem(entity, entity.heartbeat, self.aws(entity.connection, "dynamodb"))

    def indexes(self, entity: Entity) -> EntityIndexes:
        """Return the indexes of an entity."""
        return EntityIndexes(self.opensearch(), entity)
