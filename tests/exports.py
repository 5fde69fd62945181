"""Exports of a table of members, made by hand as AWS documents them, beside those of the emulator."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from local.exports import Made, arn_of, files
from searchsync.operations.reindex import ReindexPlan
from searchsync.sources.dynamodb_export import ExportSource
from searchsync.sources.export_requests import ExportAccess
from tests.members import World

Item = dict[str, Any]


def lines(items: Sequence[Item]) -> list[bytes]:
    """The lines of a data file."""
    return [json.dumps({"Item": item}, separators=(",", ":")).encode() for item in items]


class Dynamo:
    """A client of the emulator that also knows exports of any time, and a stream that was there a day ago.

    :ivar described: what DescribeExport says beside the emulator's, by ARN
    :ivar consumed: read capacity units of all reads
    """

    def __init__(self, world: World) -> None:
        self._client = world.aws["dynamodb"]
        self.described: dict[str, dict[str, Any]] = {}
        self.consumed = 0.0
        self.requested = 0
        self.stream_age = timedelta(days=2)
        self.table_id: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_export(self, **asked: Any) -> Any:
        if asked["ExportArn"] in self.described:
            return {"ExportDescription": self.described[asked["ExportArn"]]}
        return self._client.describe_export(**asked)

    def describe_table(self, **asked: Any) -> Any:
        answer = self._client.describe_table(**asked)
        born = datetime.now(UTC) - self.stream_age
        answer["Table"]["LatestStreamLabel"] = born.replace(tzinfo=None).isoformat(timespec="milliseconds")
        if self.table_id:
            answer["Table"]["TableId"] = self.table_id
        return answer

    def export_table_to_point_in_time(self, **asked: Any) -> Any:
        self.requested += 1
        return self._client.export_table_to_point_in_time(**asked)

    def scan(self, **asked: Any) -> Any:
        answer = self._client.scan(**asked)
        self.consumed += answer["ConsumedCapacity"]["CapacityUnits"]
        return answer


class Bucket:
    """A bucket for the exports of one test, and ways to read them."""

    def __init__(self, world: World, prefix: str = "") -> None:
        self.world = world
        self.name = f"exports-{uuid4().hex}"
        self.prefix = prefix
        self.s3 = world.aws["s3"]
        self.s3.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.dynamo = Dynamo(world)
        recovery = {"PointInTimeRecoveryEnabled": True}
        world.aws["dynamodb"].update_continuous_backups(
            TableName=world.entity.table, PointInTimeRecoverySpecification=recovery
        )

    def source(self, *, chosen: str = "", plan: ReindexPlan | None = None, s3: Any = None) -> ExportSource:
        """The table, read from an export."""
        target = f"{self.name}/{self.prefix}" if self.prefix else self.name
        access = ExportAccess(s3 or self.s3, self.world.aws["dynamodbstreams"], target, chosen)
        entity = replace(self.world.entity, read_from="export")
        entity.__dict__["fits"] = self.world.entity.fits
        return ExportSource(entity, self.dynamo, access, identity=plan.identity if plan else None)

    def made(self, *, age: timedelta = timedelta(), **changes: Any) -> Made:
        """What a new export is called."""
        moment = (datetime.now(UTC) - age).replace(microsecond=0)
        table = self.world.identity
        return replace(Made(arn_of(table, moment), table, "", self.name, self.prefix, moment), **changes)

    def put(self, made: Made, data: Sequence[Sequence[Item]], **description: Any) -> str:
        """Write an export of some items by file, as it was long ago; return its ARN."""
        self.write(files(made, [lines(items) for items in data]))
        self.dynamo.described[made.arn] = {
            "ExportArn": made.arn,
            "ExportStatus": "COMPLETED",
            "ExportTime": made.moment,
            "ExportManifest": made.manifest,
            "TableArn": made.table_arn,
            "S3Bucket": made.bucket,
            "S3Prefix": made.prefix,
            "ExportFormat": "DYNAMODB_JSON",
            "ExportType": "FULL_EXPORT",
            "ItemCount": sum(map(len, data)),
            **description,
        }
        return made.arn

    def write(self, objects: dict[str, bytes]) -> None:
        """Put some objects into the bucket."""
        for key, content in objects.items():
            self.s3.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self, part: str) -> list[str]:
        """The keys of all objects whose key has this part."""
        listed = self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        return sorted(found["Key"] for found in listed if part in found["Key"])

    def content(self, key: str) -> bytes:
        """What an object holds."""
        found: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return found
