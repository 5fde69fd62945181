"""The files of an export: whole, or refused by name. Half an export would be served as if the rest were deleted."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from local.exports import Made, files
from searchsync.errors import BadConnection, BadSource, SourceUnavailable
from searchsync.sources import capacity, export_files
from searchsync.sources.export_files import DataFile, Export, ExportFiles
from tests.exports import Bucket, lines
from tests.faults import SleepingClock
from tests.members import World

ITEMS = [{"member_id": {"S": f"m-{number}"}, "name": {"S": "x" * number}} for number in range(30)]


@pytest.fixture
def bucket(world: World) -> Bucket:
    return Bucket(world, "backups")


@pytest.fixture
def made(bucket: Bucket) -> Made:
    """An export of 30 items in three files, and an empty one."""
    made = bucket.made()
    bucket.put(made, [ITEMS[:10], ITEMS[10:11], ITEMS[11:], []])
    return made


def export_of(bucket: Bucket, made: Made, items: int = 30) -> Export:
    return Export(made.arn, bucket.name, bucket.prefix, made.manifest, int(made.moment.timestamp()), items)


def all_items(bucket: Bucket, made: Made, s3: Any = None) -> list[Any]:
    read = ExportFiles(s3 or bucket.s3, export_of(bucket, made))
    return [item for file in read.listed() for item, _ in read.items(file)]


def sorted_by_key(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda item: int(item["member_id"]["S"][2:]))


def test_manifests_as_the_documentation_shows_them(bucket: Bucket, made: Made) -> None:
    """There, the keys in manifests lack the prefix that they have in the bucket."""

    def without_prefix(key: str) -> None:
        bucket.write({key: bucket.content(key).replace(b"backups/AWSDynamoDB", b"AWSDynamoDB")})

    for key in bucket.keys("manifest-"):
        without_prefix(key)
    (summary,) = bucket.keys("manifest-summary.json")
    assert json.loads(bucket.content(summary))["manifestFilesS3Key"].startswith("AWSDynamoDB/")
    assert sorted_by_key(all_items(bucket, made)) == ITEMS


def test_several_gzip_members_and_an_empty_file_are_whole(bucket: Bucket, made: Made) -> None:
    """A file without a byte, for a partition without an item; one that was put together of parts."""
    keys = bucket.keys("/data/")
    parts = [gzip.compress(b"\n".join(lines(some)) + b"\n") for some in (ITEMS[:4], ITEMS[4:10])]
    listed = [
        {"itemCount": 10, "dataFileS3Key": keys[0]},
        {"itemCount": 0, "dataFileS3Key": keys[1]},
        {"itemCount": 20, "dataFileS3Key": keys[2]},
    ]
    last = gzip.compress(b"\n".join(lines(ITEMS[10:])))  # without an end of line
    bucket.write({keys[0]: parts[0] + parts[1], keys[1]: b"", keys[2]: last})
    bucket.write({bucket.keys("manifest-files.json")[0]: "\n".join(map(json.dumps, listed)).encode()})
    assert sorted_by_key(all_items(bucket, made)) == ITEMS


def test_what_no_parser_of_json_takes_is_left_to_be_named_as_poison(bucket: Bucket) -> None:
    made = bucket.made()
    line = rb'{"Item":{"member_id":{"S":"m-1"},"name":{"S":"\ud800"}}}'
    bucket.write(files(made, [[line]]))
    read = ExportFiles(bucket.s3, export_of(bucket, made, items=1))
    assert [item["name"] for file in read.listed() for item, _ in read.items(file)] == [{"S": "\ud800"}]


# -- half an export, and other damage


def _missing(bucket: Bucket) -> None:
    bucket.s3.delete_object(Bucket=bucket.name, Key=bucket.keys("/data/")[0])


def _no_manifest(bucket: Bucket) -> None:
    bucket.s3.delete_object(Bucket=bucket.name, Key=bucket.keys("manifest-files.json")[0])


def _no_summary(bucket: Bucket) -> None:
    bucket.s3.delete_object(Bucket=bucket.name, Key=bucket.keys("manifest-summary.json")[0])


def _listed(bucket: Bucket, change: Callable[[list[dict[str, Any]]], object]) -> None:
    (key,) = bucket.keys("manifest-files.json")
    listed = [json.loads(line) for line in bucket.content(key).splitlines()]
    change(listed)
    bucket.write({key: "\n".join(map(json.dumps, listed)).encode()})


def _one_file_less(bucket: Bucket) -> None:
    _listed(bucket, lambda listed: listed.pop(0))


def _another_count(bucket: Bucket) -> None:
    def swapped(listed: list[dict[str, Any]]) -> None:
        listed[0]["itemCount"], listed[1]["itemCount"] = listed[1]["itemCount"], listed[0]["itemCount"]

    _listed(bucket, swapped)


def _no_names(bucket: Bucket) -> None:
    _listed(bucket, lambda listed: listed[0].pop("dataFileS3Key"))


def _rewritten(bucket: Bucket, change: Callable[[bytes], bytes], *, unlisted: bool = True) -> None:
    """Change a data file; the manifest does not list its digests, unless told otherwise."""
    key = bucket.keys("/data/")[0]
    bucket.write({key: change(bucket.content(key))})

    def forget(listed: list[dict[str, Any]]) -> None:
        for line in listed:
            del line["md5Checksum"], line["etag"]

    if unlisted:
        _listed(bucket, forget)


def _truncated(bucket: Bucket) -> None:
    _rewritten(bucket, lambda content: content[: len(content) // 2])


def _cut_to_nothing(bucket: Bucket) -> None:
    _rewritten(bucket, lambda _: b"")


def _no_gzip(bucket: Bucket) -> None:
    _rewritten(bucket, lambda _: b"\n".join(lines(ITEMS[:10])))


def _lines_lost(bucket: Bucket) -> None:
    _rewritten(bucket, lambda _: gzip.compress(b"\n".join(lines(ITEMS[:9]))))


def _incremental(bucket: Bucket) -> None:
    line = b'{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"member_id":{"S":"m-1"}}}\n'
    _rewritten(bucket, lambda _: gzip.compress(line * 10))


def _replaced(bucket: Bucket) -> None:
    _rewritten(bucket, lambda _: gzip.compress(b"\n".join(lines(ITEMS[20:]))), unlisted=False)


def _bytes_changed(bucket: Bucket) -> None:
    _replaced(bucket)
    _listed(bucket, lambda listed: [line.pop("etag") for line in listed])


def _of_another_export(bucket: Bucket) -> None:
    (key,) = bucket.keys("manifest-summary.json")
    bucket.write({key: json.dumps(json.loads(bucket.content(key)) | {"exportArn": "another"}).encode()})


DAMAGE: dict[Callable[[Bucket], None], str] = {
    _missing: r"/data/.* is not in the bucket",
    _no_manifest: r"manifest-files\.json is not in the bucket",
    _no_summary: r"manifest-summary\.json is not in the bucket",
    _one_file_less: "its data files have 20 items, manifest-summary.json says 30",
    _another_count: "has 10 items, and the manifest lists 1",
    _no_names: "has a line that names no data file",
    _truncated: "ends in the middle",
    _cut_to_nothing: "ends in the middle, after 0 bytes",
    _no_gzip: "is no gzip",
    _lines_lost: "has 9 items, and the manifest lists 10",
    _incremental: "has a line that is no item",
    _replaced: "was replaced since",
    _bytes_changed: "has the MD5",
    _of_another_export: "is of another export, another",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__.strip("_"))
def test_half_an_export_is_refused(bucket: Bucket, made: Made, damage: Callable[[Bucket], None]) -> None:
    assert sorted_by_key(all_items(bucket, made)) == ITEMS
    damage(bucket)
    with pytest.raises(BadSource, match=DAMAGE[damage]) as caught:
        all_items(bucket, made)
    assert "What is live goes on serving" in str(caught.value)
    assert made.arn in str(caught.value)


# -- what S3 and the way to it do


class _S3:
    """S3 through a network that breaks off.

    :ivar asked: the ranges that were asked for
    """

    def __init__(self, s3: Any, error: Callable[[], Exception], every: int = 0, times: int = 1_000) -> None:
        self._s3, self._error, self._every, self._left = s3, error, every, times
        self.asked: list[str] = []

    def get_object(self, **asked: Any) -> Any:
        self.asked.append(asked.get("Range", ""))
        if self._every == 0 and self._left > 0:
            self._left -= 1
            raise self._error()
        answer = self._s3.get_object(**asked)
        if self._every:
            answer["Body"] = _Breaking(answer["Body"].read(), self._error, self._every)
        return answer


class _Breaking(io.BytesIO):
    def __init__(self, content: bytes, error: Callable[[], Exception], every: int) -> None:
        super().__init__(content)
        self._error, self._every = error, every

    def iter_chunks(self, _: int) -> Iterator[bytes]:
        whole = self.read()
        yield whole[: self._every]
        if len(whole) > self._every:
            raise self._error()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SleepingClock:
    clock = SleepingClock()
    monkeypatch.setattr(capacity, "time", clock)
    return clock


def broken_off() -> Exception:
    error: Exception = IncompleteReadError(actual_bytes=1, expected_bytes=2)
    return error


def refusal(code: str, status: int) -> Exception:
    answer: Any = {"Error": {"Code": code, "Message": "said S3"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = ClientError(answer, "GetObject")
    return error


def test_a_download_that_breaks_off_goes_on_where_it_was(bucket: Bucket, made: Made, clock: SleepingClock) -> None:
    """A file may have gigabytes: from its beginning it might never come to its end."""
    breaking = _S3(bucket.s3, broken_off, every=50)
    assert sorted_by_key(all_items(bucket, made, breaking)) == ITEMS
    assert "bytes=50-" in breaking.asked


def test_s3_that_is_away_is_waited_for_and_then_said(bucket: Bucket, made: Made, clock: SleepingClock) -> None:
    read = ExportFiles(bucket.s3, export_of(bucket, made))
    file = read.listed()[0]
    slow = _S3(bucket.s3, lambda: refusal("SlowDown", 503), times=20)
    assert list(ExportFiles(slow, export_of(bucket, made)).items(file)) == list(read.items(file))
    assert 60 < clock.now < export_files.PATIENCE_SECONDS
    with pytest.raises(SourceUnavailable, match="SlowDown"):
        list(ExportFiles(_S3(bucket.s3, lambda: refusal("SlowDown", 503)), export_of(bucket, made)).items(file))


def test_a_missing_permission_is_named(bucket: Bucket, made: Made, clock: SleepingClock) -> None:
    denied = _S3(bucket.s3, lambda: refusal("AccessDenied", 403))
    with pytest.raises(BadConnection, match=r"needs s3:GetObject.*s3:ListBucket"):
        all_items(bucket, made, denied)
    assert clock.now == 0, "no waiting helps"


def test_memory_does_not_grow_with_a_file(bucket: Bucket) -> None:
    """A file of a large partition has gigabytes, and packs a hundredfold when its items are alike."""
    made = bucket.made()
    line = json.dumps({"Item": {"member_id": {"S": "m-1"}, "name": {"S": "x" * 100_000}}}).encode()
    packed = gzip.compress((line + b"\n") * 2_000)
    assert len(packed) < 1_000_000
    bucket.write({f"{made.folder}/data/one.json.gz": packed})
    read = ExportFiles(bucket.s3, export_of(bucket, made, items=2_000))
    file = DataFile(f"{made.folder}/data/one.json.gz", 2_000, "", "")
    tracemalloc.start()
    with suppress(StopIteration):
        count = sum(1 for _ in read.items(file))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2_000
    assert peak < 5_000_000, "200 MB of items"
