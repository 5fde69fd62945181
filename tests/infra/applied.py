"""The infrastructure as it was applied, and the product on it, as `test_applied.py` holds them in its hands."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from local import infra_check, stream_function
from local.airflow import aws_environment
from local.event_source import EventSource, OnFailure
from local.function import Function
from local.infra import Infrastructure
from local.processes import MARK
from searchsync.catalog import Entity, entity
from searchsync.connections import Connections
from searchsync.preflight import run
from searchsync.preflight.checks import Result
from searchsync.preflight.target import Target
from searchsync.stream.queue import DEAD_LETTER_QUEUE

MEMBERS: Entity = entity("members")
FUNCTION = "members-stream"
MACHINE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Applied:
    """What was applied, and the servers that stand for its domain and its database.

    :ivar rows: what `./dev infra up` printed
    """

    infrastructure: Infrastructure
    rows: list[tuple[str, str]]
    opensearch: str
    dsn: str

    @property
    def endpoint(self) -> str:
        return self.infrastructure.endpoint()

    @cached_property
    def connections(self) -> Connections:
        return infra_check.connections(self.endpoint, self.opensearch, self.dsn)

    def aws(self, service: str) -> Any:
        return self.connections.aws("", service)

    def check(self) -> dict[tuple[str, str], Result]:
        """The preflight's results, by what was checked of what."""
        return {(one.check, one.subject): one for one in run.run(Target(self.connections, "dev"))}

    def red(self) -> set[tuple[str, str]]:
        """What is not as it should be."""
        return {name for name, result in self.check().items() if not run.is_good(result)}

    def stream(self) -> str:
        """The stream of the members' table."""
        return str(self.aws("dynamodb").describe_table(TableName=MEMBERS.table)["Table"]["LatestStreamArn"])

    def mapping(self) -> dict[str, Any]:
        """The event source mapping of the members' function."""
        (found,) = self.aws("lambda").list_event_source_mappings(EventSourceArn=self.stream())["EventSourceMappings"]
        return dict(found)

    def queue(self, name: str) -> str:
        """The URL of a queue."""
        return str(self.aws("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def package(self, architecture: str) -> Path:
        """The package of the function that was applied."""
        name = f"{stream_function.name_of(MEMBERS)}-{architecture}.zip"
        return self.infrastructure.folder / "packages" / name

    @contextmanager
    def delivery(self, folder: Path) -> Iterator[EventSource]:
        """The function of the package, and our runner with the settings of the mapping that was applied."""
        with ZipFile(self.package(MACHINE[os.uname().machine])) as archive:
            archive.extractall(folder / "task")
        applied = self.aws("lambda").get_function_configuration(FunctionName=FUNCTION, Qualifier="live")
        variables = {
            **applied["Environment"]["Variables"],
            **aws_environment(self.endpoint),
            "SEARCHSYNC_OPENSEARCH_URL": self.opensearch,
            "SEARCHSYNC_OPENSEARCH_AWS_SERVICE": "",
            MEMBERS.variable(DEAD_LETTER_QUEUE): self.queue("members-dlq"),
            "PYTHONPATH": str(folder / "task"),
            MARK: str(folder),
        }
        module, _, name = applied["Handler"].rpartition(".")
        function = Function(folder / "task" / f"{module}.py", name, variables, applied["Timeout"])
        never = OnFailure(None, "", FUNCTION)  # nothing is given up in these tests: it would fail here
        try:
            yield EventSource(
                self.aws("dynamodbstreams"),
                self.stream(),
                function.invoke,
                self.mapping(),
                never,
                folder / "checkpoint.json",
            )
        finally:
            function.close()


def policy_of(applied: Applied, role: str) -> dict[str, Any]:
    """A role's own policy."""
    document = applied.aws("iam").get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
    return dict(document) if isinstance(document, dict) else dict(json.loads(document))
