"""Requests to OpenSearch over kept connections: bounded in number and time, retried where that helps.

Bytes go in and bytes come out. Whoever is cancelled closes the connection, and OpenSearch stops the search.
"""

import asyncio
import logging
import math
import ssl
from types import TracebackType
from typing import Final, NamedTuple, Self

from search_api.deadline import Deadline
from search_api.engine import retry
from search_api.engine.breaker import Breaker, State
from search_api.engine.target import CannotSign, Target
from search_api.failures import FAILURES
from search_api.http_client import CannotConnectInTime, HttpClient, TooLarge
from search_api.problems import Problem
from search_api.telemetry import outgoing

log = logging.getLogger(__name__)
_failures = FAILURES.labels("opensearch")

RESERVE_SECONDS: Final = 0.2
"""Seconds before the deadline at which a call ends, so that a kept answer or a problem can still be sent."""

AT_ONCE: Final = 32
"""Requests that OpenSearch gets from this process at a time."""

WAITING: Final = 128
"""Requests that wait for their turn; any more are refused at once."""

FAIR_SECONDS: Final = 1.0
"""A call that had less time than this and ran out of it says nothing about OpenSearch."""

LARGEST_ANSWER: Final = 8 * 1_048_576
"""Bytes of an answer. There are some at a time, and all are in memory."""

TIMED_OUT: Final = b'"timed_out":true'
TIMED_OUT_WITHIN: Final = 64
"""A search that OpenSearch itself broke off says so in the first bytes of its answer, which has status 200."""


class Answer(NamedTuple):
    """What OpenSearch answered."""

    status: int
    body: bytes


