"""What keeps the live index of each entity true: source, delivery, queues, gaps, comparisons."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from searchsync.aws import errors
from searchsync.catalog import Entity
from searchsync.cluster.indexes import EntityIndexes
from searchsync.connections import Connections
from searchsync.deadline import Deadline
from searchsync.errors import BadConnection, BadSource, SearchSyncError, SourceUnavailable
from searchsync.health.cluster import ASK_SECONDS, SERVER
from searchsync.health.reading import Look, Reading
from searchsync.quality import health
from searchsync.sources import postgres_connection
from searchsync.sources.dynamodb import DynamoSource
from searchsync.stream.event_source import RUNNING, NoMapping, mapping_of

ENVIRONMENT = "SEARCHSYNC_ENVIRONMENT"
"""Name of the variable that holds the column of ``infra/environments.yaml``; without it there is no function of AWS."""

OF_INDEX = {health.COMPARED: "comparison-old", health.GAPS: "gap-open"}
OF_QUEUES = {
    health.WAITING: ("dead-letters", "dead-letters-many"),
    health.OLDEST: ("dead-letters-old",),
    health.PARKED: ("parked-for-a-person",),
}


def looks(connections: Connections, entities: Mapping[str, Entity]) -> Iterator[Look]:
    """Yield the looks at each entity."""
    for _, entity in sorted(entities.items()):
        of = _Entity(connections, entity)
        if entity.source == "postgres":
            yield of.look("PostgreSQL", of.primary, "source-away")
        else:
            yield of.look("DynamoDB", of.table, "source-away")
            yield of.look("SQS", of.queues, *(name for names in OF_QUEUES.values() for name in names))
            if os.environ.get(ENVIRONMENT):
                yield of.look("Lambda", of.mapping, "mapping-disabled")
        yield of.look(SERVER, of.index, *OF_INDEX.values())


@dataclass(frozen=True)
class _Entity:
    connections: Connections
    entity: Entity

    def look(self, server: str, ask: Callable[[], Iterator[Reading]], *alarms: str) -> Look:
        return Look(alarms, server, ask, self.entity.name, self.entity.name)

    def reading(self, alarm: str, value: float, seen: str) -> Reading:
        return Reading(alarm, self.entity.name, value, seen, self.entity.name)

    def primary(self) -> Iterator[Reading]:
        """That it does not answer, or is a standby, is what this look finds."""
        entity = self.entity
        away = partial(self.reading, "source-away")
        try:
            dsn, _ = self.connections.postgres(entity.connection)
            with (
                postgres_connection.errors(entity.name, entity.sql_path),
                closing(postgres_connection.connect(dsn)) as server,
            ):
                ((standby,),) = server.execute("SELECT pg_is_in_recovery()").fetchall()
        except (SourceUnavailable, BadConnection, BadSource) as error:
            yield away(1, str(error))
        else:
            yield away(int(standby), "it is a standby: name the primary in the connection" if standby else "primary")

    def table(self) -> Iterator[Reading]:
        away = partial(self.reading, "source-away")
        try:
            self._source().stream()
        except (SourceUnavailable, BadConnection, BadSource) as error:
            yield away(1, str(error))
        else:
            yield away(0, f"the table {self.entity.table} answers, and has a stream")

    def mapping(self) -> Iterator[Reading]:
        """Look whether changes are delivered. Lambda keeps the state; nothing is published about it."""
        client, stream = self.connections.aws(self.entity.connection, "lambda"), self._source().stream()
        try:
            with errors("Lambda", SearchSyncError):
                state = str(mapping_of(self.entity, client, stream)["State"])
        except NoMapping as error:
            yield self.reading("mapping-disabled", 1, str(error))
        else:
            yield self.reading("mapping-disabled", int(state not in RUNNING), f"it is {state}")

    def queues(self) -> Iterator[Reading]:
        feed = self.connections.feed(self.entity)
        for figure in health.of_queues(self.entity, feed) if feed else []:
            for alarm in OF_QUEUES[figure.name]:
                yield self.reading(alarm, figure.value, _seen(figure))

    def index(self) -> Iterator[Reading]:
        client = self.connections.opensearch().until(Deadline.within(ASK_SECONDS))
        indexes = EntityIndexes(client, self.entity)
        if (live := indexes.live()) is None:
            return
        for figure in health.of_index(indexes, indexes.get(live)):
            if figure.name in OF_INDEX:
                yield self.reading(OF_INDEX[figure.name], figure.value, _seen(figure))

    def _source(self) -> DynamoSource:
        return DynamoSource(self.entity, self.connections.aws(self.entity.connection, "dynamodb"))


def _seen(figure: health.Figure) -> str:
    """Return what a figure says. Its limit is left out: the row has one, and of two rows each has its own."""
    return figure.seen if figure.good else f"{figure.seen}: {figure.next_step}"
