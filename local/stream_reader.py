"""Batches from a DynamoDB stream: the lineage of its shards, and a durable mark of how far each has been acknowledged.

Whatever is not acknowledged is read again by the next process: nothing is lost, and what was on its way is repeated.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.files import read_json, write_json

_DESCRIBE_SECONDS = 10.0
_PAGE = 1000
_PAYLOAD_BYTES = 6 * 1024**2
log = logging.getLogger(__name__)


class StreamGone(Exception):
    """Another stream has taken the place of the one that was asked for: its sequence numbers mean something else."""


@dataclass(slots=True)
class _Shard:
    """One shard as far as this process has read it.

    :param waiting: records read and not handed out yet.
    :param since: when the first of them arrived, in seconds of `time.monotonic`.
    :param ended: no record will ever follow.
    """

    iterator: str = ""
    waiting: deque[dict[str, Any]] = field(default_factory=deque)
    since: float = 0.0
    ended: bool = False


class StreamReader:
    """All shards of one stream. Not for two threads, nor two readers of one checkpoint.

    :param client: of DynamoDB Streams.
    :param checkpoint: a file; what it says about any other stream is ignored.
    :param batch_size: records in one batch at most; fewer when they pass Lambda's 6 MB.
    :param window_seconds: how long a smaller batch waits for more records.
    """

    def __init__(
        self, client: Any, stream_arn: str, checkpoint: Path, *, batch_size: int, window_seconds: float
    ) -> None:
        self._client, self._arn, self._path = client, stream_arn, checkpoint
        self._batch_size, self._window = batch_size, window_seconds
        saved = read_json(checkpoint)
        own = saved if saved.get("stream") == stream_arn else {}
        self._after: dict[str, str] = dict(own.get("after") or {})
        self._finished: set[str] = set()
        self._parents: dict[str, str | None] = {}
        self._described = float("-inf")
        self._shards: dict[str, _Shard] = {}

    def batches(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """One batch of each shard that has one now, with the shard's id. Acknowledge it before the next is asked for.

        :raises StreamGone: when the name of the stream leads to another one.
        :raises ClientError, BotoCoreError: when the stream cannot be read; `forget`, then try again.
        """
        if time.monotonic() > self._described + _DESCRIBE_SECONDS:
            self._describe()
        for shard_id in self._readable():
            shard = self._shards.setdefault(shard_id, _Shard())
            if len(shard.waiting) < self._batch_size and not shard.ended:
                self._read(shard_id, shard)
            if self._is_due(shard):
                yield shard_id, self._take(shard)
            if shard.ended and not shard.waiting:
                self._finish(shard_id)

    def acknowledge(self, shard_id: str, sequence_number: str) -> None:
        """Remember, on the disk, that everything up to this record of the shard is settled."""
        self._after[shard_id] = sequence_number
        write_json(self._path, {"stream": self._arn, "after": self._after})

    def forget(self) -> None:
        """Read on from the checkpoints: for batches that were not acknowledged, and iterators that do not work."""
        self._shards.clear()
        self._described = float("-inf")

    def _readable(self) -> list[str]:
        """A child waits for the last record of its parent, else two changes of one item would swap places."""
        open_ones = self._parents.keys() - self._finished
        return [shard for shard, parent in self._parents.items() if shard in open_ones and parent not in open_ones]

    def _describe(self) -> None:
        parents: dict[str, str | None] = {}
        start: dict[str, str] = {}
        while True:
            stream = self._client.describe_stream(StreamArn=self._arn, **start)["StreamDescription"]
            if not self._arn.endswith(f"/stream/{stream['StreamLabel']}"):
                raise StreamGone(f"{self._arn} is no more; there is one of {stream['StreamLabel']} now")
            parents |= {shard["ShardId"]: shard.get("ParentShardId") for shard in stream["Shards"]}
            if (last := stream.get("LastEvaluatedShardId")) is None:
                break
            start = {"ExclusiveStartShardId": last}
        self._parents = parents
        self._finished &= parents.keys()
        self._after = {shard: number for shard, number in self._after.items() if shard in parents}
        self._described = time.monotonic()

    def _read(self, shard_id: str, shard: _Shard) -> None:
        try:
            page = self._page(shard_id, shard)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TrimmedDataAccessException":
                raise
            log.warning("%s: %s is trimmed; what came after it may be lost", shard_id, self._after.get(shard_id))
            self._after.pop(shard_id, None)
            shard.iterator = ""
            page = self._page(shard_id, shard)
        shard.iterator = page.get("NextShardIterator") or ""
        shard.ended = not shard.iterator
        if not shard.waiting:
            shard.since = time.monotonic()
        shard.waiting.extend(page["Records"])

    def _page(self, shard_id: str, shard: _Shard) -> Mapping[str, Any]:
        if not shard.iterator:
            after = self._after.get(shard_id)
            position = (
                {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
                if after
                else {"ShardIteratorType": "TRIM_HORIZON"}
            )
            opened = self._client.get_shard_iterator(StreamArn=self._arn, ShardId=shard_id, **position)
            shard.iterator = opened["ShardIterator"]
        page: Mapping[str, Any] = self._client.get_records(ShardIterator=shard.iterator, Limit=_PAGE)
        return page

    def _is_due(self, shard: _Shard) -> bool:
        if not shard.waiting:
            return False
        full = len(shard.waiting) >= self._batch_size or shard.ended
        return full or time.monotonic() >= shard.since + self._window

    def _take(self, shard: _Shard) -> list[dict[str, Any]]:
        batch = [shard.waiting.popleft()]
        size = batch[0]["dynamodb"]["SizeBytes"]
        while shard.waiting and len(batch) < self._batch_size:
            size += shard.waiting[0]["dynamodb"]["SizeBytes"]
            if size > _PAYLOAD_BYTES:
                break
            batch.append(shard.waiting.popleft())
        shard.since = time.monotonic()
        return batch

    def _finish(self, shard_id: str) -> None:
        self._finished.add(shard_id)
        self._described = float("-inf")  # its children may be there
