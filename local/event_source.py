"""Lambda's event source mapping for a DynamoDB stream: what stands between the table and the function on AWS.

`python -m local.event_source --folder DIR` delivers the stream of the members to `lambdas/members_stream` until
SIGTERM. The rules are those of the settings beside the function: batches, partial failures, retries, bisection, record
age and the pointer that is sent to the queue for what was given up. Two things are simpler than on AWS: shards take
turns in one thread, and each part of a batch that was given up has its own message, where AWS may put several into one.
"""

import argparse
import json
import logging
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local import members
from local.function import Function, FunctionError
from local.lambda_contract import Records, created, event_record, first_failure, pointer, sequence_number
from local.paths import ROOT
from local.stream_reader import StreamGone, StreamReader
from searchsync.stream.queue import DEAD_LETTER_QUEUE

CHECKPOINT, PAUSED, ALIVE = "checkpoint.json", "paused", "alive"
# What the settings may say of that which this runner does in one way only.
_ONLY = {
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "ParallelizationFactor": 1,
    "StartingPosition": "TRIM_HORIZON",
}
_IDLE_SECONDS = 0.25
_INDEX_SECONDS = 1.0
_AWAY_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_RATE_SECONDS = 5.0
log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The runner was stopped or paused in the middle of a batch, which is delivered again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one invocation.

    :param done: records at the front of the batch that are settled.
    :param error: why not all of them are; empty when they are.
    :param raised: the function failed, rather than report what it could not do.
    :param whole: nothing is known of any record: the function failed, or what it returned cannot be understood.
    """

    done: int
    error: str = ""
    raised: bool = False
    whole: bool = False


class EventSource:
    """One mapping from a stream to a function. Not for two threads.

    :param invoke: the function; it raises `FunctionError`.
    :param settings: as in the request that makes the mapping on AWS.
    :param queue_url: of the on-failure destination.
    :param checkpoint: a file. A file `paused` beside it pauses the mapping; `alive` is touched before each poll.
    :param retry_pause: seconds before the first retry, doubled up to 10 s. AWS does not say how long it waits.
    :raises ValueError: for settings that this runner does not imitate.
    """

    def __init__(
        self,
        streams_client: Any,
        sqs_client: Any,
        invoke: Callable[[dict[str, Any]], Any],
        settings: Mapping[str, Any],
        stream_arn: str,
        queue_url: str,
        checkpoint: Path,
        retry_pause: float = 1.0,
    ) -> None:
        if other := {name for name, value in _ONLY.items() if settings[name] != value}:
            raise ValueError(f"this runner knows one value of {', '.join(sorted(other))}: {_ONLY}")
        self._sqs, self._invoke, self._queue_url, self._arn = sqs_client, invoke, queue_url, stream_arn
        self._reader = StreamReader(
            streams_client,
            stream_arn,
            checkpoint,
            batch_size=settings["BatchSize"],
            window_seconds=settings["MaximumBatchingWindowInSeconds"],
        )
        self._retries: int = settings["MaximumRetryAttempts"]
        self._bisect: bool = settings["BisectBatchOnFunctionError"]
        self._age: float = settings["MaximumRecordAgeInSeconds"]
        self._paused, self._alive = checkpoint.with_name(PAUSED), checkpoint.with_name(ALIVE)
        self._retry_pause = retry_pause
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set. An emulator that is away is waited for.

        :raises StreamGone: when it came back with another stream.
        """
        self._stop = stop
        self._alive.parent.mkdir(parents=True, exist_ok=True)
        handled, since, trouble = 0, time.monotonic(), ""
        while not stop.is_set():
            self._alive.touch()
            try:
                count = 0 if self._paused.exists() else self.poll_once()
            except Interrupted as interrupted:
                log.info("%s", interrupted)
                continue
            except (BotoCoreError, ClientError) as error:
                if trouble != str(error):
                    log.warning("waiting for the stream: %s", error)
                trouble = str(error)
                stop.wait(_AWAY_SECONDS)
                continue
            trouble, handled, elapsed = "", handled + count, time.monotonic() - since
            if elapsed > _RATE_SECONDS:
                if handled:
                    log.info("%d records in %.1f s", handled, elapsed)
                handled, since = 0, time.monotonic()
            if not count:
                stop.wait(_IDLE_SECONDS)

    def poll_once(self) -> int:
        """Deliver one batch of each shard that has one. Returns the records that are settled: done or given up.

        :raises Interrupted: when stopped or paused before a retry.
        :raises BotoCoreError, ClientError, StreamGone: when the stream or the queue does not answer.
        """
        settled = 0
        try:
            for shard_id, records in self._reader.batches():
                pieces = [[event_record(record, self._arn) for record in records]]
                while pieces:
                    pieces[:1] = self._settle(shard_id, pieces[0])
                settled += len(records)
        except BaseException:
            self._reader.forget()
            raise
        return settled

    def _settle(self, shard_id: str, batch: Records) -> list[Records]:
        """Invoke the function until the batch is done, given up or split; returns the parts of a split, in order.

        A split starts the count of retries anew. Only a failure of the whole batch is split in the middle: what was
        reported is split where it was reported, and when that is the first record it is not split at all.
        """
        outcome, invocations = Outcome(0), 0
        while True:
            if old := self._too_old(batch):
                self._give_up(shard_id, batch[:old], "RecordAgeExceeded", invocations, outcome)
                batch = batch[old:]
            if not batch:
                return []
            outcome, invocations = self._outcome(shard_id, batch), invocations + 1
            if outcome.done:
                self._reader.acknowledge(shard_id, sequence_number(batch[outcome.done - 1]))
                batch = batch[outcome.done :]
            if not batch:
                return []
            split = self._bisect and (outcome.done > 0 or (outcome.whole and len(batch) > 1))
            if not split and invocations > self._retries >= 0:
                self._give_up(shard_id, batch, "RetryAttemptsExhausted", invocations, outcome)
                return []
            self._stop.wait(min(_LONGEST_PAUSE_SECONDS, self._retry_pause * 2 ** min(invocations - 1, 10)))
            if self._stop.is_set() or self._paused.exists():
                raise Interrupted("interrupted before a retry; the batch is delivered again")
            if split:
                middle = 0 if outcome.done else len(batch) // 2
                return [part for part in (batch[:middle], batch[middle:]) if part]

    def _outcome(self, shard_id: str, batch: Records) -> Outcome:
        first = sequence_number(batch[0])
        try:
            done = first_failure(self._invoke({"Records": batch}), batch)
            outcome = Outcome(done, "" if done == len(batch) else f"it reported {sequence_number(batch[done])}")
        except FunctionError as error:
            outcome = Outcome(0, str(error), raised=True, whole=True)
        except ValueError as error:
            outcome = Outcome(0, str(error), whole=True)
        if outcome.error:
            log.warning("%s: invocation failed, %d records from %s: %s", shard_id, len(batch), first, outcome.error)
        return outcome

    def _too_old(self, batch: Records) -> int:
        """How many records at the front are past the maximum age."""
        if self._age < 0:
            return 0
        oldest = time.time() - self._age
        return len([*takewhile(lambda record: created(record) < oldest, batch)])

    def _give_up(self, shard_id: str, batch: Records, condition: str, invocations: int, outcome: Outcome) -> None:
        """Tell the queue where these records are, and only then go on behind them."""
        message = pointer(
            batch,
            shard_id,
            members.HANDLER.parent.name,
            condition=condition,
            invocations=invocations,
            raised=outcome.raised,
        )
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message))
        self._reader.acknowledge(shard_id, sequence_number(batch[-1]))
        log.warning("%s: gave up %d records from %s: %s", shard_id, len(batch), sequence_number(batch[0]), condition)


