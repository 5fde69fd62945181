"""What brings changes of a DynamoDB entity to its indexes: function, event source mapping, queues and their alarm."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from searchsync.catalog import Entity
from searchsync.preflight.checks import Check, Finding, differences
from searchsync.preflight.tables import APPLY
from searchsync.preflight.target import Target
from searchsync.stream.event_source import ALIAS, RUNNING, function_of, mapping_of


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of each function, its mapping and its queues."""
    for entity in target.of("dynamodb"):
        of = _Stream(target, entity)
        yield Check("function", of.function, "it writes each change", APPLY, of.look_at_function)
        yield Check(
            "event source mapping",
            of.function,
            "with other settings, records are lost or delivered too late",
            APPLY,
            of.look_at_mapping,
        )
        yield Check(
            "delivery",
            of.function,
            "changes wait in the stream, which keeps them for a day",
            "Enable the event source mapping, which somebody paused (docs/operations/stream.md)",
            of.look_at_delivery,
        )
        yield Check(
            "on-failure destination",
            of.function,
            "records that Lambda gives up would be lost",
            APPLY,
            of.look_at_destination,
        )
        for queue in of.queues:
            yield Check(
                "queue",
                queue,
                "messages would be lost, or moved away before they are replayed",
                APPLY,
                partial(of.look_at_queue, queue),
            )
            yield Check(
                "alarm",
                queue,
                "nobody would know that messages wait",
                APPLY,
                partial(of.look_at_alarm, queue),
            )


class _Stream:
    """The stream of one entity's table, and what is behind it."""

    def __init__(self, target: Target, entity: Entity) -> None:
        self._target, self._entity = target, entity
        self.function = function_of(entity)
        self.queues = (f"{entity.name}-dlq", f"{entity.name}-parked")

    def look_at_function(self) -> Finding:
        client, settings = self._aws("lambda"), self._target.stream_settings["function"]
        found = client.get_function_configuration(FunctionName=self.function, Qualifier=ALIAS)
        reserved = client.get_function_concurrency(FunctionName=self.function)
        wanted = {
            "Runtime": settings["runtime"],
            "Handler": settings["handler"],
            "Timeout": settings["timeout_seconds"],
            "MemorySize": settings["memory_mb"],
            "Architectures": ["arm64"],
            "entity": self._entity.name,
            "in a VPC": True,
            "reserved concurrency": True,
        }
        has = {
            **found,
            "entity": found.get("Environment", {}).get("Variables", {}).get("SEARCHSYNC_ENTITY"),
            "in a VPC": bool(found.get("VpcConfig", {}).get("SubnetIds")),
            "reserved concurrency": bool(reserved.get("ReservedConcurrentExecutions")),
        }
        return Finding(f"version {found['Version']} is {ALIAS}", differences(wanted, has))

    def look_at_mapping(self) -> Finding:
        wanted, found = self._target.stream_settings["event_source_mapping"], self._mapping()
        return Finding(f"as lambdas/stream/settings.json, {found['UUID']}", differences(wanted, found))

    def look_at_delivery(self) -> Finding:
        state = self._mapping()["State"]
        return Finding(state, [] if state in RUNNING else [f"the event source mapping is {state}"])

    def look_at_destination(self) -> Finding:
        arn = self._mapping().get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        kind, _, bucket = arn.partition(":::")
        if not kind.endswith(":s3"):
            return Finding("", [f"it is {arn or 'none'}, not a bucket, which alone keeps the records"])
        self._aws("s3").head_bucket(Bucket=bucket)
        return Finding(bucket)

    def look_at_queue(self, name: str) -> Finding:
        client, settings = self._aws("sqs"), self._target.stream_settings["queues"]
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        wanted = {
            "MaximumMessageSize": str(settings["maximum_message_size_bytes"]),
            "MessageRetentionPeriod": str(settings["message_retention_seconds"]),
            "VisibilityTimeout": str(settings["visibility_timeout_seconds"]),
            "RedrivePolicy": None,  # it would count the receives of a dry run, and move messages by itself
            "encrypted": True,
        }
        has = {**found, "encrypted": bool(found.get("KmsMasterKeyId"))}
        return Finding(f"kept {settings['message_retention_seconds'] // 86_400} days", differences(wanted, has))

    def look_at_alarm(self, queue: str) -> Finding:
        pages = self._aws("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"])
        alarms = [alarm for page in pages for alarm in page["MetricAlarms"] if _watches(alarm, queue)]
        if not alarms:
            return Finding("", ["no alarm looks at how many messages are visible in it"])
        names = ", ".join(alarm["AlarmName"] for alarm in alarms)
        deaf = [alarm["AlarmName"] for alarm in alarms if not (alarm["ActionsEnabled"] and alarm["AlarmActions"])]
        return Finding(names, [f"{name} tells nobody" for name in deaf])

    def _mapping(self) -> dict[str, Any]:
        table = self._aws("dynamodb").describe_table(TableName=self._entity.table)["Table"]
        return mapping_of(self._entity, self._aws("lambda"), table.get("LatestStreamArn", ""))

    def _aws(self, service: str) -> Any:
        return self._target.aws(service, self._entity)


def _watches(alarm: dict[str, Any], queue: str) -> bool:
    metrics = [alarm, *(one.get("MetricStat", {}).get("Metric", {}) for one in alarm.get("Metrics", []))]
    return any(
        metric.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        and {"Name": "QueueName", "Value": queue} in metric.get("Dimensions", [])
        for metric in metrics
    )
