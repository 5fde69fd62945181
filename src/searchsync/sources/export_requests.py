"""Exports of a table to a point in time: request one, wait for it, and refuse those that cannot be loaded."""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from searchsync.aws import code_of
from searchsync.catalog import STREAM_SECONDS, Entity
from searchsync.documents.position import of_read, second_of
from searchsync.errors import BadParams, BadSource
from searchsync.sources.dynamodb_table import Table
from searchsync.sources.export_files import Export, ExportFiles

log = logging.getLogger(__name__)

EXPORT_BUCKET = "EXPORT_BUCKET"
"""Part of the name of the variable with the bucket of an entity's exports, and a prefix behind a slash."""

INEXACT_SECONDS = 60
"""Seconds by which the state in an export may be earlier or later than the export's time. AWS promises no figure."""

READING_SECONDS = 3_600
"""Seconds that reading the stream from an export's time on may take before the stream forgets what is not read yet."""

POLL_SECONDS = 10.0
"""Seconds between two questions how far an export is. It takes minutes at least."""

_MOST_ATTEMPTS = 20
"""Exports that one run may request, when all before have failed."""


@dataclass(frozen=True)
class ExportAccess:
    """What reaches the exports of a table, and the changes since them.

    :ivar s3: boto3's S3 client
    :ivar streams: boto3's DynamoDB Streams client
    :ivar target: ``bucket`` or ``bucket/prefix`` for exports that are requested; empty when it is not set
    :ivar chosen: ARN of the export that a person wants to be read; empty to request one
    """

    s3: Any
    streams: Any
    target: str = ""
    chosen: str = ""


class Exports:
    """The exports of one table.

    :param client: boto3's low-level DynamoDB client
    """

    def __init__(self, entity: Entity, table: Table, client: Any, access: ExportAccess) -> None:
        self.access = access
        self._entity = entity
        self._table = table
        self._client = client

    def check(self) -> None:
        """Prove that an export can be requested, or that the chosen one can be used.

        :raises BadParams: when there is no such export, or no bucket for one
        :raises BadSource: when the table has no point-in-time recovery, or the chosen export cannot be used
        """
        if self.access.chosen:
            self.check_age(self._usable(self._described(self.access.chosen)))
            return
        self._bucket()
        with self._table.errors():
            found = self._client.describe_continuous_backups(TableName=self._table.name)["ContinuousBackupsDescription"]
        status = found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
        if status != "ENABLED":
            raise BadSource(
                f"table {self._table.name}: its point-in-time recovery is {status or 'off'}, and only with it a table "
                "can be exported. Nothing was changed. Enable it: aws dynamodb update-continuous-backups --table-name "
                f"{self._table.name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true; or remove "
                f"read_from from include/entities/{self._entity.name}.yaml"
            )

    def now(self) -> int:
        """Return the present second since the epoch, by DynamoDB's clock."""
        return self._table.now()

    def request(self, token: str) -> str:
        """Request an export, or find the one that was requested with the same token. Return its ARN.

        One that has failed is requested again.

        :param token: identifies the request for eight hours (``ClientToken``)
        :raises BadConnection: when the role may not do it
        """
        bucket, prefix = self._bucket()
        arguments = {"TableArn": self._table.describe()["TableArn"], "S3Bucket": bucket, "ExportType": "FULL_EXPORT"}
        arguments |= {"ExportFormat": "DYNAMODB_JSON"} | ({"S3Prefix": prefix} if prefix else {})
        arn = ""
        for attempt in range(_MOST_ATTEMPTS):
            own = hashlib.sha256(f"{token} {attempt}".encode()).hexdigest()
            with self._table.errors(), self._refusals():
                answer = self._client.export_table_to_point_in_time(**arguments, ClientToken=own)
            arn = str(answer["ExportDescription"]["ExportArn"])
            if self._described(arn)["ExportStatus"] != "FAILED":
                break
        return arn

    def wait(self, arn: str) -> Export:
        """Return an export when it is complete. The log says how long it has taken so far.

        :raises BadSource: when it failed, is none that can be used, or is not whole
        """
        began = time.monotonic()
        while True:
            described = self._described(arn)
            if described["ExportStatus"] != "IN_PROGRESS":
                export = self._usable(described)
                files = self.files(export).listed()
                log.info("%s has %d items in %d files, as of %s", arn, export.items, len(files), _iso(export.second))
                return export
            log.info("%s is in progress, for %.0f s now", arn, time.monotonic() - began)
            time.sleep(POLL_SECONDS)

    def files(self, export: Export) -> ExportFiles:
        """Return the files of an export."""
        return ExportFiles(self.access.s3, export)

    def check_age(self, export: Export) -> None:
        """Refuse an export whose time the stream has forgotten, or will before it is read.

        :raises BadSource: when the changes since the export are not all in the stream any more, or never were
        """
        since = changes_since(export)
        label = datetime.fromisoformat(self._table.describe()["LatestStreamLabel"]).replace(tzinfo=UTC).timestamp()
        begin = max(label, self._table.now() - STREAM_SECONDS + READING_SECONDS)
        if since < begin:
            raise BadSource(
                f"the export {export.arn} is of {_iso(export.second)}, and of the table's stream only what came after "
                f"{_iso(begin)} can be relied on: it keeps changes for a day, and none from before it was turned on. "
                "Changes in between would be lost. Nothing is live that was not before; run the reindex again with a "
                "younger export, or without one, so that it requests its own"
            )

    def _bucket(self) -> tuple[str, str]:
        bucket, _, prefix = self.access.target.partition("/")
        if not bucket:
            raise BadParams(
                f"{self._entity.variable(EXPORT_BUCKET)} is not set: it names the bucket of the exports of "
                f"{self._entity.name}, with a prefix if you like (bucket/prefix). Nothing was changed"
            )
        return bucket, prefix.strip("/")

    def _described(self, arn: str) -> dict[str, Any]:
        with self._table.errors(), self._refusals():
            found: dict[str, Any] = self._client.describe_export(ExportArn=arn)["ExportDescription"]
        return found

    def _usable(self, described: dict[str, Any]) -> Export:
        """Return a full export of this table in typed JSON. Refuse any other, and one that failed."""
        table, arn = self._table.describe(), str(described["ExportArn"])
        if why := _why_not(described, table):
            raise BadSource(
                f"the export {arn} cannot be used: {why}. Nothing is live that was not before; run the reindex again "
                f"with a full export of {table['TableArn']} in DYNAMODB_JSON, or without one, so that it requests its "
                "own"
            )
        return Export(
            arn,
            described["S3Bucket"],
            described.get("S3Prefix") or "",
            described.get("ExportManifest") or "",
            int(described["ExportTime"].timestamp()),
            described.get("ItemCount") or 0,
        )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise what DynamoDB says about exports alone as an error of ours; leave the rest to ``Table.errors``."""
        try:
            yield
        except ClientError as error:
            code = code_of(error)
            if code not in _REFUSED:
                raise
            said = error.response["Error"].get("Message", "")
            kind = BadParams if code == "ExportNotFoundException" else BadSource
            raise kind(
                f"table {self._table.name}: DynamoDB answered {code}: {said}. Nothing is live that was not before; "
                f"{_REFUSED[code]}"
            ) from None


_REFUSED = {
    "ExportNotFoundException": "look up the ARN with `aws dynamodb list-exports`, or run without one",
    "PointInTimeRecoveryUnavailableException": "enable it, or remove read_from from the entity file",
    "InvalidExportTimeException": "point-in-time recovery was enabled a moment ago: run the task again later",
    "ExportConflictException": "the bucket of the exports was changed since this run requested one: start a new run",
}
"""What to do about errors of the export's operations that no waiting helps against, by code."""


