"""DynamoDB with streams, SQS with its metrics, S3, Secrets Manager and Cognito in one process: moto, bridged to AWS.

`python -m local.aws --port 5000` serves until SIGTERM and keeps everything in memory. A bridge replaces functions of
moto, and the server refuses to start on a moto that no longer has them in that shape. Whatever else moto does
differently stays as it is.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from threading import RLock
from typing import Any
from zlib import crc32

from moto.cloudwatch.models import CloudWatchBackend, MetricDatum, Statistics
from moto.cognitoidp.exceptions import NotAuthorizedError
from moto.cognitoidp.models import CognitoIdpBackend
from moto.core.utils import unix_time, unix_time_millis, utcnow
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import StreamRecord, StreamShard, Table
from moto.dynamodb.models.table_export import TableExport
from moto.dynamodb.responses import DynamoHandler
from moto.dynamodbstreams.models import DynamoDBStreamsBackend
from moto.dynamodbstreams.responses import DynamoDBStreamsHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from werkzeug.serving import make_server

from local import exports, infra_bridges
from local.moto_functions import current, replace

_ITERATORS_KEPT = 500
SAME_IDS = {f"MOTO_COGNITO_IDP_USER_POOL_{what}_STRATEGY": "HASH" for what in ("ID", "CLIENT_ID")}
"""User pools and their clients get the same ids in each emulator: who knows them need not be told again."""


def one_dynamodb_request_at_a_time() -> None:
    """Moto has no locks: a Scan during writes answers 500, concurrent writes share a sequence number or swap places."""
    lock = RLock()

    def locked(answer: Callable[..., Any]) -> Callable[..., Any]:
        def call_action(self: Any) -> Any:
            with lock:
                return answer(self)

        return call_action

    for handler in (DynamoHandler, DynamoDBStreamsHandler):
        replace(handler, "call_action", locked(current(handler, "call_action", "self")))


def scan_sorts_in_c() -> None:
    """Moto compares keys in Python: every page of a scan over 100,000 items takes 1.4 s, while all writes wait."""

    def all_items(self: Table) -> list[Item]:
        rows: list[Any] = list(self.items.values())
        if self.range_key_attr is None:
            return sorted(rows, key=lambda item: item.hash_key.cast_value)
        items = [item for same_hash in rows for item in same_hash.values()]
        return sorted(items, key=lambda item: (item.hash_key.cast_value, item.range_key.cast_value))

    current(Table, "all_items", "self")
    replace(Table, "all_items", all_items)


def binary_keys_have_segments() -> None:
    """Moto hashes a partition key as text: a parallel scan of a table with binary keys answers 500."""
    by_text = current(Item, "is_within_segment", "self", "segments")

    def is_within_segment(self: Item, segments: Any) -> bool:
        key, (number, total) = self.hash_key.value, segments
        return crc32(key) % total == number if total and isinstance(key, bytes) else bool(by_text(self, segments))

    replace(Item, "is_within_segment", is_within_segment)


def a_write_that_changes_nothing_makes_no_record() -> None:
    """Moto streams every write, DynamoDB every change: code that expects a record for each put would hang on AWS."""
    add = current(StreamShard, "add", "self", "old", "new")

    def add_if_changed(self: StreamShard, old: Item | None, new: Item | None) -> None:
        if old is None or new is None or _content(old.attrs) != _content(new.attrs):
            add(self, old, new)

    replace(StreamShard, "add", add_if_changed)


def _content(value: Any) -> Any:
    """A comparable form of attributes. Moto's own equality takes nested values of different types for equal."""
    if isinstance(value, dict):
        return {key: _content(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_content(item) for item in value]
    if isinstance(value, DynamoType):
        return value.type, _content(value.value) if value.is_map() or value.is_list() else value.cast_value
    return value


def an_update_that_creates_makes_one_record() -> None:
    """Moto first streams the bare key as an item, which the table never held and a strict reader takes for poison."""
    update = current(
        DynamoDBBackend,
        "update_item",
        *(
            "self",
            "table_name",
            "key",
            "update_expression",
            "expression_attribute_names",
            "expression_attribute_values",
        ),
        *("attribute_updates", "expected", "condition_expression", "return_values_on_condition_check_failure"),
    )

    def update_item(self: DynamoDBBackend, table_name: str, *args: Any, **kwargs: Any) -> Any:
        shard = self.get_table(table_name).stream_shard
        before = len(shard.items) if shard else 0
        item = update(self, table_name, *args, **kwargs)
        if shard and len(shard.items) == before + 2:
            bare, whole = shard.items[before:]
            whole.record["dynamodb"]["SequenceNumber"] = bare.record["dynamodb"]["SequenceNumber"]
            shard.items[before:] = [whole]
        return item

    replace(DynamoDBBackend, "update_item", update_item)


def stream_records_look_like_those_of_aws() -> None:
    """Moto counts milliseconds where AWS has whole seconds: positions would be finer here, and hide errors of order.

    It also makes base64 of binary keys twice: the key would be another one.
    """
    create = current(StreamRecord, "__init__", "self", "table", "stream_type", "event_name", "old", "new", "seq")

    def create_record(self: StreamRecord, table: Table, *args: Any, **kwargs: Any) -> None:
        create(self, table, *args, **kwargs)
        _, _, old, new, *_ = args
        attributes = (new or old).to_json()["Attributes"]
        self.record.update(eventVersion="1.1", awsRegion=table.region_name)
        change = self.record["dynamodb"]
        change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"].replace(microsecond=0)
        change["Keys"] = {name: attributes[name] for name in change["Keys"]}

    replace(StreamRecord, "__init__", create_record)


def old_stream_iterators_are_forgotten() -> None:
    """Moto keeps 2 kB for ever per GetRecords, a gigabyte a day under a polling reader; AWS keeps them 15 minutes."""
    get = current(DynamoDBStreamsBackend, "get_records", "self", "iterator_arn", "limit")

    def get_records(self: DynamoDBStreamsBackend, iterator_arn: str, limit: int) -> Any:
        records = get(self, iterator_arn, limit)
        while len(self.shard_iterators) > _ITERATORS_KEPT:
            del self.shard_iterators[next(iter(self.shard_iterators))]
        return records

    replace(DynamoDBStreamsBackend, "get_records", get_records)


def queues_do_not_recount_for_each_message() -> None:
    """Moto counts the whole queue several times per message, slowly: 7 received per second when 3,000 wait."""

    def messages(self: Queue) -> list[Message]:
        now = unix_time_millis()
        return [message for message in self._messages if message.visible_at < now and message.delayed_until <= now]

    def delayed(self: Queue) -> int:
        now = unix_time_millis()
        return sum(message.delayed_until > now for message in self._messages)

    def not_visible(self: Queue) -> int:
        now = unix_time_millis()
        return sum(message.visible_at >= now for message in self._messages)

    def is_retained(self: SQSBackend, queue_name: str, message: Any) -> bool:
        retention_seconds: int = vars(self.get_queue(queue_name))["message_retention_period"]
        return bool(message.sent_timestamp / 1000 + retention_seconds > unix_time())

    for name, count in {
        "messages": messages,
        "approximate_number_of_messages_delayed": delayed,
        "approximate_number_of_messages_not_visible": not_visible,
    }.items():
        current(Queue, name, "self")
        replace(Queue, name, property(count))
    current(SQSBackend, "is_message_valid_based_on_retention_period", "self", "queue_name", "message")
    replace(SQSBackend, "is_message_valid_based_on_retention_period", is_retained)


def one_deletion_from_a_queue_at_a_time() -> None:
    """Moto deletes by copying the queue: what is deleted meanwhile comes back, and what is sent can be lost."""
    delete = current(Queue, "delete_message", "self", "receipt_handle")

    def delete_message(self: Queue, receipt_handle: str) -> None:
        with self._messages_lock:  # the one that sending takes
            delete(self, receipt_handle)

    replace(Queue, "delete_message", delete_message)


def queues_report_their_age() -> None:
    """AWS publishes ``ApproximateAgeOfOldestMessage`` every minute, moto never."""
    get = current(
        CloudWatchBackend,
        "get_metric_statistics",
        *("self", "namespace", "metric_name", "start_time", "end_time", "period", "stats", "dimensions", "unit"),
    )

    def get_metric_statistics(
        self: CloudWatchBackend, namespace: str, metric_name: str, *args: Any, dimensions: Any, **more: Any
    ) -> Any:
        if (namespace, metric_name) != ("AWS/SQS", "ApproximateAgeOfOldestMessage"):
            return get(self, namespace, metric_name, *args, dimensions=dimensions, **more)
        queue = sqs_backends[self.account_id][self.region_name].get_queue(dimensions[0]["Value"])
        now, sent = unix_time(), [message.sent_timestamp / 1000 for message in vars(queue)["_messages"]]
        point = Statistics(["Maximum"], utcnow())
        point.metric_data.append(MetricDatum(namespace, metric_name, now - min(sent, default=now), [], utcnow()))
        return [point]

    replace(CloudWatchBackend, "get_metric_statistics", get_metric_statistics)


def reads_cost_what_they_cost_on_aws() -> None:
    """Moto charges one unit for any scan: a budget of read capacity would never be tried at real prices.

    A scan costs by the size of what it read, a read by key by each item's, a unit for every 4 kB begun and half of it
    when it need not be consistent (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
    """

    def scan(self: DynamoHandler) -> Any:
        found = scan_items(self)
        body: dict[str, Any] = found.result
        if "ConsumedCapacity" in body:
            units = _units(sum(map(_size, body["Items"])))
            body["ConsumedCapacity"]["CapacityUnits"] = units if self.body.get("ConsistentRead") else units / 2
        return found

    def batch_get_item(self: DynamoHandler) -> Any:
        found = get_items(self)
        body: dict[str, Any] = found.result
        for consumed in body["ConsumedCapacity"]:
            asked = self.body["RequestItems"][consumed["TableName"]]
            items = body["Responses"][consumed["TableName"]]
            units = sum(_units(_size(item)) for item in items) + len(asked["Keys"]) - len(items)
            consumed["CapacityUnits"] = units if asked.get("ConsistentRead") else units / 2
        return found

    scan_items, get_items = (current(DynamoHandler, name, "self") for name in ("scan", "batch_get_item"))
    replace(DynamoHandler, "scan", scan)
    replace(DynamoHandler, "batch_get_item", batch_get_item)


def _size(attributes: dict[str, Any]) -> int:
    return sum(len(name.encode()) + int(DynamoType(value).size()) for name, value in attributes.items())


def _units(size: int) -> float:
    return float(max(1, -(-size // 4_096)))


def exports_are_those_of_aws() -> None:
    """Moto writes one data file and no manifest, tells no time, and makes an export for each repeated request."""
    create = current(
        TableExport,
        "__init__",
        *("self", "s3_bucket", "s3_prefix", "region_name", "account_id", "table", "export_format", "export_type"),
    )

    def create_export(self: TableExport, **arguments: Any) -> None:
        exports.begin(self, create, **arguments)

    current(TableExport, "_backup_to_s3_file", "self", "s3_backend")
    described = current(TableExport, "response", "self")
    requested, looked_up = (
        current(DynamoHandler, name, "self") for name in ("export_table_to_point_in_time", "describe_export")
    )
    replace(TableExport, "__init__", create_export)
    replace(TableExport, "_backup_to_s3_file", exports.write)
    replace(TableExport, "response", lambda self: exports.describe(self, described))
    replace(DynamoHandler, "export_table_to_point_in_time", lambda self: exports.request(self, requested))
    replace(DynamoHandler, "describe_export", lambda self: exports.look_up(self, looked_up))


def users_write_what_their_client_may() -> None:
    """Moto lets users write any attribute of theirs: whoever has a token could put themselves into another tenant."""
    update = current(CognitoIdpBackend, "update_user_attributes", "self", "access_token", "attributes")

    def update_user_attributes(self: CognitoIdpBackend, access_token: str, attributes: list[dict[str, str]]) -> None:
        for pool in self.user_pools.values():
            if access_token in pool.access_tokens:
                client = pool.clients[pool.access_tokens[access_token][0]]
                may = client.extended_config.get("WriteAttributes")
                if may is not None and any(attribute["Name"] not in may for attribute in attributes):
                    raise NotAuthorizedError("A client attempted to write unauthorized attribute")
        update(self, access_token, attributes)

    replace(CognitoIdpBackend, "update_user_attributes", update_user_attributes)


BRIDGES = (
    one_dynamodb_request_at_a_time,
    scan_sorts_in_c,
    binary_keys_have_segments,
    a_write_that_changes_nothing_makes_no_record,
    an_update_that_creates_makes_one_record,
    stream_records_look_like_those_of_aws,
    old_stream_iterators_are_forgotten,
    queues_do_not_recount_for_each_message,
    one_deletion_from_a_queue_at_a_time,
    queues_report_their_age,
    reads_cost_what_they_cost_on_aws,
    exports_are_those_of_aws,
    users_write_what_their_client_may,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line printed names the address."""
    parser = argparse.ArgumentParser(
        prog="python -m local.aws", description="DynamoDB, SQS, S3, Secrets Manager and Cognito on this machine."
    )
    parser.add_argument("--port", type=int, required=True, help="0 for a free one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="another address only inside a container: there is no authentication"
    )
    parser.add_argument("--plain", action="store_true", help="moto without the bridges, to see what they change")
    parser.add_argument(
        "--infrastructure",
        action="store_true",
        help="for Terraform to apply the infrastructure to: nothing is delivered",
    )
    options = parser.parse_args(arguments)

    for bridge in () if options.plain else (*BRIDGES, *infra_bridges.BRIDGES * options.infrastructure):
        bridge()
    os.environ |= SAME_IDS
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # errors only, not every request
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = make_server(
        options.host,
        options.port,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    print(f"moto {version('moto')} on http://{options.host}:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
