"""Tasks' logs on their way to CloudWatch: with the names of fields that all logs have, and never in a task's way.

``[logging] logging_config_class`` names ``LOGGING_CONFIG`` of this module, beside which Airflow looks for
``REMOTE_TASK_LOG``. The provider's own class asks CloudWatch whether the log group is there before each task: while
CloudWatch did not answer, no task ran. Terraform makes the group, so nobody asks here. A thread sends the lines; when
CloudWatch is late, the end of a task waits ``FLUSH_SECONDS`` for it. What it does not take then is in the log file of
the container alone, and in the metrics that its lines hold not at all.
"""

import json
import logging
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import watchtower
from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG as LOGGING_CONFIG
from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.log.cloudwatch_task_handler import CloudWatchRemoteLogIO
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.logs import CloudWatchLogEvent

__all__ = ["LOGGING_CONFIG", "REMOTE_TASK_LOG"]

FLUSH_SECONDS = 5
"""Seconds that the end of a task waits for CloudWatch to take the last lines."""

CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 1, 2, 2
"""Of one call to CloudWatch. The thread that sends calls up to five times for the same lines."""


class Lines(watchtower.CloudWatchLogFormatter):
    """Formats what a task logs as every log of this product: ``timestamp``, ``level``, ``message``, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. What Airflow calls ``event`` is its message; of an exception, ``error`` is type and text."""
        event: Any = record.msg
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"timestamp": stamp, "level": event.get("level"), "message": event.get("event"), **event}
        del line["event"]
        if raised := event.get("error_detail"):
            line.setdefault("error", f"{raised[0].get('exc_type')}: {raised[0].get('exc_value')}")
        return json.dumps(line, default=str)


class TaskLogs(CloudWatchRemoteLogIO):
    """The remote log of all tasks."""

    @cached_property
    def hook(self) -> AwsLogsHook:
        """Return what calls CloudWatch, and waits for seconds only."""
        retries = {"total_max_attempts": ATTEMPTS}
        config = {"connect_timeout": CONNECT_SECONDS, "read_timeout": ANSWER_SECONDS, "retries": retries}
        connection = conf.get("logging", "remote_log_conn_id")
        return AwsLogsHook(aws_conn_id=connection, region_name=self.region_name, config=config)

    def _build_handler(self) -> watchtower.CloudWatchLogHandler:
        handler = watchtower.CloudWatchLogHandler(
            log_group_name=self.log_group,
            log_stream_name=self.log_stream_name,
            boto3_client=self.hook.get_conn(),
            create_log_group=False,
        )
        handler.FLUSH_TIMEOUT = FLUSH_SECONDS
        handler.setFormatter(Lines())
        return handler

    def _parse_log_event_as_dumped_json(self, event: "CloudWatchLogEvent") -> str:
        """Return a line as Airflow's page wants it: the message is its ``event`` again."""
        line = json.loads(super()._parse_log_event_as_dumped_json(event))
        if "message" in line:
            line["event"] = line.pop("message")
        return json.dumps(line)


REMOTE_TASK_LOG = TaskLogs.from_config()
