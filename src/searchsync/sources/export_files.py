"""The files of a point-in-time export in S3, read without ever holding one in memory.

Their layout and content: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html.
Below ``<prefix>/AWSDynamoDB/<export id>`` are ``manifest-summary.json``, ``manifest-files.json`` with a line for each
data file, and the data files: gzip, with a line ``{"Item": {...}}`` for each item, in DynamoDB's typed JSON.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from searchsync import aws
from searchsync.errors import BadConnection, BadSource, SourceUnavailable
from searchsync.sources.capacity import Patience

CHUNK_BYTES = 262_144
"""Bytes of a data file that are in memory at once, before they are decompressed."""

PATIENCE_SECONDS = 300.0
"""Seconds for which a file is asked for again while S3 does not answer or breaks off; each answer begins them anew."""

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Export:
    """A complete full export.

    :ivar manifest: key of ``manifest-summary.json`` in the bucket
    :ivar prefix: what all keys of the export begin with; empty for nothing
    :ivar second: the time of the table's state, in seconds since the epoch
    :ivar items: number of items
    """

    arn: str
    bucket: str
    prefix: str
    manifest: str
    second: int
    items: int

    @property
    def id(self) -> str:
        """The last part of its ARN, which is also the name of its folder."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DataFile:
    """One data file, as the manifest lists it.

    :ivar md5: base64 text of the digest of the compressed file; empty when the manifest has none
    :ivar etag: its entity tag in S3; empty when the manifest has none
    """

    key: str
    items: int
    md5: str
    etag: str


