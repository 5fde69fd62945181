"""One table of DynamoDB: consistent reads within a budget of capacity, and what is proven of each answer."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from botocore import exceptions as aws

from searchsync.aws import code_of, errors
from searchsync.documents.dynamodb_key import as_json, as_request
from searchsync.documents.page import written_now
from searchsync.documents.position import of_read
from searchsync.errors import BadSource, SourceUnavailable
from searchsync.sources.capacity import Budget, Patience
from searchsync.sources.dynamodb_answers import as_they_came, check_items, documented, units_of

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0
"""Seconds for which a read is tried again while the table is throttled or does not answer; the same for OpenSearch."""


class Read(NamedTuple):
    """The position of a consistent read, and its time (ISO 8601, UTC)."""

    position: str
    at: str


class Table:
    """A table and a client for it.

    :param client: boto3's low-level DynamoDB client
    :param read_units: read capacity units a second that all reads together may use; None for no limit
    """

    def __init__(self, name: str, client: Any, *, read_units: float | None = None) -> None:
        self.name = name
        self._client = as_they_came(client)
        self._budget = Budget(read_units)

    def describe(self) -> dict[str, Any]:
        """Return what DescribeTable says.

        :raises BadSource: when there is no such table
        """
        with self.errors(), documented(self.name):
            table: dict[str, Any] = self._client.describe_table(TableName=self.name)["Table"]
        return table

    def now(self) -> int:
        """Return the present second since the epoch, by DynamoDB's clock."""
        with self.errors():
            return self.second(self._client.describe_table(TableName=self.name))

    def scan(self, after: Any = None, **arguments: Any) -> tuple[Iterable[Any], Read, Any]:
        """Return the items of a page, its position, and its last key: the next page begins after it.

        The last key is None on the last page.

        :param after: last key of the page before, in values that JSON can hold, as the last key is returned
        :param arguments: of Scan
        """
        start = {"ExclusiveStartKey": as_request(after)} if after else {}
        answer = self._ask("scan", TableName=self.name, ConsistentRead=True, **arguments, **start)
        return answer["Items"], self._when(answer), as_json(answer.get("LastEvaluatedKey") or {}) or None

    def items(self, keys: list[Any]) -> Iterator[tuple[list[Any], Read, list[Any]]]:
        """Read items by key. Yield the items of each answer, its position, and the keys that it leaves out.

        What an answer leaves out, the next one has.

        :param keys: at most 100, in DynamoDB's JSON
        """
        patience = Patience(PATIENCE_SECONDS)
        while keys:
            asked = {"Keys": [as_request(key) for key in keys], "ConsistentRead": True}
            answer = self._ask("batch_get_item", RequestItems={self.name: asked})
            unread = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            left = [as_json(key) for key in unread]
            yield answer["Responses"].get(self.name, []), self._when(answer), left
            if len(left) < len(keys):
                patience = Patience(PATIENCE_SECONDS)
            keys = left
            if keys and not patience.wait():
                raise SourceUnavailable(
                    f"table {self.name}: {len(keys)} keys were not read for {PATIENCE_SECONDS:.0f} s: it is "
                    "throttled. Run the task again when it has capacity"
                )

    def _ask(self, operation: str, **arguments: Any) -> Any:
        """Read once within the budget. Try again while the table is throttled or does not answer."""
        patience = Patience(PATIENCE_SECONDS)
        while True:
            try:
                with self._budget.read() as cost, self.errors(), documented(self.name):
                    answer = getattr(self._client, operation)(ReturnConsumedCapacity="TOTAL", **arguments)
                    cost.units = units_of(answer)
                    check_items(answer)
                    return answer
            except SourceUnavailable as error:
                log.warning("%s", error)
                if not patience.wait():
                    raise

    def _when(self, answer: dict[str, Any]) -> Read:
        return Read(of_read(self.second(answer)), written_now())

    def second(self, answer: dict[str, Any]) -> int:
        """Return the second since the epoch at which DynamoDB answered, by its clock."""
        try:
            return int(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp())
        except (KeyError, ValueError) as error:
            raise SourceUnavailable(
                f"table {self.name}: an answer has no Date header that can be read ({error}), so its place among the "
                "changes is not known. Is there a proxy between?"
            ) from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise each error of the client in this block as an error of ours, which names the table."""
        with errors(f"table {self.name}: DynamoDB", SourceUnavailable):
            try:
                yield
            except aws.ClientError as error:
                code = code_of(error)
                if code not in ("ResourceNotFoundException", "ValidationException"):
                    raise
                said = f"DynamoDB answered {code}: {error.response['Error'].get('Message', '')}"
                raise BadSource(f"table {self.name}: {said}. Is it the right account and region?") from None