def has_index(opensearch_url: str) -> bool:
    """Whether any index takes the writes of the function: before the first one, every batch would fail."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{opensearch_url}/_alias/{members.ALIAS}", timeout=5.0) as response:
            return bool(json.load(response))
    except (OSError, ValueError):
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Deliver until SIGTERM or SIGINT. The addresses of the emulator and OpenSearch come from the environment."""
    parser = argparse.ArgumentParser(prog="python -m local.event_source", description="The stream to the function.")
    parser.add_argument("--folder", type=Path, required=True, help="of the checkpoint, and the file that pauses")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    endpoint = os.environ["AWS_ENDPOINT_URL"]
    made = members.create(endpoint)
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    function = Function(
        members.HANDLER,
        members.SETTINGS["function"]["handler"].rpartition(".")[2],
        {**made.queues, **members.FUNCTION_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
        members.SETTINGS["function"]["timeout_seconds"],
    )
    source = EventSource(
        members.client("dynamodbstreams", endpoint),
        members.client("sqs", endpoint),
        function.invoke,
        members.SETTINGS["event_source_mapping"],
        made.stream_arn,
        made.queues[members.ENTITY.variable(DEAD_LETTER_QUEUE)],
        options.folder / CHECKPOINT,
    )
    log.info("delivering %s as soon as an index has the alias %s", made.stream_arn, members.ALIAS)
    options.folder.mkdir(parents=True, exist_ok=True)
    while not stop.is_set() and not has_index(os.environ["SEARCHSYNC_OPENSEARCH_URL"]):
        (options.folder / ALIVE).touch()
        stop.wait(_INDEX_SECONDS)
    try:
        source.run(stop)
    except StreamGone as gone:
        raise SystemExit(f"{gone}; a new start delivers that one") from None
    finally:
        function.close()


if __name__ == "__main__":
    main()
