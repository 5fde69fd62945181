"""The heartbeat in its table: a reserved item that exists for seconds, and is an ordinary item while it does."""

from typing import Any

from botocore.exceptions import ClientError

from searchsync.aws import code_of
from searchsync.catalog import Entity
from searchsync.documents import dynamodb_item
from searchsync.documents.dynamodb_values import BadItem
from searchsync.documents.position import of_read
from searchsync.errors import BadEntity, BadSource, SearchSyncError
from searchsync.heartbeat import Heartbeat
from searchsync.mapping.fitting import Dropped
from searchsync.sources.dynamodb_table import Table

_REFUSED = "ConditionalCheckFailedException"


class Taken(SearchSyncError):
    """Another run measures the same entity: its heartbeat is in the table."""


class HeartbeatItem:
    """The heartbeat of one entity.

    :param client: boto3's low-level DynamoDB client
    :ivar key: id of its document
    :raises BadEntity: when no whole document can be made of the item: it would be parked, or would count as left out
    """

    def __init__(self, entity: Entity, heartbeat: Heartbeat, client: Any) -> None:
        self._entity = entity
        self._item = heartbeat.item
        self._client = client
        self._table = Table(entity.table, client)
        self._of_key = {name: self._item[name] for name in entity.key}
        dropped: Dropped = {}
        try:
            self.key = dynamodb_item.key_of(entity, self._item)
            dynamodb_item.text_of(entity, self._item, dropped)
        except BadItem as error:
            raise self._unfit(str(error)) from None
        if dropped:
            raise self._unfit(f"the mapping has no place for {', '.join(sorted(dropped))}")

    def _unfit(self, why: str) -> BadEntity:
        return BadEntity(
            f"include/entities/{self._entity.name}.yaml: heartbeat can be no document: {why}. Nothing was written; "
            "correct heartbeat"
        )

    def is_there(self) -> bool:
        """Return whether the heartbeat is in the table now, by a consistent read.

        :raises BadSource: when another item has its key
        :raises SourceUnavailable: when the table does not answer, or is throttled
        """
        found = [item for items, _, _ in self._table.items([self._of_key]) for item in items]
        if found and found != [self._item]:
            raise BadSource(
                f"table {self._table.name}: the item {self.key!r} is not the heartbeat that "
                f"include/entities/{self._entity.name}.yaml describes. Nothing was written. Was the file changed while "
                "a heartbeat was there? Then delete the item; else name another key"
            )
        return bool(found)

    def put(self) -> str:
        """Write the item where there is none. Return a position that each state with it has, and none before it.

        :raises Taken: when there is one
        :raises SourceUnavailable: when the table does not answer, or is throttled; it may have been written
        """
        name = self._entity.key[0]
        absent = {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": name}}
        with self._table.errors():
            try:
                answer = self._client.put_item(TableName=self._table.name, Item=self._item, **absent)
            except ClientError as error:
                if code_of(error) != _REFUSED:
                    raise
                raise Taken(
                    f"{self._entity.name}: another run measures at the moment; nothing was written. Run it again later"
                ) from None
        return of_read(self._table.second(answer))

    def delete(self) -> None:
        """Delete the item, if there is one and it is the heartbeat.

        :raises SourceUnavailable: when the table does not answer, or is throttled; the next run deletes it
        """
        parts = list(enumerate(self._item.items()))
        same = {
            "ConditionExpression": " AND ".join(f"#n{number} = :v{number}" for number, _ in parts),
            "ExpressionAttributeNames": {f"#n{number}": name for number, (name, _) in parts},
            "ExpressionAttributeValues": {f":v{number}": value for number, (_, value) in parts},
        }
        with self._table.errors():
            try:
                self._client.delete_item(TableName=self._table.name, Key=self._of_key, **same)
            except ClientError as error:
                if code_of(error) != _REFUSED:
                    raise