def position_of(export: Export) -> str:
    """Return the position of all items of an export: a read at the earliest time that its state may be of."""
    return of_read(export.second - INEXACT_SECONDS)


def changes_since(export: Export) -> int:
    """Return the second since the epoch from which on changes may be missing in an export."""
    return second_of(position_of(export))


def covers(export: Export, fenced: int) -> bool:
    """Return whether an export has all changes that were acknowledged before an index joined the write set.

    :param fenced: a second, by DynamoDB's clock, at which the fence after the joining was over (rule 6)
    """
    return export.second - INEXACT_SECONDS >= fenced


def _why_not(described: dict[str, Any], table: dict[str, Any]) -> str:
    """Return why an export holds something else than all items of a table; empty when it holds them."""
    kind, form = described.get("ExportType") or "FULL_EXPORT", described.get("ExportFormat")
    table_ids = {described.get("TableId"), table.get("TableId")} - {None}
    failure = f"{described.get('FailureCode')}: {described.get('FailureMessage')}"
    found = {
        f"it failed: {failure}": described["ExportStatus"] == "FAILED",
        f"it is of the table {described['TableArn']}": described["TableArn"] != table["TableArn"],
        f"it is of an earlier table of this name, with the id {described.get('TableId')}": len(table_ids) > 1,
        f"it is no full export but {kind}, which lacks all items that did not change": kind != "FULL_EXPORT",
        f"its format is {form}, which is not read": form != "DYNAMODB_JSON",
        "it was requested with a filter, so it lacks items": bool(described.get("FilterSpecification")),
    }
    return next((why for why, holds in found.items() if holds), "")


def _iso(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