class EngineUnavailable(Problem):
    """OpenSearch gave no answer in time, or must not be asked now. As a response: 503 with ``Retry-After``.

    :param retry_after: seconds after which it is worth another try
    """

    def __init__(self, detail: str, *, retry_after: float = 1.0) -> None:
        seconds = max(1, math.ceil(retry_after))
        super().__init__(
            503,
            "search-unavailable",
            detail,
            next_step=f"Send the request again after {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


class _Failed(Exception):
    """An attempt that OpenSearch did not answer.

    :param again: whether another attempt may help
    :param asked: seconds for which OpenSearch asked to be left alone
    :param fair: whether the attempt says that OpenSearch is not well
    """

    def __init__(self, reason: str, *, again: bool = True, asked: float | None = None, fair: bool = True) -> None:
        super().__init__(reason)
        self.again = again
        self.asked = asked
        self.fair = fair

    def as_problem(self) -> EngineUnavailable:
        return EngineUnavailable(str(self), retry_after=self.asked or 1.0)


class Engine:
    """One OpenSearch. Use it as a context: ``async with Engine(Target.from_environment()) as engine``.

    :param at_once: requests that OpenSearch gets from this process at a time
    :param waiting: requests that wait for their turn; any more are refused at once
    :ivar breaker: opens when OpenSearch fails
    """

    def __init__(
        self, target: Target, *, breaker: Breaker | None = None, at_once: int = AT_ONCE, waiting: int = WAITING
    ) -> None:
        self.breaker = breaker or Breaker()
        self._target = target
        self._most = at_once + waiting
        self._inside = 0
        self._left_alone = False
        self._turns = asyncio.Semaphore(at_once)
        self._http: HttpClient

    async def __aenter__(self) -> Self:
        headers = {"Accept-Encoding": "identity", **self._target.login}
        self._http = HttpClient(self._target.url, tls=self._target.tls, headers=headers, largest=LARGEST_ANSWER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def in_flight(self) -> int:
        """Number of calls of ``send`` that wait, or are under way."""
        return self._inside

    async def send(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Answer:
        """Return OpenSearch's answer to a request that may be repeated. It may be any but 429 and 5xx.

        :param path: path and query, percent-encoded
        :param body: JSON
        :raises EngineUnavailable: when there is no such answer before the deadline, when too many requests wait, or
            while the breaker is open
        """
        if self._inside >= self._most:
            raise EngineUnavailable("Too many searches are waiting.")
        self._inside += 1
        try:
            await self._turn(deadline)
            try:
                return await self._attempts(method, path, body, deadline)
            finally:
                self._turns.release()
        finally:
            self._inside -= 1

    async def once(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Answer:
        """Return OpenSearch's answer to one attempt, which waits for no turn, and which the breaker does not see.

        It is for what runs in the background. Its arguments are those of ``send``.

        :raises EngineUnavailable: when OpenSearch answers 429 or 5xx, or not before the deadline
        """
        try:
            return await self._request(method, path, body, deadline)
        except _Failed as failure:
            raise failure.as_problem() from failure

    async def _turn(self, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.remaining - RESERVE_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise EngineUnavailable("The search waited too long for its turn.") from None

    async def _attempts(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._watched(method, path, body, deadline)
            except _Failed as failure:
                left = deadline.remaining - RESERVE_SECONDS
                seconds = retry.pause(attempt, remaining=left, asked=failure.asked) if failure.again else None
                if seconds is None:
                    raise failure.as_problem() from failure
            await asyncio.sleep(seconds)

    async def _watched(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Answer:
        ticket = self.breaker.admit()
        if ticket is None:
            _failures.inc()
            raise EngineUnavailable("OpenSearch is failing, and is left alone.", retry_after=self.breaker.retry_after)
        tell = self.breaker.abandoned  # unless there is an outcome: also when this is cancelled
        try:
            answer = await self._request(method, path, body, deadline)
            tell = self.breaker.succeeded
        except _Failed as failure:
            if failure.fair:
                tell = self.breaker.failed
                _failures.inc()
            raise
        finally:
            tell(ticket)
            self._say(self.breaker.state)
        return answer

    def _say(self, state: State) -> None:
        if state is State.OPEN and not self._left_alone:
            log.error("OpenSearch fails: it gets no search for %.0f s", self.breaker.retry_after)
        elif state is State.CLOSED and self._left_alone:
            log.warning("OpenSearch answers again")
        self._left_alone = state is not State.CLOSED

    async def _request(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> Answer:
        left = deadline.remaining - RESERVE_SECONDS
        if left <= 0:
            raise _Failed("There is no time left to ask OpenSearch.", again=False, fair=False)
        headers = dict(outgoing.get())
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(left):
                if self._target.signer is not None:
                    headers |= await self._target.signer.headers(method, self._target.url.rstrip("/") + path, body)
                status, given, answer = await self._http.ask(method, path, headers, body)
        except CannotConnectInTime as error:
            raise _Failed("OpenSearch did not answer in time.") from error
        except TimeoutError as error:  # no time is left for another attempt
            raise _Failed("OpenSearch did not answer in time.", fair=left >= FAIR_SECONDS) from error
        except TooLarge as error:
            raise _answer_too_large() from error
        except CannotSign as error:
            raise _Failed("The request to OpenSearch cannot be signed.", fair=False) from error
        except OSError as error:
            raise _Failed("OpenSearch cannot be reached.", again=not isinstance(error, ssl.SSLError)) from error
        if retry.is_overload_or_fault(status):
            asked = retry.seconds_asked(given.get(b"retry-after", b"").decode("latin-1"))
            raise _Failed(f"OpenSearch answered {status}.", asked=asked)
        if answer.find(TIMED_OUT, 0, TIMED_OUT_WITHIN) >= 0:
            raise _Failed("OpenSearch did not answer in time.", again=False)
        return Answer(status, answer)


def _answer_too_large() -> Problem:
    return Problem(
        400,
        "answer-too-large",
        f"The documents that were found have more than {LARGEST_ANSWER} bytes together.",
        next_step="Ask for less in one search: fewer hits (limit), fewer fields (fields).",
    )