class ExportFiles:
    """The files of one export.

    :param s3: boto3's S3 client
    """

    def __init__(self, s3: Any, export: Export) -> None:
        self._s3 = s3
        self._export = export

    def summary(self) -> dict[str, Any]:
        """Return ``manifest-summary.json``.

        :raises BadSource: when it is missing, or is none
        """
        found = self._json(self._whole(self._export.manifest), self._export.manifest)
        if not isinstance(found, dict) or not isinstance(found.get("manifestFilesS3Key"), str):
            raise self._broken(f"{self._export.manifest} does not name the list of data files")
        if found.get("exportArn") != self._export.arn:
            raise self._broken(f"{self._export.manifest} is of another export, {found.get('exportArn')}")
        return found

    def listed(self) -> list[DataFile]:
        """Return the data files, in an order that does not change.

        :raises BadSource: when the manifest is missing, or does not add up to the export's number of items
        """
        summary = self.summary()
        key = self._under_prefix(summary["manifestFilesS3Key"])
        lines = [line for line in self._whole(key).splitlines() if line.strip()]
        files = [self._data_file(self._json(line, key), key) for line in lines]
        total = sum(file.items for file in files)
        if total != summary.get("itemCount") or total != self._export.items:
            raise self._broken(
                f"its data files have {total} items, manifest-summary.json says {summary.get('itemCount')}, and "
                f"DynamoDB says {self._export.items}"
            )
        return sorted(files, key=lambda file: file.key)

    def items(self, file: DataFile) -> Iterator[tuple[Any, int]]:
        """Yield each item of a data file with the length of its line in bytes; prove at the end that it was whole.

        :raises BadSource: when the file is not what the manifest lists
        """
        count = 0
        for line in self._lines(file):
            if line:
                count += 1
                yield self._item(line, file), len(line)
        if count != file.items:
            raise self._broken(f"{file.key} has {count} items, and the manifest lists {file.items}")

    def _item(self, line: bytes, file: DataFile) -> Any:
        try:
            found = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a lone surrogate: the item is to be named as poison
            found = self._json(line, file.key)
        if not isinstance(found, dict) or not isinstance(found.get("Item"), dict):
            raise self._broken(f"{file.key} has a line that is no item: {bytes(line[:200])!r}")
        return found["Item"]

    def _lines(self, file: DataFile) -> Iterator[bytes]:
        rest = b""
        for part in self._decompressed(file):
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
        yield rest

    def _decompressed(self, file: DataFile) -> Iterator[bytes]:
        """Yield a data file in parts that are not compressed any more. A file may have several gzip members."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        inflate = zlib.decompressobj(wbits=31)
        for chunk in self._chunks(file):
            digest.update(chunk)
            size += len(chunk)
            left, more = chunk, True
            while more:
                if inflate.eof:
                    inflate = zlib.decompressobj(wbits=31)
                try:
                    part = inflate.decompress(left, CHUNK_BYTES)
                except zlib.error as error:
                    raise self._broken(f"{file.key} is no gzip: {error}") from None
                yield part
                left = inflate.unconsumed_tail or inflate.unused_data
                more = bool(left) or (len(part) == CHUNK_BYTES and not inflate.eof)
        if not inflate.eof and (size or file.items):
            raise self._broken(f"{file.key} ends in the middle, after {size} bytes")
        found = base64.b64encode(digest.digest()).decode()
        if file.md5 and found != file.md5:
            raise self._broken(f"{file.key} has the MD5 {found}, and the manifest lists {file.md5}")

    def _chunks(self, file: DataFile) -> Iterator[bytes]:
        """Yield the bytes of a data file. Go on behind the last one when S3 breaks off."""
        got, patience = 0, Patience(PATIENCE_SECONDS)
        while True:
            try:
                with self._errors(file.key):
                    for chunk in self._body(file, got).iter_chunks(CHUNK_BYTES):
                        got, patience = got + len(chunk), Patience(PATIENCE_SECONDS)
                        yield chunk
                return
            except SourceUnavailable:
                if not patience.wait():
                    raise

    def _body(self, file: DataFile, got: int) -> Any:
        asked = {"Range": f"bytes={got}-"} if got else {}
        asked |= {"IfMatch": file.etag} if file.etag else {}
        return self._s3.get_object(Bucket=self._export.bucket, Key=file.key, **asked)["Body"]

    def _whole(self, key: str) -> bytes:
        """Return a manifest. It has some hundred bytes for each data file."""
        with self._errors(key):
            found: bytes = self._s3.get_object(Bucket=self._export.bucket, Key=key)["Body"].read()
        return found

    def _data_file(self, listed: Any, key: str) -> DataFile:
        try:
            items, file = listed["itemCount"], listed["dataFileS3Key"]
            if not isinstance(items, int) or items < 0 or not isinstance(file, str):
                raise TypeError(f"{items!r} items of {file!r}")
            return DataFile(self._under_prefix(file), items, listed.get("md5Checksum") or "", listed.get("etag") or "")
        except (TypeError, KeyError, AttributeError) as error:
            raise self._broken(f"{key} has a line that names no data file ({error})") from None

    def _under_prefix(self, key: str) -> str:
        """Return a key of a manifest as it is in the bucket. The documentation shows it without the export's prefix."""
        prefix = self._export.prefix.strip("/")
        return key if not prefix or key.startswith(f"{prefix}/") else f"{prefix}/{key}"

    def _json(self, text: bytes, key: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise self._broken(f"{key} is not JSON: {error}") from None

    def _broken(self, why: str) -> BadSource:
        return BadSource(
            f"the export {self._export.arn} cannot be used: {why}. What is live goes on serving; run the reindex again "
            "with another export, or without one, so that it requests its own"
        )

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        what = f"the bucket {self._export.bucket}, {key}"
        try:
            with aws.errors(f"{what}: S3", SourceUnavailable):
                yield
        except BadConnection as error:
            code = aws.code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
            if code in ("NoSuchKey", "404"):
                raise self._broken(f"{key} is not in the bucket {self._export.bucket} (any more)") from None
            if code in ("PreconditionFailed", "412"):
                raise self._broken(f"{key} was replaced since: its entity tag is another one") from None
            if code in ("AccessDenied", "403"):
                raise BadConnection(
                    f"{what}: S3 answers AccessDenied: the role needs s3:GetObject there, and kms:Decrypt where the "
                    "bucket has a key of its own. Without s3:ListBucket, a missing file is answered so, too. What is "
                    "live goes on serving"
                ) from None
            raise
