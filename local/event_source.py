"""Lambda's event source mapping for a DynamoDB stream: what stands between the table and the function on AWS.

The rules are those of the settings beside the function: batches, partial failures, retries, bisection, record age and
the pointer that is sent to the queue for what was given up. Two things are simpler than on AWS: shards take turns in
one thread, and each part of a batch that was given up has its own message, where AWS may put several into one.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.files import write_atomically
from local.function import FunctionError
from local.lambda_contract import Records, created, event_record, first_failure, pointer, sequence_number
from local.stream_function import ALIVE, PAUSED
from local.stream_reader import StreamReader

# What the settings may say of that which this runner does in one way only.
_ONLY = {
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "ParallelizationFactor": 1,
    "StartingPosition": "TRIM_HORIZON",
}
_IDLE_SECONDS = 0.25
_AWAY_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_RATE_SECONDS = 5.0
log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The runner was stopped or paused in the middle of a batch, which is delivered again."""


@dataclass(frozen=True, slots=True)
class OnFailure:
    """Where the pointers to what was given up go.

    :param sqs: a client.
    :param function: name of the function that could not do it.
    """

    sqs: Any
    queue_url: str
    function: str


class Alive:
    """A file that tells others that the runner lives (by its time), and what holds it up (its text; empty: nothing)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: str | None = None

    def say(self, text: str) -> None:
        """Show that the runner lives, and what holds it up."""
        if text == self._said and self._path.exists():
            self._path.touch()
        else:
            write_atomically(self._path, text, mode=0o644)
            self._said = text


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
    :param checkpoint: a file. A file `paused` beside it pauses the mapping; `alive` tells how it goes, see `Alive`.
    :param retry_pause: seconds before the first retry, doubled up to 10 s. AWS does not say how long it waits.
    :raises ValueError: for settings that this runner does not imitate.
    """

    def __init__(
        self,
        streams_client: Any,
        stream_arn: str,
        invoke: Callable[[dict[str, Any]], Any],
        settings: Mapping[str, Any],
        on_failure: OnFailure,
        checkpoint: Path,
        retry_pause: float = 1.0,
    ) -> None:
        if other := {name for name, value in _ONLY.items() if settings[name] != value}:
            raise ValueError(f"this runner knows one value of {', '.join(sorted(other))}: {_ONLY}")
        self._invoke, self._on_failure, self._arn = invoke, on_failure, stream_arn
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
        self._paused, self._alive = checkpoint.with_name(PAUSED), Alive(checkpoint.with_name(ALIVE))
        self._failing = ""
        self._retry_pause = retry_pause
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set. An emulator that is away is waited for.

        :raises StreamGone: when it came back with another stream.
        """
        self._stop = stop
        handled, since, trouble = 0, time.monotonic(), ""
        while not stop.is_set():
            self._alive.say(trouble or self._failing)
            try:
                count = 0 if self._paused.exists() else self.poll_once()
            except Interrupted as interrupted:
                log.info("%s", interrupted)
                continue
            except (BotoCoreError, ClientError) as error:
                if trouble != (now := f"waiting for the stream: {error}"):
                    log.warning("%s", now)
                trouble = now
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
        self._failing = f"the function fails: {outcome.error}" if outcome.error else ""
        if outcome.error:
            log.warning("%s: invocation failed, %d records from %s: %s", shard_id, len(batch), first, outcome.error)
            self._alive.say(self._failing)
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
            self._on_failure.function,
            condition=condition,
            invocations=invocations,
            raised=outcome.raised,
        )
        self._on_failure.sqs.send_message(QueueUrl=self._on_failure.queue_url, MessageBody=json.dumps(message))
        self._reader.acknowledge(shard_id, sequence_number(batch[-1]))
        log.warning("%s: gave up %d records from %s: %s", shard_id, len(batch), sequence_number(batch[0]), condition)
