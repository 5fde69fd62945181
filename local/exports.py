"""Exports of a table as AWS writes them: manifests and data files, which moto leaves out or names in its own way.

The layout is that of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html.
"""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from moto.core.responses import ActionResult
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, DynamodbException
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.table_export import TableExport
from moto.dynamodb.models.utilities import dynamo_json_dump

FILES = 4
"""Number of data files of an export of the emulator. On AWS each partition of the table has one at least."""

Lines = Iterable[bytes]


@dataclass(frozen=True)
class Made:
    """What an export is called, and what it is of.

    :ivar prefix: what all keys begin with; empty for nothing
    :ivar moment: the time of the table's state
    """

    arn: str
    table_arn: str
    table_id: str
    bucket: str
    prefix: str
    moment: datetime

    @property
    def folder(self) -> str:
        """Key of the folder of manifests and data."""
        own = f"AWSDynamoDB/{self.arn.rsplit('/', 1)[-1]}"
        return f"{self.prefix}/{own}" if self.prefix else own

    @property
    def manifest(self) -> str:
        """Key of ``manifest-summary.json``."""
        return f"{self.folder}/manifest-summary.json"


def arn_of(table_arn: str, moment: datetime) -> str:
    """A new export's ARN."""
    return f"{table_arn}/export/{int(moment.timestamp() * 1000):014d}-{uuid4().hex[:8]}"


def files(made: Made, data: Sequence[Lines]) -> dict[str, bytes]:
    """All objects of an export, by key. Each data file has the lines ``{"Item": {...}}`` of one partition."""
    found = {f"{made.folder}/_started": b""}
    listed, total = [], 0
    for number, lines in enumerate(data):
        content = [line + b"\n" for line in lines]
        packed = gzip.compress(b"".join(content))
        digest = hashlib.md5(packed)
        key = f"{made.folder}/data/{number:04d}{uuid4().hex[:22]}.json.gz"
        found[key] = packed
        md5 = base64.b64encode(digest.digest()).decode()
        listed.append({"itemCount": len(content), "md5Checksum": md5, "etag": digest.hexdigest(), "dataFileS3Key": key})
        total += len(content)
    manifest = f"{made.folder}/manifest-files.json"
    found[manifest] = "".join(json.dumps(line) + "\n" for line in listed).encode()
    found[made.manifest] = json.dumps(_summary(made, manifest, total)).encode()
    for key in (manifest, made.manifest):
        checksum = base64.b64encode(hashlib.md5(found[key]).digest())
        found[key.replace(".json", ".checksum")] = checksum
    return found


def _summary(made: Made, manifest: str, total: int) -> dict[str, Any]:
    moment = made.moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "version": "2023-08-01",
        "exportArn": made.arn,
        "startTime": moment,
        "endTime": moment,
        "tableArn": made.table_arn,
        "tableId": made.table_id,
        "exportTime": moment,
        "s3Bucket": made.bucket,
        "s3Prefix": made.prefix or None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": manifest,
        "billedSizeBytes": 0,
        "itemCount": total,
        "outputFormat": "DYNAMODB_JSON",
        "outputView": None,
        "exportType": "FULL_EXPORT",
    }


# -- what the emulator has instead of moto's functions


def begin(self: TableExport, create: Callable[..., None], table: Table, **arguments: Any) -> None:
    """The state that is exported is the one of now: the thread that writes the files runs beside other writes."""
    create(self, table=table, **arguments)
    lines: list[list[bytes]] = [[] for _ in range(FILES)]
    for item in table.all_items():
        line = dynamo_json_dump(item.to_json(root_attr_name="Item")).encode()
        lines[zlib.crc32(str(item.hash_key).encode()) % FILES].append(line)
    moment = datetime.now(UTC).replace(microsecond=0)
    self.arn = arn_of(str(table.table_arn), moment)
    self.made = Made(self.arn, str(table.table_arn), "", self.s3_bucket, self.s3_prefix, moment)  # type: ignore[attr-defined]
    self.lines = lines  # type: ignore[attr-defined]


def write(self: Any, s3_backend: Any) -> None:
    """Put the files into the bucket, and call the export complete."""
    for key, content in files(self.made, self.lines).items():
        s3_backend.put_object(bucket_name=self.s3_bucket, key_name=key, value=content)
    self.item_count = sum(map(len, self.lines))
    self.lines = []
    self.status = "COMPLETED"


def describe(self: Any, answer: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What DescribeExport tells beside moto's answer."""
    moment = self.made.moment
    own = {"ExportTime": moment, "StartTime": moment, "S3Prefix": self.made.prefix or None}
    if self.status == "COMPLETED":
        own |= {"EndTime": moment, "ExportManifest": self.made.manifest}
    return answer(self) | own


def request(self: Any, answer: Callable[..., Any]) -> Any:
    """One export for each ``ClientToken``. A prefix need not be given."""
    self.body.setdefault("S3Prefix", "")
    token, there = self.body.get("ClientToken"), self.dynamodb_backend.table_exports
    for export in there.values():
        if token and vars(export).get("token") == token:
            return ActionResult({"ExportDescription": export.response()})
    answered = answer(self)
    vars(there[answered.result["ExportDescription"]["ExportArn"]])["token"] = token
    return answered


def look_up(self: Any, answer: Callable[..., Any]) -> Any:
    """An export that is not there is said, instead of an internal error."""
    arn = self.body["ExportArn"]
    if arn not in self.dynamodb_backend.table_exports:
        raise DynamodbException(f"{ERROR_TYPE_PREFIX}ExportNotFoundException", f"Export not found: {arn}")
    return answer(self)
